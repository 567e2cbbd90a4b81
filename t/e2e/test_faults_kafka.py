# SPDX-License-Identifier: MIT
"""What Kafka does to us: it goes on by itself, and what is not there any more is a recorded gap."""

import json
import signal
import struct
import threading
from contextlib import closing

import confluent_kafka
import psycopg2
import pytest

from conftest import sensor_config
from support.broker import Kafka, KafkaClient
from support.daemon import is_instrumented
from support.proxy import Proxy
from support.workshop import wait_until

PATIENCE = 90  # the machine may be busy; a wait ends as soon as it can

# Nothing in the database prevents a second copy here.
WITHOUT_KEY = """
    DROP TABLE sensor_data;
    CREATE TABLE sensor_data (time timestamptz NOT NULL, sensor_id integer NOT NULL,
        temperature double precision, cpu double precision);
"""


class Feed:
    """A daemon, its topic, and readings that are numbers: each must be stored once."""

    def __init__(self, cqrsd, database, kafka, unique, partitions=1, create=True, on_gap="halt"):
        self.database, self.kafka = database, kafka
        self.topic, self.group = unique("readings"), unique("group")
        self.other = unique("sensors")
        kafka.create(self.other)
        if create:
            kafka.create(self.topic, partitions)
        self.daemon = cqrsd(sensor_config(
            database, kafka.address, self.group,
            {"readings": self.topic, "sensors": self.other},
            kafka={"session_timeout": "3s", "on_gap": on_gap}))
        self.daemon.migrate()
        database.query(WITHOUT_KEY)

    def message(self, number):
        return json.dumps({"sensor_id": 1, "ts": 1_600_000_000 + number, "cpu": number})

    def send(self, numbers, partition=0):
        return self.kafka.produce(self.topic, [self.message(n) for n in numbers], partition)

    def stored(self):
        return [n for (n,) in self.database.query("SELECT cpu::int FROM sensor_data ORDER BY 1")]

    def wait_stored(self, numbers):
        """All of them, and once each."""
        wanted = sorted(numbers)
        wait_until(lambda: len(self.stored()) >= len(wanted), PATIENCE,
                   lambda: f"{len(self.stored())} of {len(wanted)}; {self.daemon.reasons()}")
        assert self.stored() == wanted

    def gaps(self):
        return self.database.query(
            "SELECT partition, from_offset, to_offset, reason, policy, closed_at IS NOT NULL "
            "FROM cqrs.gaps WHERE topic = %s ORDER BY id", (self.topic,))

    def position(self, partition=0):
        return self.database.value(
            "SELECT next_offset FROM cqrs.offsets WHERE topic = %s AND partition = %s",
            (self.topic, partition))

    def partition(self, number=0):
        """What /status says of it; {} while it is not ours."""
        if not self.daemon.is_listening():
            return {}
        found = self.daemon.admin.get("/status").json()["kafka"]["partitions"]
        return next((p for p in found if (p["topic"], p["partition"]) == (self.topic, number)), {})

    def wait_state(self, state, partition=0):
        wait_until(lambda: self.partition(partition).get("state") == state, PATIENCE,
                   lambda: f"{state}, but it is {self.partition(partition)}")

    def metric(self, name, **labels):
        return self.daemon.metrics().value(name, **labels)

    def remake(self, partitions=1, **config):
        self.kafka.delete(self.topic)
        self.kafka.create(self.topic, partitions, **config)


@pytest.fixture
def feed(cqrsd, database, kafka, unique):
    return lambda **more: Feed(cqrsd, database, kafka, unique, **more)


@pytest.fixture(scope="module")
def own_broker(workshop):
    """One that the tests of this file may stop."""
    broker = Kafka(workshop, heap="320m").start()
    yield broker
    broker.remove()


# ---- brokers come and go ----


