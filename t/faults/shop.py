# SPDX-License-Identifier: MIT
"""The products system in such times: two members who take commands over HTTP, and its oracle.

It stands apart, in a database, topics and a group of its own; the servers are everybody's.
"""

import http.client
import json
import random
import threading
from collections import defaultdict
from contextlib import suppress

import confluent_kafka
from confluent_kafka import TopicPartition

from support.broker import quiet
from support.daemon import Cqrsd
from support.pg_proxy import PgProxy
from support.workshop import Timeout, wait_until

from . import members
from .scene import MEMORY, Member
from .servers import ROLE

PATIENCE = 90
PARTITIONS = 3
NAMES = ("commands", "create", "update", "delete", "created", "updated", "deleted")
EVENTS = NAMES[4:]
CONTENT = {"name": "Keyboard", "description": "Mechanical keyboard", "price": 99.5}
WAITING = {None: 5, "wait=2": 3, "respond-async": 1}
HURRIED = {200, 201, 202, 404, 409, 412, 429, 500, 503, 504}


def cut(scene, member, _):
    scene.timeline.say(member.name, "its connections to PostgreSQL are cut")
    scene.timeline.count("cuts of the shop")
    member.proxy.cut()


FAULTS = {**members.FAULTS, cut: 4}


class Sent:
    """A request, and all that was answered to it."""

    def __init__(self, method, path, body, headers):
        self.method, self.path, self.body, self.headers = method, path, body, headers
        self.answers = []  # (status, headers, body)
        self.unanswered = 0

    def ids(self):
        return {headers["Command-Id"] for _, headers, _ in self.answers if "Command-Id" in headers}


class Customer(threading.Thread):
    """Sends commands to members in turn; what was not answered is asked for again, with its key."""

    def __init__(self, shop, number):
        super().__init__(name=f"customer {number}", daemon=True)
        self.shop, self.number = shop, number
        self.rng = random.Random(f"{shop.scene.seed} customer {number}")
        self.sent, self.products = [], []

    def run(self):
        while self.shop.scene.wait(0.03):
            request = self._request()
            self.sent.append(request)
            again = "Idempotency-Key" in request.headers
            self._send(request)
            for _ in range(self.rng.randint(0, 3) if again else 0):
                self._send(request)
            for status, _, body in request.answers:
                if status == 201:
                    self.products.append(json.loads(body)["productId"])
                    break

    def _request(self):
        headers = {"Content-Type": "application/json"}
        if self.rng.random() < 0.4:
            headers["Idempotency-Key"] = f'"{self.number}-{len(self.sent)}"'
        (prefer,) = self.rng.choices(*zip(*WAITING.items()))
        if prefer:
            headers["Prefer"] = prefer
        body = {**CONTENT, "price": self.rng.randint(0, 10000) / 100}
        if not self.products or self.rng.random() < 0.3:
            return Sent("POST", "/products", body, headers)
        if self.rng.random() < 0.3:
            headers["If-Match"] = f'"{self.rng.randint(1, 5)}"'
        # Some of them are in the hands of all customers.
        path = f"/products/{self.rng.choice(self.products[-20:])}"
        method = self.rng.choices(["PUT", "PATCH", "DELETE"], [4, 4, 1])[0]
        if method == "PATCH":
            body = {"price": body["price"]}
        return Sent(method, path, None if method == "DELETE" else body, headers)

    def _send(self, request):
        member = self.rng.choice(self.shop.members)
        connection = http.client.HTTPConnection("127.0.0.1", member.daemon.http_port, timeout=15)
        try:
            connection.request(request.method, "/api/v1" + request.path,
                               request.body and json.dumps(request.body), request.headers)
            answer = connection.getresponse()
            request.answers.append((answer.status, dict(answer.headers), answer.read()))
            if answer.status not in HURRIED:
                self.shop.scene.complain(f"{request.method} {request.path} was answered with "
                                         f"{request.answers[-1]}")
        except (OSError, http.client.HTTPException):
            request.unanswered += 1  # killed, stopped, or not yet there
        finally:
            connection.close()


