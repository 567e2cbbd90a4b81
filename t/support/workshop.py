# SPDX-License-Identifier: MIT
"""A temporary directory and the processes in it, none of which outlives us.

A workshop is watched by a janitor: a process of its own that waits for the
end of whoever opened the workshop, however that comes (return, exception,
signal, kill -9, closed terminal), then ends the processes that are still
registered, by pid, and removes the directory, with what is mounted in it.
"""

import fcntl
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import contextmanager, suppress
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("CQRSD_BUILD") or os.environ.get("BUILD") or "build")
BUILD = BUILD if BUILD.is_absolute() else REPOSITORY / BUILD


CLAIMS = 200  # ports that are kept for us, the newest


class Timeout(AssertionError):
    pass


def wait_until(condition, timeout=10.0, what=None, interval=0.02):
    """Calls `condition` until it returns something true, and returns that.

    `what` is for the message: a text, or a function that makes one at the end.
    """
    end = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Timeout(f"not within {timeout} s: {what() if callable(what) else what}")
        time.sleep(interval)


class Workshop:
    """The directory; `with Workshop() as w`.  Workers of one run share it by its path."""

    def __init__(self, path=None, slot=0):
        self.is_owner = path is None
        self.path = Path(path or tempfile.mkdtemp(prefix="cqrsd-"))
        # Outside of the range that the kernel hands out by itself, and apart
        # for each worker, so that nobody takes a port between choice and bind.
        self._ports = range(20000 + slot * 2000, 22000 + slot * 2000)
        self._next_port = os.getpid() % 2000
        self._claims = deque(maxlen=CLAIMS)
        self._janitor = None
        if self.is_owner:
            self.path.chmod(0o711)  # user postgres must come through
            (self.path / "pids").mkdir()
            self._janitor = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, str(self.path)],
                stdin=subprocess.PIPE,
                start_new_session=True,  # our terminal's ^C is not for it
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self._janitor:
            self._janitor.stdin.close()
            self._janitor.wait()
            self._janitor = None

    def directory(self, name, owner=None):
        """A new directory of its own; `owner` is a user's name."""
        path = Path(tempfile.mkdtemp(prefix=name + "-", dir=self.path))
        path.chmod(0o755)
        if owner and os.geteuid() == 0:
            os.chown(path, pwd.getpwnam(owner).pw_uid, pwd.getpwnam(owner).pw_gid)
        return path

    def free_port(self):
        for _ in self._ports:
            self._next_port = (self._next_port + 1) % len(self._ports)
            port = self._ports[self._next_port]
            claim = socket.socket(socket.AF_UNIX)
            try:
                claim.bind(f"\0cqrsd-port-{port}")
            except OSError:
                continue  # another run has chosen it, and not bound it yet
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    s.bind(("127.0.0.1", port))
                    self._claims.append(claim)
                    return port
                except OSError:
                    continue
        raise RuntimeError("no free port")

    def start(self, command, end_signal=signal.SIGKILL, **popen):
        """A child in a session of its own that the janitor knows from its first moment."""
        pids = str(self.path / "pids")

        def register():
            os.setsid()
            fd = os.open(f"{pids}/{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            os.write(fd, f"{start_time(os.getpid())} {int(end_signal)}".encode())
            os.close(fd)

        # As another user, the child could not write there.
        user = popen.pop("user", None)
        if user and os.geteuid() == 0:
            entry = pwd.getpwnam(user)

            def preexec():
                register()
                os.setgroups([])
                os.setgid(entry.pw_gid)
                os.setuid(entry.pw_uid)
        else:
            preexec = register
        return subprocess.Popen(command, preexec_fn=preexec, **popen)

    def forget(self, pid):
        """The process has ended and was waited for."""
        (self.path / "pids" / str(pid)).unlink(missing_ok=True)

    def stop(self, process, sig=signal.SIGTERM, timeout=10.0):
        """Ends a child, with SIGKILL if it does not listen; its exit code."""
        if process.poll() is None:
            process.send_signal(sig)
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.forget(process.pid)
        return process.returncode

    @contextmanager
    def lock(self, name):
        """Between the workers of one run."""
        with open(self.path / (name + ".lock"), "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def start_time(pid):
    """In ticks since boot, so that a number used again is not taken for the same process.

    None when it has ended, waited for or not.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == b"Z" else int(fields[19])


def memory_line(pid, name):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no memory")


def resident_memory(pid):
    """In bytes."""
    return memory_line(pid, "VmRSS")


def peak_memory(pid):
    """The most that was ever resident, in bytes."""
    return memory_line(pid, "VmHWM")


def registered(path):
    """The processes of a workshop that still run: (pid, the signal that ends it)."""
    for name in os.listdir(os.path.join(path, "pids")):
        with suppress(FileNotFoundError), open(os.path.join(path, "pids", name)) as file:
            fields = file.read().split()
            if len(fields) == 2 and start_time(name) == int(fields[0]):
                yield int(name), int(fields[1])


def clean(path):
    """The janitor's work."""
    told = set()
    end = time.monotonic() + 8
    while running := list(registered(path)):
        for pid, sig in running:
            with suppress(ProcessLookupError):
                if time.monotonic() > end:
                    os.kill(pid, signal.SIGKILL)
                elif pid not in told:
                    os.kill(pid, sig)
                    os.kill(pid, signal.SIGCONT)  # a stopped one would hear nothing
                    told.add(pid)
        time.sleep(0.01)
    for name in os.listdir(path):
        if os.path.ismount(os.path.join(path, name)):
            subprocess.run(["umount", "-l", os.path.join(path, name)])
    for _ in range(50):
        shutil.rmtree(path, ignore_errors=True)
        if not os.path.exists(path):
            return
        time.sleep(0.1)


if __name__ == "__main__":
    for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(s, signal.SIG_IGN)
    sys.stdin.buffer.read()
    clean(sys.argv[1])