@pytest.mark.parametrize("how", ["restarted", "killed, and gone for longer than the session"])
def test_a_broker_that_was_away_is_waited_for(how, own_broker, cqrsd, database, unique):
    kafka = KafkaClient(own_broker.address)
    feed = Feed(cqrsd, database, kafka, unique, partitions=3)
    feed.daemon.start(timeout=PATIENCE)
    for partition in range(3):
        feed.send(range(partition * 100, partition * 100 + 50), partition)
    if how == "restarted":
        own_broker.stop()
    else:
        own_broker.stop(signal.SIGKILL)
        wait_until(lambda: not feed.daemon.is_ready(), PATIENCE, "it says that Kafka is away")
        wait_until(lambda: feed.metric("cqrsd_kafka_evictions_total", reason="session") > 0,
                   PATIENCE, "the session has ended")
    own_broker.start()
    for partition in range(3):
        feed.send(range(partition * 100 + 50, partition * 100 + 100), partition)
    feed.wait_stored(range(300))
    feed.daemon.wait_ready(PATIENCE)
    assert feed.metric("cqrsd_kafka_evictions_total", reason="poll") == 0
    assert feed.gaps() == []


def test_another_broker_takes_the_lead(workshop, cqrsd, database, unique):
    first = Kafka(workshop, replicas=2, heap="256m").start()
    second = Kafka(workshop, first, replicas=2, heap="256m").start()
    try:
        kafka = KafkaClient(f"{first.address},{second.address}")
        wait_until(lambda: len(kafka.admin.list_topics(timeout=10).brokers) == 2, PATIENCE, "two")
        feed = Feed(cqrsd, database, kafka, unique, create=False)
        kafka.create(feed.topic, 6, replicas=2)
        feed.daemon.start(timeout=PATIENCE)
        led = [p for p in range(6) if kafka.leader(feed.topic, p) == second.node]
        assert led, "no partition is led by the second broker"
        for partition in range(6):
            feed.send(range(partition * 100, partition * 100 + 50), partition)
        second.stop()
        wait_until(lambda: all(kafka.leader(feed.topic, p) == first.node for p in led), PATIENCE,
                   "the first broker leads all")
        for partition in range(6):
            feed.send(range(partition * 100 + 50, partition * 100 + 100), partition)
        feed.wait_stored(range(600))
        feed.daemon.wait_ready(PATIENCE)
        assert feed.gaps() == []
    finally:
        second.remove()
        first.remove()


class Deaf(Proxy):
    """Requests of one kind do not get through; all that is before and behind them does."""

    LIST_OFFSETS, OFFSET_COMMIT = 2, 8  # as Kafka's protocol numbers them
    kinds = {LIST_OFFSETS}

    def __init__(self, *arguments):
        self.lost = threading.Event()
        self._buffers = {}
        super().__init__(*arguments)

    def _filter(self, direction, data):
        if direction.name == "down":
            return data
        buffer, passed = self._buffers.get(direction, b"") + data, b""
        while len(buffer) >= 6:
            length, kind = struct.unpack_from(">ih", buffer)
            if len(buffer) < 4 + length:
                break
            if kind in self.kinds:
                self.lost.set()
            else:
                passed += buffer[:4 + length]
            buffer = buffer[4 + length:]
        self._buffers[direction] = buffer
        return passed


class DeafToCommits(Deaf):
    kinds = {Deaf.OFFSET_COMMIT}


@pytest.mark.parametrize("network", [Deaf, DeafToCommits])
def test_who_stops_does_not_wait_for_an_answer_of_kafka(network, workshop, cqrsd, database, unique):
    """librdkafka waits for a minute, and supervisors do not."""
    broker = Kafka(workshop, heap="256m", ways=1, network=network).start()
    try:
        (way,) = broker.ways
        feed = Feed(cqrsd, database, KafkaClient(broker.address), unique)
        feed.send([1])
        feed.daemon.write(kafka={"brokers": way.address})
        feed.daemon.start(ready=False)
        assert way.lost.wait(PATIENCE)
        assert feed.daemon.stop(timeout=40) == 0
        assert "brokers owe an answer" in feed.daemon.log()
    finally:
        broker.remove()


# ---- topics come and grow ----


def test_a_topic_may_come_later(feed):
    f = feed(create=False)
    f.daemon.start(ready=False)
    wait_until(f.daemon.is_listening, PATIENCE)
    f.kafka.create(f.topic, 2)
    f.send(range(10), 1)
    f.wait_stored(range(10))
    f.daemon.wait_ready(PATIENCE)


def test_partitions_may_be_added(feed):
    f = feed()
    f.daemon.start(timeout=PATIENCE)
    f.send(range(10))
    f.wait_stored(range(10))
    f.kafka.add_partitions(f.topic, 3)
    f.send(range(10, 20), 2)
    f.send(range(20, 30))
    f.wait_stored(range(30))


