# SPDX-License-Identifier: MIT
"""Nothing leaks, and nothing is read that was not written, over a whole life."""

import json

import pytest
import support.daemon
from conftest import sensor_config
from support.workshop import wait_until

START = 1_600_000_000
VALGRIND = ["valgrind", "--leak-check=full", "--show-leak-kinds=definite,indirect",
            "--errors-for-leak-kinds=definite,indirect", "--error-exitcode=99", "--num-callers=30"]


@pytest.mark.skipif(support.daemon.is_instrumented(), reason="one at a time")
def test_valgrind_finds_nothing(monkeypatch, cqrsd, database, kafka, unique):
    """A start, 1,000 messages, 1,000 requests and a stop."""
    monkeypatch.setattr(support.daemon, "WRAPPER", VALGRIND)
    topics = {"readings": unique("readings"), "sensors": unique("sensors")}
    for topic in topics.values():
        kafka.create(topic, 2)
    daemon = cqrsd(sensor_config(database, kafka.address, unique("group"), topics))
    daemon.migrate()
    messages = [json.dumps({"sensor_id": n % 7 + 1, "ts": START + n, "cpu": n}) for n in range(900)]
    messages += ["not JSON", "[]", '[{"ts":"2020-01-01T00:00:00Z","sensor_id":"\\u0041"}]', "[5]"] * 25
    kafka.produce(topics["readings"], messages)
    kafka.produce(topics["sensors"], [json.dumps({"id": 7, "type": "a\u00e9", "location": "b"})])
    daemon.start(timeout=120)
    wait_until(lambda: database.value("SELECT count(*) FROM sensor_data") == 900, 120)
    paths = ["/api/v1/sensors", "/api/v1/sensors/7", "/api/v1/sensors/latest", "/nothing",
             "/api/v1/sensor-data?limit=10&count=exact", "/api/v1/sensor-data/avg?bucket=5m",
             "/api/v1/sensor-data?cursor=bad", "/api/v1/openapi.json", "/api/v1/sensors/7/latest",
             "/api/v1/sensor-data?sensor_id=1&sensor_id=2&order=-time"]
    statuses = [daemon.http.get(paths[n % len(paths)]).status for n in range(1000)]
    assert statuses.count(200) == 800
    assert daemon.http.get("/api/v1/sensor-data", accept="text/csv").status == 200
    assert daemon.admin.get("/metrics").status == 200
    assert daemon.admin.get("/status").status == 200
    code = daemon.stop(timeout=120)
    assert code == 0, daemon.log()
    assert "ERROR SUMMARY: 0 errors" in daemon.log()
