# SPDX-License-Identifier: MIT
"""Answers about one object are kept, and never longer than they are true."""

import threading
import time

from shop import KEYBOARD
from support.workshop import wait_until
from test_products import products  # noqa: F401, F811


def hits(products):  # noqa: F811
    return products.daemon.metrics().value("cqrsd_cache_hits_total")


def kept(products, id, version):  # noqa: F811
    """The answer is kept: asked again it is a hit."""
    products.seen(id, version)

    def is_hit():
        before = hits(products)
        products.get(id)
        return hits(products) == before + 1

    wait_until(is_hit, 20, "the answer is kept")


def test_an_answer_is_kept_and_is_the_same(products):  # noqa: F811
    id = products.create()
    first = products.seen(id, 1)
    kept(products, id, 1)
    again = products.get(id)
    assert (again.status, again.body) == (200, first.body)
    same = ("ETag", "Content-Type", "Vary", "Content-Length")
    assert [again.headers[name] for name in same] == [first.headers[name] for name in same]
    head = products.call("HEAD", f"/products/{id}")
    assert (head.status, head.body, head.headers["ETag"]) == (200, b"", '"1"')
    before = hits(products)
    known = products.get(id, If_None_Match='"1"')
    assert (known.status, known.body, known.headers["ETag"]) == (304, b"", '"1"')
    assert hits(products) == before + 1


def test_other_forms_are_not_kept(products):  # noqa: F811
    id = products.create()
    kept(products, id, 1)
    before = hits(products)
    products.get(id, Accept="text/csv")
    products.call("GET", f"/products/{id}?time_format=unix")
    products.call("GET", f"/products/{id.upper()}")
    assert hits(products) == before


def test_what_changes_is_not_kept(products):  # noqa: F811
    id = products.create()
    for version in range(2, 30):
        kept(products, id, version - 1)
        put = products.call("PUT", f"/products/{id}", {**KEYBOARD, "price": version})
        seen = products.get(id, Prefer="wait=20",
                            Consistency_Token=put.headers["Consistency-Token"])
        assert (seen.status, seen.json()["version"]) == (200, version)
        # Its notification is under way at most.
        wait_until(lambda: products.get(id).json()["version"] == version, 0.5, interval=0.005)
    gone = products.call("DELETE", f"/products/{id}")
    assert products.get(id, Prefer="wait=20",
                        Consistency_Token=gone.headers["Consistency-Token"]).status == 404
    wait_until(lambda: products.get(id).status == 404, 0.5, interval=0.005)


def test_nobody_is_given_an_older_one(products):  # noqa: F811
    """While it changes all the time, what a reader sees never goes back."""
    id = products.create()
    products.seen(id, 1)
    ended, wrong = threading.Event(), []

    def read():
        last = 0
        while not ended.is_set():
            version = products.get(id).json()["version"]
            if version < last:
                wrong.append((last, version))
            last = version

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for n in range(100):
        products.call("PUT", f"/products/{id}", {**KEYBOARD, "price": n})
        time.sleep(0.01)
    ended.set()
    for reader in readers:
        reader.join()
    assert not wrong


def test_nothing_is_kept_while_nobody_listens(products):  # noqa: F811
    id = products.create()
    kept(products, id, 1)
    products.database.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                            "WHERE query = 'LISTEN cqrs_changed'")
    put = products.call("PUT", f"/products/{id}", {**KEYBOARD, "price": 7}, Prefer="wait=20")
    assert put.status == 200
    products.seen(id, 2)
    kept(products, id, 2)  # when it listens again
