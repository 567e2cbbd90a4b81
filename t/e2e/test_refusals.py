# SPDX-License-Identifier: MIT
"""Readings that only PostgreSQL refuses: each becomes a dead letter, and nothing else does."""

import json

import pytest

from conftest import sensor_config
from support.workshop import wait_until

START = 1_646_352_000  # 2022-03-04T00:00:00Z
DAY = 86_400
PER_MESSAGE = 40
TABLE = """
    DROP TABLE IF EXISTS sensor_data, allowed CASCADE;
    CREATE TABLE sensor_data (time timestamptz NOT NULL, sensor_id integer NOT NULL,
        temperature double precision, cpu double precision) {partitioned};
    TRUNCATE cqrs.dead_letters;
"""
KEY = "ALTER TABLE sensor_data ADD PRIMARY KEY (sensor_id, time);"
ALLOWED = ("CREATE TABLE allowed AS SELECT id FROM generate_series(1, 1000) AS id;"
           "ALTER TABLE allowed ADD PRIMARY KEY (id);")
PICKY = """
    CREATE OR REPLACE FUNCTION picky() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.temperature = 666 THEN
            RAISE EXCEPTION 'not that one' USING ERRCODE = {code!r};
        END IF;
        RETURN {returns};
    END $$;
    CREATE TRIGGER picky {when} INSERT ON sensor_data FOR EACH ROW EXECUTE FUNCTION picky();
"""
RANGES = "".join(
    f"CREATE TABLE part_{n} PARTITION OF sensor_data"
    f" FOR VALUES FROM (to_timestamp({START + n * DAY})) TO (to_timestamp({START + (n + 1) * DAY}));"
    for n in (0, 1, 3))
LISTS = ("CREATE TABLE odd PARTITION OF sensor_data FOR VALUES IN ({});"
         "CREATE TABLE even PARTITION OF sensor_data FOR VALUES IN ({}) PARTITION BY RANGE (time);"
         "CREATE TABLE early PARTITION OF even FOR VALUES FROM (MINVALUE) TO ('2022-04-01');").format(
             ", ".join(map(str, range(1, 999, 2))), ", ".join(map(str, range(2, 1000, 2))))

# name: (what the table demands, what makes a reading a bad one, SQLSTATE, part of the reason)
KINDS = {
    "check": ("ALTER TABLE sensor_data ADD CONSTRAINT cold CHECK (temperature < 100);",
              {"temperature": 100}, "23514", 'violates check constraint "cold"'),
    "check of two columns": ("ALTER TABLE sensor_data ADD CHECK (temperature <> cpu);",
                             {"temperature": 7, "cpu": 7}, "23514", "sensor_data_check"),
    "not null": ("ALTER TABLE sensor_data ALTER cpu SET NOT NULL;",
                 {"cpu": None}, "23502", 'null value in column "cpu"'),
    "foreign key": (ALLOWED + "ALTER TABLE sensor_data ADD FOREIGN KEY (sensor_id) REFERENCES allowed;",
                    {"sensor_id": 1001}, "23503", "sensor_data_sensor_id_fkey"),
    "deferred foreign key": (
        ALLOWED + "ALTER TABLE sensor_data ADD FOREIGN KEY (sensor_id) REFERENCES allowed"
        " DEFERRABLE INITIALLY DEFERRED;", {"sensor_id": 1001}, "23503", "sensor_data_sensor_id_fkey"),
    "numeric": ("ALTER TABLE sensor_data ALTER temperature TYPE numeric(4, 1);",
                {"temperature": 999.95}, "22003", "numeric field overflow"),
    "real": ("ALTER TABLE sensor_data ALTER temperature TYPE real;",
             {"temperature": 1e39}, "22003", "value out of range: overflow"),
    "smallint": ("ALTER TABLE sensor_data ALTER sensor_id TYPE smallint;",
                 {"sensor_id": 32768}, "22003", "smallint out of range"),
    "check that raises": ("ALTER TABLE sensor_data ADD CHECK (1 / cpu::int < 10);",
                          {"cpu": 0}, "22012", "division by zero"),
    "trigger before": (PICKY.format(code="P0001", returns="NEW", when="BEFORE"),
                       {"temperature": 666}, "P0001", "not that one"),
    "trigger after": (PICKY.format(code="TEMP1", returns="NULL", when="AFTER"),
                      {"temperature": 666}, "TEMP1", "not that one"),
}
PARTITIONED = {
    "no range": ("PARTITION BY RANGE (time)", RANGES, {"ts": START + 2 * DAY}),
    "no list": ("PARTITION BY LIST (sensor_id)", LISTS, {"sensor_id": 5000}),
    "no range in a list": ("PARTITION BY LIST (sensor_id)", LISTS,
                           {"sensor_id": 2, "ts": START + 300 * DAY}),
}


