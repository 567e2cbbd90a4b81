# SPDX-License-Identifier: MIT
"""What PostgreSQL and the network before it do to us: each fault alone, and the proof after it.

Kafka is polled all the time (a member that does not is thrown out after three times the
session timeout), readings arrive all the time, and at the end each is there once.
"""

import os
import re
import subprocess
import threading
import time
from contextlib import suppress

import psycopg2
import pytest

from conftest import sensor_config
from support import backlog
from support.daemon import is_instrumented
from support.postgres import Postgres
from support.small_disk import SmallDisk
from support.workshop import wait_until
from world import FAULT_S, MEMORY, ROLE, World, between, world  # noqa: F401

# ---- the server goes away ----


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_under_load(world, mode):
    for _ in range(3):
        world.flow.burst(10_000)
        world.server.restart(mode)
        before = world.flow.stored()
        wait_until(lambda: world.flow.stored() > before, 60, "it goes on")
    world.flow.finish()


@pytest.mark.parametrize("how", ["stopped", "refused"])
def test_a_server_that_is_away_for_long(world, how):
    if how == "stopped":
        fault = between(lambda: world.server.stop("immediate"), world.server.start)
        world.survives(fault, "closed the connection|refused|reset")
    else:
        world.survives(between(world.proxy.refuse, world.proxy.heal), "refused")


def test_backends_that_are_terminated_again_and_again(world):
    world.flow.burst(40_000)
    for _ in range(20):
        assert world.server.terminate(ROLE) >= 0
        time.sleep(0.1)
    world.flow.finish()


def test_no_free_connection(cqrsd, own_postgres, kafka, unique):
    own_postgres.settings["max_connections"] = 20
    own_postgres.restart()
    own_postgres.query("postgres", "CREATE ROLE filler LOGIN")
    others = []

    def fill():
        """Takes all that is not reserved for the superuser, also what comes free."""
        while own_postgres.terminate(ROLE):
            with suppress(psycopg2.OperationalError):
                while True:
                    others.append(psycopg2.connect(own_postgres.dsn("postgres", user="filler")))

    def empty():
        for connection in others:
            connection.close()

    with World(cqrsd, own_postgres, kafka, unique) as world:
        world.survives(between(fill, empty), "too many clients|remaining connection slots")


def test_a_password_that_is_wrong_for_a_while(world):
    hba = world.server.data / "pg_hba.conf"
    hba.write_text("local all postgres trust\nhost all cqrsd 127.0.0.1/32 scram-sha-256\n")

    def change(password):
        world.server.query("postgres", f"ALTER ROLE {ROLE} PASSWORD '{password}'")
        world.server.set()
        world.server.terminate(ROLE)

    said = world.survives(between(lambda: change("new"), lambda: change("secret")),
                          "password authentication failed")
    assert "secret" not in said


# ---- the network ----


@pytest.mark.parametrize("fault", ["swallow", "hold"])
def test_a_network_where_nothing_comes_through(world, fault):
    """Kernels acknowledge and nobody answers: it is our own clock that ends the waiting."""
    world.survives(between(getattr(world.proxy, fault), world.proxy.heal), "silent|no answer")
    # Questions neither: they are refused in time, and answered again afterwards.
    with between(getattr(world.proxy, fault), world.proxy.heal):
        assert world.daemon.get("/api/v1/sensors").status in (503, 504)
    wait_until(lambda: world.daemon.get("/api/v1/sensors").status == 200, 60)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_network_that_is_dead_in_one_direction(world, direction):
    world.survives(between(lambda: world.proxy.swallow(direction), world.proxy.heal),
                   "silent|no answer")


@pytest.mark.parametrize("side", ["client", "server"])
def test_connections_that_only_one_side_knows_to_be_dead(world, side):
    """Half open: the server keeps its transactions and locks, or we wait for nobody."""
    for _ in range(3):
        before = world.flow.stored()
        world.flow.burst(20_000)
        wait_until(lambda: world.flow.stored() > before, 60, "it is at work")
        world.proxy.cut(side)
        before = world.flow.stored()
        wait_until(lambda: world.flow.stored() > before, 60, "it goes on")
    world.flow.finish()


