# SPDX-License-Identifier: MIT
"""A reader of a topic of its own, of which Kafka loses what was not read yet.

What is lost here is lost for everybody: so it stands apart from the others' topics, and the
oracle knows of each gap where it begins and where it ends.
"""

import time

import confluent_kafka
import psycopg2

from support.broker import KafkaClient, quiet
from support.daemon import Cqrsd
from support.workshop import wait_until

from .scene import MEMORY, Member
from .servers import ROLE

PATIENCE = 60

WITHOUT_KEY = """
    DROP TABLE sensor_data;
    CREATE TABLE sensor_data (time timestamptz NOT NULL, sensor_id integer NOT NULL,
        temperature double precision, cpu double precision)"""


class Loner:
    def __init__(self, scene):
        self.scene = scene
        self.topic, self.database = f"lone-{scene.seed}", f"lone_{scene.seed}"
        self.sent = 0
        self.end = 0  # of the log
        self.expected = []  # numbers that must be stored, each once
        self.gaps = []  # (from, to, reason)
        self.deleted = None  # and not yet passed: how often brokers were killed before, numbers
        self.member = None

    def set_up(self):
        scene = self.scene
        scene.postgres.query("postgres", f"CREATE DATABASE {self.database} OWNER {ROLE} "
                                         "TEMPLATE template0 TABLESPACE small")
        self._create()
        scene.client.create(f"{self.topic}-sensors", 1, scene.kafka.replicas)
        config = scene.config(
            scene.kafka.address, scene.postgres.port, self.database, f"loner-{scene.seed}",
            {"readings": self.topic, "sensors": f"{self.topic}-sensors"},
            write={"connections": 1, "timeout": "3s"})
        config["kafka"]["on_gap"] = "continue"
        daemon = Cqrsd(scene.workshop, {"memory": f"{MEMORY >> 20}MiB", **config, "queries": {}},
                       "loner")
        daemon.migrate()
        scene.sql(f"SET ROLE {ROLE}; {WITHOUT_KEY}", self.database)
        self.member = Member("loner", daemon, None, [], self.topic)

    def _create(self):
        self.scene.client.create(self.topic, 1, self.scene.kafka.replicas)
        # A member that joins meanwhile is given nothing of it, if the broker that it asks first
        # knows of the topic and the next one does not: then librdkafka 2.0 sees no change later.
        self.scene.kafka.wait_for_topic(self.topic)

    def send(self, count):
        """Readings, each in a message of its own; the numbers, in the order of their offsets."""
        producer = confluent_kafka.Producer({
            "bootstrap.servers": self.scene.kafka.address, "logger": quiet, "log_level": 0,
            "enable.idempotence": True, "message.timeout.ms": 0})
        numbers = range(self.sent, self.sent + count)
        offsets = []
        for n in numbers:
            producer.produce(self.topic, f'{{"sensor_id":1,"ts":{1_600_000_000 + n},"cpu":{n}}}',
                             partition=0, on_delivery=lambda _, m: offsets.append(m.offset()))
        left = producer.flush(PATIENCE)
        assert left == 0 and offsets == [*range(self.end, self.end + count)], (left, offsets)
        self.sent += count
        self.end += count
        return numbers

    def position(self):
        """0: it has not begun; None: the server does not say."""
        try:
            rows = self.scene.sql("SELECT next_offset FROM cqrs.offsets "
                                  f"WHERE topic = '{self.topic}'", self.database)
            return rows[0][0] if rows else 0
        except psycopg2.Error:
            return None

    def is_done(self):
        return self.position() == self.end

    # ---- what is lost ----

    def retention(self, count, before):
        """So many are sent, and those below an offset are deleted."""
        first, position = self.end, self.position_for_sure()
        numbers = self.send(count)
        leader = self.scene.client.leader(self.topic)
        address = self.scene.kafka.brokers[leader - 1].address
        KafkaClient(address).delete_records(self.topic, 0, before)
        self.expected += [n for i, n in enumerate(numbers) if first + i >= before]
        if before > position:
            self.gaps.append((position, before, "deleted"))
            self.deleted = [n for i, n in enumerate(numbers) if first + i < before]

    def remake(self, count):
        position = self.position_for_sure()
        client = self.scene.client
        client.delete(self.topic)
        wait_until(lambda: self.topic not in client.admin.list_topics(timeout=5).topics, PATIENCE,
                   "the topic is gone")
        self._create()
        self.end = 0
        self.expected += self.send(count)
        self.gaps.append((position, 0, "restarted"))

    def pass_deleted(self):
        """It stands behind the gap, if there is one: a broker that is killed forgets deletions
        of the last minute, one that takes over before it has heard of them never knew, and then
        all is there again.  Who has passed over it without a gap is found by what is stored.
        """
        if not self.deleted:
            return
        numbers, self.deleted = self.deleted, None
        if len(self.recorded_gaps()) < len(self.gaps):
            self.gaps.pop()
            self.expected = sorted(self.expected + numbers)
            self.scene.timeline.say("loner", "what was deleted is there again")

    def recorded_gaps(self):
        """All that are over."""
        gaps = []

        def ask():
            try:
                gaps[:] = self.scene.sql("SELECT from_offset, to_offset, reason FROM cqrs.gaps "
                                         "WHERE closed_at IS NOT NULL ORDER BY id", self.database)
                return True
            except psycopg2.Error:
                return False

        wait_until(ask, PATIENCE, "PostgreSQL tells the gaps")
        return gaps

    def position_for_sure(self):
        wait_until(lambda: self.position() is not None, PATIENCE, "PostgreSQL says where it stands")
        return self.position()

    # ---- the end ----

    def judge(self):
        """All faults are over."""
        complain = self.scene.complain
        end = time.monotonic() + PATIENCE
        while not self.is_done() and time.monotonic() < end:
            time.sleep(0.2)
        if not self.is_done():
            complain(f"loner stands at {self.position()} of {self.end}: "
                     f"{self.member.daemon.reasons()}")
            return
        self.pass_deleted()
        stored = [n for (n,) in self.scene.sql("SELECT cpu::int FROM sensor_data ORDER BY 1",
                                               self.database)]
        if stored != self.expected:
            wrong = sorted(set(stored) ^ set(self.expected))
            complain(f"loner has stored {len(stored)} readings, not {len(self.expected)}: {wrong}")
        gaps = self.recorded_gaps()
        if gaps != self.gaps:
            complain(f"loner's gaps are {gaps}, not {self.gaps}")


