# SPDX-License-Identifier: MIT
"""Clients that mean no good, and that others are served all the same."""

import resource
import socket
import struct
from contextlib import ExitStack, contextmanager

import pytest

from conftest import sensor_config
from support.daemon import is_instrumented
from support.workshop import wait_until

EXPORT = b"GET /api/v1/sensor-data HTTP/1.1\r\nHost: a\r\nAccept: application/x-ndjson\r\n\r\n"
PAGE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
ROWS = 300_000  # much more than what the kernel keeps of an answer
MANY = 10_000


@pytest.fixture(scope="module", autouse=True)
def descriptors():
    """This process is many clients."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, MANY + 2000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def filled(module_database, module_cqrsd, unique):
    """A database with more readings than anybody wants to keep in memory."""
    config = sensor_config(module_database, "127.0.0.1:1", unique("group"), {})
    module_cqrsd({**config, "commands": {}}).migrate()
    query = module_database.query
    if module_database.value("SELECT relkind = 'p' FROM pg_class WHERE oid = "
                             "'sensor_data'::regclass"):
        query("CREATE TABLE sensor_data_any PARTITION OF sensor_data DEFAULT")
    query("INSERT INTO sensors VALUES (1, 'a', 'floor')")
    query("INSERT INTO sensor_data (time, sensor_id, temperature, cpu) "
          "SELECT to_timestamp(1600000000 + i), 1, i %% 100, i FROM generate_series(1, %s) i",
          (ROWS,))
    return config


@pytest.fixture
def start(cqrsd, filled):
    """A reader with short deadlines."""
    def start(**http):
        config = {**filled, "commands": {}}
        daemon = cqrsd(config)
        daemon.write(http={"header_timeout": "1s", "body_timeout": "1s", "idle_timeout": "60s",
                           "write_timeout": "1s", **http})
        return daemon.start()
    return start


@contextmanager
def clients(daemon, count, data=b"", buffer=None):
    """So many connections that have sent something; nothing is read."""
    with ExitStack() as stack:
        made = []
        for _ in range(count):
            s = stack.enter_context(socket.socket())
            if buffer:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            s.settimeout(60)
            s.connect((daemon.http.host, daemon.http.port))
            if data:
                s.sendall(data)
            made.append(s)
        yield made


def read_all(s):
    received = b""
    try:
        while chunk := s.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


def refused(daemon, reason):
    return daemon.metrics().value("cqrsd_http_refused_total", listener="http", reason=reason)


def connections(daemon):
    return daemon.metrics().value("cqrsd_http_connections", listener="http")


def is_served(daemon):
    """Other people's requests, of each kind."""
    assert daemon.get("/api/v1/sensors").status == 200
    assert daemon.get("/api/v1/sensor-data?limit=3").status == 200
    assert daemon.admin.get("/livez").status == 200
    assert daemon.admin.get("/readyz").status == 200


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


# ---- slow ones ----

