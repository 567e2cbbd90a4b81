# SPDX-License-Identifier: MIT
"""The servers, databases and topics that benchmarks share; made when first asked for."""

import math
import sys
from functools import cached_property

from bench.readings import DAY_US, PARTITIONS, SECOND_US, SENSORS, Readings, Stream
from bench.topic import Topic
from support import broker
from support.daemon import Cqrsd
from support.postgres import Postgres

SENSORS_TOPIC = "sensors"  # nothing is ever sent to it


def say(text):
    print(text, file=sys.stderr, flush=True)


class Lab:
    def __init__(self, workshop, scale, seconds):
        self.workshop, self.scale, self.seconds = workshop, scale, seconds
        self._in_round, self._topics, self._readers = {}, {}, {}
        self._groups = 0

    def rows(self, full):
        """A number of readings, scaled: whole steps of the fleet."""
        return max(10, round(full * self.scale / SENSORS)) * SENSORS

    def once(self, key, measure):
        """What was measured in this round, or while preparing, is not measured again."""
        if key not in self._in_round:
            self._in_round[key] = measure()
        return self._in_round[key]

    def begin_round(self):
        self._in_round.clear()

    # ---- Kafka ----

    @cached_property
    def kafka(self):
        say("starting Kafka")
        kafka = broker.Kafka(self.workshop).start()
        broker.KafkaClient(kafka.address).create(SENSORS_TOPIC, PARTITIONS)
        return kafka

    @cached_property
    def kafka_client(self):
        return broker.KafkaClient(self.kafka.address)

    def topic(self, name, readings, messages):
        """Filled the first time; `readings` says what is stored of it."""
        if name not in self._topics:
            say(f"filling topic {name}: {readings.rows:,} readings")
            self._topics[name] = Topic(self.kafka_client, name, readings).fill(messages)
        return self._topics[name]

    @cached_property
    def silence(self):
        """A topic that nothing is ever sent to."""
        return Topic(self.kafka_client, "silence", None)

    def new_group(self):
        """Who has never read begins at the beginning."""
        self._groups += 1
        return f"bench-{self._groups}"

    # ---- PostgreSQL ----

    @cached_property
    def postgres(self):
        """With its defaults, fsync among them."""
        say("starting PostgreSQL")
        return Postgres(self.workshop, {"autovacuum": "on"}).start()

    def database(self, name, readings):
        """An empty one, with the partitions for `readings`."""
        database = self.postgres.create(name)
        self.daemon(database).migrate()
        low, high = readings.range_us()
        for day in range(math.ceil((high - low) / DAY_US)):
            begin = low // SECOND_US + 86400 * day
            database.query("SELECT sensor_data_partition(to_timestamp(%s), to_timestamp(%s))",
                           (begin // 86400 * 86400, begin // 86400 * 86400 + 86400))
        database.query("INSERT INTO sensors SELECT n, 'a', 'floor' "
                       f"FROM generate_series(1, {SENSORS}) n; ANALYZE sensors")
        return database

    def copy(self, database, chunks, table="sensor_data"):
        with self.postgres.connection(database.name).cursor() as cursor:
            cursor.copy_expert(f"COPY {table} FROM STDIN BINARY", Stream(chunks), 65536)

    def empty(self, database):
        database.query("TRUNCATE sensor_data, cqrs.dead_letters")
        database.query("CHECKPOINT")

    @cached_property
    def writes(self):
        """What readings are drained into; a day of them at most."""
        return self.database("writes", Readings(86_400 * SENSORS))

    @cached_property
    def stored(self):
        """What is asked for: readings of one day, 5000 of each sensor."""
        steps = self.rows(5_000_000) // SENSORS
        return Readings(steps * SENSORS, step_us=DAY_US // steps)

    @cached_property
    def reads(self):
        say(f"storing {self.stored.rows:,} readings to ask for")
        database = self.database("reads", self.stored)
        self.copy(database, self.stored.chunks())
        database.query("VACUUM ANALYZE")
        return database

    # ---- cqrsd ----

    def daemon(self, database, topic=None, **more):
        """With a `topic` it stores and answers, without it answers only."""
        config = {"postgres": {"dsn": database.dsn}, "queries": {"sensor": {}}}
        if topic:
            config |= {"kafka": {"brokers": self.kafka.address, "group": self.new_group()},
                       "commands": {"sensor": {"topics": {"readings": topic.name,
                                                          "sensors": SENSORS_TOPIC}}}}
        daemon = Cqrsd(self.workshop, config)
        daemon.write(**more)
        return daemon

    def reader(self, database, connections=4):
        """One that answers from `database`, always the same; 4 connections are the default."""
        key = database.name, connections
        if key not in self._readers:
            self._readers[key] = self.daemon(
                database, postgres={"read": {"connections": connections}}).start()
        return self._readers[key]

    def tidy(self):
        """After a failure: ends all that would disturb what comes next."""
        for daemon in set(Cqrsd.running) - set(self._readers.values()):
            daemon.kill()
