# SPDX-License-Identifier: MIT
"""What was refused, looked at, tried again and put away: on the command line and over HTTP."""

import json
import random
import signal
import subprocess
import time

import pytest

from conftest import sensor_config
from support.broker import KafkaClient
from support.daemon import BINARY
from support.workshop import wait_until

T = 1646409000


def reading(sensor_id, second=0, **members):
    return {"ts": T + second, "sensor_id": sensor_id, "temperature": 20.5, "cpu": 1, **members}


class Letters:
    """A database with the schema, a daemon's configuration, and letters put there by hand."""

    def __init__(self, daemon, database, group, topics):
        self.daemon, self.database = daemon, database
        self.group, self.topics = group, topics

    def add(self, payload, *, topic=None, offset=0, part=None, reason="once it was", sqlstate=None,
            key=None, headers=None, whole=None, group=None, created=None):
        """The id of a letter; `payload` is bytes, None or becomes JSON."""
        if payload is not None and not isinstance(payload, bytes):
            payload = json.dumps(payload).encode()
        return self.database.value(
            'INSERT INTO cqrs.dead_letters (consumer_group, topic, partition, "offset", part_index,'
            " key, headers, payload, payload_is_whole, reason, sqlstate, created_at) VALUES "
            "(%s, %s, 0, %s, %s, %s, %s, %s, %s, %s, %s, coalesce(%s::timestamptz, now())) "
            "RETURNING id",
            (group or self.group, topic or self.topics["readings"], offset, part, key,
             headers and json.dumps(headers), payload, part is None if whole is None else whole,
             reason, sqlstate, created))

    def run(self, *arguments):
        return self.daemon.run("dead-letters", *arguments)

    def fine(self, *arguments):
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def json(self, *arguments):
        return json.loads(self.fine(*arguments, "--json"))

    def open(self):
        return [i for (i,) in self.database.query(
            "SELECT id FROM cqrs.dead_letters WHERE resolution IS NULL ORDER BY id")]

    def stored(self):
        return self.database.query("SELECT sensor_id, extract(epoch FROM time)::int FROM sensor_data"
                                   " ORDER BY 1, 2")

    def everything(self):
        """All that a rehearsal must leave as it is."""
        return [self.database.query(f"SELECT * FROM {table} ORDER BY 1") for table in (
            "cqrs.dead_letters", "cqrs.offsets", "cqrs.outbox", "sensors", "sensor_data")]

    def without_key(self):
        """From now on nothing but the fence keeps a reading from being stored twice."""
        self.database.query("ALTER TABLE sensor_data DROP CONSTRAINT sensor_data_pkey")


@pytest.fixture
def letters(cqrsd, database, unique):
    topics = {"readings": unique("readings"), "sensors": unique("sensors")}
    group = unique("it's a group")
    daemon = cqrsd(sensor_config(database, "127.0.0.1:1", group, topics))
    daemon.migrate()
    return Letters(daemon, database, group, topics)


# ---- from a refusal to its end, with a daemon that lives ----