class Shop:
    def __init__(self, scene):
        self.scene = scene
        self.database, self.group = f"shop_{scene.seed}", f"shop-{scene.seed}"
        self.topics = {name: f"shop-{name}-{scene.seed}" for name in NAMES}
        self.progress = f"shop-progress-{scene.seed}"
        self.customers = [Customer(self, n) for n in range(2)]

    def set_up(self):
        scene = self.scene
        scene.postgres.query("postgres", f"CREATE DATABASE {self.database} OWNER {ROLE} "
                                         "TEMPLATE template0 TABLESPACE small")
        scene.sql("CREATE EXTENSION pg_trgm", self.database)
        for topic in self.topics.values():
            scene.client.create(topic, PARTITIONS, scene.kafka.replicas)
        scene.client.create(self.progress, 1, scene.kafka.replicas)
        self.members = [self._member(n + 1) for n in range(2)]
        self.members[0].daemon.migrate()

    def _member(self, number):
        scene = self.scene
        proxy = PgProxy(("127.0.0.1", scene.postgres.port), scene.workshop.free_port())
        events = {name: self.topics[name] for name in EVENTS}
        config = scene.config(scene.kafka.address, proxy.port, self.database, self.group, {},
                              write={"timeout": "3s"})
        config["kafka"]["progress"] = self.progress
        config["commands"] = {"product": {"topics": self.topics, "reorder_wait": "1s"},
                              "product_view": {"topics": events}}
        config["queries"] = {"product": {}}
        daemon = Cqrsd(scene.workshop, {"memory": f"{MEMORY >> 20}MiB", **config},
                       f"shop-{number}")
        return Member(f"shop {number}", daemon, proxy, [], self.topics["commands"])

    def open(self):
        for customer in self.customers:
            customer.start()

    def sql(self, statement):
        return self.scene.sql(statement, self.database)

    # ---- the end ----

    def settle(self):
        """All faults are over; True: all that was sent is applied."""
        for customer in self.customers:
            customer.join()
        for member in self.members:
            member.proxy.disarm()
            member.proxy.heal()
            if not member.has_log:
                member.stop()
                member.start()
        try:
            wait_until(lambda: not self._behind(), PATIENCE, interval=0.3)
            return True
        except Timeout:
            self.scene.complain(f"the shop does not come to rest: {self._behind()}; "
                                f"{ {m.name: m.daemon.reasons() for m in self.members} }")
            return False

    def _behind(self):
        """What is still to come, as {what: where it is and should be}."""
        position = {(topic, partition): offset for topic, partition, offset in self.sql(
            f"SELECT topic, partition, next_offset FROM cqrs.offsets "
            f"WHERE consumer_group = '{self.group}'")}
        behind = {}
        for topic in self.topics.values():
            for partition in range(PARTITIONS):
                _, end = self.scene.client.watermarks(topic, partition)
                if position.get((topic, partition), 0) < end:
                    behind[topic, partition] = position.get((topic, partition), 0), end
        if left := self.sql("SELECT count(*) FROM cqrs.outbox")[0][0]:
            behind["outbox"] = left
        return behind

    def judge(self):
        self._judge_answers()
        self._judge_events()
        wrong = self.sql(
            "SELECT id, p.version, v.version FROM products.product p "
            "FULL JOIN product_view.product v USING (id) "
            "WHERE (p.name, p.description, p.price, p.updated_at, p.version) IS DISTINCT FROM "
            "(v.name, v.description, v.price, v.updated_at, v.version)")
        if wrong:
            self.scene.complain(f"the view has {len(wrong)} products that are not as the write "
                                f"model has them: {wrong[:3]}")

    def _judge_answers(self):
        """Every command that was acknowledged has one outcome, and it is what clients were told."""
        outcomes = dict(self.sql("SELECT command_id::text, status FROM cqrs.outcomes"))
        sent = [request for customer in self.customers for request in customer.sent]
        told = set()
        for request in sent:
            told |= request.ids()
            if len(request.ids()) > 1 and "Idempotency-Key" in request.headers:
                self._complain("one key has several commands", request)
            acknowledged = [(status, headers, body) for status, headers, body in request.answers
                            if status < 500 and status != 429]
            for status, headers, _ in acknowledged:
                stored = outcomes.get(headers.get("Command-Id"))
                if stored is None:
                    self._complain(f"an acknowledged command has no outcome ({status})", request)
                elif "wait" in headers.get("Preference-Applied", "") and status != 202 and \
                        (status if status >= 400 else 200) != stored:
                    self._complain(f"{status} was told, {stored} is stored", request)
            made = {body for status, _, body in acknowledged if status == 201}
            if len(made) > 1:
                self._complain("one key has made several products", request)
        self.acknowledged = len(told)
        self.unanswered = sum(request.unanswered for request in sent)
        if len(strange := outcomes.keys() - told) > self.unanswered:
            self.scene.complain(f"{len(strange)} commands were applied that nobody was told of, "
                                f"and only {self.unanswered} requests had no answer")
        if not told:
            self.scene.complain("the shop has not taken a single command")

    def _complain(self, what, request):
        self.scene.complain(f"{what}: {request.method} {request.path} {request.headers}: "
                            f"{request.answers}")

    def _judge_events(self):
        """Each at least once, the first time in order, and the same each time."""
        versions = defaultdict(set)
        self.events = self.repeats = 0
        for name in EVENTS:
            seen, last = {}, {}
            for event in self._read(self.topics[name]):
                id, version = event["productId"], event["version"]
                if (id, version) in seen:
                    self.repeats += 1
                    if seen[id, version] != event:
                        self.scene.complain(f"{event} was {seen[id, version]} before")
                    continue
                if version < last.get(id, 0):
                    self.scene.complain(f"{name}: {id} has version {version} behind {last[id]}")
                seen[id, version], last[id] = event, version
                versions[id].add(version)
                self.events += 1
        stored = dict(self.sql("SELECT id::text, version FROM products.product"))
        for id in stored.keys() | versions.keys():
            if versions[id] != set(range(1, stored.get(id, 0) + 1)):
                self.scene.complain(f"{id} has version {stored.get(id)}, and its events have "
                                    f"{sorted(versions[id])}")

    def _read(self, topic):
        """All events, those of a partition in their order, with their ids."""
        consumer = confluent_kafka.Consumer({
            "bootstrap.servers": self.scene.kafka.address, "logger": quiet, "group.id": "oracle",
            "enable.auto.commit": False, "enable.partition.eof": True,
            "auto.offset.reset": "earliest"})
        try:
            consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
            ended = 0
            while ended < PARTITIONS:
                for message in consumer.consume(1000, 0.5):
                    if message.error() is None:
                        id = dict(message.headers())["event-id"].decode()
                        yield {**json.loads(message.value()), "event-id": id}
                    elif message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF:
                        ended += 1
                    else:
                        raise confluent_kafka.KafkaException(message.error())
        finally:
            consumer.close()

    def summary(self):
        with suppress(AttributeError):
            return (f"shop: {self.acknowledged:,} commands acknowledged, {self.unanswered} without "
                    f"answer, {self.events:,} events, {self.repeats} repeated")
        return "shop: not judged"
