# SPDX-License-Identifier: MIT
"""Who has changed something and asks with its token sees the change, always."""

import os
import random
import threading
import time

import pytest

from shop import KEYBOARD, NAMES
from support.daemon import merge
from support.workshop import wait_until
from test_products import Products

READS = 10_000  # that see their own writes
CLIENTS = 16


def config(database, kafka, group, topics, progress, **more):
    return merge({
        "kafka": {"brokers": kafka.address, "group": group, "session_timeout": "6s",
                  "progress": progress},
        "postgres": {"dsn": database.dsn, "migrate": "auto"},
        "commands": {
            "product": {"topics": topics},
            "product_view": {"topics": {name: topics[name]
                                        for name in ("created", "updated", "deleted")}}},
        "queries": {"product": {}},
    }, more)


@pytest.fixture(scope="module")
def two(module_cqrsd, module_database, kafka, unique):
    """Two processes of one group."""
    topics = {name: unique(f"product_{name}") for name in NAMES}
    progress = unique("progress")
    for topic in topics.values():
        kafka.create(topic, 4)
    kafka.create(progress, 1)
    made = config(module_database, kafka, unique("group"), topics, progress)
    daemons = [module_cqrsd(made, f"cqrsd{n}").start() for n in range(2)]
    return [Products(daemon, module_database, kafka) for daemon in daemons]


def token_of(answer):
    return answer.headers["Consistency-Token"]


def see(products, id, token, **headers):
    return products.call("GET", f"/products/{id}", Consistency_Token=token, **headers)


def test_who_creates_sees_it(two):
    for n in range(20):
        made = two[n % 2].call("POST", "/products", {**KEYBOARD, "name": f"K{n}"})
        assert made.status == 201
        seen = see(two[(n + 1) % 2], made.json()["productId"], token_of(made))
        assert (seen.status, seen.json()["name"]) == (200, f"K{n}"), seen


def test_who_deletes_sees_nothing(two):
    id = two[0].create()
    gone = two[0].call("DELETE", f"/products/{id}")
    assert see(two[1], id, token_of(gone)).status == 404


def test_a_command_without_an_event_is_seen_to_have_none(two):
    gone = two[0].call("DELETE", "/products/0f8fad5b-d9cb-469f-a165-70867728950e")
    assert see(two[1], "0f8fad5b-d9cb-469f-a165-70867728950e", token_of(gone)).status == 404


def test_several_tokens_are_all_waited_for(two):
    made = [two[n % 2].call("POST", "/products", KEYBOARD) for n in range(4)]
    token = ", ".join(token_of(answer) for answer in made)
    for answer in made:
        assert see(two[0], answer.json()["productId"], token).status == 200


@pytest.mark.parametrize("token", ["", "x", "t:0", "t:0@", "t:@1", "t:0@1,", "t:0@1;t:0@2",
                                   "t:99999999999@1", "t:0@99999999999999999999", "a b:0@1",
                                   ",".join(["t:0@1"] * 17)], ids=str)
def test_what_is_no_token_is_refused(two, token):
    answer = see(two[0], "0f8fad5b-d9cb-469f-a165-70867728950e", token)
    assert (answer.status, answer.json()["code"]) == (400, "invalid_header")


def test_what_never_comes_is_waited_for_as_long_as_is_said(two):
    token = f"{two[0].topics['commands']}:0@1000000"
    id = two[0].create()
    two[0].seen(id, 1)
    for wait, headers in ((1, {"Prefer": "wait=1"}), (2, {})):
        begin = time.monotonic()
        answer = see(two[0], id, token, **headers)
        assert wait - 0.1 < time.monotonic() - begin < wait + 3
        assert (answer.status, answer.json()["code"]) == (503, "not_applied_yet")
        assert answer.headers["Retry-After"] == "1"
    answer = see(two[0], id, token, Prefer="handling=lenient, wait=1")
    assert (answer.status, answer.json()["productId"]) == (200, id)
    assert answer.headers["Warning"].startswith("199 ")
    assert answer.headers["Preference-Applied"] == "handling=lenient"


def test_who_waits_and_hangs_up_leaves_nothing(two):
    token = f"{two[0].topics['commands']}:0@1000000"
    with pytest.raises(OSError):
        two[0].daemon.http.request("GET", "/api/v1/products/search",
                                   {"Consistency-Token": token, "Prefer": "wait=60"}, timeout=0.3)
    id = two[0].create()
    two[0].seen(id, 1)


def test_what_another_system_has_done_is_not_waited_for(cqrsd, database, kafka, unique):
    """Its token is good everywhere, since a client may have several."""
    topics = {name: unique(name) for name in (*NAMES, "readings", "sensors")}
    progress = unique("progress")
    for topic in (*topics.values(), progress):
        kafka.create(topic)
    sensors = {name: topics.pop(name) for name in ("readings", "sensors")}
    daemon = cqrsd(config(database, kafka, unique("group"), topics, progress,
                          commands={"sensor": {"topics": sensors}},
                          queries={"sensor": {}})).start()
    products = Products(daemon, database, kafka)
    described = products.call("PUT", "/sensors/7", {"type": "a", "location": "b"})
    made = products.call("POST", "/products", KEYBOARD)
    both = f"{token_of(described)}, {token_of(made)}"
    assert see(products, made.json()["productId"], both).status == 200
    assert products.call("GET", "/sensors/7", Consistency_Token=both).status == 200
    unknown = see(products, made.json()["productId"], "of-nobody:0@0")
    assert (unknown.status, unknown.json()["code"]) == (503, "not_applied_yet")


class Client(threading.Thread):
    """Changes products of its own, by one process, and reads them by another one."""

    def __init__(self, processes, seed, reads):
        super().__init__()
        self.processes, self.rng, self.reads = processes, random.Random(seed), reads
        self.wrong, self.late = [], 0

    def run(self):
        write, read = self.rng.sample(self.processes, 2)
        made = write.call("POST", "/products", KEYBOARD)
        id = made.json()["productId"]
        for n in range(self.reads):
            name = f"{self.name} {n}"
            put = write.call("PUT", f"/products/{id}", {**KEYBOARD, "name": name})
            seen = see(read, id, token_of(put), Prefer="wait=20")
            if seen.status == 503:
                self.late += 1
            elif seen.status != 200 or seen.json()["name"] != name:
                self.wrong.append((name, seen))


def test_everybody_sees_what_it_has_written(two):
    clients = [Client(two, n, READS // CLIENTS) for n in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    wrong = [what for client in clients for what in client.wrong]
    assert not wrong, (len(wrong), wrong[:3])
    assert sum(client.late for client in clients) == 0
