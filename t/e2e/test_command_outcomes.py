# SPDX-License-Identifier: MIT
"""What became of a command: for who waits, for who asks later, and for who sends it again."""

import threading
import time
import uuid

import pytest

from conftest import sensor_config
from support.daemon import merge
from support.workshop import wait_until
from test_http_commands import READINGS, Gateway, reading


@pytest.fixture(scope="module")
def gateway(module_cqrsd, module_database, kafka, unique):
    topics = {"readings": unique("readings"), "sensors": unique("sensors")}
    for topic in topics.values():
        kafka.create(topic, 3)
    module_database.topics, module_database.kafka = topics, kafka
    module_database.group = unique("group")
    daemon = module_cqrsd(sensor_config(
        module_database, kafka.address, module_database.group, topics,
        commands={"sensor": {"unknown_sensors": "refuse"}})).start()
    found = Gateway(daemon, module_database, kafka.address, topics)
    assert found.send("PUT", "/api/v1/sensors/7", {"type": "t", "location": "l"},
                      Prefer="wait=20").status == 200
    return found


def outcomes(gateway, command):
    return gateway.database.query(
        "SELECT status, reason FROM cqrs.outcomes WHERE command_id = %s", (command,))


def dead_letters(gateway):
    return gateway.database.value("SELECT count(*) FROM cqrs.dead_letters")


@pytest.fixture
def other(cqrsd, gateway):
    """Another process of the same group, that is not started yet."""
    def make(**more):
        return cqrsd(merge(sensor_config(
            gateway.database, gateway.address, gateway.database.group, gateway.topics), more))
    return make


# ---- who waits ----

def test_who_waits_is_answered_when_it_is_applied(gateway):
    answer = gateway.post(reading(7, 1), Prefer="wait=20")
    assert answer.status == 200, answer
    assert answer.headers["Preference-Applied"] == "wait=20"
    assert answer.headers["Consistency-Token"] and "Location" not in answer.headers
    assert (answer.json()["state"], answer.json()["status"]) == ("applied", 200)
    assert gateway.database.value(
        "SELECT count(*) FROM sensor_data WHERE sensor_id = 7 AND time = to_timestamp(%s)",
        (reading(7, 1)["ts"],)) == 1
    assert outcomes(gateway, answer.headers["Command-Id"]) == [(200, None)]


def test_who_waits_is_told_of_a_refusal_and_nobody_else(gateway):
    before = dead_letters(gateway)
    answer = gateway.post(reading(8), Prefer="wait=20")
    assert (answer.status, answer.json()["code"]) == (422, "refused"), answer
    assert "not in sensors" in answer.json()["detail"]
    assert dead_letters(gateway) == before
    later = gateway.post(reading(8))
    assert later.status == 202
    wait_until(lambda: dead_letters(gateway) == before + 1, 20, "it is a dead letter")


def test_who_waits_is_told_of_a_part_that_is_refused(gateway):
    answer = gateway.post(reading(7, 2), reading(8, 2), Prefer="wait=20")
    assert answer.status == 200
    said = answer.json()
    assert (said["state"], said["status"]) == ("applied", 200)
    assert said["reason"].startswith("refused parts: 1, the first: ")


def test_many_who_wait_at_once(gateway):
    answers = []

    def ask(n):
        answers.append(gateway.post(reading(7 + n % 2, 100 + n), Prefer="wait=20").status)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200] * 20 + [422] * 20


def test_a_wait_has_an_end(gateway, other):
    daemon = other(http={"max_wait": "1s"}, kafka={"group": "nobody"},
                   commands={"consume": False})
    daemon.start()
    begin = time.monotonic()
    alone = Gateway(daemon, gateway.database, None, {})
    answer = alone.send("PUT", "/api/v1/sensors/7", {"location": "elsewhere"},
                        Prefer="wait=30", traceparent="x")
    # The other process has stored it, or not, within a second.
    assert time.monotonic() - begin < 10 and answer.status in (200, 202)
    assert answer.headers["Preference-Applied"] == "wait=1"
    assert daemon.stop() == 0


# ---- who asks later ----

def test_who_asks_later_is_told(gateway):
    answer = gateway.post(reading(7, 3), Prefer="respond-async")
    command, token = answer.headers["Command-Id"], answer.headers["Consistency-Token"]
    location = answer.headers["Location"]
    wait_until(lambda: gateway.daemon.get(location).status == 200, 20, "it is applied")
    said = gateway.daemon.get(location)
    assert said.headers["Consistency-Token"] == token
    assert said.json().pop("appliedAt").endswith("Z")
    assert {name: value for name, value in said.json().items() if name != "appliedAt"} == {
        "commandId": command, "state": "applied", "status": 200, "reason": None, "body": None,
        "token": token}


def test_who_asks_too_early_may_ask_again(gateway):
    answer = gateway.daemon.get(f"/api/v1/commands/{uuid.uuid4()}")
    assert (answer.status, answer.json()["code"]) == (404, "not_found")
    assert answer.headers["Retry-After"] == "1"
    assert gateway.daemon.get("/api/v1/commands/17").status == 400


# ---- the same once more ----