# ---- holes that are none ----


def test_aborted_transactions_and_markers_are_no_gaps(feed):
    f = feed()
    f.daemon.start(timeout=PATIENCE)
    f.kafka.transaction(f.topic, [f.message(n) for n in range(10)], 0)
    f.kafka.transaction(f.topic, [f.message(n) for n in range(100, 110)], 0, commit=False)
    f.kafka.transaction(f.topic, [f.message(n) for n in range(10, 20)], 0)
    f.kafka.transaction(f.topic, [f.message(n) for n in range(110, 120)], 0, commit=False)
    f.wait_stored(range(20))
    wait_until(lambda: f.daemon.lag(f.topic, 0) == 0, PATIENCE, "markers are no lag")
    # Behind the message that was stored last there are only markers and the aborted.
    f.daemon.restart()
    f.send(range(20, 30))
    f.wait_stored(range(30))
    assert f.gaps() == []


def test_what_compaction_took_is_no_gap(feed):
    f = feed(create=False)
    f.kafka.create(f.topic, cleanup_policy="compact", segment_ms=100, delete_retention_ms=0,
                   min_cleanable_dirty_ratio=0.001, max_compaction_lag_ms=200)

    def send(numbers, key):
        f.kafka.produce(f.topic, [{"value": f.message(n), "key": key} for n in numbers], 0)

    def left():
        """How many messages the log still has, as a fresh reader sees it."""
        return len(f.kafka.read(f.topic))

    send(range(50), "a")
    send([50], "b")
    # A segment is cleaned when it is no longer the one that is written to.
    wait_until(lambda: send([51], "c") or left() < 20, PATIENCE, "the log is compacted", 0.3)
    f.daemon.start(timeout=PATIENCE)
    wait_until(lambda: {49, 50, 51} <= set(f.stored()), PATIENCE)
    assert len(f.stored()) < 50, "there were holes"
    f.daemon.stop()
    # The one that was stored last goes, too: that proves nothing.
    end = f.position()
    wait_until(lambda: send([52], "c") or all(o != end - 1 for o in f.kafka.read(f.topic)),
               PATIENCE, "the message stored last is gone", 0.3)
    f.daemon.start(timeout=PATIENCE)
    wait_until(lambda: 52 in f.stored(), PATIENCE)
    assert f.gaps() == []


def test_retention_that_took_only_what_was_read_is_no_gap(feed):
    f = feed()
    f.daemon.start(timeout=PATIENCE)
    f.send(range(10))
    f.wait_stored(range(10))
    f.daemon.stop()
    f.kafka.delete_records(f.topic, 0, 10)
    f.daemon.start(timeout=PATIENCE)
    f.send(range(10, 20))
    f.wait_stored(range(20))
    assert f.gaps() == []


# ---- gaps ----


def retention_was_quicker(f):
    f.daemon.start(timeout=PATIENCE)
    f.send(range(10))
    f.send(range(1000, 1010), 1)
    f.wait_stored([*range(10), *range(1000, 1010)])
    f.daemon.stop()
    f.send(range(10, 30))
    f.kafka.delete_records(f.topic, 0, 15)


def test_a_gap_halts_its_partition_until_somebody_decides(feed):
    f = feed(partitions=2)
    retention_was_quicker(f)
    f.daemon.start(ready=False)
    f.wait_state("halted")
    gap = f.partition()["gap"]
    assert (gap["from"], gap["to"], gap["reason"]) == (10, 15, "deleted")
    reason = f.daemon.reasons()["partitions"]
    assert f"{f.topic} [0]" in reason and gap["since"] in reason
    assert f"cqrsd offsets set {f.topic} 0 15 --yes" in reason
    assert f.metric("cqrsd_kafka_gaps_total", reason="deleted") == 1
    # The others go on.
    f.send(range(1010, 1020), 1)
    f.wait_stored([*range(10), *range(1000, 1020)])
    # It is one gap, however often it is met.
    f.daemon.stop()
    f.daemon.start(ready=False)
    f.wait_state("halted")
    assert f.partition()["gap"] == gap
    assert f.gaps() == [(0, 10, None, "deleted", "halt", False)]
    f.daemon.stop()
    decided = f.daemon.run("offsets", "set", f.topic, "0", "17", "--yes")
    assert decided.returncode == 0, decided.stderr
    assert f.gaps() == [(0, 10, 17, "deleted", "halt", True)]
    f.daemon.start(timeout=PATIENCE)
    f.wait_stored([*range(10), *range(17, 30), *range(1000, 1020)])


