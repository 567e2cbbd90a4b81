# SPDX-License-Identifier: MIT
"""cqrsd itself: a process with a configuration file, ports and a log."""

import os
import shlex
import signal
import subprocess

import yaml

from .client import Client, Metrics
from .workshop import BUILD, Timeout, Workshop, peak_memory, resident_memory, wait_until

BINARY = BUILD / "cqrsd"

# For instance "valgrind -q": what the daemon runs under.
WRAPPER = shlex.split(os.environ.get("CQRSD_WRAPPER", ""))


def has_sanitizer():
    return BINARY.exists() and b"__asan_init" in BINARY.read_bytes()


def is_instrumented():
    """Under a sanitizer or another program: then memory is not what users will see."""
    return bool(WRAPPER) or has_sanitizer()


def run(*arguments, input=None, env=None, timeout=30, cwd=None):
    """One call of the command line, from beginning to end, as text."""
    command = [str(BINARY), *map(str, arguments)]
    if isinstance(input, bytes):
        done = subprocess.run(command, input=input, env=env, cwd=cwd, timeout=timeout,
                              capture_output=True)
        done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
        return done
    return subprocess.run(command, input=input, env=env, cwd=cwd, timeout=timeout,
                          capture_output=True, text=True)


def merge(base, more):
    """Sections into each other; None takes an option out."""
    result = dict(base)
    for name, value in more.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict) and isinstance(result.get(name), dict):
            result[name] = merge(result[name], value)
        else:
            result[name] = value
    return result


class Cqrsd:
    """One daemon; `config` is merged into a sensible one for tests."""

    running = []  # for the report of a test that failed

    def __init__(self, workshop: Workshop, config, name="cqrsd"):
        self.workshop = workshop
        self.directory = workshop.directory(name)
        self.http_port, self.admin_port = workshop.free_port(), workshop.free_port()
        self.given = config
        self.config = merge({
            "http": {"listen": f"127.0.0.1:{self.http_port}"},
            "admin": {"listen": f"127.0.0.1:{self.admin_port}"},
        }, config)
        self.path = self.directory / "cqrs.yaml"
        self.log_path = self.directory / "log"
        self.http = Client("127.0.0.1", self.http_port)
        self.admin = Client("127.0.0.1", self.admin_port)
        self.process = None
        self.write()

    def write(self, **changes):
        """The configuration file, with changes that stay."""
        self.config = merge(self.config, changes)
        self.path.write_text(yaml.safe_dump(self.config, sort_keys=False))

    def start(self, ready=True, env=None, timeout=30, streams=""):
        """`streams`: what a shell does to them before, 2>/dev/full for instance."""
        command = [*WRAPPER, str(BINARY), "-c", str(self.path)]
        if streams:
            command = ["sh", "-c", f'exec "$@" {streams}', "sh", *command]
        with open(self.log_path, "ab") as log:
            self.process = self.workshop.start(command, cwd=self.directory, env=env,
                                               stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        Cqrsd.running.append(self)
        if ready:
            self.wait_ready(timeout)
        return self

    def wait_ready(self, timeout=30):
        try:
            wait_until(self.is_ready, timeout, "cqrsd is ready")
        except Timeout as late:
            raise Timeout(f"{late}: {self.reasons()}") from None
        return self

    def is_ready(self):
        self.check_alive()
        try:
            return self.admin.get("/readyz").status == 200
        except OSError:
            return False

    def is_listening(self):
        self.check_alive()
        try:
            return self.admin.get("/livez").status == 200
        except OSError:
            return False

    def check_alive(self):
        code = self.process.poll()
        if code is not None:
            raise RuntimeError(f"cqrsd ended with {code}:\n{self.log()}")

    def reasons(self):
        """Why it is not ready, as {check: reason}."""
        try:
            answer = self.admin.get("/readyz").json()
        except OSError as error:
            return {"admin": str(error)}
        return {reason["check"]: reason["reason"] for reason in answer["reasons"]}

    def stop(self, sig=signal.SIGTERM, timeout=20):
        """The exit code; None if it was not running."""
        if self.process is None:
            return None
        if self in Cqrsd.running:
            Cqrsd.running.remove(self)
        process, self.process = self.process, None
        return self.workshop.stop(process, sig, timeout)

    def kill(self):
        return self.stop(signal.SIGKILL)

    def send_signal(self, sig):
        self.process.send_signal(sig)

    def wait(self, timeout=20):
        """For one that ends by itself: the exit code."""
        code = self.process.wait(timeout)
        self.stop()
        return code

    def restart(self, sig=signal.SIGTERM):
        self.stop(sig)
        return self.start()

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def run(self, *arguments, **more):
        """A subcommand with this configuration."""
        return run("-c", self.path, *arguments, **more)

    def migrate(self):
        done = self.run("migrate")
        assert done.returncode == 0, done.stderr
        return done

    def produce(self, topic, lines, *arguments):
        """`cqrsd produce`: one message a line."""
        done = self.run("produce", *arguments, topic, input="".join(f"{l}\n" for l in lines))
        assert done.returncode == 0, done.stderr
        return done

    def get(self, path, parameters=None, accept=None, **headers):
        return self.http.get(path, parameters, accept, **headers)

    def metrics(self):
        answer = self.admin.get("/metrics")
        assert answer.status == 200
        return Metrics(answer.text)

    def lag(self, topic, partition):
        """Messages that a partition has and we have not; None while it is not known."""
        found = self.metrics().values("cqrsd_kafka_lag", topic=topic, partition=str(partition))
        return found[0] if found else None

    def kafka_address(self):
        """Where the embedded broker listens."""
        return self.admin.get("/status").json()["kafka"]["brokers"]

    def resident_memory(self):
        return resident_memory(self.process.pid)

    def peak_memory(self):
        return peak_memory(self.process.pid)
