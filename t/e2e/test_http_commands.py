# SPDX-License-Identifier: MIT
"""Commands that come in over HTTP: what becomes of them in Kafka, and what their client is told."""

import json
import re
import time
import uuid

import confluent_kafka
import pytest
from confluent_kafka import TopicPartition

from conftest import sensor_config
from support.broker import KafkaClient
from support.workshop import wait_until

T = 1646409307
READINGS = "/api/v1/sensor-data"
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class Gateway:
    """A daemon that takes commands, and the topics that they go to."""

    def __init__(self, daemon, database, address, topics):
        self.daemon, self.database = daemon, database
        self.address, self.topics = address, topics
        self.ids = iter(range(1000, 10000))

    def send(self, method, path, body, **headers):
        data = body if isinstance(body, (bytes, str)) else json.dumps(body)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.daemon.http.request(
            method, path, {"Content-Type": "application/json", **headers}, data)

    def post(self, *readings, **headers):
        return self.send("POST", READINGS, list(readings), **headers)

    def message(self, answer):
        """What a token points at."""
        topic, partition, offset = re.fullmatch(
            r"(.+):(\d+)@(\d+)", answer.headers["Consistency-Token"]).groups()
        consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": self.address, "group.id": "look"})
        consumer.assign([TopicPartition(topic, int(partition), int(offset))])
        try:
            found = consumer.poll(20)
            assert found is not None and not found.error() and found.offset() == int(offset)
            return found
        finally:
            consumer.close()

    def wait_stored(self, sensor, n):
        wait_until(lambda: self.database.value(
            "SELECT count(*) FROM sensor_data WHERE sensor_id = %s", (sensor,)) == n, 30,
            "the readings are stored")


def reading(sensor, second=0, **members):
    return {"ts": T + second, "sensor_id": sensor, "temperature": 30, "cpu": 20, **members}


@pytest.fixture(scope="module", params=["embedded", "kafka"])
def gateway(request, module_cqrsd, postgres, unique):
    database = postgres.create(unique("db"))
    topics = {"readings": unique("readings"), "sensors": unique("sensors")}
    address = "embedded"
    if request.param == "kafka":
        client = request.getfixturevalue("kafka")
        for topic in topics.values():
            client.create(topic, 3)
        address = client.address
    daemon = module_cqrsd(sensor_config(database, address, unique("group"), topics)).start()
    if address == "embedded":
        address = daemon.kafka_address()
    return Gateway(daemon, database, address, topics)


# ---- what is accepted ----

def test_readings_go_to_their_topic_and_into_the_table(gateway):
    sensor = next(gateway.ids)
    answer = gateway.post(reading(sensor), reading(sensor, 1))
    command = answer.headers["Command-Id"]
    assert (answer.status, answer.json()) == (202, {"commandId": command})
    assert UUID7.fullmatch(command)
    assert answer.headers["Location"] == f"/api/v1/commands/{command}"
    message = gateway.message(answer)
    assert message.topic() == gateway.topics["readings"]
    assert message.key() == str(sensor).encode()
    assert json.loads(message.value()) == [reading(sensor), reading(sensor, 1)]
    gateway.wait_stored(sensor, 2)


def test_one_reading_alone(gateway):
    sensor = next(gateway.ids)
    assert gateway.send("POST", READINGS, reading(sensor)).status == 202
    gateway.wait_stored(sensor, 1)


def test_a_message_says_where_it_comes_from(gateway):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = gateway.post(reading(7), traceparent=trace, If_Match='"3"')
    headers = {name: value.decode() for name, value in gateway.message(answer).headers()}
    assert headers == {"command-id": answer.headers["Command-Id"], "traceparent": trace,
                       "content-type": "application/json", "if-match": "3"}
    plain = dict(gateway.message(gateway.post(reading(7))).headers())
    assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-00", plain["traceparent"])
    assert plain.keys() == {"command-id", "traceparent", "content-type"}


def test_ids_sort_by_time(gateway):
    ids = []
    for _ in range(5):
        ids.append(gateway.post(reading(7)).headers["Command-Id"])
        time.sleep(0.002)
    assert ids == sorted(ids) and len(set(ids)) == 5
    made = int(uuid.UUID(ids[0]).hex[:12], 16) / 1000
    assert abs(made - time.time()) < 60


def test_a_sensor_is_described(gateway):
    sensor = next(gateway.ids)
    answer = gateway.send("PUT", f"/api/v1/sensors/{sensor}", {"type": "t", "location": "Köln"})
    assert (answer.status, answer.body) == (200, b"")
    message = gateway.message(answer)
    assert message.topic() == gateway.topics["sensors"]
    assert json.loads(message.value()) == {"type": "t", "location": "Köln", "id": sensor}
    wait_until(lambda: gateway.daemon.get(f"/api/v1/sensors/{sensor}").status == 200, 30,
               "the sensor is there")
    assert gateway.daemon.get(f"/api/v1/sensors/{sensor}").json()["location"] == "Köln"


def test_respond_async_says_where_the_outcome_will_be(gateway):
    answer = gateway.post(reading(7), Prefer="respond-async")
    command = answer.headers["Command-Id"]
    assert answer.status == 202 and answer.json() == {"commandId": command}
    assert answer.headers["Location"] == f"/api/v1/commands/{command}"
    assert answer.headers["Preference-Applied"] == "respond-async"
    assert answer.headers["Consistency-Token"]


