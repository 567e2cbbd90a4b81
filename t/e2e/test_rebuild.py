# SPDX-License-Identifier: MIT
"""cqrsd rebuild: a view made anew from its events, while the old one answers and goes on."""

import subprocess
import threading
import time
import uuid

import psycopg2
import pytest

from shop import KEYBOARD, Shop, shop_config
from support.daemon import BINARY
from support.workshop import wait_until

VIEW = ("SELECT id, name, description, price, created_at, updated_at, version "
        "FROM product_view.product ORDER BY id")
TRUTH = ("SELECT id, name, description, price, CASE WHEN NOT deleted THEN created_at END, updated_at, version "
         "FROM products.product ORDER BY id")
# All about the table and its indexes but what has a number.
SHAPE = ("SELECT 'index', indexdef FROM pg_indexes WHERE schemaname = 'product_view' "
         "UNION ALL SELECT 'constraint', conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint "
         "WHERE conrelid = 'product_view.product'::regclass "
         "UNION ALL SELECT 'column', attname || ' ' || format_type(atttypid, atttypmod) || ' ' || attnotnull || "
         "coalesce(pg_get_expr(adbin, adrelid), '') FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid "
         "AND adnum = attnum WHERE attrelid = 'product_view.product'::regclass AND attnum > 0 "
         "UNION ALL SELECT 'acl', relacl::text FROM pg_class WHERE oid = 'product_view.product'::regclass "
         "UNION ALL SELECT 'comment', obj_description('product_view.product'::regclass, 'pg_class') "
         "ORDER BY 1, 2")


class System(Shop):
    def make(self, n):
        """Products in several versions, some of them deleted; all of it is applied."""
        made = [self.apply("POST", "/products", {**KEYBOARD, "name": f"Keyboard {i}"}).json()["productId"]
                for i in range(n)]
        for i, id in enumerate(made):
            if i % 2:
                self.apply("PATCH", f"/products/{id}", {"price": i})
            if i % 5 == 0:
                self.apply("DELETE", f"/products/{id}")
        return made

    def apply(self, *request):
        answer = self.call(*request, Prefer="wait=20")
        assert answer.status in (200, 201), answer
        return answer

    def settle(self):
        """The view is what the write model is."""
        wait_until(lambda: self.database.query(VIEW) == self.database.query(TRUTH), 30,
                   "the view is as the write model")

    def rebuild(self, *arguments, view="product_view"):
        return self.daemon.run("rebuild", view, *arguments, timeout=60)

    def spoil(self):
        self.database.query("UPDATE product_view.product SET name = 'nonsense', version = 1000 "
                            "WHERE name IS NOT NULL")


@pytest.fixture
def system(cqrsd, database, kafka, unique):
    daemon = cqrsd(shop_config(database, kafka, unique, partitions=3))
    return System(daemon.start(), database, kafka)


def test_a_spoilt_view_comes_out_right_and_looks_as_before(system):
    made = system.make(25)
    system.settle()
    system.database.query("GRANT SELECT ON product_view.product TO PUBLIC")
    shape = system.database.query(SHAPE)
    system.spoil()
    spoilt = next(id for i, id in enumerate(made) if i % 5)
    wait_until(lambda: system.call("GET", f"/products/{spoilt}").json()["name"] == "nonsense", 10,
               "the answer that was kept is gone")
    done = system.rebuild()
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.startswith("rebuilt product_view in ")
    assert system.database.query(VIEW) == system.database.query(TRUTH)
    assert system.database.query(SHAPE) == shape
    # Also what is prepared, or kept: of the new view.
    wait_until(lambda: system.call("GET", f"/products/{spoilt}").json()["name"].startswith("Keyboard"),
               1, "the new view answers")
    assert system.call("GET", "/products/search?search=nonsense").json()["totalCount"] == 0
    # And it goes on being fed, once each.
    system.make(5)
    system.settle()
    assert not system.database.value("SELECT count(*) FROM pg_namespace WHERE nspname LIKE '%%rebuild%%'")
    assert not system.database.value(
        "SELECT count(*) FROM cqrs.offsets WHERE consumer_group <> %s", [system.daemon.config["kafka"]["group"]])


