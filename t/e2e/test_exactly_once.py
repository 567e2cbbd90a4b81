# SPDX-License-Identifier: MIT
"""Every reading once, whatever dies: on real Kafka, with and without a unique key."""

import json
import random
import signal
import time

import pytest

from conftest import sensor_config
from support.workshop import wait_until

READINGS = 200_000
SENSORS = 20
PARTITIONS = 6
KILLS = 10
START = 1_600_000_000

# Nothing in the database prevents a second copy here.
WITHOUT_KEY = """
    DROP TABLE sensor_data;
    CREATE TABLE sensor_data (time timestamptz NOT NULL, sensor_id integer NOT NULL,
        temperature double precision, cpu double precision);
"""


def messages(rng):
    """All readings, in messages of 1 to 200; each is (sensor, ts) and its number in `cpu`."""
    made = 0
    while made < READINGS:
        size = min(rng.randint(1, 200), READINGS - made)
        batch = [{"sensor_id": n % SENSORS + 1, "ts": START + n // SENSORS,
                  "temperature": n % 64 / 4, "cpu": n} for n in range(made, made + size)]
        made += size
        yield json.dumps(batch)


class Chaos:
    """What dies, at moments spread over the work by how much of it is done."""

    def __init__(self, rng, instances, server, progress, total):
        self.instances, self.server = instances, server
        self.progress, self.total = progress, total
        plan = ["kill"] * KILLS + ["second", "alone", "restart", "crash"]
        moments = sorted(rng.uniform(0.02, 0.9) for _ in plan)
        # Two instances in the middle; everything else in any order.
        middle = plan[:KILLS] + plan[-2:]
        rng.shuffle(middle)
        steps = middle[:3] + ["second"] + middle[3:8] + ["alone"] + middle[8:]
        self.steps = list(zip(moments, steps))
        self.rng = rng
        self.done = []

    def run(self):
        for moment, step in self.steps:
            end = time.monotonic() + 4
            while self.progress() < moment * self.total and time.monotonic() < end:
                time.sleep(0.01)
            time.sleep(self.rng.uniform(0, 0.05))
            self.done.append((round(self.progress() / self.total, 2), step))
            getattr(self, step)()

    def kill(self):
        running = [i for i in self.instances if i.process]
        victim = self.rng.choice(running)
        victim.kill()
        victim.start(ready=False)

    def second(self):
        self.instances[1].start(ready=False)

    def alone(self):
        self.instances[1].kill()

    def restart(self):
        self.server.restart("fast")

    def crash(self):
        self.server.restart("immediate")


@pytest.mark.parametrize("table", ["with a key", "without a key"])
def test_every_reading_is_stored_once(table, workshop, cqrsd, own_postgres, kafka, unique):
    seed = 20220304
    rng = random.Random(seed)
    database = own_postgres.create("cqrs")
    topics = {"readings": unique("readings"), "sensors": unique("sensors")}
    for topic in topics.values():
        kafka.create(topic, PARTITIONS)
    config = sensor_config(
        database, kafka.address, unique("group"), topics,
        # Small batches, so that there are many moments to be killed in.
        postgres={"write": {"max_rows": 500}}, kafka={"session_timeout": "3s"})
    instances = [cqrsd(config, "first"), cqrsd(config, "second")]
    instances[0].migrate()
    if table == "without a key":
        database.query(WITHOUT_KEY)

    sent = kafka.produce(topics["readings"], messages(rng))
    ends = {p: max(o for q, o in sent if q == p) + 1 for p, _ in sent}
    total = sum(ends.values())

    def progress():
        return database.value(
            "SELECT coalesce(sum(next_offset), 0)::bigint FROM cqrs.offsets WHERE topic = %s",
            (topics["readings"],))

    instances[0].start()
    chaos = Chaos(rng, instances, own_postgres, progress, total)
    chaos.run()
    wait_until(lambda: progress() == total, 60,
               lambda: f"{progress()} of {total} messages applied after {chaos.done}")

    assert [s for _, s in chaos.done].count("kill") == KILLS
    assert all(done < 1 for done, _ in chaos.done), f"too late to disturb anything: {chaos.done}"
    assert database.value("SELECT count(*) FROM cqrs.dead_letters") == 0
    # Every number once; and what belongs to it.
    assert database.query(
        "SELECT count(*), count(DISTINCT cpu), min(cpu), max(cpu), sum(cpu) FROM sensor_data"
    ) == [(READINGS, READINGS, 0, READINGS - 1, READINGS * (READINGS - 1) / 2)]
    assert database.value(
        "SELECT count(*) FROM sensor_data WHERE sensor_id = cpu::int %% %s + 1 "
        "AND time = to_timestamp(%s + cpu::int / %s) AND temperature = cpu::int %% 64 / 4.0",
        (SENSORS, START, SENSORS)) == READINGS
    # Nothing moves any more.
    count = database.value("SELECT count(*) FROM sensor_data")
    time.sleep(1)
    assert database.value("SELECT count(*) FROM sensor_data") == count
    assert instances[0].stop() == 0


