# SPDX-License-Identifier: MIT
"""What a benchmark measures, and when that is good enough."""

from typing import NamedTuple


class Ratio(NamedTuple):
    """At least so many times the reference."""

    least: float

    def __str__(self):
        return f"≥ {self.least:g} x"

    def is_met(self, reference, cqrsd):
        return cqrsd >= self.least * reference


class Longer(NamedTuple):
    """At most so many times what the reference takes."""

    times: float

    def __str__(self):
        return f"≤ {self.times:g} x"

    def is_met(self, reference, cqrsd):
        return cqrsd <= self.times * reference


class Within(NamedTuple):
    """At most so much more than the reference."""

    more: float

    def __str__(self):
        return f"≤ ref + {self.more:g}"

    def is_met(self, reference, cqrsd):
        return cqrsd <= reference + self.more


class AtMost(NamedTuple):
    """Without a reference."""

    most: float

    def __str__(self):
        return f"≤ {self.most:g}"

    def is_met(self, _, cqrsd):
        return cqrsd <= self.most


class AtLeast(NamedTuple):
    """Without a reference."""

    least: float

    def __str__(self):
        return f"≥ {self.least:g}"

    def is_met(self, _, cqrsd):
        return cqrsd >= self.least


class Figure(NamedTuple):
    name: str
    unit: str
    goal: object


class Benchmark:
    """One or several lines of the table.

    A subclass in any file of this directory is found by its `figures`; `make bench-NAME`
    runs it alone.  In each round `reference()` and `cqrsd()` are called once, in turn; both
    return one value for each figure, or None where there is none.  What they share with
    other benchmarks of the same round they take with `lab.once()`.
    """

    name = None
    figures = ()
    is_default = True  # part of `make bench`
    known = []

    def __init_subclass__(cls, **arguments):
        super().__init_subclass__(**arguments)
        if cls.figures:
            cls.name = cls.name or cls.figures[0].name
            Benchmark.known.append(cls)

    def __init__(self, lab):
        self.lab = lab

    def prepare(self):
        """Before the first round: fills what is read, tries what the best settings are."""

    def reference(self):
        return [None] * len(self.figures)

    def cqrsd(self):
        raise NotImplementedError


class Failed(Exception):
    """What was measured is not what should have been."""


def demand(condition, text):
    if not condition:
        raise Failed(text)
