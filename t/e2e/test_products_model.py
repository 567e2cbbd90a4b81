# SPDX-License-Identifier: MIT
"""products.apply() and its kin against a model of them: random commands, the same end."""

import json
import random
import uuid
from decimal import Decimal

import pytest

from support.product_model import CONTENT, TOPICS, Model, content_of

COMMANDS = 300
IDS = [str(uuid.UUID(int=n)) for n in range(1, 7)]


class Real:
    """The same by the functions of the database."""

    def __init__(self, database):
        self.database = database
        self.sent = 0

    def arguments(self, command, id, content, expected):
        return [command, id, *map(content.get, CONTENT), expected, TOPICS[command]]

    def status(self, sql, arguments):
        return self.database.value(f"SELECT (products.{sql}).status", arguments)

    def apply(self, *command):
        return self.status("apply(%s, %s, %s, %s, %s, %s, %s, NULL)", self.arguments(*command))

    def apply_or_wait(self, *command):
        self.sent += 1
        return self.status(
            "apply_or_wait(%s, %s, %s, %s, %s, %s, %s, NULL, 3600000000, 1000,"
            " '2022-01-01Z'::timestamptz + %s * interval '1 ms', 't', 0, %s, NULL, '{}', NULL)",
            self.arguments(*command) + [self.sent, self.sent])

    def expire(self):
        self.database.query("UPDATE products.aside SET due_at = now()")
        self.database.query("SELECT products.expire()")

    def state(self):
        rows = self.database.query("SELECT id::text, version, name, description, price "
                                   "FROM products.product WHERE version > 0")
        return {id: (version, content_of(row)) for id, version, *row in rows}

    def events(self):
        rows = self.database.query(
            "SELECT topic, convert_from(key, 'UTF8'), convert_from(payload, 'UTF8') "
            "FROM cqrs.outbox ORDER BY id")
        return [(topic, key, json.loads(value, parse_float=Decimal)) for topic, key, value in rows]

    def project(self, event):
        self.database.query(
            "SELECT product_view.project(%s, %s, %s, %s, %s, %s, %s)",
            [event.get(name) for name in ("productId", "name", "description", "price",
                                          "createdAt", "updatedAt", "version")])


def random_content(chance, command):
    if command == "delete":
        return {}
    content = {"name": chance.choice(["a", "b"]), "description": chance.choice(["c", "ä"]),
               "price": Decimal(chance.choice(["0", "12.99", "1"]))}
    if command == "patch":
        content = {k: v for k, v in content.items() if chance.random() < 0.5} or {"price": 7}
    return content


@pytest.fixture
def real(cqrsd, database, unique):
    cqrsd({"postgres": {"dsn": database.dsn}}).migrate()
    return Real(database)


@pytest.mark.parametrize("seed", range(5))
def test_the_database_equals_the_model(real, seed):
    chance = random.Random(seed)
    model = Model()
    for n in range(COMMANDS):
        command = chance.choice(["create", "update", "patch", "delete"])
        content = random_content(chance, command)
        expected = chance.choice([None, None, 1, 2, 3]) if command != "create" else None
        # The ids come into use one after the other, so that there is always one that is new.
        id = chance.choice(IDS[:1 + n * len(IDS) // COMMANDS])
        how = chance.choice(["apply", "apply_or_wait"])
        if chance.random() < 0.02:
            model.expire()
            real.expire()
        said = getattr(real, how)(command, id, content, expected)
        assert said == getattr(model, how)(command, id, content, expected), (n, how, command, id)
    assert real.state() == model.products
    assert real.database.value("SELECT count(*) FROM products.aside") == len(model.waiting)
    assert real.database.value("SELECT count(*) FROM cqrs.dead_letters") == model.letters
    compare_events(real.events(), model.events)
    compare_view(real, model, chance)


def compare_events(real, model):
    assert [(topic, key, event["version"], content_of([event.get(n) for n in CONTENT]))
            for topic, key, event in real] == model
    assert all(event["productId"] == key for _, key, event in real)


def compare_view(real, model, chance):
    """In any order, and some of them twice."""
    events = [event for _, _, event in real.events()]
    events += chance.sample(events, len(events) // 3)
    chance.shuffle(events)
    for event in events:
        real.project(event)
    rows = real.database.query(
        "SELECT id::text, version, name, description, price FROM product_view.product")
    assert {id: (version, content_of(row)) for id, version, *row in rows} == model.products
