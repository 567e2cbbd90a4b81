# SPDX-License-Identifier: MIT
"""Libraries that are preloaded into the daemon, and lie to it about the world."""

import mmap
import os
import struct
import subprocess

from .daemon import has_sanitizer
from .workshop import REPOSITORY


def build(workshop, name):
    """t/support/NAME.c as a shared object; its path."""
    path = workshop.path / f"{name}.so"
    with workshop.lock(name):
        if not path.exists():
            subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", "-O1", "-g", "-shared", "-fPIC", "-fno-builtin", "-o",
                            str(path), str(REPOSITORY / "t" / "support" / f"{name}.c")],
                           check=True)
    return path


def preload(*libraries):
    """The value of LD_PRELOAD; a sanitizer's runtime wants to be the first."""
    if has_sanitizer():
        found = subprocess.run(["cc", "-print-file-name=libasan.so"], capture_output=True,
                               text=True, check=True)
        libraries = found.stdout.strip(), *libraries
    return ":".join(map(str, libraries))


class Shim:
    """One library and its control file: numbers of 64 bits that both sides see."""

    def __init__(self, workshop, name):
        path = workshop.directory(name) / "control"
        path.write_bytes(bytes(16))
        self.library = build(workshop, name)
        self.env = {**os.environ, "LD_PRELOAD": preload(self.library), name.upper(): str(path)}
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 16)

    def set(self, number):
        self.memory[0:8] = struct.pack("q", number)

    @property
    def answer(self):
        return struct.unpack("q", self.memory[8:16])[0]


def together(*shims):
    """The environment in which all of them are preloaded."""
    env = dict(os.environ)
    for shim in shims:
        env.update((name, value) for name, value in shim.env.items() if name not in env)
    return {**env, "LD_PRELOAD": preload(*(shim.library for shim in shims))}