# ---- events ----


def is_done(scene, loner):
    """It stands at the end, and it is settled what it has passed; False: the campaign ends."""
    while not loner.is_done():
        if not scene.wait(0.2):
            return False
    loner.pass_deleted()
    return True


def lose(scene, loner, rng, what, count, act):
    """It has read all there is, and is away while something is lost."""
    if not is_done(scene, loner):
        return
    with scene.broker_lock:
        loner.expected += loner.send(rng.randint(1, 20))
    if not is_done(scene, loner):
        return
    if rng.random() < 0.5:
        loner.member.kill()
    else:
        loner.member.stop()
    with scene.broker_lock:
        scene.timeline.say("loner", what)
        scene.timeline.count(count)
        act()
    loner.member.start()
    is_done(scene, loner)


def retention(scene, loner, rng):
    sent = rng.randint(1, 20)
    below = rng.randint(1, sent)
    lose(scene, loner, rng, f"retention takes {below} messages of {sent} before they are read",
         "gaps", lambda: loner.retention(sent, loner.end + below))


def retention_in_time(scene, loner, rng):
    """Takes only what was read: that is no gap."""
    lose(scene, loner, rng, "retention takes what it has read", "retentions",
         lambda: loner.retention(rng.randint(0, 5), loner.end))


def remake(scene, loner, rng):
    # None, some, or more than it had: then only what is in them tells that they are others.
    sent = rng.choice([0, rng.randint(1, 30), loner.end + rng.randint(0, 40)])
    lose(scene, loner, rng, f"its topic is deleted and made again, with {sent} messages",
         "topics made again", lambda: loner.remake(sent))


FAULTS = {retention: 2, retention_in_time: 1, remake: 2}
