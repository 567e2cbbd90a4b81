# SPDX-License-Identifier: MIT
"""What must have become of the shop's commands: its log of commands, applied to a model."""

import json
from collections import defaultdict
from decimal import Decimal

import confluent_kafka
from confluent_kafka import TopicPartition

from support.broker import quiet
from support.product_model import CONTENT, Model, content_of

EXAMPLES = 3


def read_topic(address, topic, partitions):
    """All messages, those of a partition in their order."""
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": address, "logger": quiet, "group.id": "oracle",
        "enable.auto.commit": False, "enable.partition.eof": True,
        "auto.offset.reset": "earliest"})
    try:
        consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
        ended = 0
        while ended < partitions:
            for message in consumer.consume(1000, 0.5):
                if message.error() is None:
                    yield message
                elif message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF:
                    ended += 1
                else:
                    raise confluent_kafka.KafkaException(message.error())
    finally:
        consumer.close()


def headers_of(message):
    return {name: value.decode() for name, value in message.headers() or ()}


def parse(value):
    return json.loads(value, parse_float=Decimal, parse_int=Decimal)


class ShopOracle:
    """All that was sent is applied, and nothing comes any more."""

    def __init__(self, shop):
        self.shop, self.scene = shop, shop.scene
        self.model = Model()
        self.outcomes = {}  # of commands that have an id, as they must be
        self.dead = 0  # letters, as many as there must be
        self.events = self.repeats = self.commands = 0

    def _complain(self, what, wrong):
        if wrong:
            self.scene.complain(f"{what}: {len(wrong)}, as {sorted(wrong, key=str)[:EXAMPLES]}")

    def _read(self, name, partitions):
        return read_topic(self.scene.kafka.address, self.shop.topics[name], partitions)

    def judge(self, partitions):
        for message in self._read("commands", partitions):
            self._replay(message)
        self._judge_write_model()
        self._judge_outcomes()
        self._judge_answers()
        self._judge_events(partitions)
        self._judge_view()

    def _replay(self, message):
        headers, content = headers_of(message), parse(message.value())
        id = content.pop("productId")
        self.commands += 1
        command_id = headers.get("command-id")
        if command_id in self.outcomes:
            return  # a repetition
        expected = headers.get("if-match")
        status = self.model.apply(headers["command"], id, content,
                                  int(expected) if expected else None)
        if command_id:
            self.outcomes[command_id] = status
        self.dead += status >= 400 and headers.get("prefer") != "wait"

    def _judge_write_model(self):
        """Its versions have no gap, since those of the model have none."""
        stored = {id: (version, content_of(row)) for id, version, *row in self.shop.sql(
            "SELECT id::text, version, name, description, price FROM products.product")}
        self._complain("products that are not as their commands left them (id, stored, right)",
                       [(id, stored.get(id), self.model.products.get(id))
                        for id in stored.keys() | self.model.products.keys()
                        if stored.get(id) != self.model.products.get(id)])

    def _judge_outcomes(self):
        """Exactly one for each command, and that of the model."""
        stored = dict(self.shop.sql("SELECT command_id::text, status FROM cqrs.outcomes"))
        self._complain("outcomes that are not what the commands lead to (id, stored, right)",
                       [(id, stored.get(id), self.outcomes.get(id))
                        for id in stored.keys() | self.outcomes.keys()
                        if stored.get(id) != self.outcomes.get(id)])
        ((dead,),) = self.shop.sql("SELECT count(*) FROM cqrs.dead_letters")
        if dead != self.dead:
            self.scene.complain(f"the shop has {dead} dead letters instead of {self.dead}")

    def _judge_answers(self):
        """What was acknowledged has an outcome, and it is what clients were told."""
        sent = [request for customer in self.shop.customers for request in customer.sent]
        self.unanswered = sum(request.unanswered for request in sent)
        told = set()
        for request in sent:
            told |= request.ids()
            for what in self._wrong_with(request):
                self.scene.complain(f"{what}: {request.method} {request.path} {request.headers}: "
                                    f"{request.answers}")
        self.acknowledged = len(told)
        if not told:
            self.scene.complain("the shop has not taken a single command over HTTP")

    def _wrong_with(self, request):
        acknowledged = [(status, headers, body) for status, headers, body in request.answers
                        if status < 500 and status != 429]
        if len(request.ids()) > 1 and "Idempotency-Key" in request.headers:
            yield "one key has several commands"
        if len({body for status, _, body in acknowledged if status == 201}) > 1:
            yield "one key has made several products"
        for status, headers, _ in acknowledged:
            right = self.outcomes.get(headers.get("Command-Id"))
            if right is None:
                yield f"what was acknowledged with {status} is not among the commands"
            elif "wait" in headers.get("Preference-Applied", "") and status != 202 and \
                    (status if status >= 400 else 200) != right:
                yield f"{status} was told instead of {right}"

    def _judge_events(self, partitions):
        """Each at least once, the first time in order, the same each time, and what was done."""
        right = {(id, version): (name, content) for name, id, version, content in self.model.events}
        missing, wrong = set(right), []
        for name in ("created", "updated", "deleted"):
            seen, last = {}, defaultdict(int)
            for message in self._read(name, partitions):
                event = parse(message.value())
                key = id, version = event["productId"], int(event["version"])
                whole = event, headers_of(message)["event-id"]
                if key in seen:
                    self.repeats += 1
                    if seen[key] != whole:
                        wrong.append((key, "was another one before", seen[key], whole))
                    continue
                if version < last[id]:
                    wrong.append((key, "came behind", last[id]))
                content = content_of([event.get(member) for member in CONTENT])
                if right.get(key) != (name, content):
                    wrong.append((key, name, event, "instead of", right.get(key)))
                seen[key], last[id] = whole, version
                missing.discard(key)
                self.events += 1
        self._complain("events that never came (id, version)", missing)
        self._complain("events that are wrong", wrong)

    def _judge_view(self):
        self._complain("products that the view has otherwise than the write model (id, versions)",
                       self.shop.sql(
            "SELECT id::text, p.version, v.version FROM products.product p "
            "FULL JOIN product_view.product v USING (id) "
            "WHERE (p.name, p.description, p.price, p.updated_at, p.version) IS DISTINCT FROM "
            "(v.name, v.description, v.price, v.updated_at, v.version)"))
        self._complain("times that the view took an event that is not newer (id, versions)",
                       self.shop.sql("SELECT id::text, was, became FROM public.steps_back"))

    def summary(self):
        return (f"shop: {self.commands:,} commands, {self.acknowledged:,} acknowledged over HTTP, "
                f"{self.unanswered} without answer, {self.dead:,} dead letters, "
                f"{self.events:,} events, {self.repeats} repeated")
