# SPDX-License-Identifier: MIT
"""The products system in the shape of the original: a gateway, a writer, a reader with a database
of its own; and each of them is killed in turn."""

import json
import uuid

import pytest

from shop import KEYBOARD, NAMES
from support.daemon import merge
from support.workshop import wait_until

EVENTS = ("created", "updated", "deleted")


class Trio:
    def __init__(self, gateway, writer, reader):
        self.gateway, self.writer, self.reader = gateway, writer, reader

    def send(self, method, path, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.gateway.http.request(method, "/api/v1" + path, headers,
                                         json.dumps(body) if body else None)

    def create(self, name, **headers):
        return self.send("POST", "/products", {**KEYBOARD, "name": name}, **headers)

    def see(self, answer, id=None, wait=20):
        """What the reader shows to who has this answer to a command."""
        token = answer.headers["Consistency-Token"]
        return self.reader.get(f"/api/v1/products/{id or answer.json()['productId']}",
                               Consistency_Token=token, Prefer=f"wait={wait}")


@pytest.fixture(scope="module")
def trio(module_cqrsd, postgres, kafka, unique):
    written, viewed = postgres.create(unique("written")), postgres.create(unique("viewed"))
    topics = {name: unique(f"product_{name}") for name in NAMES}
    progress = unique("progress")
    for topic in topics.values():
        kafka.create(topic, 3)
    kafka.create(progress, 1)

    def start(name, database, **more):
        config = merge({
            "kafka": {"brokers": kafka.address, "group": unique(name), "session_timeout": "6s",
                      "progress": progress},
            "postgres": {"dsn": database.dsn, "migrate": "auto"}}, more)
        return module_cqrsd(config, name).start()

    product, view = {"topics": topics}, {"topics": {name: topics[name] for name in EVENTS}}
    writer = start("writer", written, commands={"product": product})
    gateway = start("gateway", written, commands={"consume": False, "product": product})
    reader = start("reader", viewed, commands={"product_view": view}, queries={"product": {}})
    return Trio(gateway, writer, reader)


def test_what_the_gateway_takes_the_reader_shows(trio):
    made = trio.create("Trio")
    assert made.status == 201
    seen = trio.see(made)
    assert (seen.status, seen.json()["name"]) == (200, "Trio"), seen
    id = made.json()["productId"]
    put = trio.send("PUT", f"/products/{id}", {**KEYBOARD, "name": "Two"}, If_Match='"1"',
                    Prefer="wait=20")
    assert (put.status, put.json()["version"]) == (200, 2)
    assert trio.see(put, id).json()["name"] == "Two"
    late = trio.send("PUT", f"/products/{id}", KEYBOARD, If_Match='"1"', Prefer="wait=20")
    assert (late.status, late.json()["code"]) == (412, "precondition_failed")
    gone = trio.send("DELETE", f"/products/{id}")
    assert trio.see(gone, id).status == 404


def test_each_does_only_its_own(trio):
    assert trio.gateway.get("/api/v1/products/search").status == 405  # only GET
    assert trio.reader.http.request("POST", "/api/v1/products", {}, "{}").status in (404, 405)


def test_the_writer_is_killed(trio):
    key = str(uuid.uuid4())
    trio.writer.kill()
    made = trio.create("Without a writer", Idempotency_Key=key)
    assert made.status == 201
    again = trio.create("Without a writer", Idempotency_Key=key)
    assert again.json() == made.json()
    waited = trio.create("Nobody is there", Prefer="wait=1")
    assert waited.status == 202
    assert trio.see(made, wait=1).status == 503
    trio.writer.start()
    assert trio.see(made).json()["version"] == 1
    wait_until(lambda: trio.gateway.get(waited.headers["Location"]).status == 200, 30,
               "the outcome is known")


def test_the_reader_is_killed(trio):
    trio.reader.kill()
    made = trio.create("Without a reader", Prefer="wait=20")
    assert made.status == 201
    trio.reader.start()
    assert trio.see(made).json()["name"] == "Without a reader"


def test_the_gateway_is_killed(trio):
    made = trio.create("Before")
    trio.gateway.kill()
    assert trio.see(made).status == 200
    trio.gateway.start()
    assert trio.see(trio.create("After")).status == 200


def test_all_are_killed(trio):
    answers = [trio.create(f"n {n}") for n in range(50)]
    for daemon in (trio.gateway, trio.writer, trio.reader):
        daemon.kill()
    for daemon in (trio.writer, trio.gateway, trio.reader):
        daemon.start()
    for n, answer in enumerate(answers):
        assert trio.see(answer).json()["name"] == f"n {n}"