def test_what_was_refused_is_stored_once_when_the_cause_is_gone(cqrsd, database, unique):
    topics = {"readings": unique("readings"), "sensors": unique("sensors")}
    config = sensor_config(database, "embedded", unique("group"), topics)
    config["commands"]["sensor"]["unknown_sensors"] = "refuse"
    daemon = cqrsd(config).start()
    letters = Letters(daemon, database, config["kafka"]["group"], topics)
    database.query("INSERT INTO sensors (id) VALUES (1)")
    database.query("ALTER TABLE sensor_data ADD CONSTRAINT cool CHECK (temperature < 100)")
    letters.without_key()
    message = [reading(1), reading(77, 1), reading(1, 2, temperature=500), reading(77, 3)]
    KafkaClient(daemon.kafka_address()).produce(topics["readings"], [json.dumps(message)])
    wait_until(lambda: len(letters.open()) == 3, 30, "three parts are dead letters")

    database.query("INSERT INTO sensors (id) VALUES (77)")
    done = letters.run("redrive", "--topic", topics["readings"], "--by", "it's me")
    assert done.returncode == 1  # one of them is still too hot
    assert "2 redriven, 1 refused again" in done.stdout
    assert letters.stored() == [(1, T), (77, T + 1), (77, T + 3)]
    assert database.query(
        "SELECT d.part_index, d.resolution, d.resolved_by, d.sqlstate, o.sqlstate "
        "FROM cqrs.dead_letters d LEFT JOIN cqrs.dead_letters o ON o.id = d.redrive_of "
        "ORDER BY d.redrive_of NULLS FIRST, d.part_index") == [
            (1, "redriven", "it's me", "23503", None), (2, "redriven", "it's me", "23514", None),
            (3, "redriven", "it's me", "23503", None), (2, None, None, "23514", "23514")]

    database.query("ALTER TABLE sensor_data DROP CONSTRAINT cool")
    assert letters.fine("redrive", "--sqlstate", "23514") == "1 redriven, 0 refused again\n"
    assert letters.fine("redrive", "--all-open") == "0 redriven, 0 refused again\n"
    assert letters.stored() == [(1, T), (1, T + 2), (77, T + 1), (77, T + 3)]
    assert daemon.stop() == 0


def test_redrive_needs_neither_kafka_nor_a_daemon(letters):
    letters.add(reading(5))
    letters.add(None)
    done = letters.run("redrive", "--all-open")
    assert (done.returncode, letters.stored()) == (1, [(5, T)])
    assert "a message without value is not a" in done.stdout
    assert "1 redriven, 1 refused again" in done.stdout
    (again,) = letters.open()
    assert letters.json("show", str(again))["redrive_of"] == again - 1


def test_a_part_whose_letter_has_all_of_the_message_costs_the_others_nothing(letters):
    letters.without_key()
    whole = [reading(1), reading(2), reading(3, temperature="hot")]
    letters.add(whole, part=1, whole=True)
    letters.add(whole, part=2, whole=True)
    letters.add(whole, part=9, whole=True)
    done = letters.run("redrive", "--all-open")
    assert letters.stored() == [(2, T)]
    assert "1 redriven, 2 refused again" in done.stdout
    assert letters.database.query(
        "SELECT part_index, payload_is_whole, reason FROM cqrs.dead_letters "
        "WHERE resolution IS NULL ORDER BY id") == [
            (2, False, "temperature must be a number or null"),
            (9, True, "the message has no such part any more")]


def test_a_letter_that_no_module_takes_stays_open(letters):
    one = letters.add(reading(1), topic="of-a-module-that-is-gone")
    letters.add(reading(2))
    done = letters.run("redrive", "--all-open")
    assert done.returncode == 1
    assert "1 redriven, 0 refused again, 1 skipped: no module takes their topic" in done.stdout
    assert letters.open() == [one]


def test_of_other_groups_nothing_is_seen_and_nothing_touched(letters):
    other = letters.add(reading(1), group="others")
    assert letters.json("list", "--all")["letters"] == []
    assert letters.run("show", str(other)).returncode == 1
    assert letters.fine("redrive", str(other)) == "0 redriven, 0 refused again\n"
    assert letters.fine("discard", str(other)) == "0 discarded\n"
    assert letters.open() == [other] and letters.stored() == []


def test_many_letters_are_redriven_in_order(letters):
    """More than a batch, and more than a batch's bytes: the last one stands."""
    letters.daemon.write(memory="16MiB", commands={"sensor": {"on_duplicate": "update"}})
    for i in range(20):
        letters.add([reading(1, temperature=i), "x" * 100_000], offset=i)
    letters.database.query(
        "INSERT INTO cqrs.dead_letters (consumer_group, topic, partition, \"offset\", payload, "
        "payload_is_whole, reason) SELECT %s, %s, 0, n, convert_to(json_build_object('ts', %s, "
        "'sensor_id', 2, 'cpu', n)::text, 'UTF8'), true, 'why' FROM generate_series(1, 1500) n",
        (letters.group, letters.topics["readings"], T))
    done = letters.run("redrive", "--all-open")
    assert "1500 redriven, 20 refused again" in done.stdout, done.stdout + done.stderr
    assert letters.database.query("SELECT sensor_id, coalesce(temperature, cpu) FROM sensor_data "
                                  "ORDER BY 1") == [(1, 19), (2, 1500)]
    assert len(letters.open()) == 20


