# SPDX-License-Identifier: MIT
"""A topic that is filled before it is read, and how fast cqrsd drains it."""

import math
import os
import time
from typing import NamedTuple

import confluent_kafka

from bench.figure import demand
from bench.readings import PARTITIONS
from support.workshop import peak_memory, wait_until


class Drained(NamedTuple):
    rate: float  # readings a second, from the first commit to the last
    cores: float  # that cqrsd needed meanwhile
    peak: int  # the most memory it had, in bytes
    letters: int


class Topic:
    """`readings` says what is stored of it."""

    def __init__(self, client, name, readings):
        self.client, self.name, self.readings = client, name, readings
        self.messages = 0
        client.create(name, PARTITIONS)

    @property
    def rows(self):
        return self.readings.rows

    def fill(self, messages):
        """(partition, value) each."""
        producer = confluent_kafka.Producer({
            **self.client.settings, "compression.type": "lz4", "linger.ms": 50,
            "batch.size": 1 << 20, "queue.buffering.max.messages": 100_000})
        for partition, value in messages:
            while not self._produce(producer, partition, value):
                producer.poll(0.1)
            self.messages += 1
            if self.messages % 256 == 0:
                producer.poll(0)
        demand(producer.flush(120) == 0, f"{self.name} could not be filled")
        return self

    def _produce(self, producer, partition, value):
        try:
            producer.produce(self.name, value, partition=partition)
            return True
        except BufferError:
            return False

    def done(self, daemon, database):
        """Messages that the daemon's group has behind it."""
        return database.value(
            "SELECT coalesce(sum(next_offset), 0)::bigint FROM cqrs.offsets "
            "WHERE consumer_group = %s AND topic = %s",
            (daemon.config["kafka"]["group"], self.name))

    def drain(self, daemon, database, since=0):
        """All of it into a table without readings since then; checks what is stored."""
        daemon.start(ready=False)
        first = wait_until(lambda: self.done(daemon, database), 60, "the first batch", 0.005)
        pid = daemon.process.pid
        demand(first < self.messages, "all of it came in one batch: more would have to be sent")
        begin, worked = time.monotonic(), processor_time(pid)
        wait_until(lambda: self.done(daemon, database) == self.messages, 300,
                   lambda: f"all is stored; {daemon.reasons()}", 0.01)
        seconds, worked = time.monotonic() - begin, processor_time(pid) - worked
        peak = peak_memory(pid)
        daemon.stop()
        check_rows(database, self.readings, since)
        letters = database.value("SELECT count(*) FROM cqrs.dead_letters")
        return Drained(self.rows * (1 - first / self.messages) / seconds, worked / seconds, peak,
                       letters)


def check_rows(database, readings, since=0):
    """Each reading once; a value that is wrong would show in the sum."""
    ((rows, cpu),) = database.query("SELECT count(*), coalesce(sum(cpu), 0) FROM sensor_data "
                                    "WHERE time >= to_timestamp(%s)", (since,))
    demand(rows == readings.rows, f"{rows:,} readings are stored instead of {readings.rows:,}")
    demand(math.isclose(cpu, readings.cpu, rel_tol=1e-9),
           f"their cpu sums up to {cpu} instead of {readings.cpu}")


def processor_time(pid):
    """In seconds, of all its threads."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
