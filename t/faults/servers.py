# SPDX-License-Identifier: MIT
"""What a campaign runs against: a PostgreSQL on a disk that can be full, a Kafka of one or two."""

import os
from contextlib import ExitStack

from support import postgres as postgres_server
from support.broker import Kafka, KafkaClient
from support.small_disk import SmallDisk
from support.workshop import wait_until

ROLE, PASSWORD = "gateway", "sesame"
ROOM = "12g"  # as much as nobody needs: what is not used costs nothing


class Cluster:
    """One broker, or two that are each other's replica, and each member's own ways to them."""

    def __init__(self, workshop, brokers=1, members=0):
        self.replicas = brokers
        heap = "512m" if brokers == 1 else "320m"
        first = Kafka(workshop, replicas=brokers, heap=heap, ways=members)
        self.brokers = [first] + [Kafka(workshop, first, brokers, heap, members)
                                  for _ in range(brokers - 1)]
        self.address = ",".join(broker.address for broker in self.brokers)

    def ways(self, number):
        """To all brokers, for one member; none: it goes without."""
        return [broker.ways[number] for broker in self.brokers if number < len(broker.ways)]

    def wait_for_topic(self, topic):
        """Each broker learns of it for itself, and in its own time."""
        for broker in self.brokers:
            client = KafkaClient(broker.address)
            wait_until(lambda: topic in client.admin.list_topics(timeout=10).topics, 60,
                       f"broker {broker.node} knows {topic}")

    def start(self):
        for broker in self.brokers:
            broker.start()
        client = KafkaClient(self.address)
        wait_until(lambda: len(client.admin.list_topics(timeout=10).brokers) == self.replicas, 60,
                   "all brokers are there")

    def remove(self):
        for broker in reversed(self.brokers):
            broker.remove()


class Servers:
    """A PostgreSQL whose members have a password, and a Kafka."""

    SETTINGS = {
        "max_connections": 64, "superuser_reserved_connections": 10,
        "deadlock_timeout": "200ms", "restart_after_crash": "on",
    }

    def __init__(self, workshop, brokers=1, members=0, **settings):
        self.postgres = postgres_server.Postgres(
            workshop, template=postgres_server.template(workshop),
            settings={**postgres_server.Postgres.QUICK, **self.SETTINGS, **settings})
        hba = self.postgres.data / "pg_hba.conf"
        hba.write_text(f"host all {ROLE} 127.0.0.1/32 scram-sha-256\n" + hba.read_text())
        self.kafka = Cluster(workshop, brokers, members)
        self.directory = workshop.directory("disk", owner="postgres")
        self.disk = None  # where nothing can be mounted
        self._stack = ExitStack()

    def __enter__(self):
        self.postgres.start()
        self.postgres.query("postgres", f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
        self.postgres.query("postgres", "CREATE ROLE stranger LOGIN")
        if os.geteuid() == 0:
            try:
                self.disk = self._stack.enter_context(SmallDisk(self.directory, ROOM))
            except OSError as error:
                print(f"faults: no disk will be full: {error}", flush=True)
        self.postgres.query("postgres", f"CREATE TABLESPACE small LOCATION '{self.directory}'")
        self.kafka.start()
        return self

    def __exit__(self, *_):
        self.postgres.remove()
        self.kafka.remove()
        self._stack.close()