# ---- saying what would happen ----

def test_a_dry_run_says_what_would_happen_and_changes_nothing(letters):
    letters.database.query("ALTER TABLE sensor_data ADD CONSTRAINT cool CHECK (temperature < 100)")
    good, hot, odd = (letters.add(reading(1)), letters.add(reading(2, temperature=500)),
                      letters.add(b"{"))
    before = letters.everything()
    done = letters.run("redrive", "--all-open", "--dry-run", "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 1
    assert [(l["id"], l["outcome"], l["sqlstate"]) for l in answer["letters"]] == [
        (good, "redriven", None), (hot, "refused", "23514"), (odd, "refused", None)]
    assert "cool" in answer["letters"][1]["reason"]
    assert (answer["redriven"], answer["refused"], answer["left"]) == (1, 2, 0)
    assert letters.fine("redrive", str(good), "--dry-run").endswith(
        "1 would be redriven, 0 would be refused again\n")
    assert letters.fine("discard", "--all-open", "--dry-run") == "3 would be discarded\n"
    assert letters.everything() == before
    # And afterwards it happens as it was said.
    letters.run("redrive", "--all-open")
    assert letters.stored() == [(1, T)]


# ---- exactly once ----

def add_many(letters, n):
    letters.without_key()
    letters.database.query(
        "INSERT INTO cqrs.dead_letters (consumer_group, topic, partition, \"offset\", payload, "
        "payload_is_whole, reason) SELECT %s, %s, 0, n, convert_to(json_build_object('ts', %s + n, "
        "'sensor_id', n %% 10 + 1, 'cpu', n)::text, 'UTF8'), true, 'why' "
        "FROM generate_series(1, %s) n",
        (letters.group, letters.topics["readings"], T, n))


def start(letters, *arguments):
    return letters.daemon.workshop.start(
        [str(BINARY), "-c", str(letters.daemon.path), "dead-letters", *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def each_once(letters, n):
    assert letters.database.query(
        "SELECT count(*), count(DISTINCT time) FROM sensor_data") == [(n, n)]
    assert letters.open() == []


def test_killed_at_any_moment_it_stores_each_letter_once(letters):
    n, kills, moments = 6000, 0, random.Random(7)
    add_many(letters, n)
    # Slow enough to be met in the middle of it.
    letters.database.query(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(0.05); RETURN NULL; END $$;"
        "CREATE TRIGGER slow AFTER INSERT ON sensor_data FOR EACH STATEMENT EXECUTE FUNCTION slow()")
    while letters.open() and kills < 60:
        process = start(letters, "redrive", "--all-open")
        time.sleep(moments.uniform(0, 0.3))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        letters.daemon.workshop.stop(process)
    done = letters.run("redrive", "--all-open")
    assert done.returncode == 0, done.stdout + done.stderr
    assert kills >= 3
    each_once(letters, n)


def test_several_at_the_same_time_store_each_letter_once(letters):
    n = 3000
    add_many(letters, n)
    processes = [start(letters, "redrive", "--all-open", "--json", "--by", f"p{i}")
                 for i in range(3)]
    outputs = [process.communicate(timeout=120) for process in processes]
    for process in processes:
        letters.daemon.workshop.forget(process.pid)
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    answers = [json.loads(out) for out, _ in outputs]
    assert sum(answer["redriven"] for answer in answers) == n
    by = dict(letters.database.query(
        "SELECT resolved_by, count(*)::int FROM cqrs.dead_letters GROUP BY 1"))
    assert [by.get(f"p{i}", 0) for i in range(3)] == [answer["redriven"] for answer in answers]
    each_once(letters, n)


# ---- looking, and putting away ----

def test_list_chooses_by_what_it_is_told(letters):
    topic = letters.topics["readings"]
    old = letters.add(b"1", reason="100% wrong_", created="2020-01-01T00:00:00Z")
    module = letters.add(b"2", reason="quite wrong")
    state = letters.add(b"3", reason="value too long", sqlstate="22001", offset=7, part=4)
    other = letters.add(b"4", topic="another")

    def ids(*arguments):
        return [letter["id"] for letter in letters.json("list", *arguments)["letters"]]

    assert ids() == [other, state, module, old]
    assert ids("--topic", topic) == [state, module, old]
    assert ids("--reason", "wrong") == [module, old]
    assert ids("--reason", "0% wrong_") == [old]
    assert ids("--reason", "%") == [old]
    assert ids("--sqlstate", "22001") == [state]
    assert ids("--sqlstate", "module", "--topic", topic) == [module, old]
    assert ids("--since", "2h") == [other, state, module]
    assert ids("--since", "2019-12-31T23:59:59Z", "--limit", "2") == [other, state]
    assert ids("--before", str(state)) == [module, old]
    assert letters.json("list", "--limit", "1")["total"] == 4
    letters.fine("discard", str(old))
    assert ids("--all") == [other, state, module, old]
    assert ids() == [other, state, module]
    text = letters.fine("list")
    assert "3 of 3 dead letters" in text
    assert all(len(line) <= 100 for line in text.splitlines())
    (line,) = [line for line in text.splitlines() if "22001" in line]
    assert "@7 #4" in line or "…" in line


def test_show_has_all_there_is_to_know(letters):
    one = letters.add("grüße".encode(), key=b"\x00\xff", reason="why\nnot", sqlstate="22P02",
                      offset=12, part=3, headers={"trace": "abc", "twice": ["x", "y"]})
    shown = letters.json("show", str(one))
    created = letters.database.value("SELECT to_char(created_at AT TIME ZONE 'UTC', "
                                     "'YYYY-MM-DD\"T\"HH24:MI:SS') FROM cqrs.dead_letters")
    assert shown.pop("created_at").startswith(created)
    assert shown == {
        "id": one, "topic": letters.topics["readings"], "partition": 0, "offset": 12,
        "part_index": 3, "reason": "why\nnot", "sqlstate": "22P02", "redrive_of": None,
        "resolution": None, "resolved_at": None, "resolved_by": None,
        "payload_bytes": 7, "payload": "grüße", "payload_is_whole": False, "key_hex": "00ff",
        "headers": {"trace": "abc", "twice": ["x", "y"]}}
    assert "grüße" in letters.fine("show", str(one))
    nothing = letters.json("show", str(letters.add(None)))
    assert (nothing["payload"], nothing["key"], nothing["headers"]) == (None, None, None)
    done = letters.run("show", "999999")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no such dead letter" in done.stderr


def test_what_strangers_sent_does_not_reach_the_terminal_as_it_is(letters):
    one = letters.add("a\x1b[2Jb\u009bc\x7f\n".encode(), reason="\x1b]0;title\x07\x7f\u009b!")
    for text in (letters.fine("list"), letters.fine("show", str(one))):
        assert not set(text) & set("\x1b\x07\x7f\u009b")
    assert "\\u001b[2Jb\\u009bc\\u007f" in letters.fine("show", str(one))


def test_discard_keeps_the_letter_and_says_who(letters):
    ids = [letters.add(reading(i)) for i in range(1, 6)]
    assert letters.fine("discard", str(ids[0]), str(ids[1]), "--by", "me") == "2 discarded\n"
    assert letters.fine("discard", "--all-open", "--limit", "2") == "2 discarded, 1 left\n"
    assert letters.open() == ids[4:]
    assert letters.database.query(
        "SELECT resolution, resolved_by, resolved_at IS NOT NULL FROM cqrs.dead_letters "
        "WHERE id = %s", (ids[1],)) == [("discarded", "me", True)]
    # What is put away is not tried again.
    assert letters.fine("redrive", str(ids[0])) == "0 redriven, 0 refused again\n"
    assert letters.stored() == []


@pytest.mark.parametrize("arguments, says", [
    ([], "list, show, redrive or discard"),
    (["mend"], "list, show, redrive or discard"),
    (["redrive"], "--all-open"),
    (["discard", "--limit", "5"], "--all-open"),
    (["redrive", "--all-open", "7"], "does not go with"),
    (["redrive", "--all", "--topic", "t"], "--all is for list"),
    (["show"], "one id"),
    (["show", "1", "2"], "one id"),
    (["show", "one"], "above 0"),
    (["list", "--since", "yesterday"], "2h"),
    (["list", "--limit", "0"], "above 0"),
    (["list", "--limit", "99999999999999999999"], "above 0"),
    (["list", "--topic", ""], "topic"),
    (["list", "--colour", "red"], "--colour"),
    (["redrive", "1", "--by", ""], "--by"),
])
def test_what_is_not_understood_is_refused(letters, arguments, says):
    done = letters.run(*arguments)
    assert (done.returncode, done.stdout) == (64, "")
    assert says in done.stderr


def test_a_database_that_is_away_is_told(letters):
    letters.daemon.write(postgres={"dsn": "host=/nonexistent"})
    for verb in (["list"], ["redrive", "--all-open"]):
        done = letters.run(*verb)
        assert (done.returncode, done.stdout) == (1, "")
        assert "/nonexistent" in done.stderr


def test_a_table_that_redrive_cannot_write_to_is_told(letters):
    letters.add(reading(1))
    letters.database.query("ALTER TABLE sensor_data RENAME TO elsewhere")
    done = letters.run("redrive", "--all-open")
    assert done.returncode == 1
    assert "sensor_data" in done.stderr and "42P01" in done.stderr
    letters.database.query("ALTER TABLE elsewhere RENAME TO sensor_data")
    assert letters.fine("redrive", "--all-open") == "1 redriven, 0 refused again\n"


def test_a_database_that_refuses_is_told(letters):
    letters.database.query("DROP TABLE cqrs.dead_letters")
    done = letters.run("list")
    assert done.returncode == 1
    assert "42P01" in done.stderr and "cqrs.dead_letters" in done.stderr


# ---- over the admin listener ----

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def served(letters):
    """With a daemon that listens, whatever has become of its Kafka."""
    letters.daemon.start(ready=False)
    wait_until(lambda: letters.daemon.is_listening(), 30, "the admin listener is there")
    return letters


def get(letters, path, parameters=None):
    return letters.daemon.admin.get(path, parameters)


def post(letters, what, body, headers=JSON):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return letters.daemon.admin.request("POST", f"/dead-letters/{what}", headers, body)


def test_the_admin_listener_lists_and_shows_what_the_command_line_does(served):
    first, second = served.add(b"\xff", sqlstate="22021"), served.add(reading(1), key=b"k")
    answer = get(served, "/dead-letters")
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert answer.json() == served.json("list")
    assert [l["id"] for l in get(served, "/dead-letters", {"sqlstate": "22021", "all": "true"})
            .json()["letters"]] == [first]
    answer = get(served, f"/dead-letters/{second}")
    assert answer.json() == served.json("show", str(second))
    assert get(served, f"/dead-letters/{first}").json()["payload_hex"] == "ff"
    assert get(served, "/dead-letters/4711").status == 404


def test_the_admin_listener_redrives_and_discards(served):
    good, odd, other = served.add(reading(1)), served.add(b"{"), served.add(reading(2))
    before = served.everything()
    answer = post(served, "redrive", {"ids": [good, odd], "dry_run": True})
    assert answer.status == 200
    assert [(l["id"], l["outcome"]) for l in answer.json()["letters"]] == [
        (good, "redriven"), (odd, "refused")]
    assert post(served, "discard", {"all_open": True, "dry_run": True}).json() == {"discarded": 3}
    assert served.everything() == before

    answer = post(served, "redrive", {"ids": [good, odd], "by": "it's the web"}).json()
    assert (answer["redriven"], answer["refused"], answer["left"]) == (1, 1, 0)
    assert served.stored() == [(1, T)]
    assert served.database.value("SELECT resolved_by FROM cqrs.dead_letters WHERE id = %s",
                                 (good,)) == "it's the web"
    answer = post(served, "redrive", {"topic": served.topics["readings"], "limit": 1}).json()
    assert (answer["redriven"], answer["left"]) == (1, 1)
    assert served.stored() == [(1, T), (2, T)]
    answer = post(served, "discard", {"reason": "not JSON", "limit": 10})
    assert answer.json() == {"discarded": 1, "left": 0}
    assert served.open() == [] and served.database.value(
        "SELECT resolved_by FROM cqrs.dead_letters WHERE resolution = 'discarded'") == "admin"
    assert f"by it's the web" in served.daemon.log()
    assert other not in served.open()


def test_the_modules_of_a_living_daemon_forget_what_a_rehearsal_ensured(served):
    """Sensor 5 and its partition were only made to be taken back: they must be made again."""
    one = served.add(reading(5))
    for dry_run in (True, True, False):
        answer = post(served, "redrive", {"ids": [one], "dry_run": dry_run}).json()
        assert (answer["redriven"], answer["refused"]) == (1, 0)
    assert served.stored() == [(5, T)]
    assert served.database.value("SELECT count(*) FROM sensors WHERE id = 5") == 1


@pytest.mark.parametrize("body, says", [
    (b"", "JSON object"),
    (b"[1]", "JSON object"),
    ({}, "all_open"),
    ({"limit": 7}, "all_open"),
    ({"all_open": False}, "all_open"),
    ({"all_open": True, "ids": [1]}, "does not go with"),
    ({"ids": []}, "not empty"),
    ({"ids": ["1"]}, "above 0"),
    ({"ids": [1.5]}, "above 0"),
    ({"ids": [1], "limit": 10001}, "at most 10000"),
    ({"ids": [1], "dry_run": "yes"}, "true or false"),
    ({"ids": [1], "by": ""}, "by must be"),
    ({"ids": [1], "by": "x" * 200}, "by must be"),
    ({"topic": {"a": 1}}, "texts and numbers"),
    ({"since": "yesterday"}, "2h"),
    ({"colour": "red"}, "colour"),
    ({"all": "true", "ids": [1]}, "texts and numbers"),
])
def test_a_body_that_is_not_understood_is_refused(served, body, says):
    served.add(reading(1))
    for what in ("redrive", "discard"):
        answer = post(served, what, body)
        assert (answer.status, answer.content_type) == (400, "application/problem+json")
        assert says in answer.json()["detail"]
    assert len(served.open()) == 1 and served.stored() == []


def test_a_web_page_cannot_post_without_being_asked_first(served):
    """What a form or a simple fetch() of another origin may send (Fetch standard, 2.2.2)."""
    served.add(reading(1))
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
                 "application/jsonp", "text/plain; application/json"):
        assert post(served, "redrive", {"all_open": True}, {"Content-Type": kind}).status == 415
    assert post(served, "redrive", {"all_open": True}, {}).status == 415
    assert get(served, "/dead-letters/redrive").status == 405
    answer = served.daemon.admin.request("DELETE", "/dead-letters")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert len(served.open()) == 1


def test_a_query_or_a_body_beyond_the_limits_is_refused(served):
    assert get(served, "/dead-letters", {"limit": 1001}).status == 400
    assert get(served, "/dead-letters", {"colour": "red"}).status == 400
    assert get(served, "/dead-letters/one").status == 400
    assert post(served, "redrive", {"ids": list(range(1, 30_000))}).status == 413


def test_a_database_that_refuses_is_a_problem_of_its_own(served):
    served.database.query("DROP TABLE cqrs.dead_letters")
    answer = get(served, "/dead-letters")
    assert (answer.status, answer.json()["code"]) == (503, "database")
    assert "42P01" in answer.json()["detail"]
    assert served.daemon.is_listening()
