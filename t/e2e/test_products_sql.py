# SPDX-License-Identifier: MIT
"""What the functions of the products system do that takes more than a command after the other."""

import threading
import uuid

import psycopg2
import pytest

from support.workshop import wait_until

ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
WAIT = ("SELECT (products.apply_or_wait(%s, %s, %s, 'd', 1, NULL, 'events', NULL, %s, %s, now(), "
        "'product_update', 3, 7, 'key', '{\"traceparent\": \"t\"}', 'payload')).reason")
CREATE = "SELECT (products.apply('create', %s, %s, 'd', 1, NULL, 'events', NULL)).status"


@pytest.fixture
def migrated(cqrsd, database):
    cqrsd({"postgres": {"dsn": database.dsn}}).migrate()
    return database


def wait_for(database, command="update", id=ID, name="late", us=3_600_000_000, most=1000):
    return database.value(WAIT, [command, id, name, us, most])


def view(database, id, name, description="d", version=1, price="1"):
    database.query("SELECT product_view.project(%s, %s, %s, %s, now(), now(), %s)",
                   [id, name, description, price, version])


def search(database, text, page=1, size=10, order="name"):
    ((total, more, products),) = database.query(
        "SELECT * FROM product_view.search(%s, %s, %s, %s)", [text, page, size, order])
    return total, more, [p["name"] for p in products]


@pytest.mark.parametrize("first", ["update", "create"])
def test_who_creates_while_a_change_is_put_aside_waits_and_sees_it(migrated, first):
    """The one that comes second waits for the transaction of the first."""
    statements = {"update": (WAIT, ["update", ID, "late", 3_600_000_000, 1000]),
                  "create": (CREATE, [ID, "early"])}
    second = "create" if first == "update" else "update"
    one, two = psycopg2.connect(migrated.dsn), psycopg2.connect(migrated.dsn)
    one.cursor().execute(*statements[first])
    other = threading.Thread(target=lambda: (two.cursor().execute(*statements[second]),
                                             two.commit()))
    other.start()
    wait_until(lambda: migrated.value("SELECT count(*) FROM pg_locks WHERE NOT granted"), 10,
               "the second waits")
    one.commit()
    other.join()
    one.close()
    two.close()
    assert migrated.query("SELECT name, version FROM products.product") == [("late", 2)]
    assert migrated.value("SELECT count(*) FROM products.aside") == 0


def test_what_waited_in_vain_is_a_dead_letter(migrated):
    migrated.query("INSERT INTO cqrs.offsets (consumer_group, topic, partition, next_offset) "
                   "VALUES ('group', 'product_update', 3, 8)")
    wait_for(migrated, us=1)
    wait_for(migrated, "delete", us=1)
    assert migrated.value("SELECT products.expire()") == 2
    ((*letter, payload, reason),) = migrated.query(
        "SELECT consumer_group, topic, partition, \"offset\", headers, payload_is_whole, "
        "convert_from(payload, 'UTF8'), reason FROM cqrs.dead_letters")
    assert letter == ["group", "product_update", 3, 7, {"traceparent": "t"}, True]
    assert payload == "payload"
    assert reason == f"there is no product {ID}, nor was it created while this waited"
    assert migrated.value("SELECT count(*) FROM products.product") == 0
    assert migrated.value("SELECT products.expire()") == 0


def test_no_more_wait_than_may(migrated):
    for n in range(3):
        assert wait_for(migrated, id=str(uuid.UUID(int=n)), most=3).startswith("waits")
    assert wait_for(migrated, most=3) == f"there is no product {ID}"
    assert wait_for(migrated, us=0) == f"there is no product {ID}"


def test_what_waited_is_applied_in_the_order_in_which_it_was_sent(migrated):
    for sent, command in ((2, "delete"), (1, "update")):
        migrated.query(WAIT.replace("now()", f"'2022-01-01 00:00:0{sent}Z'"),
                       [command, ID, "late", 3_600_000_000, 1000])
    migrated.query(CREATE, [ID, "early"])
    assert migrated.query("SELECT version, deleted FROM products.product") == [(3, True)]
    assert migrated.value("SELECT count(*) FROM cqrs.dead_letters") == 0


@pytest.mark.parametrize("column, value", [
    ("price", "12.999"), ("price", "-0.01"), ("price", "NaN"), ("price", "1e15"),
    ("name", ""), ("name", "ä" * 251), ("description", ""), ("description", "ä" * 5001)])
