# SPDX-License-Identifier: MIT
"""A disk of its own for a directory: full when the test says so, and made larger again."""

import os
import shutil
import subprocess

SPARE = 256 << 10


class SmallDisk:
    """`with SmallDisk(directory, "16m"):` OSError where nothing can be mounted."""

    def __init__(self, directory, size):
        self.directory, self.size = directory, size

    def __enter__(self):
        self._mount("-t", "tmpfs", "-o", f"size={self.size}", "tmpfs")
        shutil.chown(self.directory, "postgres", "postgres")
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", str(self.directory)], check=True)

    def fill(self):
        """No more than what it has, and a little; somebody may be writing to it."""
        for attempts_left in reversed(range(5)):
            state = os.statvfs(self.directory)
            used = (state.f_blocks - state.f_bfree) * state.f_frsize
            try:
                self.grow(used + SPARE)
                return
            except OSError:
                if not attempts_left:
                    raise

    def grow(self, size):
        self._mount("-o", f"remount,size={size}")

    def _mount(self, *arguments):
        done = subprocess.run(["mount", *arguments, str(self.directory)], capture_output=True,
                              text=True)
        if done.returncode:
            raise OSError(f"mount {' '.join(arguments)}: {done.stderr}")
