# SPDX-License-Identifier: MIT
"""Running out of things: memory, descriptors, room for the log, and time that goes back."""

import fcntl
import json
import os
import re
import resource
import subprocess
import threading
import time
from email.utils import parsedate_to_datetime

import pytest

from conftest import sensor_config
from support.broker import Kafka, KafkaClient
from support.daemon import BINARY, is_instrumented
from support.descriptors import few_descriptors
from support.shim import Shim
from support.workshop import wait_until

START = 1_600_000_000
ROUTES = ["/api/v1/sensors", "/api/v1/sensor-data?limit=50&count=exact", "/", "/nothing",
          "/api/v1/sensor-data/avg?bucket=1h", "/api/v1/sensors/1/latest",
          "/api/v1/sensor-data?limit=x", "/api/v1/openapi.json"]


def readings(count, first=0):
    return [json.dumps([{"sensor_id": 1, "ts": START + n, "cpu": n}])
            for n in range(first, first + count)]


@pytest.fixture
def topics(unique):
    return {"readings": unique("readings"), "sensors": unique("sensors")}


@pytest.fixture
def config(database, topics, unique):
    return sensor_config(database, "embedded", unique("group"), topics)


class Askers:
    """Threads that ask all the time and note what they are told."""

    def __init__(self, daemon, threads=4):
        self.daemon = daemon
        self.told = {}
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.ask, args=(n,), daemon=True)
                        for n in range(threads)]

    def ask(self, n):
        while not self.over.is_set():
            client = self.daemon.admin if n == 0 else self.daemon.http
            paths = ["/status", "/metrics", "/readyz", "/livez"] if n == 0 else ROUTES
            for path in paths:
                accept = "text/csv" if "limit" not in path and n == 2 else None
                try:
                    status = client.get(path, accept=accept).status
                except Exception:  # a connection that was refused or cut
                    status = 0
                self.told[status] = self.told.get(status, 0) + 1

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()


def stored(database):
    return database.value("SELECT count(*) FROM sensor_data")


def all_stored_once(database, count):
    wait_until(lambda: stored(database) >= count, 120,
               lambda: f"{stored(database)} of {count} readings")
    assert stored(database) == count
    assert database.value("SELECT count(*) FROM cqrs.dead_letters") == 0


# ---- memory ----

@pytest.mark.skipif(is_instrumented(), reason="the sanitizer has a malloc of its own")
def test_allocations_fail(cqrsd, config, workshop, database, topics):
    memory = Shim(workshop, "failing_malloc")
    daemon = cqrsd(config).start(env=memory.env)
    kafka = KafkaClient(daemon.kafka_address())
    sent, resident = 0, None
    for one_in in (100, 30):
        with Askers(daemon) as askers:
            before = memory.answer
            memory.set(one_in)
            wait_until(lambda: memory.answer - before > 20, 60, lambda: memory.answer)
            for _ in range(8):
                kafka.produce(topics["readings"], readings(500, sent))
                sent += 500
            wait_until(lambda: memory.answer - before > 300, 60, lambda: memory.answer)
            memory.set(0)
        daemon.check_alive()
        # Some connections owe an answer that libpq had no memory for: they are given up.
        all_stored_once(database, sent)
        daemon.wait_ready(60)
        assert askers.told[200] > 0 and askers.told[503] > 0
        assert database.value("SELECT sum(next_offset) FROM cqrs.offsets") == sent
        for path in ROUTES:
            wait_until(lambda: daemon.get(path).status in (200, 400, 404), 30, path)
        # What was refused has left nothing behind.
        resident = resident or daemon.resident_memory()
        assert daemon.resident_memory() < resident + (24 << 20)
    assert daemon.stop() == 0


# ---- descriptors ----

def test_no_descriptor_is_left(cqrsd, config, database, topics):
    daemon = cqrsd(config).start()
    kafka = KafkaClient(daemon.kafka_address())
    kafka.produce(topics["readings"], readings(100))
    all_stored_once(database, 100)
    with few_descriptors(daemon.process.pid, 4):
        waiting = [daemon.http.connect(timeout=60) for _ in range(300)]
        for s in waiting:
            s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        wait_until(lambda: "cannot accept connections now: Too many open files" in daemon.log(), 30,
                   daemon.log)
        # What comes through connections that are there is stored as ever.
        kafka.produce(topics["readings"], readings(100, 100))
        all_stored_once(database, 200)
        # All of them lose their connections, and there is none to be had ...
        database.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                       "WHERE datname = current_database() AND pid <> pg_backend_pid()")
        kafka.produce(topics["readings"], readings(100, 200))
        # ... for long, because clients come and go, and each gets its answer.
        for s in waiting:
            answer = b""
            while chunk := s.recv(65536):
                answer += chunk
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            s.close()
        daemon.check_alive()
        all_stored_once(database, 300)
    daemon.wait_ready(60)
    assert daemon.log().count("cannot accept connections now") < 10
    assert daemon.get("/api/v1/sensors").status == 200
    assert daemon.stop() == 0


