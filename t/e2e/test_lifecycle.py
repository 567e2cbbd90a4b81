# SPDX-License-Identifier: MIT
"""Starting, stopping, and being only one of the two sides."""

import json
import signal
import socket
import time

import pytest

from conftest import sensor_config
from support.daemon import is_instrumented
from support.workshop import wait_until

START = 1_600_000_000


@pytest.fixture
def topics(kafka, unique):
    names = {"readings": unique("readings"), "sensors": unique("sensors")}
    for name in names.values():
        kafka.create(name, 2)
    return names


@pytest.fixture
def config(database, kafka, topics, unique):
    return sensor_config(database, kafka.address, unique("group"), topics)


def readings(count, first=0):
    return [json.dumps([{"sensor_id": 1, "ts": START + n, "cpu": n}])
            for n in range(first, first + count)]


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_exits_0(cqrsd, config, database, kafka, topics, sig):
    daemon = cqrsd(config).start()
    kafka.produce(topics["readings"], readings(30_000))
    wait_until(lambda: database.value("SELECT count(*) FROM sensor_data") > 0, 10)
    began = time.monotonic()
    assert daemon.stop(sig) == 0
    assert time.monotonic() - began < 8
    # What is stored and where we stand agree, and nobody holds a lock any more.
    assert database.value("SELECT count(*) FROM sensor_data") == database.value(
        "SELECT sum(next_offset)::bigint FROM cqrs.offsets")
    # A server process ends a moment after its client.
    wait_until(lambda: database.value("SELECT count(*) FROM pg_stat_activity WHERE datname = "
                                      "current_database() AND pid <> pg_backend_pid()") == 0, 5)
    daemon.start()
    wait_until(lambda: database.value("SELECT count(*) FROM sensor_data") == 30_000, 20)


