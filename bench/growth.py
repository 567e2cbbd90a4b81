# SPDX-License-Identifier: MIT
"""Whether it stays as fast while the tables grow: 1e6, 1e7 and 1e8 readings stored before."""

import shutil
import statistics
import time

from bench.figure import Benchmark, Figure, Longer, Ratio, demand
from bench.lab import say
from bench.load import wrk
from bench.read import BY_KEY, CONNECTIONS, SERIES
from bench.readings import SECOND_US, SENSORS, Readings

STEP_US = 10 * SECOND_US  # a day is 8.64 million readings, 1e8 are 12 partitions
MORE = 1_000_000  # readings that are drained at each size
BYTES_PER_READING = 130
LATEST = f"/api/v1/sensors/latest?limit={SENSORS}"
SIZES = ("1e6", "1e7", "1e8")
GOALS = (("ingest", "rows/s", Ratio(0.80)), ("read-key", "1/s", Ratio(0.80)),
         ("read-series", "1/s", Ratio(0.80)), ("latest", "ms", Longer(2)))


class Size:
    """A database that has so many readings, and a topic with those that come next."""

    def __init__(self, lab, name):
        self.lab = lab
        rows = lab.rows(float(name))
        more = Readings(lab.rows(MORE), rows, STEP_US)
        self.database = lab.database(f"growth_{name}", Readings(rows + more.rows, 0, STEP_US))
        say(f"storing {rows:,} readings")
        lab.copy(self.database, Readings(rows, 0, STEP_US).chunks())
        self.database.query("VACUUM ANALYZE")
        self.end = more.range_us()[0] // SECOND_US
        self.topic = lab.topic(f"growth-{name}", more, more.messages())

    def measure(self):
        """One value for each of the goals."""
        reader = self.lab.reader(self.database)
        return [self.drain(),
                wrk(self.lab, reader.http_port, BY_KEY, CONNECTIONS).rate,
                wrk(self.lab, reader.http_port, SERIES, CONNECTIONS).rate,
                statistics.median(self.latest(reader) for _ in range(10)) * 1e3]

    def drain(self):
        """The table is then as it was before, its end cut off by VACUUM."""
        self.database.query("CHECKPOINT")
        daemon = self.lab.daemon(self.database, self.topic,
                                 postgres={"write": {"connections": 1}})
        rate = self.topic.drain(daemon, self.database, since=self.end).rate
        self.database.query("DELETE FROM sensor_data WHERE time >= to_timestamp(%s)", (self.end,))
        self.database.query("VACUUM sensor_data")
        return rate

    @staticmethod
    def latest(reader):
        begin = time.monotonic()
        rows = reader.get(LATEST).json()
        seconds = time.monotonic() - begin
        demand(len(rows) == SENSORS, f"{len(rows)} of the newest readings")
        return seconds


class Growth(Benchmark):
    """The reference is 1e6 stored readings."""

    name = "growth"
    figures = tuple(Figure(f"growth-{what}-{size}", unit, goal)
                    for size in SIZES[1:] for what, unit, goal in GOALS)
    is_default = False

    def prepare(self):
        needed = sum(self.lab.rows(float(size)) for size in SIZES) * BYTES_PER_READING + (2 << 30)
        free = shutil.disk_usage(self.lab.workshop.path).free
        demand(free > needed, f"growth needs {needed >> 30} GiB in {self.lab.workshop.path}, "
               f"and there are {free >> 30}: use --scale, or TMPDIR")
        self.small, *self.large = [Size(self.lab, size) for size in SIZES]

    def reference(self):
        return self.small.measure() * len(self.large)

    def cqrsd(self):
        return [value for size in self.large for value in size.measure()]
