# SPDX-License-Identifier: MIT
"""A process that has run out of descriptors."""

import itertools
import os
import resource
from contextlib import contextmanager


@contextmanager
def few_descriptors(pid, more):
    """Meanwhile it may open only so many more than it has."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    # Numbers below the limit that are free now are descriptors as well.
    used = {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}
    limit = next(n for n in itertools.count() if n - len([fd for fd in used if fd < n]) == more)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (max(limit, 3), before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