def test_a_stopped_instance_writes_nothing_when_it_wakes(cqrsd, database, kafka, unique):
    """SIGSTOP for longer than the session: the group gives its partitions away.

    Its kernel keeps its connection, and the locks of an open COPY with it: not even
    statement_timeout ends a COPY that waits for its client.
    """
    topics = {"readings": unique("readings"), "sensors": unique("sensors")}
    for topic in topics.values():
        kafka.create(topic, 1)
    config = sensor_config(database, kafka.address, unique("group"), topics,
                           kafka={"session_timeout": "3s"},
                           postgres={"write": {"max_rows": 100, "timeout": "3s"}})
    first, second = cqrsd(config, "first"), cqrsd(config, "second")
    first.migrate()
    database.query(WITHOUT_KEY)
    first.start()
    count = 40_000
    kafka.produce(topics["readings"], [json.dumps(
        [{"sensor_id": 1, "ts": START + n, "cpu": n} for n in range(m, m + 20)])
        for m in range(0, count, 20)])
    wait_until(lambda: database.value("SELECT count(*) FROM sensor_data") > 500, 10)
    first.send_signal(signal.SIGSTOP)
    before = database.value("SELECT count(*) FROM sensor_data")
    assert before < count, "stopped too late to see anything"
    second.start(ready=False)
    wait_until(lambda: database.value("SELECT count(*) FROM sensor_data") == count, 40,
               "the second instance takes over")
    first.send_signal(signal.SIGCONT)
    time.sleep(2)
    assert database.query("SELECT count(*), count(DISTINCT cpu) FROM sensor_data") == \
        [(count, count)]
    assert first.stop() == 0
    assert second.stop() == 0


def test_who_was_overtaken_writes_nothing(cqrsd, database, kafka, unique):
    """The fence itself: somebody else has stored what we are about to store."""
    topics = {"readings": unique("readings"), "sensors": unique("sensors")}
    for topic in topics.values():
        kafka.create(topic, 1)
    daemon = cqrsd(sensor_config(database, kafka.address, unique("group"), topics))
    daemon.migrate()
    database.query(WITHOUT_KEY)
    daemon.start()

    def send(first, last):
        kafka.produce(topics["readings"], [json.dumps(
            [{"sensor_id": 1, "ts": START + n, "cpu": n}]) for n in range(first, last)])

    def stored():
        return [n for (n,) in database.query("SELECT cpu::int FROM sensor_data ORDER BY cpu")]

    send(0, 10)
    wait_until(lambda: len(stored()) == 10, 10, "the first ten")
    daemon.send_signal(signal.SIGSTOP)
    send(10, 20)
    database.query(
        "BEGIN; INSERT INTO sensor_data SELECT to_timestamp(%s + n), 1, NULL, n "
        "FROM generate_series(10, 19) n; "
        "UPDATE cqrs.offsets SET next_offset = 20 WHERE topic = %s; COMMIT",
        (START, topics["readings"]))
    daemon.send_signal(signal.SIGCONT)
    wait_until(lambda: daemon.metrics().value("cqrsd_batches_fenced_total") > 0, 15,
               "it notices that it was overtaken")
    send(20, 30)
    wait_until(lambda: len(stored()) >= 30, 15, "it goes on from where the other one was")
    assert stored() == list(range(30))
    assert database.value("SELECT next_offset FROM cqrs.offsets WHERE topic = %s",
                          (topics["readings"],)) == 30


def test_records_deleted_before_they_were_read_are_a_gap(cqrsd, database, kafka, unique):
    """Retention was quicker than we: never silently."""
    topics = {"readings": unique("readings"), "sensors": unique("sensors")}
    for topic in topics.values():
        kafka.create(topic, 1)
    daemon = cqrsd(sensor_config(database, kafka.address, unique("group"), topics))
    daemon.start()

    def send(*numbers):
        kafka.produce(topics["readings"], [json.dumps(
            [{"sensor_id": 1, "ts": START + n, "cpu": n}]) for n in numbers])

    def stored():
        return [n for (n,) in database.query("SELECT cpu FROM sensor_data ORDER BY time")]

    send(0, 1)
    wait_until(lambda: stored() == [0, 1], 10)
    daemon.stop()
    send(2, 3, 4, 5)
    kafka.delete_records(topics["readings"], 0, 4)
    daemon.start(ready=False)
    wait_until(lambda: "4" in daemon.log() and topics["readings"] in daemon.log().split("stop")[-1],
               10, "the log names the gap")
    time.sleep(1)
    # The default is to halt: what follows is not read before somebody decided.
    assert stored() == [0, 1]
    wait_until(lambda: daemon.is_listening() and not daemon.is_ready(), 10)
    assert any(topics["readings"] in reason for reason in daemon.reasons().values())
