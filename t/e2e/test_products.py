# SPDX-License-Identifier: MIT
"""The products system as clients see it: over HTTP, and as producers and readers of its topics."""

import json
import random
import uuid
from decimal import Decimal

import confluent_kafka
import pytest

from shop import KEYBOARD, Shop, shop_config
from support.workshop import wait_until
from test_products_model import IDS, Model, content_of, random_content

# The original's messages, as it writes them.
ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
ID_HEX = "0a24" + ID.encode().hex()
CREATE_HEX = (ID_HEX + "12084b6579626f6172641a134d656368616e6963616c206b6579626f617264"
              "210000000000e05840")
REORDER_WAIT_S = 2


class Products(Shop):
    """A daemon with all three modules, and topics of its own."""

    def create(self, **members):
        """Applied."""
        answer = self.call("POST", "/products", {**KEYBOARD, **members}, Prefer="wait=20")
        assert answer.status == 201, answer
        return answer.json()["productId"]

    def get(self, id, **headers):
        return self.call("GET", f"/products/{id}", **headers)

    def seen(self, id, version):
        """The view has it."""
        wait_until(lambda: self.get(id).headers["ETag"] == f'"{version}"', 20,
                   lambda: f"{id} in version {version}: {self.get(id)}")
        return self.get(id)

    def gone(self, id):
        wait_until(lambda: self.get(id).status == 404, 20, f"{id} is gone")

    def produce(self, topic, id, value, **headers):
        value = json.dumps(value) if isinstance(value, dict) else value
        (place,) = self.kafka.produce(self.topics[topic], [
            {"key": id, "value": value, "headers": list(headers.items())}])
        return place

    def letter(self, topic, place):
        """Why the message is a dead letter; waits for it."""
        sql = ('SELECT reason FROM cqrs.dead_letters '
               'WHERE topic = %s AND partition = %s AND "offset" = %s')
        ((reason,),) = wait_until(
            lambda: self.database.query(sql, [self.topics[topic], *place]), 20, "a dead letter")
        return reason

    def stored(self, id):
        return self.database.query("SELECT name, description, price, version, deleted "
                                   "FROM products.product WHERE id = %s", [id])

    def applied(self, *topics):
        """All that was sent to them is."""
        def left():
            return {topic for topic in topics if self.kafka.watermarks(self.topics[topic])[1] != sum(
                n for (n,) in self.database.query(
                    "SELECT next_offset FROM cqrs.offsets WHERE topic = %s", [self.topics[topic]]))}

        wait_until(lambda: not left(), 30, lambda: f"applied: {left()}")

    def events(self, topic):
        """(key, headers, value as text) of all messages of a topic."""
        consumer = confluent_kafka.Consumer({
            "bootstrap.servers": self.kafka.address, "group.id": "events",
            "enable.partition.eof": True})
        consumer.assign([confluent_kafka.TopicPartition(self.topics[topic], 0, 0)])
        found = []
        while not (message := consumer.poll(20)).error():
            found.append((message.key().decode(), dict(message.headers() or []),
                          message.value().decode()))
        consumer.close()
        return found


@pytest.fixture(scope="module")
def products(module_cqrsd, module_database, kafka, unique):
    config = shop_config(module_database, kafka, unique, reorder_wait=f"{REORDER_WAIT_S}s")
    return Products(module_cqrsd(config).start(), module_database, kafka)


# ---- over HTTP ----

def test_create_and_read(products):
    answer = products.call("POST", "/products", KEYBOARD)
    id = answer.json()["productId"]
    assert (answer.status, answer.json()) == (201, {"productId": id})
    assert answer.headers["Location"] == f"/api/v1/products/{id}"
    assert answer.headers["Consistency-Token"].startswith(products.topics["commands"] + ":0@")
    assert uuid.UUID(id).version == 7
    read = products.seen(id, 1).json()
    assert {name: read[name] for name in KEYBOARD} == KEYBOARD
    assert (read["productId"], read["version"]) == (id, 1)
    assert read["createdAt"] == read["updatedAt"] and read["createdAt"].endswith("Z")
    assert list(read) == ["productId", "name", "description", "price", "createdAt", "updatedAt",
                          "version"]


def test_who_has_the_product_already_gets_304(products):
    id = products.create()
    products.seen(id, 1)
    assert products.get(id, If_None_Match='"1"').status == 304
    assert products.get(id, If_None_Match='"2"').status == 200


