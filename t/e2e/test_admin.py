# SPDX-License-Identifier: MIT
"""What an operator sees: health, metrics, status, version; and patience at start."""

import json
import re
import subprocess
import time

import pytest

from conftest import sensor_config
from support import broker
from support.daemon import BINARY, is_instrumented, run
from support.workshop import wait_until

START = 1_600_000_000


def readings(count, first=0):
    return [json.dumps([{"sensor_id": 1, "ts": START + n, "cpu": n}])
            for n in range(first, first + count)]


@pytest.fixture(scope="module")
def system(module_cqrsd, module_database, kafka, unique):
    topics = {"readings": unique("readings"), "sensors": unique("sensors")}
    for topic in topics.values():
        kafka.create(topic, 2)
    daemon = module_cqrsd(sensor_config(module_database, kafka.address, unique("group"), topics))
    daemon.topic = topics["readings"]
    daemon.database = module_database
    return daemon.start()


def test_livez(system):
    answer = system.admin.get("/livez")
    assert answer.status == 200


def test_readyz_when_all_is_well(system):
    answer = system.admin.get("/readyz")
    assert answer.status == 200
    assert answer.content_type == "application/json"
    assert answer.json() == {"ready": True, "reasons": []}


def test_version(system):
    answer = system.admin.get("/version")
    assert answer.status == 200
    number = run("--version").stdout.split()[1]
    assert re.fullmatch(r"\d+\.\d+\.\d+", number)
    assert number in answer.text


def test_status_is_one_document(system):
    answer = system.admin.get("/status")
    assert answer.status == 200
    assert answer.content_type == "application/json"
    document = answer.json()
    assert isinstance(document, dict)
    text = answer.text
    assert system.topic in text
    assert "sensor" in text


def test_the_configuration_and_its_secrets_are_not_shown(cqrsd, system):
    assert "password" not in system.admin.get("/status").text


@pytest.mark.parametrize("path", ["/", "/nothing", "/livez/x", "/api/v1/sensors"])
def test_other_paths_are_404(system, path):
    answer = system.admin.get(path)
    assert answer.status == 404
    assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/status", "/version"])
def test_admin_answers_get_and_head_alone(system, path):
    head = system.admin.request("HEAD", path)
    assert head.status == 200
    assert head.body == b""
    post = system.admin.request("POST", path)
    assert post.status == 405
    assert {m.strip() for m in post.headers["Allow"].split(",")} >= {"GET", "HEAD"}


def test_the_data_side_has_no_admin(system):
    for path in ("/metrics", "/status", "/livez"):
        assert system.get(path).status == 404


def test_metrics_are_well_formed(system):
    answer = system.admin.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    metrics = system.metrics()
    for name, labels, _ in metrics.samples:
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        kind = metrics.types.get(name) or metrics.types.get(base)
        assert kind, f"{name} has no TYPE"
        assert name.startswith(("cqrsd_", "process_")), name
        assert (kind == "counter") == name.endswith("_total"), name
        assert all(re.fullmatch("[a-z_]+", label) for label in labels)
    seen = [(name, tuple(sorted(labels.items()))) for name, labels, _ in metrics.samples]
    assert len(seen) == len(set(seen)), "a sample is there twice"


def test_histograms_add_up(system):
    system.get("/api/v1/sensors")
    metrics = system.metrics()
    for name in [n for n, kind in metrics.types.items() if kind == "histogram"]:
        series = {}
        for n, labels, number in metrics.samples:
            if n == name + "_bucket":
                rest = tuple(sorted((k, v) for k, v in labels.items() if k != "le"))
                series.setdefault(rest, []).append((float(labels["le"]), number))
        for rest, buckets in series.items():
            assert buckets == sorted(buckets), f"{name}: not ascending"
            assert [n for _, n in buckets] == sorted(n for _, n in buckets), f"{name}: not cumulative"
            assert buckets[-1][0] == float("inf")
            assert buckets[-1][1] == metrics.value(name + "_count", **dict(rest))


def test_rows_and_dead_letters_are_counted(system, kafka):
    before = system.metrics()
    kafka.produce(system.topic, readings(50, 1000) + ["bad"] * 3)
    wait_until(lambda: system.database.value("SELECT count(*) FROM cqrs.dead_letters") == 3, 10)
    wait_until(lambda: system.database.value(
        "SELECT count(*) FROM sensor_data WHERE cpu >= 1000") == 50, 10)
    after = system.metrics()
    for name, more in (("cqrsd_rows_stored_total", 50), ("cqrsd_dead_letters_total", 3),
                       ("cqrsd_messages_total", 53)):
        assert after.value(name) - before.value(name) == more, name


def test_lag_goes_back_to_0(system, kafka):
    kafka.produce(system.topic, readings(2000, 5000))
    wait_until(lambda: system.database.value(
        "SELECT count(*) FROM sensor_data WHERE cpu >= 5000") == 2000, 10)
    wait_until(lambda: system.lag(system.topic, 0) == 0 and system.lag(system.topic, 1) == 0, 10,
               "lag 0")