class System:
    def __init__(self, daemon, database, kafka, topic):
        self.daemon, self.database, self.kafka, self.topic = daemon, database, kafka, topic
        self.ts = START

    def demand(self, ddl, partitioned=""):
        self.database.query(TABLE.format(partitioned=partitioned) + ddl)

    def readings(self, count):
        """Good ones, of all sensors in turn; no other has their times."""
        for n in range(count):
            if n % 500 == 0:
                self.ts += 1
            yield {"ts": self.ts, "sensor_id": n % 500 + 1, "temperature": n % 64 + 0.5,
                   "cpu": n % 32 + 1}

    def send(self, messages):
        """Waits until all are decided, and says at which offset each was."""
        places = self.kafka.produce(self.topic, messages)
        wait_until(lambda: self.database.value(
            "SELECT next_offset FROM cqrs.offsets WHERE topic = %s",
            (self.topic,)) > places[-1][1], 60, "all messages are decided")
        return [offset for _, offset in places]

    def stored(self):
        return sorted(self.database.query(
            "SELECT extract(epoch FROM time)::bigint, sensor_id::int, temperature::float8,"
            " cpu::float8 FROM sensor_data"))

    def dead(self):
        return [(offset, index, bytes(payload), sqlstate) for offset, index, payload, sqlstate
                in self.database.query(
                    'SELECT "offset", part_index, payload, sqlstate FROM cqrs.dead_letters'
                    ' ORDER BY "offset", part_index')]

    def reasons(self):
        return [reason for (reason,) in
                self.database.query("SELECT DISTINCT reason FROM cqrs.dead_letters")]


@pytest.fixture(scope="module")
def system(module_cqrsd, module_database, kafka, unique):
    topics = {"readings": unique("readings"), "sensors": unique("sensors")}
    for topic in topics.values():
        kafka.create(topic, 1)
    daemon = module_cqrsd(sensor_config(
        module_database, kafka.address, unique("group"), topics,
        # Small batches, so that there are some after the first that was refused.
        postgres={"write": {"max_rows": 1000}})).start()
    # The module would make the partitions whose absence is tried here.
    module_database.query(
        "CREATE OR REPLACE FUNCTION sensor_data_partition(low timestamptz, high timestamptz)"
        " RETURNS void LANGUAGE sql AS ''")
    return System(daemon, module_database, kafka, topics["readings"])


def row(reading):
    return (reading["ts"], reading["sensor_id"], reading["temperature"], reading["cpu"])


def poisoned(readings, bad, step):
    """Messages of many readings, every `step`th of which is bad; and what is to become of them."""
    good, letters, messages = [], [], []
    for number, reading in enumerate(readings):
        if number % PER_MESSAGE == 0:
            messages.append([])
        if number % step == step // 2:
            reading = {**reading, **bad(number)}
            letters.append((len(messages) - 1, number % PER_MESSAGE, json.dumps(reading).encode(),
                            bad.sqlstate(number)))
        else:
            good.append(row(reading))
        messages[-1].append(json.dumps(reading))
    return ["[" + ", ".join(m) + "]" for m in messages], sorted(good), letters


class Bad:
    """What makes the nth reading a bad one, and what PostgreSQL says to that."""

    def __init__(self, *kinds):
        self.kinds = kinds

    def __call__(self, number):
        return self.kinds[number % len(self.kinds)][0]

    def sqlstate(self, number):
        return self.kinds[number % len(self.kinds)][1]