def test_it_does_not_spin_while_no_descriptor_is_left(cqrsd, config):
    daemon = cqrsd(config).start()
    with few_descriptors(daemon.process.pid, 0):
        waiting = [daemon.http.connect(timeout=60) for _ in range(10)]
        wait_until(lambda: "cannot accept connections now" in daemon.log(), 30)

        def used():
            """Turns of its loop that did something: what it was made to wait for, not how long."""
            with open(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/status") as file:
                return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", file.read(), re.M)[1])

        # A turn each 100 ms or so, for accepting and for the clock: a loop that spins has
        # thousands, or never waits at all and uses up its processor.
        cpu = process_time(daemon.process.pid)
        turns, began = used(), time.monotonic()
        wait_until(lambda: used() - turns > 20, 60, "the loop turns")
        assert process_time(daemon.process.pid) - cpu < 0.3 * (time.monotonic() - began)
    for s in waiting:
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert s.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
        s.close()


def process_time(pid):
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_low_limit_is_raised_or_clients_get_fewer(cqrsd, config):
    daemon = cqrsd(config)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
        daemon.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, old)
    soft = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)[0]
    assert soft >= min(10_000, hard)


# ---- the log ----

@pytest.mark.parametrize("streams", ["2>/dev/full", "2>&-", "<&- >&- 2>&-", "2>log"])
def test_a_log_that_cannot_be_written(cqrsd, config, database, topics, streams):
    daemon = cqrsd(config).start(streams=streams)
    # No socket has the number of a standard stream.
    for fd in (0, 1, 2):
        assert not os.readlink(f"/proc/{daemon.process.pid}/fd/{fd}").startswith("socket:")
    kafka = KafkaClient(daemon.kafka_address())
    kafka.produce(topics["readings"], readings(100))
    all_stored_once(database, 100)
    # Something to say: connections are lost.
    database.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                   "WHERE datname = current_database() AND pid <> pg_backend_pid()")
    kafka.produce(topics["readings"], readings(100, 100))
    all_stored_once(database, 200)
    daemon.wait_ready()
    assert daemon.get("/api/v1/sensors").status == 200
    assert daemon.stop() == 0


@pytest.mark.parametrize("reads", [False, True], ids=["never reads", "is gone"])
def test_a_reader_of_the_log_who(cqrsd, config, database, topics, reads):
    """A pipe that is full would stop whoever writes to it; one without a reader, end it."""
    config["log"] = {"level": "debug"}
    daemon = cqrsd(config)
    ours, theirs = os.pipe()
    fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, 4096)
    daemon.process = daemon.workshop.start(
        [str(BINARY), "-c", str(daemon.path)], cwd=daemon.directory, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    if reads:
        os.close(ours)
    daemon.wait_ready()
    kafka = KafkaClient(daemon.kafka_address())
    for n in range(0, 300, 100):
        kafka.produce(topics["readings"], readings(100, n))
        database.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                       "WHERE datname = current_database() AND pid <> pg_backend_pid()")
        all_stored_once(database, n + 100)
    daemon.wait_ready()
    assert daemon.stop() == 0
    if not reads:
        os.close(ours)


# ---- the clock ----

@pytest.mark.parametrize("seconds", [-3600, 3600], ids=["back", "forward"])
def test_the_clock_is_set_by_an_hour(cqrsd, config, workshop, database, topics, seconds):
    clock = Shim(workshop, "shifted_clock")
    config["http"] = {"idle_timeout": "500ms"}
    daemon = cqrsd(config).start(env=clock.env)
    kafka = KafkaClient(daemon.kafka_address())
    kafka.produce(topics["readings"], readings(100))
    all_stored_once(database, 100)
    assert clock.answer > 0
    clock.set(seconds)
    sent = 100
    with daemon.http.connect(timeout=60) as idle:
        # Longer than a session of the group, in steps that must all be stored meanwhile.
        end = time.monotonic() + 8
        while time.monotonic() < end:
            kafka.produce(topics["readings"], readings(50, sent))
            sent += 50
            all_stored_once(database, sent)
            assert daemon.get("/api/v1/sensor-data?limit=1").status == 200
        assert idle.recv(1) == b""  # timers go on
    database.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                   "WHERE datname = current_database() AND pid <> pg_backend_pid()")
    kafka.produce(topics["readings"], readings(50, sent))
    all_stored_once(database, sent + 50)
    date = daemon.get("/").headers["Date"]
    off = parsedate_to_datetime(date).timestamp() - time.time()
    assert abs(off - seconds) < 600
    assert "gave us" in daemon.log() and daemon.log().count("gave us") == 1
    assert daemon.stop() == 0


def test_the_clock_is_set_back_while_kafka_is_away(cqrsd, database, workshop, topics, unique):
    """Whoever waits for a time of day that has become an hour later waits for an hour more."""
    clock = Shim(workshop, "shifted_clock")
    broker = Kafka(workshop, heap="256m", ways=1).start()
    try:
        (way,) = broker.ways
        kafka = KafkaClient(broker.address)
        for topic in topics.values():
            kafka.create(topic)
        daemon = cqrsd(sensor_config(database, way.address, unique("group"), topics,
                                     kafka={"session_timeout": "2s"})).start(env=clock.env)
        clock.set(3600)
        way.refuse()
        wait_until(lambda: "kafka" in daemon.reasons(), 60, "it says that Kafka is away")
        # Its threads all wait now, and some have only begun to.
        asked = clock.answer
        wait_until(lambda: clock.answer > asked + 100, 60, "time goes by")
        clock.set(0)
        way.heal()
        kafka.produce(topics["readings"], readings(100))
        all_stored_once(database, 100)
        daemon.wait_ready(60)
        assert daemon.stop() == 0
    finally:
        broker.remove()