@pytest.mark.parametrize("data, reason", [
    (b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ", "header_timeout"),
    (b"G", "header_timeout"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", "body_timeout"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n", "body_timeout"),
], ids=["header", "request line", "body", "chunks"])
def test_who_sends_a_byte_now_and_then_is_refused(start, data, reason):
    daemon = start()
    with clients(daemon, 100, data) as slow:
        waiting = set(slow)

        def one_byte_more():
            """Until the server has had enough; it may hang up under us."""
            for s in list(waiting):
                try:
                    s.send(b"a")
                    s.setblocking(False)
                    s.recv(1, socket.MSG_PEEK)
                    waiting.discard(s)
                except BlockingIOError:
                    continue
                except OSError:
                    waiting.discard(s)
            return not waiting

        is_served(daemon)
        wait_until(one_byte_more, 60, "all are refused", interval=0.2)
        is_served(daemon)
        statuses = set()
        for s in slow:
            s.settimeout(10)
            statuses.add(read_all(s).partition(b"\r\n")[0])
        assert b"HTTP/1.1 408 Request Timeout" in statuses
        assert statuses <= {b"HTTP/1.1 408 Request Timeout", b""}
    assert refused(daemon, reason) == 100


def test_who_reads_a_byte_now_and_then_is_let_go(start):
    daemon = start()
    with clients(daemon, 2, EXPORT, buffer=4096) as slow:
        def gone():
            for s in slow:
                s.settimeout(1)
                try:
                    s.recv(1)
                except OSError:
                    pass
            return refused(daemon, "write_timeout") == 2

        is_served(daemon)
        wait_until(gone, 60, "both are let go", interval=0.2)
    is_served(daemon)
    # Their connections to the database are of use again.
    answer = daemon.get("/api/v1/sensor-data", accept="application/x-ndjson")
    assert answer.status == 200 and answer.body.count(b"\n") == ROWS


def test_exports_that_nobody_reads(start):
    daemon = start(write_timeout="60s")
    before = daemon.resident_memory()
    with clients(daemon, 50, EXPORT * 3) as greedy:
        for _ in range(5):
            is_served(daemon)
        wait_until(lambda: connections(daemon) >= 50, 30)
        assert daemon.resident_memory() - before < 16 << 20 or is_instrumented()
        # One of them reads after all, and gets all of it or is told that it cannot be had now.
        first = greedy[0].recv(1000)
        assert first.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 504 ", b"HTTP/1.1 503 "))
    wait_until(lambda: connections(daemon) == 0, 30)
    answer = daemon.get("/api/v1/sensor-data", accept="text/csv")
    assert answer.body.count(b"\n") == ROWS + 1


# ---- many ----

def test_ten_thousand_connections(start):
    daemon = start(max_connections=MANY)
    before = daemon.resident_memory()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < MANY + 1000:
        pytest.skip("this machine does not allow so many")
    with clients(daemon, MANY - 10) as idle:
        wait_until(lambda: connections(daemon) >= MANY - 10, 60)
        is_served(daemon)
        # Each of them has a right to be answered.
        for s in idle[::100]:
            s.sendall(PAGE)
        for s in idle[::100]:
            assert s.recv(20).startswith(b"HTTP/1.1 200 OK")
        # 50 more than there may be: who is one too many is told so.
        with clients(daemon, 60, PAGE) as more:
            answers = [s.recv(20) for s in more]
        assert answers.count(b"HTTP/1.1 503 Service") == 50
        assert answers.count(b"HTTP/1.1 200 OK\r\nSer") == 10
        assert daemon.resident_memory() - before < 32 << 20 or is_instrumented()
        assert daemon.admin.get("/livez").status == 200
    wait_until(lambda: connections(daemon) == 0, 60)
    is_served(daemon)


def test_a_pipelined_flood(start):
    daemon = start(write_timeout="60s")
    before = daemon.resident_memory()
    flood = PAGE * 20_000
    with clients(daemon, 40) as flooding:
        for s in flooding:
            s.setblocking(False)
        left = {s: memoryview(flood) for s in flooding}

        def pour():
            for s in list(left):
                try:
                    left[s] = left[s][s.send(left[s][:65536]):]
                except BlockingIOError:
                    pass

        for _ in range(20):
            pour()
            is_served(daemon)
        assert daemon.resident_memory() - before < 32 << 20 or is_instrumented()
        # Nobody has read anything, so the server has stopped to answer.
        answered = daemon.metrics().value("cqrsd_http_requests_total", listener="http", route="/")
        assert 0 < answered < 40 * 20_000 / 10
    wait_until(lambda: connections(daemon) == 0, 60)
    is_served(daemon)


# ---- those that leave ----

REQUEST = (b"POST /api/v1/sensors?x=%20y HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
           b"Expect: 100-continue\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n" + PAGE + EXPORT)


@pytest.mark.parametrize("leave", [reset, socket.socket.close], ids=["reset", "closed"])
def test_connections_that_end_at_any_byte(start, leave):
    daemon = start()
    daemon.get("/api/v1/sensor-data", accept="application/x-ndjson")  # connects, the first time
    is_served(daemon)
    wait_until(lambda: connections(daemon) == 0, 30)
    descriptors = daemon.metrics().value("process_open_fds")
    for n in range(len(REQUEST) + 1):
        with clients(daemon, 1, REQUEST[:n]) as (s,):
            if n % 3 == 0:  # also when something has come
                s.setblocking(False)
                try:
                    s.recv(n)
                except BlockingIOError:
                    pass
            leave(s)
    is_served(daemon)
    wait_until(lambda: connections(daemon) == 0, 30)
    wait_until(lambda: daemon.metrics().value("process_open_fds") <= descriptors, 30)
    assert daemon.stop() == 0


def test_resets_in_the_middle_of_answers(start):
    daemon = start()
    for n in range(60):
        with clients(daemon, 1, EXPORT, buffer=4096) as (s,):
            left = n * 997
            while left > 0:
                left -= len(s.recv(left))
            reset(s)
    is_served(daemon)
    wait_until(lambda: connections(daemon) == 0, 30)
    answer = daemon.get("/api/v1/sensor-data", accept="application/x-ndjson")
    assert answer.body.count(b"\n") == ROWS


def test_half_closed_connections_are_answered(start):
    daemon = start(write_timeout="60s")
    with clients(daemon, 2, PAGE + EXPORT + PAGE) as half:
        for s in half:
            s.shutdown(socket.SHUT_WR)
        for s in half:
            answer = read_all(s)
            # The export may have found no connection to the database in time.
            assert answer.count(b"HTTP/1.1 200 OK\r\n") >= 2
            assert answer.count(b"HTTP/1.1 ") == 3
    is_served(daemon)


# ---- what one client may have ----

def test_one_client_may_have_so_many_connections(start):
    daemon = start(max_connections_per_client=5)
    with clients(daemon, 5, PAGE) as five:
        assert all(s.recv(20).startswith(b"HTTP/1.1 200 OK") for s in five)
        with clients(daemon, 1, PAGE) as (s,):
            answer = read_all(s)
        assert answer.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
        assert b'"code":"too_many_connections_of_client"' in answer
        assert answer.count(b"HTTP/1.1") == 1
        # The admin listener has no such limit.
        assert daemon.admin.get("/livez").status == 200
    wait_until(lambda: connections(daemon) == 0, 30)
    is_served(daemon)


def test_one_client_may_send_so_many_requests(start):
    daemon = start(rate_limit=50)
    with clients(daemon, 1, PAGE * 500 + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
                 ) as (s,):
        answer = read_all(s)
    served, limited = answer.count(b"HTTP/1.1 200 OK"), answer.count(b"HTTP/1.1 429 ")
    assert served >= 50 and limited >= 1 and served + limited == 501
    assert b'RateLimit-Policy: "client";q=50;w=1\r\n' in answer
    assert answer.count(b"Retry-After: 1\r\n") == limited
    assert refused(daemon, "rate_limited") == limited
    wait_until(lambda: daemon.get("/").status == 200, 30)