def test_connections_that_are_cut_anywhere(world):
    for n in (1, 70, 500, 20, 3000):
        for direction in ("up", "down"):
            world.proxy.cut_after(n, direction)
            connections = world.proxy.connections
            wait_until(lambda: world.proxy.connections > connections, 60, "it connects again")
    world.flow.finish()


class Namespace:
    """A network namespace with a cable to it that can be pulled."""

    def __init__(self):
        n = os.getpid() % 10000
        self.name, self.near, self.far = f"cqrsd{n}", f"cq{n}a", f"cq{n}b"
        self.subnet = f"10.{200 + n % 50}.{n // 50}"

    def ip(self, *arguments):
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
        if done.returncode:
            raise OSError(f"ip {' '.join(arguments)}: {done.stderr}")

    def __enter__(self):
        try:
            self.ip("netns", "add", self.name)
            self.ip("link", "add", self.near, "type", "veth", "peer", "name", self.far,
                    "netns", self.name)
            self.ip("addr", "add", f"{self.subnet}.1/30", "dev", self.near)
            self.ip("link", "set", self.near, "up")
            self.ip("-n", self.name, "addr", "add", f"{self.subnet}.2/30", "dev", self.far)
            self.cable("up")
        except OSError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for command in (["link", "del", self.near], ["netns", "del", self.name]):
            with suppress(OSError):
                self.ip(*command)

    def cable(self, state):
        self.ip("-n", self.name, "link", "set", self.far, state)


@pytest.fixture
def namespace():
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    try:
        made = Namespace().__enter__()
    except OSError as error:
        pytest.skip(f"no network namespaces here: {error}")
    yield made
    made.__exit__()


def test_a_cable_that_is_pulled(namespace, workshop, cqrsd, own_postgres, kafka, unique):
    """No reset, no answer, no acknowledgement: the kernel gives up after network_timeout."""
    relay = workshop.start(
        ["ip", "netns", "exec", namespace.name, "/usr/bin/python3", "-c", RELAY,
         f"{namespace.subnet}.2", str(own_postgres.directory / f".s.PGSQL.{own_postgres.port}")])
    world = World(cqrsd, own_postgres, kafka, unique)
    dsn = world.daemon.config["postgres"]["dsn"]
    world.daemon.write(postgres={
        # The clock of our own is too slow to be it.
        "write": {"timeout": "60s"},
        "dsn": re.sub("host=.*? port=.*? ", f"host={namespace.subnet}.2 port=5432 ", dsn)})
    try:
        with world:
            world.survives(between(lambda: namespace.cable("down"), lambda: namespace.cable("up")),
                           "timed out|timeout|no answer|No route")
    finally:
        workshop.stop(relay)


# What listens in the namespace: the server's socket is a file, which all namespaces share.
RELAY = """
import socket, sys, threading
listener = socket.create_server((sys.argv[1], 5432))
def pump(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    for s in (a, b):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
while True:
    client, _ = listener.accept()
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(sys.argv[2])
    except OSError:
        client.close()
        continue
    for pair in ((client, server), (server, client)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"""


# ---- the server says no ----


@pytest.fixture
def small_disk(workshop):
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    try:
        disk = SmallDisk(workshop.directory("small", owner="postgres"), "16m").__enter__()
    except OSError as error:
        pytest.skip(f"nothing can be mounted here: {error}")
    yield disk
    disk.__exit__()


def test_a_full_disk(world, small_disk):
    world.server.query("postgres", f"CREATE TABLESPACE small LOCATION '{small_disk.directory}'")
    world.database.query("ALTER TABLE sensor_data SET TABLESPACE small")

    def fill():
        world.flow.burst(400_000)

    said = world.survives(between(fill, lambda: small_disk.grow("1g")), "53100")
    assert "No space left on device" in said


def test_a_server_that_takes_no_writes(world):
    fault = between(lambda: world.server.set(default_transaction_read_only="on"),
                    lambda: world.server.set(default_transaction_read_only=None))
    world.survives(fault, "read-only")


