# SPDX-License-Identifier: MIT
"""`cqrsd audit`: what Kafka has is compared with what the tables have."""

import json
import random
import threading
import time

import pytest

from conftest import sensor_config
from support.workshop import wait_until

START = 1_600_000_000
COLUMNS = ["topic", "partition", "messages", "readings", "present", "dead", "duplicate",
           "MISSING"]


def reading(n, **more):
    """The nth of all: a key of its own, and its number in `cpu`."""
    return {"sensor_id": n % 20 + 1, "ts": START + n // 20, "temperature": 20.5, "cpu": n, **more}


class System:
    def __init__(self, make, database, kafka, unique, partitions=3, **more):
        self.database, self.kafka = database, kafka
        self.topic = unique("readings")
        sensors = unique("sensors")
        kafka.create(self.topic, partitions)
        kafka.create(sensors, 1)
        topics = {"readings": self.topic, "sensors": sensors}
        self.daemon = make(sensor_config(database, kafka.address, unique("group"), topics, **more))
        self.daemon.migrate()
        self.sent = 0

    def send(self, *messages, partition=None):
        values = [m if isinstance(m, (bytes, dict)) else json.dumps(m) for m in messages]
        places = self.kafka.produce(self.topic, values, partition)
        self.sent += len(messages)
        return places

    def applied(self):
        return self.database.value("SELECT coalesce(sum(next_offset), 0)::bigint FROM cqrs.offsets")

    def settle(self):
        wait_until(lambda: self.applied() >= self.sent, 40, "everything sent is applied")

    def audit(self, *arguments, expect=0):
        """(the table as {(topic, partition): {column: number}}, the answer)."""
        done = self.daemon.run("audit", *arguments)
        assert done.returncode == expect, (done.stdout, done.stderr)
        lines = done.stdout.splitlines()
        assert lines[0].split() == COLUMNS
        table = {}
        for line in lines[1:]:
            fields = line.split()
            if fields[0] == "total":
                table["total"] = dict(zip(COLUMNS[2:], map(int, fields[1:])))
            elif fields[0] == self.topic:
                table[int(fields[1])] = dict(zip(COLUMNS[2:], map(int, fields[2:])))
        for row in table.values():
            assert row["readings"] == (
                row["present"] + row["dead"] + row["duplicate"] + row["MISSING"])
        return table, done


@pytest.fixture
def system(cqrsd, database, kafka, unique):
    return System(cqrsd, database, kafka, unique)


def fill(system, readings=3000):
    rng = random.Random(1)
    n, messages = 0, []
    while n < readings:
        size = min(rng.randint(1, 200), readings - n)
        messages.append([reading(i) for i in range(n, n + size)])
        n += size
    system.send(*messages)
    return len(messages)


def test_all_is_there(system):
    messages = fill(system, 300_000)
    system.daemon.start()
    system.settle()
    table, done = system.audit()
    assert table["total"] == {"messages": messages, "readings": 300_000, "present": 300_000,
                              "dead": 0, "duplicate": 0, "MISSING": 0}
    assert sum(table[p]["messages"] for p in range(3)) == messages
    assert done.stderr == ""


def test_what_was_refused_and_what_came_twice(system):
    system.daemon.start()
    system.database.query("ALTER TABLE sensor_data ADD CHECK (cpu < 1000)")
    system.send([reading(0), reading(1), reading(2, cpu="hot"), reading(3)], partition=0)
    system.send([reading(4), reading(4), reading(5, cpu=1000)], partition=0)
    system.settle()
    # Again in another batch: once the same, once with another value.
    system.send([reading(0), reading(1, cpu=99)], b"not JSON", b"", partition=1)
    system.settle()
    table, _ = system.audit()
    # Which of two equal ones is the duplicate depends on which partition is read first.
    assert {name: table[0][name] + table[1][name] for name in table[0]} == {
        "messages": 5, "readings": 11, "present": 4, "dead": 4, "duplicate": 3, "MISSING": 0}
    assert table[0]["readings"] == 7 and table[0]["dead"] == 2


def test_a_row_that_is_gone_is_missing(system):
    fill(system)
    system.daemon.start()
    system.settle()
    system.database.query("DELETE FROM sensor_data WHERE cpu = 1234")
    table, done = system.audit(expect=1)
    assert table["total"]["MISSING"] == 1
    assert table["total"]["present"] == 2999
    assert f"missing: {system.topic} [" in done.stderr and "sensor_data" in done.stderr


def test_a_dead_letter_that_is_gone_is_missing(system):
    system.daemon.start()
    (place, _) = system.send([reading(0), reading(1, cpu="hot")], b"not JSON", partition=2)
    system.settle()
    assert system.audit()[0][2]["dead"] == 2
    system.database.query("DELETE FROM cqrs.dead_letters WHERE part_index IS NOT NULL")
    table, done = system.audit(expect=1)
    assert table[2] == {"messages": 2, "readings": 3, "present": 1, "dead": 1, "duplicate": 0,
                        "MISSING": 1}
    assert f"{system.topic} [2] offset {place[1]}, part 1: not in cqrs.dead_letters" in done.stderr


def test_what_was_redriven_is_present(system):
    system.daemon.start()
    system.database.query("ALTER TABLE sensor_data ADD CONSTRAINT low CHECK (cpu < 2)")
    system.send([reading(0), reading(2), reading(3)], partition=0)
    system.settle()
    assert system.audit()[0][0]["dead"] == 2
    system.database.query("ALTER TABLE sensor_data DROP CONSTRAINT low, ADD CHECK (cpu < 3)")
    done = system.daemon.run("dead-letters", "redrive", "--all-open")
    assert "1 redriven, 1 refused again" in done.stdout
    table, _ = system.audit()
    assert table[0] == {"messages": 1, "readings": 3, "present": 2, "dead": 1, "duplicate": 0,
                        "MISSING": 0}


def test_a_row_that_stands_twice_is_doubled(system):
    fill(system, 500)
    system.daemon.start()
    system.settle()
    system.database.query(
        "CREATE TABLE plain AS SELECT * FROM sensor_data; DROP TABLE sensor_data; "
        "ALTER TABLE plain RENAME TO sensor_data; "
        "INSERT INTO sensor_data SELECT * FROM sensor_data WHERE cpu IN (7, 8)")
    table, done = system.audit(expect=1)
    assert table["total"]["present"] == 500 and table["total"]["MISSING"] == 0
    assert "DOUBLED: 2 rows" in done.stdout


def test_a_row_that_was_changed_is_said(system):
    fill(system, 500)
    system.daemon.start()
    system.settle()
    system.database.query("UPDATE sensor_data SET temperature = -1 WHERE cpu = 7")
    table, done = system.audit()
    assert table["total"]["present"] == 499 and table["total"]["duplicate"] == 1
    assert "changed: 1 rows" in done.stdout


def test_the_last_one_stands_with_on_duplicate_update(cqrsd, database, kafka, unique):
    system = System(cqrsd, database, kafka, unique,
                    commands={"sensor": {"on_duplicate": "update"}})
    system.daemon.start()
    for cpu in (1, 2, 3):
        system.send([reading(0, cpu=cpu), reading(1)], partition=0)
        system.settle()
    table, done = system.audit()
    assert table[0] == {"messages": 3, "readings": 6, "present": 2, "dead": 0, "duplicate": 4,
                        "MISSING": 0}
    assert "changed" not in done.stdout


def test_only_a_part(system):
    for second in range(3):
        system.send(*({"value": json.dumps([reading(n)]), "timestamp": (START + second) * 1000}
                      for n in range(second * 10, second * 10 + 10)), partition=1)
    system.daemon.start()
    system.settle()

    def messages(*arguments):
        return system.audit(*arguments)[0]["total"]["messages"]

    assert messages() == 30
    assert messages("--from", "12", "--topic", system.topic) == 18
    assert messages("--from", "12", "--to", "20") == 8
    assert messages("--from", "2020-09-13T12:26:41Z") == 20
    assert messages("--to", "2020-09-13T12:26:41Z") == 10
    done = system.daemon.run("audit", "--topic", "nonsense")
    assert done.returncode == 1 and 'no module takes the topic "nonsense"' in done.stderr
    done = system.daemon.run("audit", "--from", "yesterday")
    assert done.returncode == 64 and "neither an offset nor a time" in done.stderr


def test_as_json(system):
    fill(system, 500)
    system.daemon.start()
    system.settle()
    answer = json.loads(system.daemon.run("audit", "--json").stdout)
    assert answer["complete"] and answer["doubled"] == 0
    assert answer["total"]["present"] == 500 == sum(p["present"] for p in answer["partitions"])


def test_holes_at_the_end_are_no_message(system):
    system.send([reading(0)], partition=0)
    system.kafka.transaction(system.topic, [json.dumps([reading(1)])], 0)
    system.kafka.transaction(system.topic, [json.dumps([reading(2)])], 0, commit=False)
    system.daemon.start()
    wait_until(lambda: system.database.value("SELECT count(*) FROM sensor_data") == 2, 20)
    table, _ = system.audit()
    assert table[0]["messages"] == 2 and table[0]["present"] == 2


def test_beside_a_daemon_at_work(system):
    system.daemon.start()
    end = threading.Event()

    def work():
        n = 0
        while not end.is_set():
            system.send([reading(i) for i in range(n, n + 50)])
            n += 50
            time.sleep(0.002)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(3):
            before = system.applied()
            wait_until(lambda: system.applied() > before, 20)
            table, _ = system.audit()
            assert table["total"]["MISSING"] == 0
            assert table["total"]["messages"] >= before
    finally:
        end.set()
        worker.join()


def test_without_servers_it_says_so(system, own_postgres):
    fill(system, 100)
    system.daemon.start()
    system.settle()
    system.daemon.stop()
    brokers = system.daemon.config["kafka"]["brokers"]
    system.daemon.write(kafka={"brokers": "127.0.0.1:1"})
    done = system.daemon.run("audit")
    assert done.returncode == 1 and "kafka" in done.stderr
    own_postgres.stop()
    system.daemon.write(kafka={"brokers": brokers},
                        postgres={"dsn": own_postgres.dsn("postgres")})
    done = system.daemon.run("audit")
    assert done.returncode == 1 and "postgres: " in done.stderr


def test_before_anything_was_stored(system):
    done = system.daemon.run("audit")
    assert done.returncode == 1 and "has stored nothing" in done.stderr