def test_one_partition_for_one_key(gateway):
    places = [gateway.post(reading(7)).headers["Consistency-Token"] for _ in range(3)]
    topics = {place.partition("@")[0] for place in places}
    offsets = [int(place.partition("@")[2]) for place in places]
    assert len(topics) == 1 and offsets == sorted(set(offsets))


# ---- what is refused ----

REFUSED = [
    ("POST", READINGS, "", 400, "invalid_body"),
    ("POST", READINGS, "{", 400, "invalid_body"),
    ("POST", READINGS, "[", 400, "invalid_body"),
    ("POST", READINGS, [], 422, "invalid_reading"),
    ("POST", READINGS, [1], 422, "invalid_reading"),
    ("POST", READINGS, 1, 400, "invalid_body"),
    ("POST", READINGS, [reading(1), {"sensor_id": 1}], 422, "invalid_reading"),
    ("POST", READINGS + "?x=1", [reading(1)], 400, "invalid_parameter"),
    ("PUT", "/api/v1/sensors/0", {}, 400, "invalid_parameter"),
    ("PUT", "/api/v1/sensors/1", [], 422, "invalid_sensor"),
    ("PUT", "/api/v1/sensors/1", {"id": 2}, 422, "invalid_sensor"),
    ("PUT", "/api/v1/sensors/1", {"type": 2}, 422, "invalid_sensor"),
    ("PUT", "/api/v1/sensors/1", {"location": "x" * 51}, 422, "invalid_sensor"),
    ("PUT", "/api/v1/sensors/1", "", 400, "invalid_body"),
    ("DELETE", "/api/v1/sensors/1", "", 405, "method_not_allowed"),
    ("PUT", READINGS, "", 405, "method_not_allowed"),
]


@pytest.mark.parametrize("method, path, body, status, code", REFUSED, ids=str)
def test_what_is_wrong_is_told_at_once(gateway, method, path, body, status, code):
    before = gateway.daemon.metrics().value("cqrsd_http_command_seconds_count")
    answer = gateway.send(method, path, body)
    assert (answer.status, answer.json()["code"]) == (status, code), answer
    assert gateway.daemon.metrics().value("cqrsd_http_command_seconds_count") == before


HEADERS = [
    ({"Content-Type": "text/csv"}, 415, "unsupported_media_type"),
    ({"If-Match": '"a"'}, 412, "precondition_failed"),
    ({"If-Match": 'W/"1"'}, 412, "precondition_failed"),
    ({"If-Match": '"1", "2"'}, 400, "invalid_header"),
]


@pytest.mark.parametrize("headers, status, code", HEADERS, ids=str)
def test_headers_that_cannot_be_obeyed(gateway, headers, status, code):
    answer = gateway.post(reading(7), **headers)
    assert (answer.status, answer.json()["code"]) == (status, code)


def test_a_refusal_says_which_reading_it_is(gateway):
    answer = gateway.post(reading(1), reading(2, ts="yesterday"))
    assert answer.json()["detail"].startswith("reading 2: ts is not an RFC 3339 time")


def test_the_document_has_both_sides(gateway):
    paths = gateway.daemon.get("/api/v1/openapi.json").json()["paths"]
    assert paths["/api/v1/sensors/{id}"].keys() == {"get", "put"}
    post = paths["/api/v1/sensor-data"]["post"]
    assert "oneOf" in post["requestBody"]["content"]["application/json"]["schema"]
    assert {p["name"] for p in post["parameters"] if p["in"] == "header"} == {
        "Prefer", "Idempotency-Key", "If-Match"}
    answer = gateway.daemon.http.request("OPTIONS", "/api/v1/sensors/7")
    assert answer.headers["Allow"] == "GET, HEAD, PUT, OPTIONS"


# ---- Kafka is away ----

def test_a_command_that_kafka_does_not_take_is_503_in_time(cqrsd, database, workshop):
    daemon = cqrsd(sensor_config(
        database, f"127.0.0.1:{workshop.free_port()}", "group",
        {"readings": "r", "sensors": "s"}, http={"command_timeout": "1s"}))
    daemon.start(ready=False)
    wait_until(daemon.is_listening, 20, "it listens")
    gateway = Gateway(daemon, database, None, None)
    begin = time.monotonic()
    answer = gateway.post(reading(7))
    assert 0.5 < time.monotonic() - begin < 3
    assert (answer.status, answer.json()["code"]) == (503, "kafka_away")
    assert answer.headers["Retry-After"] == "1"
    command = answer.headers["Command-Id"]
    assert answer.headers["Location"] == f"/api/v1/commands/{command}"
    wait_until(lambda: daemon.metrics().value("cqrsd_http_commands_in_flight") == 0, 20,
               "nothing is left of it")
    assert daemon.stop() == 0


def test_a_process_that_gets_no_commands_has_no_producer(cqrsd, database, kafka, unique):
    topics = {"readings": unique("readings"), "sensors": unique("sensors")}
    for topic in topics.values():
        kafka.create(topic)
    daemon = cqrsd(sensor_config(database, kafka.address, unique("group"), topics)).start()
    gateway = Gateway(daemon, database, kafka.address, topics)
    assert gateway.post().status == 422
    assert "kafka commands" not in daemon.log()
    assert gateway.post(reading(7)).status == 202
    assert "kafka commands: ready" in daemon.log()