def test_a_key_makes_a_repetition_the_same_command(gateway):
    key = str(uuid.uuid4())
    answers = [gateway.post(reading(7, 4), Idempotency_Key=f'"{key}"', Prefer="wait=20")
               for _ in range(3)]
    assert [answer.status for answer in answers] == [200] * 3
    assert len({answer.headers["Command-Id"] for answer in answers}) == 1
    assert len(outcomes(gateway, answers[0].headers["Command-Id"])) == 1
    headers = dict(gateway.message(answers[2]).headers())
    assert headers["idempotency-key"] == key.encode()


@pytest.mark.parametrize("change", ["body", "path", "version"])
def test_a_key_is_for_one_request(gateway, change):
    key = str(uuid.uuid4())
    first = gateway.post(reading(7, 5), Idempotency_Key=key)
    assert first.status == 202
    again = {
        "body": lambda: gateway.post(reading(7, 6), Idempotency_Key=key),
        "path": lambda: gateway.send("PUT", "/api/v1/sensors/7", {}, Idempotency_Key=key),
        "version": lambda: gateway.post(reading(7, 5), Idempotency_Key=key, If_Match='"1"'),
    }[change]()
    assert (again.status, again.json()["code"]) == (422, "idempotency_key_reused")


def test_what_is_refused_at_once_takes_no_key(gateway):
    key = str(uuid.uuid4())
    assert gateway.post(reading(7, ts="never"), Idempotency_Key=key).status == 422
    assert gateway.post(reading(7, 7), Idempotency_Key=key).status == 202


def test_a_key_holds_across_processes_and_restarts(gateway, other):
    key = str(uuid.uuid4())
    first = gateway.post(reading(7, 8), Idempotency_Key=key)
    daemon = other(commands={"consume": False})
    daemon.start()
    second = Gateway(daemon, gateway.database, None, {}).post(reading(7, 8), Idempotency_Key=key)
    daemon.kill()
    daemon.start()
    third = Gateway(daemon, gateway.database, None, {}).post(
        reading(7, 8), Idempotency_Key=key, Prefer="wait=20")
    assert (first.status, second.status, third.status) == (202, 202, 200)
    ids = {answer.headers["Command-Id"] for answer in (first, second, third)}
    assert len(ids) == 1 and len(outcomes(gateway, ids.pop())) == 1


def test_the_same_key_at_the_same_moment(gateway, other):
    daemon = other(commands={"consume": False})
    daemon.start()
    gateways = [gateway, Gateway(daemon, gateway.database, None, {})]
    for n in range(10):
        key, ids = str(uuid.uuid4()), []

        def ask(one):
            ids.append(one.post(reading(7, 200 + n), Idempotency_Key=key).headers["Command-Id"])

        threads = [threading.Thread(target=ask, args=(gateways[i % 2],)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(ids) == 4 and len(set(ids)) == 1


# ---- gateways ----

def test_a_gateway_stores_nothing_and_is_told_what_others_have_stored(cqrsd, database, kafka,
                                                                      unique):
    topics = {"readings": unique("readings"), "sensors": unique("sensors")}
    for topic in topics.values():
        kafka.create(topic)
    config = sensor_config(database, kafka.address, unique("group"), topics)
    front = cqrsd(merge(config, {"commands": {"consume": False}}), "front").start()
    back = cqrsd(config, "back")
    gateway = Gateway(front, database, kafka.address, topics)
    late = gateway.post(reading(7), Prefer="wait=1")
    assert late.status == 202
    assert front.get(late.headers["Location"]).status == 404
    assert database.value("SELECT count(*) FROM cqrs.offsets") == 0
    back.start()
    wait_until(lambda: front.get(late.headers["Location"]).status == 200, 30, "it is applied")
    answer = gateway.post(reading(7, 1), Prefer="wait=20")
    assert answer.status == 200
    assert front.stop() == 0 and back.stop() == 0


def test_a_gateway_without_database_takes_what_needs_none(cqrsd, database, kafka, unique,
                                                          workshop):
    topics = {"readings": unique("readings"), "sensors": unique("sensors")}
    for topic in topics.values():
        kafka.create(topic)
    config = sensor_config(database, kafka.address, unique("group"), topics,
                           commands={"consume": False}, http={"command_timeout": "1s"},
                           postgres={"dsn": f"host=127.0.0.1 port={workshop.free_port()}",
                                     "migrate": "manual"})
    daemon = cqrsd(config)
    daemon.start(ready=False)
    wait_until(daemon.is_listening, 20, "it listens")
    gateway = Gateway(daemon, database, kafka.address, topics)
    assert gateway.post(reading(7)).status == 202
    keyed = gateway.post(reading(7), Idempotency_Key="k")
    assert (keyed.status, keyed.json()["code"]) == (503, "database_away")
    assert keyed.headers["Retry-After"] == "1"
    assert gateway.post(reading(7), Prefer="wait=1").status == 202
    asked = daemon.get(f"/api/v1/commands/{uuid.uuid4()}")
    assert (asked.status, asked.json()["code"]) == (503, "database_away")
    assert daemon.stop() == 0


def test_a_gateway_says_what_it_is(gateway, other):
    daemon = other(commands={"consume": False})
    daemon.start()
    assert daemon.is_ready()
    status = daemon.admin.get("/status").json()
    assert status["kafka"]["writers"] == [] and status["kafka"]["partitions"] == []
    assert daemon.stop() == 0