def test_change_delete_and_the_outcome_of_each(products):
    id = products.create()
    changed = {"name": "K", "description": "D", "price": 0.01}
    answer = products.call("PUT", f"/products/{id}", changed)
    assert (answer.status, answer.json()) == (200, {"productId": id, **changed})
    products.seen(id, 2)
    answer = products.call("PATCH", f"/products/{id}", {"price": 7}, Prefer="wait=20")
    assert answer.status == 200
    read = products.seen(id, 3).json()
    assert (read["name"], read["description"], read["price"]) == ("K", "D", 7)
    assert read["createdAt"] <= read["updatedAt"]
    assert products.call("DELETE", f"/products/{id}").status == 200
    products.gone(id)
    assert products.call("DELETE", f"/products/{id}", Prefer="wait=20").status == 200
    for method, body in (("PUT", KEYBOARD), ("PATCH", {"name": "n"})):
        answer = products.call(method, f"/products/{id}", body, Prefer="wait=20")
        assert answer.status == 404 and "no product" in answer.json()["detail"], answer


def test_a_version_is_checked_when_the_command_is_applied(products):
    id = products.create()
    for method, body in (("PUT", KEYBOARD), ("PATCH", {"name": "n"}), ("DELETE", None)):
        answer = products.call(method, f"/products/{id}", body, Prefer="wait=20", If_Match='"7"')
        assert answer.status == 412, answer
        assert "version 1" in answer.json()["detail"]
    assert products.call("PATCH", f"/products/{id}", {"name": "n"}, Prefer="wait=20",
                         If_Match='"1"').status == 200
    assert products.call("DELETE", f"/products/{id}", Prefer="wait=20",
                         If_Match='"2"').status == 200
    assert products.stored(id) == [(None, None, None, 3, True)]


def test_a_refusal_that_nobody_waits_for_is_a_dead_letter(products):
    id = str(uuid.uuid4())
    answer = products.call("PUT", f"/products/{id}", KEYBOARD)
    assert answer.status == 200
    _, _, place = answer.headers["Consistency-Token"].rpartition(":")
    place = [int(number) for number in place.split("@")]
    assert products.letter("commands", place) == f"there is no product {id}"


def test_a_repeated_create_has_the_same_id(products):
    key = f'"{uuid.uuid4()}"'
    first, second = [products.call("POST", "/products", KEYBOARD, Prefer="wait=20",
                                   Idempotency_Key=key) for _ in range(2)]
    assert (first.status, second.status) == (201, 201)
    assert first.json() == second.json()
    assert products.stored(first.json()["productId"])[0][3] == 1
    assert products.call("POST", "/products", {**KEYBOARD, "price": 1},
                         Idempotency_Key=key).status == 422


RULES = [
    ({"name": ""}, "name"), ({"name": "ä" * 251}, "name"), ({"name": 7}, "name"),
    ({"name": None}, "name"), ({"description": ""}, "description"),
    ({"description": "x" * 5001}, "description"), ({"price": -0.01}, "price"),
    ({"price": 1.999}, "price"), ({"price": "1"}, "price"), ({"price": 1e15}, "price"),
]


@pytest.mark.parametrize("wrong, member", RULES)
def test_rules_over_http(products, wrong, member):
    before = products.kafka.watermarks(products.topics["commands"])
    for method, path, body in (("POST", "/products", {**KEYBOARD, **wrong}),
                               ("PUT", f"/products/{ID}", {**KEYBOARD, **wrong}),
                               ("PATCH", f"/products/{ID}", wrong)):
        answer = products.call(method, path, body)
        assert (answer.status, answer.content_type) == (422, "application/problem+json")
        assert answer.json()["param"] == member
        assert member in answer.json()["detail"]
    assert products.kafka.watermarks(products.topics["commands"]) == before


@pytest.mark.parametrize("method, path, body, status, said", [
    ("POST", "/products", {"name": "n", "price": 1}, 422, "description is missing"),
    ("PUT", f"/products/{ID}", {"name": "n", "description": "d"}, 422, "price is missing"),
    ("PATCH", f"/products/{ID}", {}, 422, "one of name, description and price"),
    ("POST", "/products", {**KEYBOARD, "prize": 1}, 422, 'no member "prize"'),
    ("PUT", f"/products/{ID}", {**KEYBOARD, "productId": str(uuid.uuid4())}, 422, "in the path"),
    ("POST", "/products", "{", 400, "not JSON"), ("POST", "/products", "[]", 400, "not JSON"),
    ("POST", "/products", '{"name": "a", "name": "b"}', 422, "twice"),
    ("PUT", "/products/7", KEYBOARD, 400, "id")])
def test_bodies_that_are_no_product(products, method, path, body, status, said):
    answer = products.call(method, path, body)
    assert answer.status == status and said in answer.json()["detail"], answer


