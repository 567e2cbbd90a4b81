# SPDX-License-Identifier: MIT
"""The products system: commands decided, events relayed, answers that are kept."""

import json
import time
import uuid
from itertools import product

import confluent_kafka

from bench.figure import AtLeast, Benchmark, Figure, Ratio, demand
from bench.load import best, pgbench, wrk
from bench.nginx import nginx
from support.daemon import Cqrsd
from support.workshop import wait_until

PARTITIONS = 4
TOPICS = ("commands", "create", "update", "delete", "created", "updated", "deleted")
CONTENT = {"name": "Keyboard", "description": "Mechanical keyboard", "price": 99.5}
CHANGES = 3  # of each product, after it was created
HEADERS = '{"content-type": "application/json"}'
CLIENTS = 8  # of pgbench
ID = "rpad(lpad(to_hex(:client_id * 16777216 + :n), 12, '0'), 32, '0')::uuid"
# What a change does, as one would write it by hand.
EVENT = """\
INSERT INTO cqrs.outbox (topic, key, headers, payload) SELECT '%s', convert_to(p.id::text, 'UTF8'), \
'{"content-type": "application/json"}', convert_to(products.event(p::products.product)::text, 'UTF8') FROM p;
"""
CREATE = f"""\
WITH p AS (INSERT INTO products.product (id, name, description, price, version, created_at, updated_at) \
VALUES ({ID}, 'Keyboard', 'Mechanical keyboard', 99.5, 1, now(), now()) \
ON CONFLICT (id) DO NOTHING RETURNING *) """ + EVENT % "created"
UPDATE = f"""\
WITH p AS (UPDATE products.product SET name = 'Keyboard', description = 'Mechanical keyboard', \
price = 99.5 + %d, version = version + 1, updated_at = now() \
WHERE id = {ID} AND NOT deleted AND version = %d RETURNING *) """ + EVENT % "updated"
SCRIPT = "\\set n :n + 1\n" + CREATE + "".join(UPDATE % (i, i) for i in range(1, CHANGES + 1))


class System:
    """Its database, its topics, and one daemon at a time."""

    def __init__(self, lab, name):
        self.lab = lab
        self.topics = {topic: f"{name}_{topic}" for topic in TOPICS}
        for topic in (*self.topics.values(), f"{name}.progress"):
            lab.kafka_client.create(topic, PARTITIONS if topic in self.topics.values() else 1)
        self.database = lab.postgres.create(name)
        self.config = {
            "postgres": {"dsn": self.database.dsn},
            "kafka": {"brokers": lab.kafka.address, "progress": f"{name}.progress"},
            "commands": {"product": {"topics": self.topics}},
            "queries": {"product": {}}}
        self.daemon().migrate()

    def daemon(self, **more):
        """One that has never read."""
        daemon = Cqrsd(self.lab.workshop, self.config)
        daemon.write(kafka={"group": self.lab.new_group()}, **more)
        return daemon

    def empty(self):
        self.database.query(
            "TRUNCATE products.product, products.aside, product_view.product, cqrs.outbox, "
            "cqrs.outcomes, cqrs.dead_letters")
        self.database.query("CHECKPOINT")


def identity(n):
    """One that is made later is greater, as with UUIDs of version 7."""
    return str(uuid.UUID(int=n << 80 | 7 << 76))