def test_requests_are_counted_by_route_and_status(system):
    def count(**labels):
        return system.metrics().value("cqrsd_http_requests_total", **labels)

    before = count(route="/api/v1/sensors/{id}", status="200"), count(status="404")
    system.database.query("INSERT INTO sensors (id) VALUES (4711) ON CONFLICT DO NOTHING")
    for _ in range(3):
        assert system.get("/api/v1/sensors/4711").status == 200
    for path in ("/api/v1/sensors/4712", "/api/v1/nothing/1", "/api/v1/nothing/2"):
        assert system.get(path).status == 404
    after = count(route="/api/v1/sensors/{id}", status="200"), count(status="404")
    assert after[0] - before[0] == 3
    assert after[1] - before[1] == 3
    # What a client makes up is no label.
    assert "nothing" not in system.admin.get("/metrics").text


def test_positions_are_told_to_kafka_for_lag_tools(system, kafka):
    kafka.produce(system.topic, readings(10, 100))
    group = system.config["kafka"]["group"]
    wait_until(lambda: kafka.committed(group, system.topic, 0) == system.database.value(
        "SELECT next_offset FROM cqrs.offsets WHERE topic = %s AND partition = 0",
        (system.topic,)), 20, "Kafka knows the position", 0.5)


# ---- patience ----

def test_start_while_postgres_is_away(cqrsd, own_postgres, kafka, unique):
    database = own_postgres.create("cqrs")
    topics = {"readings": unique("readings"), "sensors": unique("sensors")}
    for topic in topics.values():
        kafka.create(topic)
    daemon = cqrsd(sensor_config(database, kafka.address, unique("group"), topics))
    daemon.migrate()
    own_postgres.stop()
    kafka.produce(topics["readings"], readings(100))
    daemon.start(ready=False)
    wait_until(daemon.is_listening, 10)
    answer = daemon.admin.get("/readyz")
    assert answer.status == 503
    assert answer.json()["ready"] is False
    reasons = answer.json()["reasons"]
    assert any("postgres" in r["check"] for r in reasons)
    assert all(r["reason"] and r["since"] for r in reasons)
    query = daemon.get("/api/v1/sensors")
    assert query.status == 503
    assert int(query.headers["Retry-After"]) > 0
    assert query.content_type == "application/problem+json"
    own_postgres.start()
    daemon.wait_ready()
    wait_until(lambda: database.value("SELECT count(*) FROM sensor_data") == 100, 10)


def test_postgres_goes_away_and_comes_back(cqrsd, own_postgres, kafka, unique):
    database = own_postgres.create("cqrs")
    topics = {"readings": unique("readings"), "sensors": unique("sensors")}
    for topic in topics.values():
        kafka.create(topic)
    daemon = cqrsd(sensor_config(database, kafka.address, unique("group"), topics)).start()
    kafka.produce(topics["readings"], readings(10))
    wait_until(lambda: database.value("SELECT count(*) FROM sensor_data") == 10, 10)
    own_postgres.stop("immediate")
    kafka.produce(topics["readings"], readings(10, 10))
    wait_until(lambda: not daemon.is_ready(), 10, "it notices")
    assert any("postgres" in check for check in daemon.reasons())
    own_postgres.start()
    daemon.wait_ready()
    wait_until(lambda: database.value("SELECT count(*) FROM sensor_data") == 20, 10)
    assert len(daemon.get("/api/v1/sensor-data").json()) == 20


def test_start_while_kafka_is_away(cqrsd, workshop, database, unique):
    """A Kafka of its own, because this one comes and goes."""
    kafka = broker.Kafka(workshop)
    try:
        topics = {"readings": unique("readings"), "sensors": unique("sensors")}
        daemon = cqrsd(sensor_config(database, kafka.address, unique("group"), topics))
        daemon.start(ready=False)
        wait_until(daemon.is_listening, 10)
        wait_until(lambda: any("kafka" in check for check in daemon.reasons()), 10)
        assert daemon.admin.get("/readyz").status == 503
        # Questions are answered all the same.
        wait_until(lambda: daemon.get("/api/v1/sensors").status == 200, 10)
        kafka.start()
        client = broker.KafkaClient(kafka.address)
        for topic in topics.values():
            client.create(topic)
        client.produce(topics["readings"], readings(100))
        daemon.wait_ready(60)
        wait_until(lambda: database.value("SELECT count(*) FROM sensor_data") == 100, 30)
        # And away again, for a while.
        kafka.stop()
        wait_until(lambda: not daemon.is_ready(), 40, "it notices that Kafka is away")
        assert daemon.get("/api/v1/sensors").status == 200
        kafka.start()
        client.produce(topics["readings"], readings(100, 100))
        wait_until(lambda: database.value("SELECT count(*) FROM sensor_data") == 200, 60)
        daemon.wait_ready()
    finally:
        kafka.remove()


@pytest.mark.skipif(is_instrumented(), reason="measured with the plain build")
def test_idle_memory(system):
    fresh = system.restart()
    time.sleep(0.5)
    assert fresh.resident_memory() <= 14 << 20


@pytest.mark.skipif(is_instrumented(), reason="measured with the plain build")
def test_the_program_is_small(tmp_path):
    subprocess.run(["strip", "-o", tmp_path / "cqrsd", BINARY], check=True)
    assert (tmp_path / "cqrsd").stat().st_size < 1 << 20


def test_logs_in_json(cqrsd, database, unique):
    config = sensor_config(database, "127.0.0.1:1", unique("group"), {})
    config["commands"] = {}
    daemon = cqrsd({**config, "log": {"format": "json", "level": "debug"}}).start()
    daemon.get("/api/v1/sensors")
    daemon.stop()
    lines = daemon.log().splitlines()
    assert len(lines) >= 2
    for line in lines:
        assert isinstance(json.loads(line), dict), line