@pytest.mark.parametrize("table", ["products.product", "product_view.product"])
def test_the_database_has_the_rules_too(migrated, table, column, value):
    row = {"id": ID, "name": "n", "description": "d", "price": "1", "version": 1,
           "created_at": "now", "updated_at": "now"}
    sql = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})"
    with pytest.raises(psycopg2.errors.CheckViolation):
        migrated.query(sql, list({**row, column: value}.values()))
    migrated.query(sql, list(row.values()))


@pytest.mark.parametrize("text, found", [
    ("%", {"100% _Ä\\"}), ("_", {"100% _Ä\\"}), ("\\", {"100% _Ä\\"}), ("_ä", {"100% _Ä\\"}),
    ("ä", {"100% _Ä\\", "äpfel"}), ("ÄPF", {"äpfel"}), ("ΟΔΟΣ", {"Other"}), ("οδοσ", {"Other"}),
    ("ой Т", {"Plain"}), ("pl.in", set()), ("l", {"Plain", "äpfel"}), ("nd", set()),
    ("", {"100% _Ä\\", "äpfel", "Other", "Plain"}), (None, {"100% _Ä\\", "äpfel", "Other", "Plain"})])
def test_search_is_literal_and_whatever_the_case(migrated, text, found):
    for n, (name, description) in enumerate([
            ("100% _Ä\\", "x"), ("äpfel", "x"), ("Other", "οδος"), ("Plain", "ТОЙ ТЕКСТ")]):
        view(migrated, str(uuid.UUID(int=n)), name, description)
    view(migrated, ID, None, None, price=None)
    total, more, names = search(migrated, text)
    assert (total, more, set(names)) == (len(found), False, found)


def test_search_gives_page_by_page(migrated):
    for n in range(7):
        view(migrated, str(uuid.UUID(int=n)), f"name {n}", price=7 - n)
    pages = [search(migrated, "NAME", page, 3) for page in (1, 2, 3, 4)]
    assert [(total, more) for total, more, _ in pages] == [(7, True), (7, True), (7, False), (7, False)]
    assert [name for _, _, names in pages for name in names] == [f"name {n}" for n in range(7)]
    assert search(migrated, "name", 1, 2, "-name")[2] == ["name 6", "name 5"]
    assert search(migrated, "name", 1, 2, "price")[2] == ["name 6", "name 5"]


def test_search_counts_to_ten_thousand(migrated):
    migrated.query("INSERT INTO product_view.product (id, name, description, price, created_at, "
                   "updated_at, version) SELECT gen_random_uuid(), 'n', 'd', 1, now(), now(), 1 "
                   "FROM generate_series(1, 10001)")
    assert search(migrated, "n", 1000)[:2] == (10000, True)


def test_search_uses_the_index(migrated):
    migrated.query("INSERT INTO product_view.product (id, name, description, price, created_at, "
                   "updated_at, version) SELECT gen_random_uuid(), md5(n::text), md5(n::text), 1, "
                   "now(), now(), 1 FROM generate_series(1, 20000) n")
    migrated.query("VACUUM ANALYZE product_view.product")
    plan = "\n".join(line for (line,) in migrated.query(
        "SET enable_seqscan = off; EXPLAIN SELECT FROM product_view.product p "
        "WHERE p.name_folded LIKE '%abcde%' OR p.description_folded LIKE '%abcde%'"))
    assert "product_search" in plan


def test_events_without_a_version_go_by_their_time(migrated):
    def tell(name, second):
        migrated.query("SELECT product_view.project(%s, %s, %s, %s, now(), %s, NULL)", [
            ID, name, name and "d", name and 1, f"2022-01-01T00:00:0{second}Z"])

    for name, second in (("b", 2), ("a", 1), (None, 4), ("c", 3)):
        tell(name, second)
    assert migrated.query("SELECT name, version FROM product_view.product") == [(None, 2)]
    tell("d", 5)
    assert migrated.query("SELECT name, version FROM product_view.product") == [("d", 3)]


def test_a_database_that_may_not_have_trigrams_says_what_to_do(cqrsd, database):
    database.query("""
        CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'no extensions here' USING ERRCODE = 'insufficient_privilege'; END $$;
        CREATE EVENT TRIGGER forbid ON ddl_command_start WHEN TAG IN ('CREATE EXTENSION')
            EXECUTE FUNCTION forbid()""")
    daemon = cqrsd({"postgres": {"dsn": database.dsn}})
    done = daemon.run("migrate")
    assert done.returncode != 0
    assert 'run "CREATE EXTENSION pg_trgm" in it, and migrate again' in done.stderr
    assert "no extensions here" in done.stderr
    database.query("DROP EVENT TRIGGER forbid; CREATE EXTENSION pg_trgm")
    daemon.migrate()
