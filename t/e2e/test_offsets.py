# SPDX-License-Identifier: MIT
"""Where the group reads next: shown, and set by hand, but never under a living member."""

import json
import signal

import pytest

from conftest import sensor_config
from support.workshop import wait_until

T = 1646409000


class System:
    def __init__(self, daemon, database, kafka, topics):
        self.daemon, self.database, self.kafka = daemon, database, kafka
        self.topic = topics["readings"]
        self.sent = 0

    def send(self, n, partition=0):
        self.kafka.produce(self.topic, [
            {"value": json.dumps({"ts": T + self.sent + i, "sensor_id": 1, "cpu": 1})}
            for i in range(n)], partition=partition)
        self.sent += n

    def rows(self):
        return self.database.value("SELECT count(*) FROM sensor_data")

    def run(self, *arguments):
        return self.daemon.run("offsets", *arguments)

    def position(self, partition=0):
        return self.database.value(
            "SELECT next_offset FROM cqrs.offsets WHERE topic = %s AND partition = %s",
            (self.topic, partition))

    def shown(self):
        done = self.run("show", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def set(self, offset, *arguments, partition=0, topic=None):
        return self.run("set", topic or self.topic, str(partition), str(offset), *arguments)

    def wait_until_nobody_lives(self):
        """A member that was killed lives on in Kafka until its session ends."""
        wait_until(lambda: self.shown()["members"] == 0, 30, "the group is empty")


@pytest.fixture
def system(cqrsd, database, kafka, unique):
    topics = {"readings": unique("readings"), "sensors": unique("sensors")}
    kafka.create(topics["readings"], 2)
    kafka.create(topics["sensors"], 1)
    daemon = cqrsd(sensor_config(database, kafka.address, unique("it's a group"), topics))
    system = System(daemon, database, kafka, topics)
    system.send(10)
    daemon.start()
    wait_until(lambda: system.rows() == 10, 30, "ten readings are stored")
    return system


def test_show_says_where_the_group_stands_and_how_far_it_has_to_go(system):
    system.daemon.stop()
    system.send(3)
    shown = system.shown()
    assert shown["members"] == 0 and shown["kafka"] is None
    assert shown["group"] == system.daemon.config["kafka"]["group"]
    ours = {(p["topic"], p["partition"]): p for p in shown["positions"]}
    position = ours[system.topic, 0]
    assert (position["next_offset"], position["log_start"], position["log_end"],
            position["lag"]) == (10, 0, 13, 3)
    assert ours[system.topic, 1]["lag"] == 0
    text = system.run("show").stdout
    (line,) = [l for l in text.splitlines() if l.startswith(system.topic) and " 13 " in l]
    assert line.split()[:6] == [system.topic, "0", "10", "0", "13", "3"]


def test_show_does_without_kafka(system):
    system.daemon.stop()
    system.daemon.write(kafka={"brokers": "127.0.0.1:1"})
    shown = system.shown()
    assert shown["members"] is None and "cannot be reached" in shown["kafka"]
    assert {p["next_offset"] for p in shown["positions"] if p["topic"] == system.topic} == {10, 0}
    assert all(p["lag"] is None for p in shown["positions"])


def test_set_moves_it_and_the_next_start_reads_from_there(system):
    system.daemon.stop()
    # Without a key each reading that is read again is seen.
    system.database.query("ALTER TABLE sensor_data DROP CONSTRAINT sensor_data_pkey")
    done = system.set(7)
    assert done.returncode == 1 and "--yes" in done.stderr
    assert "would go from 10 to 7; 3 offsets are read again" in done.stdout
    assert system.position() == 10
    done = system.set(7, "--yes")
    assert done.returncode == 0, done.stderr
    assert "was 10, is now 7" in done.stdout
    assert "set to 7 (was 10) by " in done.stderr
    assert system.position() == 7
    system.daemon.start()
    wait_until(lambda: system.rows() == 13, 30, "three readings are stored again")
    assert system.position() == 10


def test_set_knows_the_ends_of_the_log(system):
    system.daemon.stop()
    system.send(5)
    assert system.set("latest", "--yes").returncode == 0
    assert system.position() == 15
    assert system.set("earliest", "--yes").returncode == 0
    assert system.position() == 0
    done = system.set(16, "--yes")
    assert (done.returncode, done.stdout) == (1, "")
    assert "begins at 0 and ends at 15" in done.stderr
    done = system.set(0, "--yes", partition=2)
    assert done.returncode == 1 and "Kafka has no" in done.stderr
    assert system.set(0, "--yes", topic="no-such-topic").returncode == 1
    assert system.position() == 0
    # One that was never read can be given a beginning.
    system.database.query("DELETE FROM cqrs.offsets WHERE topic = %s AND partition = 0",
                          (system.topic,))
    done = system.set(4, "--yes")
    assert done.returncode == 0 and "was none, is now 4" in done.stdout
    assert system.position() == 4


def test_set_refuses_while_a_member_is_alive(system):
    done = system.set(3, "--yes")
    assert (done.returncode, done.stdout) == (1, "")
    assert "live member" in done.stderr
    # Kafka need not be there to know it: the member's connection says so.
    system.daemon.write(kafka={"brokers": "127.0.0.1:1"})
    done = system.set(3, "--yes")
    assert done.returncode == 1 and "is alive" in done.stderr
    # Neither does it help to be stopped.
    system.daemon.send_signal(signal.SIGSTOP)
    assert system.set(3, "--yes").returncode == 1
    system.daemon.send_signal(signal.SIGCONT)
    assert system.position() == 10
    system.daemon.kill()
    done = system.set(3, "--yes")
    assert done.returncode == 0, done.stderr
    assert "Kafka was not asked" in done.stderr
    assert system.position() == 3


def test_set_refuses_what_kafka_still_takes_for_a_member(system):
    system.daemon.kill()
    assert system.set(3, "--yes").returncode == 1
    system.wait_until_nobody_lives()
    assert system.set(3, "--yes").returncode == 0


@pytest.mark.parametrize("arguments, says", [
    ([], "show"),
    (["set"], "TOPIC PARTITION OFFSET"),
    (["set", "t", "0"], "TOPIC PARTITION OFFSET"),
    (["set", "t", "-1", "5"], "-1"),
    (["set", "t", "x", "5"], "no partition"),
    (["set", "t", "0", "5x"], "no offset"),
    (["set", "t", "0", "99999999999999999999"], "no offset"),
    (["show", "t"], "show"),
    (["show", "--colour"], "--colour"),
])
def test_what_is_not_understood_is_refused(cqrsd, database, arguments, says):
    done = cqrsd({"postgres": {"dsn": database.dsn}}).run("offsets", *arguments)
    assert (done.returncode, done.stdout) == (64, "")
    assert says in done.stderr
