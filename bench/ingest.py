# SPDX-License-Identifier: MIT
"""From Kafka into PostgreSQL, next to what PostgreSQL itself can take."""

import time

from bench.figure import AtMost, Benchmark, Figure, Ratio
from bench.load import best, pgbench
from bench.readings import (BATCH, EPOCH_2000_US, PER_MESSAGE, ROW, SECOND_US, START, Readings,
                            Stream, cpu, reading, temperature)
from bench.topic import check_rows

SORTED_AT_A_TIME = (BATCH, 10 * BATCH)


def main_topic(lab):
    readings = Readings(lab.rows(10_000_000))
    return lab.topic("readings", readings, readings.messages())


def drained(lab, topic, writers=1, database=None, **more):
    """Once in each round; `more` is configuration."""
    into = database or lab.writes

    def measure():
        lab.empty(into)
        daemon = lab.daemon(into, topic, postgres={"write": {"connections": writers}}, **more)
        return topic.drain(daemon, into)

    return lab.once(("drain", into.name, topic.name, writers), measure)


class Drain(Benchmark):
    """Next to one COPY of the same rows that ends with the last of them."""

    writers = 1

    def prepare(self):
        self.topic = main_topic(self.lab)
        self.choose()

    def choose(self):
        """How many readings are sorted at a time is tried with a tenth of them."""
        trial = Readings(self.lab.rows(self.topic.rows / 10 / self.lab.scale))
        self.size = self.lab.once(("copy size", self.topic.name), lambda: best(
            SORTED_AT_A_TIME, lambda size: self.store(trial, size))[0])

    def store(self, readings, size):
        """Readings a second."""
        self.lab.empty(self.lab.writes)
        begin = time.monotonic()
        self.lab.copy(self.lab.writes, readings.chunks(size))
        seconds = time.monotonic() - begin
        check_rows(self.lab.writes, readings)
        return readings.rows / seconds

    def reference(self):
        return [self.lab.once(("copy", self.topic.rows),
                              lambda: self.store(self.topic.readings, self.size))]

    def cqrsd(self):
        return [drained(self.lab, self.topic, self.writers).rate]


class Ingest(Drain):
    figures = (Figure("ingest", "rows/s", Ratio(0.90)),
               Figure("ingest-cores", "cores", AtMost(0.15)))

    def reference(self):
        return [*super().reference(), None]

    def cqrsd(self):
        return [*super().cqrsd(), drained(self.lab, self.topic).cores]


class IngestTwo(Drain):
    figures = (Figure("ingest-2", "rows/s", Ratio(1.20)),)
    writers = 2


class IngestSingle(Drain):
    figures = (Figure("ingest-single", "rows/s", Ratio(0.80)),)

    def prepare(self):
        self.topic = singles(self.lab)
        self.choose()


def singles(lab):
    readings = Readings(lab.rows(2_000_000))
    return lab.topic("singles", readings, readings.singles())


class IngestDuplicates(Drain):
    """Each message has one reading more, that was sent 1 or 21 steps before."""

    figures = (Figure("ingest-duplicates", "rows/s", Ratio(1.0)),)

    def prepare(self):
        readings = Readings(self.lab.rows(1_000_000))
        self.topic = self.lab.topic("duplicates", readings, self.messages(readings))
        self.choose()

    @staticmethod
    def repeated(step, gateway):
        """(step, sensor)"""
        return (max(0, step - (1 if gateway % 2 else 21)),
                gateway * PER_MESSAGE + 1 + step * 37 % PER_MESSAGE)

    def messages(self, readings):
        for (step, gateway, _), (partition, text) in zip(readings.parts(), readings.messages()):
            again, sensor = self.repeated(step, gateway)
            more = reading(readings.ts(again), sensor, temperature(again, sensor),
                           cpu(again, sensor))
            yield partition, f"{text[:-1]},{more}]"

    def batches(self, readings, size):
        """The chunks, each followed by what is repeated in its steps."""
        parts = readings.parts()
        for chunk in readings.chunks(size):
            repeated = [self.repeated(step, gateway) for (step, gateway, _), _ in
                        zip(parts, range(len(chunk) // ROW.size // PER_MESSAGE))]
            yield b"".join([chunk, *(self.row(readings, *which) for which in repeated)])

    @staticmethod
    def row(readings, step, sensor):
        time_us = START * SECOND_US + step * readings.step_us - EPOCH_2000_US
        return ROW.pack(4, 8, time_us, 4, sensor, 8, temperature(step, sensor), 8,
                        cpu(step, sensor))

    def store(self, readings, size):
        """COPY into a temporary table, and from there with ON CONFLICT, in transactions."""
        self.lab.empty(self.lab.writes)
        batches = list(self.batches(readings, size))
        with self.lab.postgres.connection(self.lab.writes.name).cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE IF NOT EXISTS staged (LIKE sensor_data) "
                           "ON COMMIT DELETE ROWS")
            begin = time.monotonic()
            for batch in batches:
                cursor.execute("BEGIN")
                cursor.copy_expert("COPY staged FROM STDIN BINARY", Stream(iter([batch])), 65536)
                cursor.execute("INSERT INTO sensor_data SELECT * FROM staged "
                               "ON CONFLICT DO NOTHING; COMMIT")
            seconds = time.monotonic() - begin
        check_rows(self.lab.writes, readings)
        return readings.rows / seconds

    def reference(self):
        return [self.store(self.topic.readings, self.size)]


class IngestNaive(Drain):
    """One INSERT for each message; by pgbench, which spares it Kafka and JSON."""

    figures = (Figure("ingest-naive", "rows/s", Ratio(50)),)
    SCRIPT = ("\\set n :n + 1\n"
              f"INSERT INTO sensor_data VALUES (to_timestamp({START} + :n / 1000), :n % 1000 + 1, "
              "20.5, 50);\n")

    def prepare(self):
        self.topic = singles(self.lab)

    def reference(self):
        self.lab.empty(self.lab.writes)
        return [pgbench(self.lab, self.lab.writes, self.SCRIPT, clients=1, define={"n": 0})]
