# SPDX-License-Identifier: MIT
"""Members that die, sleep, come and go, at exactly the wrong moment.

The random campaign (t/faults) does all of that at once; here each has a test of its own.
"""

import json
import signal

import pytest

from conftest import sensor_config
from support.pg_proxy import PgProxy
from support.workshop import wait_until

START = 1_600_000_000
PER_MESSAGE = 20
LONG = 90  # seconds; nothing waits that long but on a very busy machine

# Nothing in the database prevents a second copy here.
WITHOUT_KEY = """
    DROP TABLE sensor_data;
    CREATE TABLE sensor_data (time timestamptz NOT NULL, sensor_id integer NOT NULL,
        temperature double precision, cpu double precision)
"""
TABLES = pytest.mark.parametrize("keyed", [True, False], ids=["with a key", "without a key"])


def numbered(first, last):
    """Messages with the readings first <= n < last, each with its number in `cpu`."""
    return [json.dumps([{"sensor_id": n % 10 + 1, "ts": START + n // 10, "cpu": n}
                        for n in range(m, min(m + PER_MESSAGE, last))])
            for m in range(first, last, PER_MESSAGE)]


class Group:
    """Members of one group, each with its own way to a PostgreSQL that they share."""

    def __init__(self, make, server, kafka, unique, partitions, keyed):
        self.kafka, self.make, self.server = kafka, make, server
        self.topics = {"readings": unique("readings"), "sensors": unique("sensors")}
        for topic in self.topics.values():
            kafka.create(topic, partitions)
        self.database = server.create("cqrs")
        self.name = unique("group")
        self.proxies, self.sent = [], 0
        self.members = [self.member(0)]
        self.members[0].migrate()
        if not keyed:
            self.database.query(WITHOUT_KEY)

    def member(self, number):
        proxy = PgProxy(("127.0.0.1", self.server.port))
        self.proxies.append(proxy)
        return self.make(sensor_config(
            self.database, self.kafka.address, self.name, self.topics,
            kafka={"session_timeout": "3s"}, postgres={
                "dsn": f"host=127.0.0.1 port={proxy.port} user=postgres dbname=cqrs "
                       "sslmode=disable gssencmode=disable",
                "write": {"max_rows": 200, "timeout": "3s"}}), f"member-{number}")

    def add(self):
        self.members.append(self.member(len(self.members)))
        return self.members[-1]

    def send(self, n):
        self.kafka.produce(self.topics["readings"], numbered(self.sent, self.sent + n))
        self.sent += n

    def stored(self):
        """(rows, different numbers)"""
        return self.database.query("SELECT count(*), count(DISTINCT cpu) FROM sensor_data")[0]

    def wait_until_stored(self):
        """Everything, and once."""
        wait_until(lambda: self.stored()[1] >= self.sent, LONG,
                   lambda: f"all is stored: {self.stored()} of {self.sent}, "
                           f"{[m.reasons() for m in self.members if m.process]}")
        assert self.stored() == (self.sent, self.sent)
        assert self.database.value("SELECT count(*) FROM cqrs.dead_letters") == 0

    def partitions_of(self, member):
        return member.metrics().values("cqrsd_kafka_next_offset", topic=self.topics["readings"])


@pytest.fixture
def group(cqrsd, own_postgres, kafka, unique):
    made = []

    def make(partitions=1, keyed=False):
        made.append(Group(cqrsd, own_postgres, kafka, unique, partitions, keyed))
        return made[0]

    yield make
    for one in made:
        for member in one.members:
            member.kill()
        for proxy in one.proxies:
            proxy.close()


@TABLES
def test_killed_between_a_commit_and_its_answer(group, keyed):
    g = group(keyed=keyed)
    (member,), (proxy,) = g.members, g.proxies
    member.start()
    for _ in range(5):
        lost = proxy.lose_commit_answer("silence")
        g.send(2000)
        assert lost.wait(LONG), "nothing was committed"
        before = g.stored()[0]
        assert before > 0
        member.kill()
        proxy.heal()
        member.start()
        g.wait_until_stored()


@TABLES
def test_the_answer_to_a_commit_is_lost_and_the_member_lives(group, keyed):
    """It asks the offsets what became of the batch, and does not store it again."""
    g = group(keyed=keyed)
    (member,), (proxy,) = g.members, g.proxies
    member.start()
    for _ in range(5):
        lost = proxy.lose_commit_answer("cut")
        g.send(2000)
        assert lost.wait(LONG), "nothing was committed"
        g.wait_until_stored()
    # Read back, and not refused by the fence: that would also be right, but slower.
    assert member.metrics().value("cqrsd_batches_fenced_total") == 0


def test_a_rebalance_while_postgresql_is_read_only(group):
    """What is on its way from Kafka then is outdated, and what comes after it must be noticed."""
    g = group(partitions=4)
    first, second = g.members[0].start(), g.add().start()
    wait_until(lambda: g.partitions_of(first) and g.partitions_of(second), LONG, "both have some")
    g.send(20_000)
    g.wait_until_stored()
    g.database.query("ALTER SYSTEM SET default_transaction_read_only = on")
    g.database.query("SELECT pg_reload_conf()")
    g.send(200_000)
    wait_until(lambda: any("25006" in reason or "read-only" in reason
                           for reason in first.reasons().values()), LONG,
               "it says that the server is read-only")
    # All lanes are full, and both writers wait.
    second.kill()
    wait_until(lambda: len(g.partitions_of(first)) == 4, LONG, "the first has all partitions")
    g.database.query("ALTER SYSTEM RESET default_transaction_read_only")
    g.database.query("SELECT pg_reload_conf()")
    g.wait_until_stored()


def test_a_zombie_comes_back_and_works_again(group):
    """Asleep for longer than its session, with a transaction open perhaps."""
    g = group(partitions=2)
    first, second = g.members[0], g.add()
    first.start()
    second.start()
    wait_until(lambda: g.partitions_of(first) and g.partitions_of(second), LONG, "both have one")
    for _ in range(2):
        g.send(20_000)
        first.send_signal(signal.SIGSTOP)
        # The other one takes over, and only because it does is all of it stored.
        g.wait_until_stored()
        g.send(20_000)
        first.send_signal(signal.SIGCONT)
        g.wait_until_stored()
        wait_until(lambda: g.partitions_of(first) and g.partitions_of(second), LONG,
                   "it has partitions again")
    second.stop()
    g.send(2_000)
    g.wait_until_stored()
    assert first.is_ready()


def test_three_members_come_and_go_all_the_time(group):
    g = group(partitions=6)
    members = [g.members[0], g.add(), g.add()]
    for member in members:
        member.start(ready=False)
    for turn in range(9):
        g.send(20_000)
        member = members[turn % 3]
        if turn % 2:
            assert member.stop() == 0
        else:
            member.kill()
        other = members[(turn + 1) % 3]
        if turn % 3 == 2:
            assert other.stop() == 0
            other.start(ready=False)
        member.start(ready=False)
    g.wait_until_stored()
    for member in members:
        member.wait_ready(LONG)