def test_a_gap_may_be_decided_by_hand(feed):
    """In the table, which leaves all other columns as they are."""
    f = feed(partitions=2)
    retention_was_quicker(f)
    f.daemon.start(ready=False)
    f.wait_state("halted")
    f.daemon.stop()
    f.database.query("UPDATE cqrs.offsets SET next_offset = 17 WHERE topic = %s AND partition = 0",
                     (f.topic,))
    f.daemon.start(timeout=PATIENCE)
    f.wait_stored([*range(10), *range(17, 30), *range(1000, 1010)])
    assert f.gaps() == [(0, 10, 17, "deleted", "halt", True)]


def test_a_gap_may_be_skipped(feed):
    f = feed(partitions=2, on_gap="continue")
    retention_was_quicker(f)
    f.daemon.start(timeout=PATIENCE)
    f.wait_stored([*range(10), *range(15, 30), *range(1000, 1010)])
    assert f.gaps() == [(0, 10, 15, "deleted", "continue", True)]
    assert f.metric("cqrsd_kafka_gaps_total", reason="deleted") == 1
    assert f.metric("cqrsd_kafka_gap_messages_total") == 5
    f.daemon.restart()
    f.send(range(30, 40))
    f.wait_stored([*range(10), *range(15, 40), *range(1000, 1010)])
    assert len(f.gaps()) == 1


# ---- a topic that is made anew ----


@pytest.mark.parametrize("size", [0, 5, 9, 10, 25])
def test_a_topic_made_anew_is_another(size, feed):
    """Deleted and filled again while nobody looks: told by the message stored last."""
    f = feed()
    f.daemon.start(timeout=PATIENCE)
    f.send(range(10))
    f.wait_stored(range(10))
    f.daemon.stop()
    f.remake()
    new = range(100, 100 + size)
    f.send(new)
    f.daemon.start(ready=False)
    f.wait_state("halted")
    gap = f.partition()["gap"]
    assert (gap["from"], gap["to"], gap["reason"]) == (10, 0, "restarted")
    assert f.stored() == [*range(10)]
    assert f.gaps() == [(0, 10, None, "restarted", "halt", False)]
    # Decided otherwise: it is read from its beginning.
    f.daemon.stop()
    f.daemon.write(kafka={"on_gap": "continue"})
    f.daemon.start(timeout=PATIENCE)
    f.wait_state("active")
    f.wait_stored([*range(10), *new])
    assert f.gaps() == [(0, 10, 0, "restarted", "halt", True)]
    assert f.metric("cqrsd_kafka_gap_messages_total") == 0


@pytest.mark.parametrize("size, to, reason", [(0, 0, "restarted"), (5, 5, "truncated")])
def test_a_topic_made_anew_of_which_kafka_remembers_the_one_before(size, to, reason, feed):
    """The group's coordinator was away when it was deleted, and still has its offsets."""
    f = feed(on_gap="continue")
    f.daemon.start(timeout=PATIENCE)
    f.send(range(10))
    f.wait_stored(range(10))
    f.daemon.stop()
    f.remake()
    f.send(range(100, 100 + size))
    member = confluent_kafka.Consumer({**f.kafka.settings, "group.id": f.group})
    member.commit(offsets=[confluent_kafka.TopicPartition(f.topic, 0, 10)], asynchronous=False)
    member.close()
    f.daemon.start(timeout=PATIENCE)
    wait_until(lambda: f.gaps() == [(0, 10, to, reason, "continue", True)], PATIENCE, f.gaps)
    f.send(range(200, 205))
    f.wait_stored([*range(10), *range(200, 205)])


@pytest.mark.parametrize("count", [5, 25])
def test_a_topic_made_anew_under_a_reader_is_another(count, feed):
    f = feed(on_gap="continue")
    f.daemon.start(timeout=PATIENCE)
    f.send(range(10))
    f.wait_stored(range(10))
    f.remake()
    f.send(range(100, 100 + count))
    f.wait_stored([*range(10), *range(100, 100 + count)])
    assert f.gaps() == [(0, 10, 0, "restarted", "continue", True)]
    f.daemon.wait_ready(PATIENCE)


