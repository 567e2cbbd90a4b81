# SPDX-License-Identifier: MIT
"""What PyPI has for OpenAPI documents, in a virtual environment below build/.

Debian has neither of the two.  Nothing is installed anywhere else.
"""

import fcntl
import re
import shutil
import subprocess
import sys

from .workshop import REPOSITORY

REQUIREMENTS = ["openapi-spec-validator==0.9.0", "schemathesis==4.32.5"]
PATH = REPOSITORY / "build" / "openapi-tools"
# What pip says when nobody answers it, and not that something is wrong with what was asked for.
UNREACHABLE = re.compile(r"Retrying \(|Failed to establish|ConnectTimeout|NameResolution|ProxyError")


class Unreachable(Exception):
    pass


def run(*command, **more):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, **more)


def install():
    shutil.rmtree(PATH, ignore_errors=True)
    made = run(sys.executable, "-m", "venv", PATH)
    if made.returncode:
        raise RuntimeError(f"{PATH} cannot be made: {made.stdout}{made.stderr}")
    done = run(PATH / "bin" / "pip", "install", "-q", "--disable-pip-version-check",
               "--retries", "1", "--timeout", "15", *REQUIREMENTS)
    unreachable = [line for line in done.stderr.splitlines() if UNREACHABLE.search(line)]
    if done.returncode and unreachable:
        raise Unreachable(f"PyPI cannot be reached: {unreachable[-1]}")
    if done.returncode:
        raise RuntimeError(f"pip: {done.stderr}")


def tools():
    """Where the programs are; made by whoever comes first, and again for other versions."""
    PATH.parent.mkdir(exist_ok=True)
    stamp = PATH / "requirements"
    with open(PATH.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text().split() != REQUIREMENTS:
            install()
            stamp.write_text("\n".join(REQUIREMENTS) + "\n")
    return PATH / "bin"
