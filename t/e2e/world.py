# SPDX-License-Identifier: MIT
"""What the tests of single faults have in common: a daemon behind a proxy, under load."""

import re
from contextlib import contextmanager

import pytest

from conftest import sensor_config
from support.flow import WITHOUT_KEY, Flow
from support.proxy import Proxy
from support.workshop import wait_until

MEMORY = 32 << 20
PARTITIONS = 2
SESSION_S = 2
FAULT_S = 3 * SESSION_S + 1
ROLE = "cqrsd"


class World:
    """A daemon with a role of its own, behind a proxy, and readings that never cease."""

    def __init__(self, cqrsd, server, kafka, unique, **more):
        self.server = server
        self.database = server.create("cqrs")
        server.query("postgres", f"CREATE ROLE {ROLE} LOGIN PASSWORD 'secret'")
        server.query("postgres", f"ALTER DATABASE cqrs OWNER TO {ROLE}")
        self.proxy = Proxy(("127.0.0.1", server.port))
        self.topics = {"readings": unique("readings"), "sensors": unique("sensors")}
        for topic in self.topics.values():
            kafka.create(topic, PARTITIONS)
        dsn = server.dsn("cqrs", port=self.proxy.port, user=ROLE) + " password=secret"
        self.daemon = cqrsd(sensor_config(
            self.database, kafka.address, unique("group"), self.topics, memory=f"{MEMORY}B",
            kafka={"session_timeout": f"{SESSION_S}s"}, postgres={
                "dsn": dsn, "network_timeout": "1s", "read": {"timeout": "1s"},
                "write": {"timeout": "2s", "max_rows": 2000}, **more}))
        self.daemon.migrate()
        self.database.query(f"SET ROLE {ROLE};{WITHOUT_KEY};RESET ROLE")
        self.flow = Flow(self.daemon, self.database, kafka, self.topics["readings"], MEMORY)

    def __enter__(self):
        self.daemon.start()
        self.flow.__enter__()
        wait_until(lambda: self.flow.stored() > 0, 60, "the first readings are stored")
        return self

    def __exit__(self, *exception):
        self.flow.__exit__(*exception)
        self.proxy.close()

    def survives(self, fault, reason, seconds=FAULT_S, readings=40_000):
        """The fault lasts so long after /readyz has told the reason, with a backlog that grows."""
        with fault:
            self.flow.burst(readings)
            said = self.flow.watch_reason(re.compile(reason), seconds)
        self.flow.finish()
        return said


@pytest.fixture
def world(cqrsd, own_postgres, kafka, unique):
    with World(cqrsd, own_postgres, kafka, unique) as made:
        yield made


@contextmanager
def between(begin, end):
    begin()
    try:
        yield
    finally:
        end()
