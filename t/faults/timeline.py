# SPDX-License-Identifier: MIT
"""What was done to whom and when, printed as it happens and kept for the report."""

import threading
import time
from collections import Counter
from contextlib import contextmanager


class Timeline:
    def __init__(self, quiet=False):
        self.began = time.monotonic()
        self.lines = []
        self.counts = Counter()
        self._quiet = quiet
        self._lock = threading.Lock()

    def restart(self):
        self.began = time.monotonic()

    def now(self):
        return time.monotonic() - self.began

    def say(self, who, what):
        with self._lock:
            line = f"{self.now():7.1f} s  {who:<10}{what}"
            self.lines.append(line)
            if not self._quiet:
                print(line, flush=True)

    def count(self, what, n=1):
        with self._lock:
            self.counts[what] += n

    @contextmanager
    def span(self, who, what, count):
        """Something with a beginning and an end; `count` is its plural, for the summary."""
        self.say(who, what)
        self.count(count)
        began = time.monotonic()
        try:
            yield
        finally:
            self.say(who, f"{what}: over after {time.monotonic() - began:.1f} s")