def test_a_failover_to_a_standby(workshop, cqrsd, own_postgres, kafka, unique):
    primary = own_postgres
    primary.query("postgres", "SELECT 1")
    standby = Postgres.standby(workshop, primary)
    try:
        world = World(cqrsd, primary, kafka, unique)
        dsn = world.daemon.config["postgres"]["dsn"]
        # The standby stands first: it is asked, and is not the one.
        world.daemon.write(postgres={"dsn": re.sub(
            "host=.*? port=.*? ",
            f"host=127.0.0.1,127.0.0.1 port={standby.port},{primary.port} ", dsn)})
        with world:
            wait_until(lambda: standby.query("cqrs", "SELECT to_regclass('sensor_data')")[0][0] and
                       standby.query("cqrs", "SELECT count(*) FROM sensor_data")[0][0] > 0,
                       60, "the standby follows")
            # What is shut down in order has sent all of it.
            with between(lambda: primary.stop("fast"), standby.promote):
                world.flow.database = standby.database("cqrs")
                world.flow.watch_reason(re.compile("refused|read-only|shut"), FAULT_S)
            world.flow.finish()
    finally:
        standby.remove()


def test_a_lock_that_somebody_else_holds(world):
    other = psycopg2.connect(world.server.dsn("cqrs"))

    def hold():
        other.cursor().execute("LOCK TABLE sensor_data IN ACCESS EXCLUSIVE MODE")

    world.survives(between(hold, other.rollback), "55P03")
    other.close()


class Adversary:
    """A session that does the same thing to us until it is told to end."""

    def __init__(self, server, step):
        self.connection = psycopg2.connect(server.dsn("cqrs"))
        self.step = step
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()
        self.connection.close()

    def _run(self):
        while not self._end.wait(0.02):
            with self.connection.cursor() as cursor:
                try:
                    self.step(cursor)
                except psycopg2.Error:
                    pass
                self.connection.rollback() if self.rolls_back else self.connection.commit()

    rolls_back = False


def wait_for_sqlstate(world, sqlstate, times):
    """In the log: these come and go too fast for /readyz to be asked."""
    wait_until(lambda: world.daemon.log().count(f"SQLSTATE {sqlstate}") >= times, 120,
               f"{sqlstate} has happened {times} times")


def test_deadlocks(world):
    """We lock the offsets first, then the table; the other one the other way round."""
    world.server.set(deadlock_timeout="10ms")

    def step(cursor):
        cursor.execute("SET LOCAL deadlock_timeout = '20s'; SET LOCAL lock_timeout = '5s';"
                       "LOCK TABLE sensor_data IN SHARE MODE")
        # Until one of ours waits for the table, with its offsets locked.
        for _ in range(200):
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted "
                           "AND relation = 'sensor_data'::regclass")
            if cursor.fetchone()[0]:
                break
            time.sleep(0.01)
        cursor.execute("UPDATE cqrs.offsets SET updated_at = updated_at")

    with Adversary(world.server, step):
        wait_for_sqlstate(world, "40P01", 3)
    world.flow.finish()


def test_transactions_that_cannot_be_serialized(world):
    world.server.query("postgres", f"ALTER ROLE {ROLE} SET default_transaction_isolation = "
                       "'serializable'")
    world.server.terminate(ROLE)

    def step(cursor):
        cursor.execute("UPDATE cqrs.offsets SET updated_at = clock_timestamp()")
        time.sleep(0.05)

    with Adversary(world.server, step):
        wait_for_sqlstate(world, "40001", 3)
    world.flow.finish()


def test_a_backlog_takes_no_memory_and_is_drained(cqrsd, own_postgres, kafka, unique):
    """bench/backlog has the ten minutes and the gigabyte."""
    database = own_postgres.create("cqrs")
    topics = {"readings": unique("readings"), "sensors": unique("sensors")}
    for topic in topics.values():
        kafka.create(topic, backlog.PARTITIONS)

    def make():
        return cqrsd(sensor_config(database, kafka.address, unique("group"), topics,
                                   memory=f"{MEMORY}B"))

    found = backlog.Backlog(own_postgres, database, kafka, topics["readings"], make).run(
        60 << 20, 20)
    assert "poll interval" not in found["log"] and "went on without us" not in found["log"]
    if not is_instrumented():
        assert found["draining"] <= MEMORY + (16 << 20)