def test_a_request_in_flight_is_answered_before_the_end(cqrsd, config, database):
    daemon = cqrsd(config).start()
    with daemon.http.connect() as s:
        # The lock makes the query wait.
        with database.server.connection(database.name).cursor() as cursor:
            cursor.execute("BEGIN; LOCK TABLE sensors")
            s.sendall(b"GET /api/v1/sensors HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.3)
            daemon.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            assert daemon.process.poll() is None
            with pytest.raises(OSError):
                daemon.http.connect(1).close()
            cursor.execute("COMMIT")
        answer = b""
        while chunk := s.recv(4096):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n[]\n")
    assert daemon.wait() == 0


def test_a_second_signal_ends_it_at_once(cqrsd, config, database):
    daemon = cqrsd(config).start()
    with daemon.http.connect() as s, \
            database.server.connection(database.name).cursor() as cursor:
        cursor.execute("BEGIN; LOCK TABLE sensors")
        try:
            s.sendall(b"GET /api/v1/sensors HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.3)
            daemon.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            assert daemon.process.poll() is None
            daemon.send_signal(signal.SIGTERM)
            began = time.monotonic()
            assert daemon.wait(5) != 0
            assert time.monotonic() - began < 1
        finally:
            cursor.execute("ROLLBACK")


def test_the_drain_is_bounded(cqrsd, config, database):
    daemon = cqrsd({**config, "shutdown_timeout": "1s"}).start()
    with daemon.http.connect() as s, \
            database.server.connection(database.name).cursor() as cursor:
        cursor.execute("BEGIN; LOCK TABLE sensors")
        try:
            s.sendall(b"GET /api/v1/sensors HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.3)
            began = time.monotonic()
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(10)
            assert 0.8 < time.monotonic() - began < 4
        finally:
            cursor.execute("ROLLBACK")


def test_idle_connections_do_not_hold_up_the_end(cqrsd, config):
    daemon = cqrsd(config).start()
    with daemon.http.connect() as idle, daemon.admin.connect():
        idle.sendall(b"GET /api/v1/sensors HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(4096).startswith(b"HTTP/1.1 200 ")
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 4
        assert idle.recv(4096) == b""


def test_only_commands_make_a_writer(cqrsd, config, database, kafka, topics):
    daemon = cqrsd({**config, "queries": {}}).start()
    kafka.produce(topics["readings"], readings(10))
    wait_until(lambda: database.value("SELECT count(*) FROM sensor_data") == 10, 10)
    try:
        assert daemon.get("/api/v1/sensors").status == 404
    except ConnectionRefusedError:
        pass  # as good: nothing to ask, nobody listens


def test_only_queries_make_a_reader(cqrsd, config, database, kafka, topics):
    reader = cqrsd({**config, "commands": {}})
    reader.migrate()
    reader.start()
    kafka.produce(topics["readings"], readings(10))
    database.query("INSERT INTO sensors VALUES (1, 'a', 'floor')")
    assert reader.get("/api/v1/sensors").json() == [{"id": 1, "type": "a", "location": "floor"}]
    time.sleep(0.5)
    assert database.value("SELECT count(*) FROM sensor_data") == 0
    assert database.value("SELECT count(*) FROM cqrs.offsets") == 0


def test_a_writer_and_a_reader_share_nothing_but_the_database(cqrsd, config, kafka, topics):
    writer = cqrsd({**config, "queries": {}}, "writer").start()
    reader = cqrsd({**config, "commands": {}, "kafka": None}, "reader")
    reader.write(kafka={"brokers": "127.0.0.1:1"})
    reader.start()
    kafka.produce(topics["readings"], readings(10))
    wait_until(lambda: len(reader.get("/api/v1/sensor-data").json()) == 10, 10)
    assert writer.stop() == 0
    assert len(reader.get("/api/v1/sensor-data").json()) == 10


def test_a_taken_port_is_said_at_start(cqrsd, config):
    with socket.socket() as taken:
        daemon = cqrsd(config)
        taken.bind(("127.0.0.1", daemon.http_port))
        taken.listen()
        daemon.start(ready=False)
        assert daemon.wait(10) not in (0, -11, -6)
    assert str(daemon.http_port) in daemon.log()


@pytest.mark.parametrize("start, expected", [
    ("earliest", [0, 1, 2, 3]), ("latest", [3]), ("2022-03-04T00:00:00Z", [1, 2, 3])])
def test_where_a_partition_never_read_before_begins(
        cqrsd, config, database, kafka, topics, start, expected):
    topic = topics["readings"]
    times = [1_600_000_000_000, 1_650_000_000_000, 1_660_000_000_000]
    kafka.produce(topic, [{"value": v, "partition": 0, "timestamp": t}
                          for v, t in zip(readings(3), times)])
    config["kafka"]["start"] = start
    cqrsd(config).start()
    wait_until(lambda: database.value("SELECT count(*) FROM cqrs.offsets WHERE topic = %s",
                                      (topic,)) == 2 or start == "earliest", 10)
    kafka.produce(topic, [{"value": readings(1, 3)[0], "partition": 0}])
    wait_until(lambda: [n for (n,) in database.query(
        "SELECT cpu::int FROM sensor_data ORDER BY cpu")] == expected, 15, f"{expected}")


@pytest.mark.skipif(is_instrumented(), reason="measured with the plain build")
def test_memory_stays_in_its_budget_while_postgres_is_away(
        cqrsd, own_postgres, kafka, topics, unique):
    database = own_postgres.create("cqrs")
    config = sensor_config(database, kafka.address, unique("group"), topics, memory="16MiB")
    daemon = cqrsd(config).start()
    own_postgres.stop()
    padding = "x" * 2000
    kafka.produce(topics["readings"], [json.dumps(
        [{"sensor_id": 1, "ts": START + n, "cpu": n, "pad": padding}]) for n in range(30_000)])
    time.sleep(3)
    assert daemon.resident_memory() < 60 << 20
    own_postgres.start()
    wait_until(lambda: database.value("SELECT count(*) FROM sensor_data") == 30_000, 30)
    assert daemon.resident_memory() < 60 << 20


def test_the_width_of_partitions_may_change(cqrsd, database, kafka, topics, unique):
    """What the old partitions do not cover of a new one's range is filled."""
    day = 1_704_067_200  # Monday, 2024-01-01; weeks are counted from Thursday, 1970-01-01
    config = sensor_config(database, kafka.address, unique("group"), topics)
    daemon = cqrsd(config)

    def send_and_wait(width, days, expected):
        daemon.write(commands={"sensor": {"partition": width}})
        daemon.start()
        kafka.produce(topics["readings"], [json.dumps(
            [{"sensor_id": 1, "ts": day + int(d * 86400), "cpu": d} for d in days])])
        wait_until(lambda: [n for (n,) in database.query(
            "SELECT cpu::int FROM sensor_data ORDER BY 1")] == expected, 15, f"{expected}")
        assert daemon.stop() == 0

    send_and_wait("1d", [1], [1])
    send_and_wait("7d", [0, 2, 9], [0, 1, 2, 9])
    send_and_wait("6h", [0.5, 10], [0, 0, 1, 2, 9, 10])
    assert database.value("SELECT count(*) FROM cqrs.dead_letters") == 0
    # Nothing overlaps and, since the widest is a week, nothing between is left out.
    bounds = database.query("SELECT low, high FROM sensor_data_partitions() ORDER BY low")
    assert all(high <= low for (_, high), (low, _) in zip(bounds, bounds[1:]))