@pytest.mark.parametrize("price", ["12.99", "0", "999999999999999.99", "0.1", "90071992547409.93"])
def test_a_price_loses_nothing(products, price):
    body = '{"name": "n", "description": "d", "price": %s}' % price
    answer = products.call("POST", "/products", body)
    id = answer.json()["productId"]
    assert f'"price":{price},' in products.seen(id, 1).text
    (event,) = [value for key, _, value in products.events("created") if key == id]
    assert json.loads(event, parse_float=str, parse_int=str)["price"] == price
    assert products.stored(id)[0][2] == Decimal(price)


def test_what_was_read_can_be_put_back(products):
    id = products.create()
    read = products.seen(id, 1).json()
    answer = products.call("PUT", f"/products/{id}", {**read, "name": "new"}, Prefer="wait=20")
    assert answer.status == 200
    assert products.seen(id, 2).json()["name"] == "new"


# ---- the topics of other producers ----

def test_messages_of_the_original(products):
    """Protobuf, as it is told by its first byte or by its header."""
    products.produce("create", ID, bytes.fromhex(CREATE_HEX))
    assert {n: products.seen(ID, 1).json()[n] for n in KEYBOARD} == KEYBOARD
    update = bytes.fromhex(CREATE_HEX.replace("4b6579626f617264", "4b4559424f415244", 1))
    products.produce("update", ID, update, **{"content-type": "application/x-protobuf"})
    assert products.seen(ID, 2).json()["name"] == "KEYBOARD"
    products.produce("delete", ID, bytes.fromhex(ID_HEX))
    products.gone(ID)


def test_a_change_that_overtakes_its_create_waits_for_it(products):
    id = str(uuid.uuid4())
    products.produce("update", id, {"productId": id, **KEYBOARD, "name": "late"})
    products.applied("update")
    assert products.get(id).status == 404
    products.produce("create", id, {"productId": id, **KEYBOARD})
    assert products.seen(id, 2).json()["name"] == "late"


def test_a_change_that_waits_in_vain_is_a_dead_letter(products):
    id = str(uuid.uuid4())
    products.produce("delete", id, {"productId": id})
    place = products.produce("update", id, {"productId": id, **KEYBOARD})
    assert products.letter("update", place).startswith(f"there is no product {id}")
    assert products.stored(id) == []


def test_a_create_that_is_repeated_and_one_that_is_another(products):
    id = str(uuid.uuid4())
    products.produce("create", id, {"productId": id, **KEYBOARD})
    products.produce("create", id, {"productId": id, **KEYBOARD})
    place = products.produce("create", id, {"productId": id, **KEYBOARD, "price": 1})
    assert products.letter("create", place) == f"product {id} exists and is another one"
    assert products.database.value("SELECT count(*) FROM cqrs.dead_letters WHERE topic = %s "
                                   "AND convert_from(key, 'UTF8') = %s",
                                   [products.topics["create"], id]) == 1
    assert products.stored(id)[0][3] == 1


@pytest.mark.parametrize("wrong, member", RULES)
def test_rules_of_messages(products, wrong, member):
    id = str(uuid.uuid4())
    place = products.produce("create", id, {"productId": id, **KEYBOARD, **wrong})
    assert member in products.letter("create", place)
    place = products.produce("commands", id, {**KEYBOARD, **wrong}, command="update")
    assert member in products.letter("commands", place)


@pytest.mark.parametrize("value, headers, reason", [
    ("{}", {}, "header"), ("{}", {"command": "drop"}, "header"),
    ("{", {"command": "create"}, "not JSON"), ("7", {"command": "create"}, "neither")])
def test_commands_that_are_none(products, value, headers, reason):
    place = products.produce("commands", ID, value, **headers)
    assert reason in products.letter("commands", place)


def test_random_commands_through_kafka_end_as_in_the_model(products):
    chance = random.Random(7)
    model = Model()
    names = {id: str(uuid.uuid4()) for id in IDS}
    for _ in range(300):
        command = chance.choice(["create", "update", "patch", "delete"])
        content = random_content(chance, command)
        expected = chance.choice([None, None, 1, 2]) if command != "create" else None
        id = names[chance.choice(IDS)]
        headers = {"command": command, **({"if-match": str(expected)} if expected else {})}
        products.produce("commands", id, json.dumps(content, default=float), **headers)
        model.apply(command, id, content, expected)
    products.applied("commands")
    for table in ("products.product", "product_view.product"):
        def state():
            rows = products.database.query(
                f"SELECT id::text, version, name, description, price FROM {table} "
                "WHERE id = ANY (%s::uuid[])", [list(names.values())])
            return {id: (version, content_of(row)) for id, version, *row in rows}

        wait_until(lambda: state() == model.products, 20,
                   lambda: f"{table} is {state()}, not {model.products}")
    told = [json.loads(value)["version"] for topic in ("created", "updated", "deleted")
            for key, _, value in products.events(topic) if key == names[IDS[0]]]
    assert sorted(told) == list(range(1, model.products[names[IDS[0]]][0] + 1))
