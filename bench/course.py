# SPDX-License-Identifier: MIT
"""The course of a run: everything is prepared, then measured in turn, round after round."""

import time

from bench.figure import Failed
from bench.lab import say
from bench.report import Result
from support.workshop import Timeout


class Course:
    """Of the benchmarks that were chosen; one that fails is left out from then on."""

    def __init__(self, lab, chosen):
        self.lab = lab
        self.benchmarks = [benchmark(lab) for benchmark in chosen]
        self.results = {figure.name: Result(figure)
                        for benchmark in chosen for figure in benchmark.figures}
        self.failures = {}
        self.begin = time.monotonic()

    def run(self, rounds):
        for benchmark in self.benchmarks:
            self.attempt("preparing", benchmark, benchmark.prepare)
        for i in range(rounds):
            self.lab.begin_round()
            # Whoever was first is last in the next round.
            sides = ("reference", "cqrsd")[::-1 if i % 2 else 1]
            for benchmark in self.benchmarks:
                self.attempt(f"round {i + 1} of {rounds}:", benchmark, self.measure, benchmark,
                             sides)

    def attempt(self, what, benchmark, step, *arguments):
        if benchmark.name in self.failures:
            return
        say(f"{time.monotonic() - self.begin:4.0f} s  {what} {benchmark.name}")
        try:
            step(*arguments)
        except (Failed, Timeout, RuntimeError, OSError) as failure:
            say(f"bench: {benchmark.name}: {failure}")
            self.failures[benchmark.name] = str(failure)
            for figure in benchmark.figures:
                self.results[figure.name] = Result(figure)
            self.lab.tidy()

    def measure(self, benchmark, sides):
        for side in sides:
            values = getattr(benchmark, side)()
            for figure, value in zip(benchmark.figures, values, strict=True):
                self.results[figure.name].note(side, value)
