# SPDX-License-Identifier: MIT
"""The read model of products: events in, answers out, whoever has made the events."""

import json
import uuid

import pytest

from support.workshop import wait_until

KEYBOARD = {"name": "Keyboard", "description": "Mechanical keyboard", "price": 99.5}
TIMES = {"createdAt": "2022-03-04T15:55:07Z", "updatedAt": "2022-03-04T15:55:07.250Z"}
# The original's events, as it writes them.
ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
CREATED = bytes.fromhex(
    "0a6a0a24" + ID.encode().hex() + "12084b6579626f6172641a134d656368616e6963616c206b6579626f617264"
    "210000000000e05840320c08adc1ad89061080cab5ee013a0c08adc1ad89061080cab5ee01")
DELETED = bytes.fromhex("0a24" + ID.encode().hex())


class View:
    def __init__(self, daemon, database, kafka, topics):
        self.daemon, self.database, self.kafka, self.topics = daemon, database, kafka, topics

    def tell(self, topic, id, value):
        """Until it is applied."""
        value = json.dumps({"productId": id, **value}) if isinstance(value, dict) else value
        ((_, offset),) = self.kafka.produce(self.topics[topic], [{"key": id, "value": value}])
        wait_until(lambda: self.database.query(
            "SELECT 1 FROM cqrs.offsets WHERE topic = %s AND next_offset > %s",
            [self.topics[topic], offset]), 20, "the event is applied")
        return offset

    def get(self, id, **headers):
        return self.daemon.get(f"/api/v1/products/{id}", **headers)

    def search(self, **asked):
        answer = self.daemon.get("/api/v1/products/search", asked)
        assert answer.status == 200, answer
        return answer.json()


@pytest.fixture(scope="module")
def view(module_cqrsd, module_database, kafka, unique):
    topics = {name: unique(f"product_{name}") for name in ("created", "updated", "deleted")}
    for topic in topics.values():
        kafka.create(topic)
    daemon = module_cqrsd({
        "kafka": {"brokers": kafka.address, "group": unique("group"), "session_timeout": "6s"},
        "postgres": {"dsn": module_database.dsn, "migrate": "auto"},
        "commands": {"product_view": {"topics": topics}}, "queries": {"product": {}}})
    return View(daemon.start(), module_database, kafka, topics)


def test_an_event_becomes_an_answer(view):
    id = str(uuid.uuid4())
    assert view.get(id).status == 404
    view.tell("created", id, {**KEYBOARD, **TIMES, "version": 1})
    answer = view.get(id.upper())
    assert answer.json() == {"productId": id, **KEYBOARD, **TIMES, "version": 1}
    assert answer.headers["ETag"] == '"1"'
    assert view.get(id, If_None_Match='"1"').status == 304
    view.tell("updated", id, {**KEYBOARD, **TIMES, "name": "K", "version": 2})
    assert view.get(id, If_None_Match='"1"').json()["name"] == "K"
    view.tell("deleted", id, {"version": 3})
    assert view.get(id).status == 404


@pytest.mark.parametrize("price", ["12.99", "0", "999999999999999.99", "90071992547409.93"])
def test_a_price_loses_nothing(view, price):
    id = str(uuid.uuid4())
    event = json.dumps({"productId": id, **KEYBOARD, **TIMES, "version": 1})
    view.tell("created", id, event.replace("99.5", price))
    assert f'"price":{price},' in view.get(id).text


def test_what_is_older_is_ignored(view):
    id = str(uuid.uuid4())
    view.tell("updated", id, {**KEYBOARD, **TIMES, "name": "new", "version": 5})
    view.tell("created", id, {**KEYBOARD, **TIMES, "name": "old", "version": 1})
    view.tell("updated", id, {**KEYBOARD, **TIMES, "name": "again", "version": 5})
    view.tell("deleted", id, {"version": 4})
    assert view.get(id).json()["name"] == "new"
    view.tell("deleted", id, {"version": 6})
    view.tell("updated", id, {**KEYBOARD, **TIMES, "version": 5})
    assert view.get(id).status == 404


def test_events_of_the_original(view):
    view.tell("created", ID, CREATED)
    time = "2021-08-29T10:25:49.500Z"
    assert view.get(ID).json() == {"productId": ID, **KEYBOARD, "createdAt": time,
                                   "updatedAt": time, "version": 1}
    view.tell("deleted", ID, DELETED)
    assert view.get(ID).status == 404


def test_what_is_no_event_is_a_dead_letter(view):
    for value, reason in (("{", "not JSON"), ("7", "neither a JSON object nor the protobuf"),
                          ({**KEYBOARD, "price": 1.999}, "price must have at most two"),
                          ({"name": "n", "price": 1}, "description is missing")):
        offset = view.tell("created", str(uuid.uuid4()), value)
        assert reason in view.database.value(
            'SELECT reason FROM cqrs.dead_letters WHERE topic = %s AND "offset" = %s',
            [view.topics["created"], offset])


def test_search(view):
    word = uuid.uuid4().hex
    ids = [str(uuid.uuid4()) for _ in range(3)]
    for n, id in enumerate(ids):
        view.tell("created", id, {"name": f"{word} {n} 100%", "description": "ÄPFEL_", "price": n,
                                  **TIMES, "version": 1})
    page = view.search(search=word.upper(), size=2)
    found = page.pop("products")
    assert page == {"totalCount": 3, "totalPages": 2, "page": 1, "size": 2, "hasMore": True}
    assert found == [view.get(id).json() for id in ids[:2]]
    page = view.search(search=word, size=2, page=2, order_by="-price")
    assert ([p["productId"] for p in page["products"]], page["hasMore"]) == ([ids[0]], False)
    assert view.search(search=word + "%")["totalCount"] == 0
    assert view.search(search=f"{word} 2 100%")["totalCount"] == 1
    assert view.search(search="äpfel_")["totalCount"] == 3


@pytest.mark.parametrize("asked, said", [
    ({"size": 101}, "size"), ({"page": 0}, "page"), ({"page": 1001}, "pages end after 10000"),
    ({"order_by": "id"}, "order_by"), ({"serach": "x"}, "did you mean"), ({"search": "x" * 251}, "search")])
def test_what_cannot_be_searched_for(view, asked, said):
    answer = view.daemon.get("/api/v1/products/search", asked)
    assert answer.status == 400 and said in answer.json()["detail"], answer