def test_a_log_that_lost_its_end_is_not_read_again(own_broker, cqrsd, database, unique):
    """As after an unclean election; here the disk has lost what was not yet flushed."""
    kafka = KafkaClient(own_broker.address)
    f = Feed(cqrsd, database, kafka, unique, on_gap="continue")
    f.daemon.start(timeout=PATIENCE)
    log = own_broker.directory / "data" / f"{f.topic}-0" / f"{0:020}.log"
    f.send(range(5))
    f.wait_stored(range(5))
    kept = log.stat().st_size
    f.send(range(5, 10))
    f.wait_stored(range(10))
    wait_until(lambda: kafka.committed(f.group, f.topic) == 10, PATIENCE, "Kafka was told")
    f.daemon.stop()
    own_broker.stop(signal.SIGKILL)
    with open(log, "r+b") as file:
        file.truncate(kept)
    own_broker.start()
    assert kafka.watermarks(f.topic) == (0, 5)
    f.daemon.start(timeout=PATIENCE)
    wait_until(lambda: f.gaps() == [(0, 10, 5, "truncated", "continue", True)], PATIENCE, f.gaps)
    f.send(range(10, 20))
    f.wait_stored(range(20))


# ---- size ----


def test_a_message_of_ten_megabytes_hurts_nobody(feed):
    f = feed(create=False)
    f.kafka.create(f.topic, max_message_bytes=12 << 20)
    f.daemon.start(timeout=PATIENCE)
    huge = json.dumps([{"sensor_id": 1, "ts": 1_600_000_000, "cpu": 7, "note": "x" * (10 << 20)}])
    f.send(range(10))
    f.kafka.produce(f.topic, [huge], 0)
    f.send(range(10, 20))
    wait_until(lambda: f.position() == 21, PATIENCE, "all is applied")
    letters = f.database.query("SELECT \"offset\", length(payload) FROM cqrs.dead_letters")
    if letters:
        assert letters == [(10, len(huge))]
    assert f.stored() == sorted([*range(20)] + [7] * (not letters))
    assert f.gaps() == []


def test_messages_of_ten_megabytes_come_one_at_a_time(feed):
    """While nothing can be stored, and then while they are: memory is for one, not for each."""
    f = feed(partitions=4, create=False)
    f.kafka.create(f.topic, 4, max_message_bytes=12 << 20)
    f.daemon.write(memory="32MiB")
    f.daemon.start(timeout=PATIENCE)
    huge = "[" + "x" * (10 << 20)
    other = psycopg2.connect(f.database.dsn)
    with closing(other), other.cursor() as cursor:
        cursor.execute("LOCK TABLE cqrs.offsets IN EXCLUSIVE MODE")
        for n in range(16):
            f.kafka.produce(f.topic, [huge], n % 4)
        wait_until(lambda: f.daemon.resident_memory() > 40 << 20, PATIENCE, "some have come")
        wait_until(lambda: "55P03" in f.daemon.log(), PATIENCE, "they are tried again and again")
        other.rollback()
    wait_until(lambda: sum(f.position(p) or 0 for p in range(4)) == 16, PATIENCE, "all is applied")
    assert f.database.value("SELECT count(*) FROM cqrs.dead_letters") == 16
    if not is_instrumented():
        assert f.daemon.peak_memory() < (32 << 20) + (16 << 20) + len(huge)


def test_small_messages_count_with_what_librdkafka_keeps_for_each(feed):
    """A hundred thousand wait: their values alone would be a tenth of the budget."""
    f = feed(partitions=2)
    f.daemon.write(memory="32MiB", postgres={"write": {"max_rows": 100_000}})
    f.daemon.start(timeout=PATIENCE)
    other = psycopg2.connect(f.database.dsn)
    with closing(other), other.cursor() as cursor:
        cursor.execute("LOCK TABLE cqrs.offsets IN EXCLUSIVE MODE")
        for partition in (0, 1):
            f.send(range(partition * 60_000, (partition + 1) * 60_000), partition)
        wait_until(lambda: "55P03" in f.daemon.log(), PATIENCE, "storing is tried again and again")
        other.rollback()
    f.wait_stored(range(120_000))
    if not is_instrumented():
        assert f.daemon.peak_memory() < (32 << 20) + (16 << 20)