def test_clients_see_their_own_writes_all_the_while(system):
    """Tokens hold, answers are never refused, and nothing is missed, over three rebuilds."""
    stop, wrong, seen = threading.Event(), [], []

    def write():
        while not stop.is_set():
            answer = system.call("POST", "/products", KEYBOARD)
            id = answer.json()["productId"]
            read = system.call("GET", f"/products/{id}", Consistency_Token=answer.headers["Consistency-Token"],
                               Prefer="wait=20")
            (seen if read.status == 200 else wrong).append((id, read.status))

    def search():
        while not stop.is_set():
            answer = system.call("GET", "/products/search?search=keyboard")
            if answer.status != 200:
                wrong.append(answer)

    system.make(20)
    system.settle()
    clients = [threading.Thread(target=client) for client in (write, write, search)]
    for client in clients:
        client.start()
    done = [system.rebuild() for _ in range(3)]
    stop.set()
    for client in clients:
        client.join()
    assert [d.returncode for d in done] == [0] * 3, done
    assert not wrong and len(seen) > 20, (wrong[:3], len(seen))
    system.settle()


def test_one_that_dies_leaves_the_view_and_the_next_clears_up(system):
    system.make(20)
    system.settle()
    before = system.database.query(VIEW)
    system.database.query("INSERT INTO product_view.product (id, name, description, price, created_at, updated_at, "
                          "version) VALUES (%s, 'of old', 'd', 1, now(), now(), 7)", [str(uuid.uuid4())])
    # It never has seen all that the old one has.
    system.database.query("INSERT INTO cqrs.offsets (consumer_group, topic, partition, next_offset) "
                          "VALUES (%s, %s, 99, 1)", [system.daemon.config["kafka"]["group"], system.topics["created"]])
    process = subprocess.Popen([str(BINARY), "rebuild", "product_view", "-c", str(system.daemon.path), "--partial"],
                               stderr=subprocess.DEVNULL)
    wait_until(lambda: system.database.value(
        "SELECT to_regclass('product_view_rebuild.product') IS NOT NULL"), 30, "the shadow is there")
    wait_until(lambda: system.database.value("SELECT count(*) FROM product_view_rebuild.product") == 20, 30,
               "the shadow is full")
    other = system.rebuild("--partial")
    assert other.returncode == 1 and "another rebuild of it is at work" in other.stderr
    process.kill()
    process.wait()
    system.database.query("DELETE FROM cqrs.offsets WHERE partition = 99")
    assert system.database.value("SELECT name FROM product_view.product WHERE version = 7") == "of old"
    system.make(1)
    wait_until(lambda: system.rebuild().returncode == 0, 30, "the lock of who died is gone")
    assert not system.database.value("SELECT count(*) FROM product_view.product WHERE name = 'of old'")
    assert len(system.database.query(VIEW)) == len(before) + 1
    system.settle()


def test_the_switch_waits_for_who_asks_but_not_for_long(system):
    system.make(3)
    system.settle()
    asks = psycopg2.connect(system.database.dsn)
    asks.cursor().execute("SELECT count(*) FROM product_view.product")
    process = subprocess.Popen([str(BINARY), "rebuild", "product_view", "-c", str(system.daemon.path)])
    wait_until(lambda: system.database.value("SELECT count(*) FROM pg_locks WHERE NOT granted AND "
                                             "mode = 'AccessExclusiveLock'"), 30, "it waits")
    begin = time.monotonic()
    assert system.call("GET", "/products/search?search=keyboard").status == 200
    assert time.monotonic() - begin < 5
    asks.rollback()
    asks.close()
    assert process.wait(30) == 0
    system.settle()


@pytest.mark.parametrize("view, said", [
    ("nothing", "there is no command module nothing; configured are: product product_view"),
    ("product", "it cannot be rebuilt: it decides, and is no view"),
])
def test_what_cannot_be_rebuilt(system, view, said):
    done = system.rebuild(view=view)
    assert done.returncode == 1 and said in done.stderr, done


def test_what_kafka_has_no_more_is_not_silently_left_out(system):
    system.make(10)
    system.settle()
    topic = system.topics["created"]
    partition = next(p for p in range(3) if system.kafka.watermarks(topic, p)[1] > 0)
    system.kafka.delete_records(topic, partition, 1)
    done = system.rebuild()
    assert done.returncode == 1
    assert f"Kafka has the events of {topic} [{partition}] only from offset 1 on" in done.stderr
    system.settle()
    done = system.rebuild("--partial")
    assert done.returncode == 0, done
