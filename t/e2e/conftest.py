# SPDX-License-Identifier: MIT
"""The servers that the tests run against: made for the run, gone after it.

One workshop (a directory and a janitor) is opened by the process that the
person started; the workers of pytest-xdist join it.  Each worker has its own
PostgreSQL, each test its own database, and all share one Apache Kafka.
"""

import itertools
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import broker, postgres as postgres_server  # noqa: E402
from support.daemon import BINARY, Cqrsd, merge  # noqa: E402
from support.workshop import Workshop  # noqa: E402

# The long ones first, so that no worker is left with one at the end.
FIRST = ["test_exactly_once.py", "test_admin.py", "test_lifecycle.py"]


def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        if not BINARY.exists():
            raise pytest.UsageError(f"{BINARY} is missing: make builds it")
        config.workshop = Workshop()
    else:
        slot = int(config.workerinput["workerid"].removeprefix("gw")) + 1
        config.workshop = Workshop(config.workerinput["workshop"], slot)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    node.workerinput["workshop"] = str(node.config.workshop.path)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    if hasattr(config, "workshop"):
        config.workshop.close()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """A file's tests stay with one worker, and so do the daemons that they share."""

    def place(item):
        name = item.path.name
        return FIRST.index(name) if name in FIRST else len(FIRST)

    items.sort(key=place)
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for daemon in Cqrsd.running:
            report.sections.append((f"log of {daemon.directory.name}", daemon.log()[-6000:]))


@pytest.fixture(scope="session")
def workshop(request):
    return request.config.workshop


@pytest.fixture(scope="session")
def unique(workshop):
    """Names that no other test of the run uses: unique("topic") → "topic-w1-7"."""
    numbers = itertools.count(1)
    return lambda name: f"{name}-{os.getpid()}-{next(numbers)}"


@pytest.fixture(scope="session")
def postgres_template(workshop):
    return postgres_server.template(workshop)


@pytest.fixture(scope="session")
def postgres(workshop, postgres_template):
    """The worker's server; a test that stops servers takes `own_postgres`."""
    server = postgres_server.Postgres(workshop, template=postgres_template).start()
    yield server
    server.remove()


@pytest.fixture
def own_postgres(workshop, postgres_template):
    server = postgres_server.Postgres(workshop, template=postgres_template).start()
    yield server
    server.remove()


@pytest.fixture
def database(postgres, unique):
    made = postgres.create(unique("db"))
    yield made
    made.drop()


@pytest.fixture(scope="module")
def module_database(postgres, unique):
    made = postgres.create(unique("db"))
    yield made
    made.drop()


@pytest.fixture(scope="session")
def kafka(workshop):
    """Real Apache Kafka, by its address, with what tests do to it."""
    return broker.KafkaClient(broker.shared(workshop))


def sensor_config(database, brokers, group, topics, **more):
    """What a test of the sensor modules says in cqrs.yaml."""
    return merge({
        "kafka": {"brokers": brokers, "group": group, "session_timeout": "6s"},
        "postgres": {"dsn": database.dsn, "migrate": "auto"},
        "commands": {"sensor": {"topics": topics}},
        "queries": {"sensor": {}},
    }, more)


def daemons(workshop, started):
    def make(config, name="cqrsd"):
        daemon = Cqrsd(workshop, config, name)
        started.append(daemon)
        return daemon

    yield make
    for daemon in started:
        daemon.kill()


@pytest.fixture
def cqrsd(workshop):
    """Makes daemons that end with the test: cqrsd(config).start()."""
    yield from daemons(workshop, [])


@pytest.fixture(scope="module")
def module_cqrsd(workshop):
    yield from daemons(workshop, [])
