# SPDX-License-Identifier: MIT
"""Both paths at once: flat out into the tables while 64 connections read by key."""

import time

from bench.figure import AtMost, Benchmark, Figure, Ratio, demand
from bench.ingest import main_topic
from bench.load import wrk
from bench.read import BY_KEY, CONNECTIONS, read_by_key
from bench.readings import PER_MESSAGE
from support.workshop import wait_until


class Both(Benchmark):
    """Rows next to those of the same daemon just before the readers come, and after they went."""

    figures = (Figure("both", "rows/s", Ratio(0.50)),
               Figure("both-reads", "1/s", Ratio(0.45)),
               Figure("both-p99", "ms", AtMost(20)))

    def prepare(self):
        self.topic = main_topic(self.lab)
        self.lab.reader(self.lab.reads)

    def reference(self):
        return [self.measured()[0], read_by_key(self.lab).rate, None]

    def cqrsd(self):
        _, rows, reads = self.measured()
        return [rows, reads.rate, reads.p99_ms]

    def measured(self):
        return self.lab.once("both", self.measure)

    def measure(self):
        database = self.lab.writes
        self.lab.empty(database)
        daemon = self.lab.daemon(database, self.topic, postgres={"write": {"connections": 1}})
        daemon.start(ready=False)
        wait_until(lambda: self.topic.done(daemon, database), 60, "the first batch", 0.005)
        before, _ = self.rows_during(daemon, lambda: time.sleep(self.lab.seconds))
        rows, reads = self.rows_during(daemon, lambda: wrk(
            self.lab, daemon.http_port, BY_KEY, CONNECTIONS))
        after, _ = self.rows_during(daemon, lambda: time.sleep(self.lab.seconds))
        demand(self.topic.done(daemon, database) < self.topic.messages,
               "the topic is too short: use fewer seconds")
        daemon.stop()
        self.check(daemon)
        return (before + after) / 2, rows, reads

    def rows_during(self, daemon, work):
        """Rows a second while something else is done, and what that returned."""
        first, begin = self.topic.done(daemon, self.lab.writes), time.monotonic()
        result = work()
        last, end = self.topic.done(daemon, self.lab.writes), time.monotonic()
        return (last - first) * PER_MESSAGE / (end - begin), result

    def check(self, daemon):
        """As far as it came, everything is there."""
        rows = self.lab.writes.value("SELECT count(*) FROM sensor_data")
        expected = self.topic.done(daemon, self.lab.writes) * PER_MESSAGE
        demand(rows == expected, f"{rows} readings are stored instead of {expected}")