class Commands(Benchmark):
    """From Kafka into write model, outbox and outcomes, next to nothing but the changes.

    Each product is created and then changed by who knows its version; pgbench does so in
    transactions of one command, and keeps no outcomes.
    """

    name = "commands"
    figures = (Figure("commands", "1/s", Ratio(1.0)), Figure("commands-rate", "1/s", AtLeast(20000)))
    is_default = False

    def prepare(self):
        self.system = System(self.lab, "commands")
        self.n = round(60_000 * self.lab.scale)
        self.messages = self.n * (1 + CHANGES)
        self.fill()

    def fill(self):
        """As a gateway sends them: first all are created, then all are changed, and again."""
        producer = confluent_kafka.Producer({
            **self.lab.kafka_client.settings, "linger.ms": 50,
            "queue.buffering.max.messages": 1_000_000})
        for change in range(1 + CHANGES):
            for n in range(self.n):
                producer.produce(self.system.topics["commands"], **self.command(n, change))
            demand(producer.flush(120) == 0, "the commands could not be sent")

    @staticmethod
    def command(n, change):
        id = identity(n)
        body = {"productId": id, **CONTENT, "price": CONTENT["price"] + change}
        headers = {"command-id": identity((1 + change) << 24 | n),
                   "command": "update" if change else "create",
                   "content-type": "application/json"}
        if change:
            headers["if-match"] = str(change)
        return {"key": id, "value": json.dumps(body), "headers": list(headers.items())}

    def reference(self):
        self.system.empty()
        scripts = pgbench(self.lab, self.system.database, SCRIPT, CLIENTS,
                          seconds=2 * self.lab.seconds, define={"n": 0})
        return [scripts * (1 + CHANGES), None]

    def cqrsd(self):
        self.system.empty()
        daemon = self.system.daemon().start(ready=False)
        done = self.done(daemon)
        first = wait_until(done, 60, "the first batch", 0.005)
        begin = time.monotonic()
        wait_until(lambda: done() == self.messages, 120,
                   lambda: f"all are decided; {daemon.reasons()}", 0.01)
        rate = (self.messages - first) / (time.monotonic() - begin)
        self.check(daemon)
        daemon.stop()
        return [rate, rate]

    def done(self, daemon):
        """How many messages are behind it."""
        return lambda: self.system.database.value(
            "SELECT coalesce(sum(next_offset), 0)::bigint FROM cqrs.offsets "
            "WHERE consumer_group = %s AND topic = %s",
            (daemon.config["kafka"]["group"], self.system.topics["commands"]))

    def check(self, daemon):
        """Each was applied once, and its event is sent."""
        products, right, outcomes = self.system.database.query(
            "SELECT count(*), count(*) FILTER (WHERE version = %s), (SELECT count(*) "
            "FROM cqrs.outcomes WHERE status = 200) FROM products.product", (1 + CHANGES,))[0]
        demand((products, right, outcomes) == (self.n, self.n, self.messages),
               f"{right} of {products} products are right, of {outcomes} commands")
        wait_until(lambda: relayed(daemon) == self.messages, 120,
                   lambda: f"{relayed(daemon)} of {self.messages} events are sent", 0.05)


def relayed(daemon):
    return daemon.metrics().value("cqrsd_outbox_relayed_total")


class Events(Benchmark):
    """From the outbox into Kafka."""

    name = "events"
    figures = (Figure("events", "1/s", AtLeast(20000)),)
    is_default = False

    def prepare(self):
        self.system = System(self.lab, "events")
        self.n = round(200_000 * self.lab.scale)

    def cqrsd(self):
        """All of them are sent when all rows are gone."""
        self.system.empty()
        daemon = self.system.daemon().start()
        topic = self.system.topics["updated"]
        before = self.sent(topic)
        self.system.database.query(
            "INSERT INTO cqrs.outbox (topic, key, headers, payload) "
            "SELECT %s, convert_to(md5((i %% 1000)::text)::uuid::text, 'UTF8'), %s, "
            "convert_to(%s || i || '}', 'UTF8') FROM generate_series(1, %s) AS i",
            (topic, HEADERS,
             json.dumps({"productId": identity(0), **CONTENT})[:-1] + ', "version": ', self.n))
        begin, first = time.monotonic(), relayed(daemon)
        self.system.database.query("NOTIFY cqrs_outbox")
        wait_until(lambda: relayed(daemon) == self.n, 120,
                   lambda: f"all events are sent; {daemon.reasons()}", 0.01)
        rate = (self.n - first) / (time.monotonic() - begin)
        wait_until(lambda: not self.system.database.value("SELECT count(*) FROM cqrs.outbox"), 10,
                   "the outbox is empty")
        demand(self.sent(topic) - before == self.n, f"{self.sent(topic) - before} were sent")
        daemon.stop()
        return [rate]

    def sent(self, topic):
        return sum(self.lab.kafka_client.watermarks(topic, partition)[1]
                   for partition in range(PARTITIONS))


class Cache(Benchmark):
    """A product that is asked for again and again, next to a file of its size."""

    name = "cache"
    figures = (Figure("cache", "1/s", Ratio(0.8)), Figure("cache-rate", "1/s", AtLeast(100000)))
    is_default = False

    def prepare(self):
        self.system = System(self.lab, "kept")
        self.path = f"/api/v1/products/{identity(0)}"
        self.system.database.query(
            "SELECT product_view.project(%s, %s, %s, %s, now(), now(), 1)",
            (identity(0), *CONTENT.values()))
        self.daemon = self.system.daemon(commands=None, http={"cache_ttl": "1h"}).start()
        body = self.daemon.get(self.path).body
        self.ports = best(
            [nginx(self.lab, FILE, body, multi_accept=multi_accept, sendfile=sendfile)
             for multi_accept, sendfile in product(("on", "off"), repeat=2)],
            lambda port: wrk(self.lab, port, "/body", seconds=self.lab.seconds / 8).rate)

    def reference(self):
        return [wrk(self.lab, self.ports[0], "/body").rate, None]

    def cqrsd(self):
        rate = wrk(self.lab, self.daemon.http_port, self.path).rate
        return [rate, rate]


FILE = """\
        root {directory};
        sendfile {sendfile};
        open_file_cache max=16;
        open_file_cache_valid 1h;
        location / {{ }}
"""