def check(system, bad, count=4000, step=101):
    messages, good, letters = poisoned(system.readings(count), bad, step)
    offsets = system.send(messages)
    expected = [(offsets[m], index, payload, state) for m, index, payload, state in letters]
    assert system.dead() == expected
    assert system.stored() == good


@pytest.mark.parametrize("key", [KEY, ""], ids=["with a key", "without a key"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_postgresql_refuses_is_dead_and_all_others_land(system, kind, key):
    ddl, bad, sqlstate, reason = KINDS[kind]
    system.demand(key + ddl)
    check(system, Bad((bad, sqlstate)))
    (said,) = system.reasons()
    assert reason in said


@pytest.mark.parametrize("key", [KEY, ""], ids=["with a key", "without a key"])
@pytest.mark.parametrize("kind", PARTITIONED)
def test_what_has_no_partition_is_dead_and_all_others_land(system, kind, key):
    partitioned, ddl, bad = PARTITIONED[kind]
    system.demand(key + ddl, partitioned)
    check(system, Bad((bad, "23514")))
    assert system.reasons() == ['no partition of relation "sensor_data" found for row']


@pytest.mark.parametrize("key", [KEY, ""], ids=["with a key", "without a key"])
def test_one_message_may_have_bad_readings_of_every_kind(system, key):
    system.demand(
        ALLOWED + key + RANGES +
        "ALTER TABLE sensor_data ALTER cpu SET NOT NULL, ADD CHECK (temperature < 100),"
        " ADD FOREIGN KEY (sensor_id) REFERENCES allowed, ADD CHECK (1 / cpu::int < 10);" +
        PICKY.format(code="TEMP1", returns="NULL", when="AFTER").replace("666", "66"),
        "PARTITION BY RANGE (time)")
    check(system, Bad(({"cpu": None}, "23502"), ({"temperature": 100}, "23514"),
                      ({"sensor_id": 5000}, "23503"), ({"ts": START + 9 * DAY}, "23514"),
                      ({"cpu": 0}, "22012"), ({"temperature": 66}, "TEMP1")),
          count=1000, step=7)


def test_a_message_without_parts_is_dead_as_a_whole(system):
    system.demand(KEY + KINDS["check"][0])
    bad, good = [{**reading, "temperature": t}
                 for reading, t in zip(system.readings(2), (1000, 10))]
    offsets = system.send([json.dumps(bad), json.dumps(good), "[1", json.dumps([good])])
    assert system.stored() == [row(good)]
    assert system.dead() == [(offsets[0], None, json.dumps(bad).encode(), "23514"),
                             (offsets[2], None, b"[1", None)]


def test_duplicates_are_counted_beside_what_is_refused(system):
    system.demand(KEY + KINDS["check"][0])
    readings = list(system.readings(2000))
    before = system.daemon.metrics().value("cqrsd_rows_duplicate_total")
    messages, good, letters = poisoned(readings, Bad(({"temperature": 500}, "23514")), 101)
    offsets = system.send(messages)
    again = system.send(messages)
    assert system.stored() == good
    assert system.dead() == [(o[m], index, payload, state) for o in (offsets, again)
                             for m, index, payload, state in letters]
    wait_until(lambda: system.daemon.metrics().value("cqrsd_rows_duplicate_total") - before
               == len(good), 10, "all that was there already is counted")


def test_a_trigger_that_mends_rows_is_left_to_do_so(system):
    """What a check would say before the trigger has been at work does not count."""
    system.demand(KINDS["check"][0] + """
        CREATE OR REPLACE FUNCTION mend() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.cpu = 7 THEN NEW.temperature := 0; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER mend BEFORE INSERT ON sensor_data FOR EACH ROW EXECUTE FUNCTION mend();
    """)
    hot = [{**reading, "temperature": 500} for reading in system.readings(100)]
    system.send([json.dumps(hot[:50]), json.dumps(hot[50:])])
    mended = [{**reading, "temperature": 0} for reading in hot if reading["cpu"] == 7]
    assert system.stored() == sorted(map(row, mended))
    assert len(system.dead()) == 100 - len(mended)
