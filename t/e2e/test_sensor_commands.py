# SPDX-License-Identifier: MIT
"""What command/sensor stores and what it refuses, through both brokers."""

import itertools
import json
from datetime import datetime, timedelta, timezone

import pytest

from conftest import sensor_config
from support.broker import KafkaClient
from support.workshop import wait_until

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
T = 1646409307  # 2022-03-04T15:55:07Z


def at(seconds=T, us=0):
    return EPOCH + timedelta(seconds=seconds, microseconds=us)


class System:
    """A daemon with topics of its own, and the tables that it writes."""

    ids = itertools.count(1000)

    def __init__(self, daemon, database, client, readings, sensors):
        self.daemon, self.database, self.client = daemon, database, client
        self.readings, self.sensors = readings, sensors
        self.sent = {readings: 0, sensors: 0}

    def new_id(self):
        """A sensor that no other test has to do with."""
        return next(self.ids)

    def send(self, *messages, topic=None, wait=True):
        """Each is bytes, a text, None, a dict for produce(), or what becomes JSON."""
        topic = topic or self.readings
        places = self.client.produce(topic, [encode(m) for m in messages])
        self.sent[topic] += len(messages)
        if wait:
            self.settle()
        return places

    def settle(self):
        """Until all that was sent was decided, one way or the other."""
        wait_until(lambda: self.applied() >= sum(self.sent.values()), 20,
                   "everything sent is applied")
        # PostgreSQL tells other sessions of new partitions just after the rows in them can be
        # seen, and before it gives back this lock.
        self.database.query(
            "BEGIN; LOCK TABLE sensor_data IN SHARE UPDATE EXCLUSIVE MODE; COMMIT")
        assert self.applied() == sum(self.sent.values())

    def applied(self):
        return self.database.value(
            "SELECT coalesce(sum(next_offset), 0)::bigint FROM cqrs.offsets")

    def stored(self, sensor_id):
        return self.database.query(
            "SELECT time, temperature, cpu FROM sensor_data WHERE sensor_id = %s ORDER BY time",
            (sensor_id,))

    def sensor(self, sensor_id):
        return self.database.query("SELECT type, location FROM sensors WHERE id = %s",
                                   (sensor_id,))

    def dead(self, place, topic=None):
        """The dead letters of the message that landed at `place`: (part_index, reason)."""
        return self.database.query(
            'SELECT part_index, reason FROM cqrs.dead_letters '
            'WHERE topic = %s AND partition = %s AND "offset" = %s ORDER BY part_index',
            (topic or self.readings, *place))

    def dead_payload(self, place):
        return bytes(self.database.value(
            'SELECT payload FROM cqrs.dead_letters '
            'WHERE topic = %s AND partition = %s AND "offset" = %s', (self.readings, *place)))

    def sensor_dead(self, place):
        return self.dead(place, self.sensors)


def encode(message):
    if message is None or isinstance(message, (bytes, str)):
        return message
    if isinstance(message, dict) and message.keys() & {"value", "key", "headers"}:
        return message
    return json.dumps(message)


def reading(sensor_id, **members):
    return {"ts": T, "sensor_id": sensor_id, "temperature": 30, "cpu": 20, **members}


def without(record, *names):
    return {k: v for k, v in record.items() if k not in names}


def make_system(broker, make, database, unique, request, **options):
    """With a topic of several partitions for each kind, on the broker asked for."""
    readings, sensors = unique("readings"), unique("sensors")
    topics = {"readings": readings, "sensors": sensors}
    if broker == "kafka":
        client = request.getfixturevalue("kafka")
        client.create(readings, 3)
        client.create(sensors, 2)
        address = client.address
    else:
        address = "embedded"
    config = sensor_config(database, address, unique("group"), topics)
    config["commands"]["sensor"].update(options)
    daemon = make(config).start()
    if broker == "embedded":
        client = KafkaClient(daemon.kafka_address())
    return System(daemon, database, client, readings, sensors)


@pytest.fixture(scope="module", params=["embedded", "kafka"])
def system(request, module_cqrsd, postgres, unique):
    database = postgres.create(unique("db"))
    yield make_system(request.param, module_cqrsd, database, unique, request)


@pytest.fixture
def system_with(request, cqrsd, database, unique):
    """A system of its own, on real Kafka, for options other than the defaults."""
    return lambda **options: make_system("kafka", cqrsd, database, unique, request, **options)


# ---- readings that are good ----

GOOD_TIMES = [
    (T, at()),
    (0, at(0)),
    (1, at(1)),
    (T * 1000 + 5, at(us=5000)),
    (T * 10**6 + 7, at(us=7)),
    (T * 10**9 + 123456000, at(us=123456)),
    (7289654399, at(7289654399)),
    ("2022-03-04T15:55:07Z", at()),
    ("2022-03-04T15:55:07.5Z", at(us=500000)),
    ("2022-03-04T15:55:07.000001Z", at(us=1)),
    ("2022-03-04t15:55:07z", at()),
    ("2022-03-04T17:55:07+02:00", at()),
    ("2022-03-04T10:25:07-05:30", at()),
    ("2024-02-29T00:00:00Z", datetime(2024, 2, 29, tzinfo=timezone.utc)),
    ("1970-01-01T00:00:00Z", at(0)),
    ("2200-12-31T23:59:59.999999Z",
     datetime(2200, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc)),
]


@pytest.mark.parametrize("ts, expected", GOOD_TIMES, ids=lambda v: str(v))
def test_a_time_in_every_unit_and_notation(system, ts, expected):
    sensor = system.new_id()
    (place,) = system.send([reading(sensor, ts=ts)])
    assert system.dead(place) == []
    assert system.stored(sensor) == [(expected, 30, 20)]


GOOD_VALUES = [
    ({"temperature": 30.25, "cpu": -7}, (30.25, -7)),
    ({"temperature": 0, "cpu": 0}, (0, 0)),
    ({"temperature": -273.15, "cpu": 1e-300}, (-273.15, 1e-300)),
    ({"temperature": 1.7976931348623157e308, "cpu": 5e-324}, (1.7976931348623157e308, 5e-324)),
    ({"temperature": 0.1, "cpu": 1 / 3}, (0.1, 1 / 3)),
    ({"temperature": 9007199254740993, "cpu": 1}, (9007199254740992, 1)),
    ({"temperature": None, "cpu": 1}, (None, 1)),
    ({"temperature": 1, "cpu": None}, (1, None)),
]


@pytest.mark.parametrize("members, expected", GOOD_VALUES, ids=lambda v: str(v))
def test_values_are_stored_to_the_last_bit(system, members, expected):
    sensor = system.new_id()
    (place,) = system.send([reading(sensor, **members)])
    assert system.dead(place) == []
    assert system.stored(sensor) == [(at(), *expected)]


@pytest.mark.parametrize("missing, expected", [("temperature", (None, 20)), ("cpu", (30, None))])
def test_a_missing_value_is_null(system, missing, expected):
    sensor = system.new_id()
    system.send([without(reading(sensor), missing)])
    assert system.stored(sensor) == [(at(), *expected)]


def test_one_reading_alone_is_accepted(system):
    sensor = system.new_id()
    (place,) = system.send(reading(sensor))
    assert system.dead(place) == []
    assert system.stored(sensor) == [(at(), 30, 20)]


def test_unknown_members_are_ignored(system):
    sensor = system.new_id()
    (place,) = system.send([reading(sensor, firmware="1.2", tags={"a": [1, {"b": None}]}, x=[])])
    assert system.dead(place) == []
    assert system.stored(sensor) == [(at(), 30, 20)]


def test_members_come_in_any_order_and_with_any_space(system):
    sensor = system.new_id()
    (place,) = system.send(
        f' \r\n[\t{{ "cpu" :20 ,"temperature": 3.0e1,\n"sensor_id":{sensor} , '
        f'"\\u0074s":{T}}} ]\n ')
    assert system.dead(place) == []
    assert system.stored(sensor) == [(at(), 30, 20)]


def test_an_empty_array_is_nothing(system):
    before = system.database.value("SELECT count(*) FROM sensor_data")
    (place,) = system.send("[]")
    assert system.dead(place) == []
    assert system.database.value("SELECT count(*) FROM sensor_data") == before


def test_the_largest_sensor_id(system):
    (place,) = system.send([reading(2**31 - 1)])
    assert system.dead(place) == []
    assert system.stored(2**31 - 1) == [(at(), 30, 20)]


def test_many_readings_over_many_days_in_one_message(system):
    sensor = system.new_id()
    days = [reading(sensor, ts=T + 86400 * day, temperature=day) for day in range(40)]
    days.reverse()
    (place,) = system.send(days)
    assert system.dead(place) == []
    assert system.stored(sensor) == [(at(T + 86400 * d), d, 20) for d in range(40)]


def test_a_message_of_one_megabyte(system):
    sensor = system.new_id()
    count = 13000
    readings = [reading(sensor, ts=T + i, temperature=i / 4) for i in range(count)]
    text = json.dumps(readings)
    assert 900_000 < len(text) < 1_000_000
    (place,) = system.send(text)
    assert system.dead(place) == []
    assert system.stored(sensor) == [(at(T + i), i / 4, 20) for i in range(count)]


# ---- readings that are refused, alone ----

BAD_READINGS = {
    "no ts": (lambda s: without(reading(s), "ts"), "ts"),
    "ts null": (lambda s: reading(s, ts=None), "ts"),
    "ts real": (lambda s: reading(s, ts=1646409307.5), "ts"),
    "ts boolean": (lambda s: reading(s, ts=True), "ts"),
    "ts array": (lambda s: reading(s, ts=[T]), "ts"),
    "ts object": (lambda s: reading(s, ts={"s": T}), "ts"),
    "ts digits as text": (lambda s: reading(s, ts=str(T)), "ts"),
    "ts empty text": (lambda s: reading(s, ts=""), "ts"),
    "ts date alone": (lambda s: reading(s, ts="2022-03-04"), "ts"),
    "ts without zone": (lambda s: reading(s, ts="2022-03-04T15:55:07"), "ts"),
    "ts no such day": (lambda s: reading(s, ts="2022-02-29T15:55:07Z"), "ts"),
    "ts no such hour": (lambda s: reading(s, ts="2022-02-28T25:55:07Z"), "ts"),
    "ts with rest": (lambda s: reading(s, ts="2022-02-28T15:55:07Zx"), "ts"),
    "ts negative": (lambda s: reading(s, ts=-1), "ts"),
    "ts before 1970": (lambda s: reading(s, ts="1969-12-31T23:59:59Z"), "ts"),
    "ts after 2200": (lambda s: reading(s, ts="2201-01-01T00:00:00Z"), "ts"),
    "ts after 2200 in ns": (lambda s: reading(s, ts=7289654400 * 10**9), "ts"),
    "ts end of int64": (lambda s: reading(s, ts=2**63 - 1), "ts"),
    "no sensor_id": (lambda s: without(reading(s), "sensor_id"), "sensor_id"),
    "sensor_id null": (lambda s: reading(None), "sensor_id"),
    "sensor_id 0": (lambda s: reading(0), "sensor_id"),
    "sensor_id negative": (lambda s: reading(-1), "sensor_id"),
    "sensor_id 2^31": (lambda s: reading(2**31), "sensor_id"),
    "sensor_id 2^32+1": (lambda s: reading(2**32 + 1), "sensor_id"),
    "sensor_id real": (lambda s: reading(s + 0.5), "sensor_id"),
    "sensor_id text": (lambda s: reading(str(s)), "sensor_id"),
    "sensor_id boolean": (lambda s: reading(True), "sensor_id"),
    "sensor_id array": (lambda s: reading([s]), "sensor_id"),
    "temperature text": (lambda s: reading(s, temperature="30"), "temperature"),
    "temperature boolean": (lambda s: reading(s, temperature=False), "temperature"),
    "temperature array": (lambda s: reading(s, temperature=[30]), "temperature"),
    "temperature object": (lambda s: reading(s, temperature={}), "temperature"),
    "cpu text": (lambda s: reading(s, cpu=""), "cpu"),
    "cpu boolean": (lambda s: reading(s, cpu=True), "cpu"),
    "both missing": (lambda s: without(reading(s), "temperature", "cpu"), "temperature"),
    "both null": (lambda s: reading(s, temperature=None, cpu=None), "temperature"),
    "a number": (lambda s: 17, ""),
    "a text": (lambda s: "reading", ""),
    "null": (lambda s: None, ""),
    "an array": (lambda s: [reading(s)], ""),
    "an empty object": (lambda s: {}, ""),
}


@pytest.mark.parametrize("name", BAD_READINGS)
def test_a_bad_reading_is_refused_alone(system, name):
    make, word = BAD_READINGS[name]
    sensor = system.new_id()
    bad = make(sensor)
    good = [reading(sensor, ts=T + i, cpu=i) for i in (1, 2, 3)]
    (place,) = system.send([good[0], bad, good[1], good[2]])
    ((index, reason),) = system.dead(place)
    assert index == 1
    assert word in reason
    assert system.stored(sensor) == [(at(T + i), 30, i) for i in (1, 2, 3)]
    # The dead letter has the element alone.
    assert system.dead_payload(place) == json.dumps(bad).encode()


def test_each_bad_reading_has_its_index(system):
    sensor = system.new_id()
    message = []
    for i in range(30):
        message.append(reading(sensor, ts=T + i) if i % 3 else reading(sensor, cpu="bad"))
    (place,) = system.send(message)
    assert [index for index, _ in system.dead(place)] == list(range(0, 30, 3))
    assert len(system.stored(sensor)) == 20


def test_one_bad_reading_alone_is_refused(system):
    sensor = system.new_id()
    (place,) = system.send(reading(sensor, cpu="x"))
    ((_, reason),) = system.dead(place)
    assert "cpu" in reason
    assert system.stored(sensor) == []


# ---- messages that are refused as a whole ----

BAD_MESSAGES = {
    "empty": b"",
    "space": b"  ",
    "tombstone": None,
    "not JSON": b"hello",
    "half an array": b'[{"ts": 1646409307, "sensor_id": %d, "cpu": 1}',
    "half an object": b'{"ts": 1646409307, "sensor_id": %d, "cpu": 1',
    "trailing comma": b'[{"ts": 1646409307, "sensor_id": %d, "cpu": 1},]',
    "rest after the array": b'[{"ts": 1646409307, "sensor_id": %d, "cpu": 1}] x',
    "two documents": b'{"ts": 1646409307, "sensor_id": %d, "cpu": 1}\n{}',
    "single quotes": b"[{'ts': 1646409307, 'sensor_id': %d, 'cpu': 1}]",
    "a bare word": b'[{"ts": 1646409307, "sensor_id": %d, "cpu": NaN}]',
    "infinite": b'[{"ts": 1646409307, "sensor_id": %d, "cpu": 1e999}]',
    "beyond int64": b'[{"ts": 9223372036854775808, "sensor_id": %d, "cpu": 1}]',
    "leading zero": b'[{"ts": 01646409307, "sensor_id": %d, "cpu": 1}]',
    "plus sign": b'[{"ts": +1646409307, "sensor_id": %d, "cpu": 1}]',
    "a number": b"17",
    "a text": b'"reading"',
    "null": b"null",
    "NUL": b'[{"ts": 1646409307, "sensor_id": %d, "cpu": 1}]\0',
    "escaped NUL": b'[{"ts": 1646409307, "sensor_id": %d, "cpu": 1, "x": "a\\u0000"}]',
    "half a surrogate pair": b'[{"ts": 1646409307, "sensor_id": %d, "cpu": 1, "x": "\\ud800"}]',
    "not UTF-8": b'[{"ts": 1646409307, "sensor_id": %d, "cpu": 1, "x": "\xff\xfe"}]',
    "overlong UTF-8": b'[{"ts": 1646409307, "sensor_id": %d, "cpu": 1, "x": "\xc0\xaf"}]',
    "control character": b'[{"ts": 1646409307, "sensor_id": %d, "cpu": 1, "x": "\x01"}]',
    "deep nesting": b'[{"sensor_id": %d, "x": ' + b"[" * 3000 + b"]" * 3000 + b"}]",
    "100,000 levels": b"[" * 100_000 + b"]" * 100_000,
    "100,000 levels of objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    # Each of them would be a dead letter: a few bytes must not ask for memory without end.
    "more bad readings than memory": b"[" + b"{}," * 300_000 + b"{}]",
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("name", BAD_MESSAGES)
def test_a_bad_message_is_refused_as_a_whole(system, name):
    value = BAD_MESSAGES[name]
    sensor = system.new_id()
    if value and b"%d" in value:
        value = value % sensor
    message = {"value": value, "key": b"k\0\xff", "headers": [("trace", b"abc")]}
    (place, after) = system.send(message, reading(sensor, ts=T + 60))
    ((index, reason),) = system.dead(place)
    assert index is None
    assert len(reason) > 10
    ((key, headers, payload, sqlstate, age),) = system.database.query(
        'SELECT key, headers, payload, sqlstate, now() - created_at FROM cqrs.dead_letters '
        'WHERE topic = %s AND partition = %s AND "offset" = %s', (system.readings, *place))
    assert bytes(key) == b"k\0\xff"
    assert "trace" in json.dumps(headers)
    assert payload is None if value is None else bytes(payload) == value
    assert not sqlstate
    assert age < timedelta(seconds=30)
    # And the next one of the same broker, maybe the same partition, landed.
    assert system.dead(after) == []
    assert system.stored(sensor) == [(at(T + 60), 30, 20)]


def test_nesting_that_is_deep_but_not_too_deep(system):
    sensor = system.new_id()
    text = json.dumps([reading(sensor, x=1)]).replace('"x": 1', '"x": ' + "[" * 1000 + "]" * 1000)
    (place,) = system.send(text)
    assert system.dead(place) == []
    assert system.stored(sensor) == [(at(), 30, 20)]


def test_bad_messages_do_not_hold_up_good_ones(system):
    sensor = system.new_id()
    messages = []
    for i in range(600):
        messages.append("bad" if i % 5 == 0 else reading(sensor, ts=T + i))
    places = system.send(*messages)
    assert all(len(system.dead(p)) == 1 for p in places[::5])
    assert [row[0] for row in system.stored(sensor)] == [at(T + i) for i in range(600) if i % 5]


# ---- duplicates ----

def test_a_reading_sent_twice_is_stored_once(system):
    sensor = system.new_id()
    (first,) = system.send([reading(sensor)])
    (again, inside) = system.send([reading(sensor, cpu=99)],
                                  [reading(sensor, ts=T + 1), reading(sensor, ts=T + 1, cpu=98)])
    assert [system.dead(p) for p in (first, again, inside)] == [[], [], []]
    assert system.stored(sensor) == [(at(), 30, 20), (at(T + 1), 30, 20)]


def test_the_same_time_in_two_units_is_the_same_reading(system):
    sensor = system.new_id()
    system.send([reading(sensor), reading(sensor, ts=T * 1000, cpu=1),
                 reading(sensor, ts="2022-03-04T15:55:07Z", cpu=2)])
    assert system.stored(sensor) == [(at(), 30, 20)]


def test_duplicates_cost_their_neighbours_nothing(system):
    sensor = system.new_id()
    system.send([reading(sensor, ts=T + i) for i in range(0, 1000, 2)])
    system.send([reading(sensor, ts=T + i, cpu=1) for i in range(1000)])
    assert system.stored(sensor) == [(at(T + i), 30, i % 2 or 20) for i in range(1000)]


def test_duplicates_are_counted(system):
    sensor = system.new_id()
    system.send([reading(sensor)])

    def duplicates():
        return system.daemon.metrics().value("cqrsd_rows_duplicate_total")

    before = duplicates()
    system.send([reading(sensor), reading(sensor)])
    assert duplicates() == before + 2


def test_on_duplicate_update_keeps_the_last(system_with):
    system = system_with(on_duplicate="update")
    system.send([reading(1)])
    system.send([reading(1, cpu=1), reading(1, ts=T + 1), reading(1, ts=T + 1, cpu=7)])
    system.send([reading(1, ts=T + 2)], [reading(1, cpu=2, temperature=None)])
    assert system.stored(1) == [(at(), None, 2), (at(T + 1), 30, 7), (at(T + 2), 30, 20)]


# ---- options of the module ----

@pytest.mark.parametrize("unit, factor", [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_a_fixed_unit_of_time(system_with, unit, factor):
    system = system_with(timestamp_unit=unit)
    good = [1000 * factor, 7289654399 * factor]
    bad = [-1, 7289654400 * factor]
    (place,) = system.send([reading(1, ts=ts) for ts in good + bad])
    assert [row[0] for row in system.stored(1)] == [at(1000), at(7289654399)]
    assert [index for index, _ in system.dead(place)] == [2, 3]
    # A text says its own unit.
    system.send([reading(2, ts="2022-03-04T15:55:07Z")])
    assert system.stored(2) == [(at(), 30, 20)]


def test_unknown_sensors_are_created_in_the_same_transaction(system):
    sensor = system.new_id()
    assert system.sensor(sensor) == []
    system.send([reading(sensor)])
    assert system.sensor(sensor) == [("", "")]
    # Not their xmin: a subtransaction has one of its own, but commits with its parent.
    assert system.database.value(
        "SELECT pg_xact_commit_timestamp(s.xmin) = pg_xact_commit_timestamp(d.xmin) "
        "FROM sensors s JOIN sensor_data d ON s.id = d.sensor_id WHERE s.id = %s", (sensor,))


def test_unknown_sensors_can_be_refused(system_with):
    system = system_with(unknown_sensors="refuse")
    system.send({"id": 7, "type": "a", "location": "floor"}, topic=system.sensors)
    (place,) = system.send([reading(7), reading(8), reading(7, ts=T + 1), reading(9)])
    assert system.stored(7) == [(at(), 30, 20), (at(T + 1), 30, 20)]
    assert system.stored(8) == system.stored(9) == []
    assert [index for index, _ in system.dead(place)] == [1, 3]
    assert all("sensor" in reason for _, reason in system.dead(place))
    assert system.sensor(8) == []
    # Known from now on.
    system.send({"id": 8}, topic=system.sensors)
    system.send([reading(8)])
    assert system.stored(8) == [(at(), 30, 20)]


def test_a_sensor_deleted_by_hand_is_made_again_or_refused(system_with):
    system = system_with()
    system.send([reading(1)])
    system.database.query("DELETE FROM sensors")
    system.daemon.restart()
    system.send([reading(1, ts=T + 1)])
    assert system.sensor(1) == [("", "")]


def test_retention_drops_whole_days(system_with):
    system = system_with(retention="30d")
    now = int(datetime.now(timezone.utc).timestamp())
    system.send([reading(1, ts=now), reading(1, ts=now - 10 * 86400)])
    system.send([reading(1, ts=now - 100 * 86400)])
    system.daemon.restart()
    wait_until(lambda: len(system.stored(1)) == 2, 10, "the old day is dropped")
    assert [row[0] for row in system.stored(1)] == [at(now - 10 * 86400), at(now)]


# ---- sensors ----

def test_a_sensor_with_everything(system):
    sensor = system.new_id()
    (place,) = system.send({"id": sensor, "type": "a", "location": "floor"},
                           topic=system.sensors)
    assert system.sensor_dead(place) == []
    assert system.sensor(sensor) == [("a", "floor")]


@pytest.mark.parametrize("members, expected", [
    ({}, ("", "")),
    ({"type": "a"}, ("a", "")),
    ({"location": "floor"}, ("", "floor")),
    ({"type": "x" * 50, "location": "ü" * 50}, ("x" * 50, "ü" * 50)),
    ({"type": "🌡" * 50}, ("🌡" * 50, "")),
    ({"type": "a\"b\\c\n\t'", "location": "e\u0301"}, ("a\"b\\c\n\t'", "e\u0301")),
    ({"type": "a", "unknown": {"x": [1]}}, ("a", "")),
], ids=str)
def test_members_of_a_sensor(system, members, expected):
    sensor = system.new_id()
    (place,) = system.send({"id": sensor, **members}, topic=system.sensors)
    assert system.sensor_dead(place) == []
    assert system.sensor(sensor) == [expected]


def test_a_sensor_without_id_gets_one(system):
    location = f"room {system.new_id()}"
    system.send({"type": "b", "location": location}, topic=system.sensors)
    ((sensor, kind),) = system.database.query(
        "SELECT id, type FROM sensors WHERE location = %s", (location,))
    assert sensor > 0
    assert kind == "b"
    assert system.stored(sensor) == []


def test_ids_given_and_ids_assigned_do_not_meet(system_with):
    system = system_with()
    for i in range(1, 6):
        system.send({"value": json.dumps({"id": i, "type": "given"}), "partition": 0},
                    topic=system.sensors)
    system.send(*[{"value": '{"type": "assigned"}', "partition": 0}] * 3, topic=system.sensors)
    assert system.database.query("SELECT type, count(*) FROM sensors GROUP BY type ORDER BY 1") \
        == [("assigned", 3), ("given", 5)]


def test_the_same_id_again_updates(system):
    sensor = system.new_id()
    for kind in ("a", "b", "c"):
        message = json.dumps({"id": sensor, "type": kind, "location": "floor"})
        system.send({"value": message, "key": str(sensor), "partition": 0}, topic=system.sensors)
    assert system.sensor(sensor) == [("c", "floor")]
    messages = [{"value": json.dumps({"id": sensor, "type": str(i)}), "partition": 0}
                for i in range(50)]
    system.send(*messages, topic=system.sensors)
    assert system.sensor(sensor)[0][0] == "49"


def test_a_reading_first_and_its_sensor_later(system):
    sensor = system.new_id()
    system.send([reading(sensor)])
    system.send({"id": sensor, "type": "a", "location": "floor"}, topic=system.sensors)
    system.send([reading(sensor, ts=T + 1)])
    assert system.sensor(sensor) == [("a", "floor")]
    assert len(system.stored(sensor)) == 2


BAD_SENSORS = {
    "id 0": ({"id": 0}, "id"),
    "id negative": ({"id": -4}, "id"),
    "id 2^31": ({"id": 2**31}, "id"),
    "id text": ({"id": "7"}, "id"),
    "id real": ({"id": 7.5}, "id"),
    "id boolean": ({"id": True}, "id"),
    "id array": ({"id": [7]}, "id"),
    "type of 51 characters": ({"id": None, "type": "x" * 51}, "type"),
    "location of 51 characters": ({"id": None, "location": "ü" * 51}, "location"),
    "type number": ({"id": None, "type": 5}, "type"),
    "type boolean": ({"id": None, "type": True}, "type"),
    "type object": ({"id": None, "type": {}}, "type"),
    "location array": ({"id": None, "location": []}, "location"),
}


@pytest.mark.parametrize("name", BAD_SENSORS)
def test_a_bad_sensor_is_refused(system, name):
    members, word = BAD_SENSORS[name]
    if "id" in members and members["id"] is None:
        members = {**members, "id": system.new_id()}
    count = system.database.value("SELECT count(*) FROM sensors")
    (place,) = system.send(members, topic=system.sensors)
    ((index, reason),) = system.sensor_dead(place)
    assert index is None
    assert word in reason
    assert system.database.value("SELECT count(*) FROM sensors") == count


@pytest.mark.parametrize("value", [
    b"", None, b"x", b"[]", b'[{"id": 1}]', b"7", b'"a"', b"null", b'{"id": 1', b'{"id": 1}}',
    b'{"type": "a\\u0000b"}', b'{"type": "\xff"}', b'{"id": 1, "type": "a", "id": 2',
], ids=repr)
def test_what_is_no_sensor_is_refused(system, value):
    count = system.database.value("SELECT count(*) FROM sensors")
    (place,) = system.send({"value": value}, topic=system.sensors)
    ((index, reason),) = system.sensor_dead(place)
    assert index is None
    assert len(reason) > 10
    assert system.database.value("SELECT count(*) FROM sensors") == count


# ---- what Kafka may do to a topic ----

def test_offsets_may_have_holes(system_with):
    """Aborted transactions and the markers of all transactions take offsets."""
    system = system_with()
    client, topic = system.client, system.readings
    client.transaction(topic, [json.dumps([reading(1, ts=T + i)]) for i in range(3)], 0)
    client.transaction(topic, [json.dumps([reading(1, ts=T + 100)])], 0, commit=False)
    client.transaction(topic, [json.dumps([reading(1, ts=T + 200)])], 0)
    first, end = client.watermarks(topic, 0)
    assert (first, end) == (0, 8)

    def next_offset():
        rows = system.database.query(
            "SELECT next_offset FROM cqrs.offsets WHERE topic = %s AND partition = 0", (topic,))
        return rows[0][0] if rows else 0

    # The last offset is a marker: nobody can read it, so it may stay ahead of us.
    wait_until(lambda: next_offset() >= 7, 15, "all is applied")
    assert [row[0] for row in system.stored(1)] == [at(T), at(T + 1), at(T + 2), at(T + 200)]
    assert system.database.value("SELECT count(*) FROM cqrs.dead_letters") == 0
    # No lag is shown for the marker.
    wait_until(lambda: system.daemon.lag(topic, 0) == 0, 10, "the lag is 0")


def test_large_keys_and_many_headers_are_kept(system):
    headers = [(f"h{i}", bytes([i])) for i in range(100)] + [("h0", b"again"), ("none", None)]
    message = {"value": b"bad", "key": b"k" * 10000, "headers": headers}
    (place,) = system.send(message)
    ((key, kept),) = system.database.query(
        'SELECT key, headers FROM cqrs.dead_letters WHERE topic = %s AND partition = %s '
        'AND "offset" = %s', (system.readings, *place))
    assert bytes(key) == b"k" * 10000
    assert len(kept) >= 101


# ---- `cqrsd produce` ----

def test_produce_sends_lines_and_keys(system):
    sensor = system.new_id()
    system.daemon.produce(system.readings, [json.dumps([reading(sensor)]),
                                            json.dumps(reading(sensor, ts=T + 1))])
    system.daemon.produce(system.readings, [f"the key\tbad {sensor}"], "-k")
    system.sent[system.readings] += 3
    system.settle()
    assert system.stored(sensor) == [(at(), 30, 20), (at(T + 1), 30, 20)]
    ((key,),) = system.database.query(
        "SELECT key FROM cqrs.dead_letters WHERE payload = %s", (f"bad {sensor}".encode(),))
    assert bytes(key) == b"the key"


def test_produce_sends_key_headers_and_partition(system):
    """Seen in the dead letters of what is no reading."""
    text = f"no reading {system.new_id()}"
    done = system.daemon.produce(
        system.readings, [f"k{n}\t{text}" for n in range(3)],
        "-k", "-p", "0", "-H", "origin=test", "-H", "note=a=b", "--rate", "100")
    assert "3 messages acknowledged" in done.stdout
    system.sent[system.readings] += 3

    def letters():
        return system.database.query(
            "SELECT convert_from(key, 'UTF8'), partition, headers FROM cqrs.dead_letters "
            "WHERE payload = %s ORDER BY \"offset\"", (text.encode(),))

    wait_until(lambda: len(letters()) == 3, 10)
    assert letters() == [(f"k{n}", 0, {"origin": "test", "note": "a=b"}) for n in range(3)]


def test_produce_says_what_it_could_not_send(system):
    done = system.daemon.run("produce", "-k", system.readings, input="no tab here\n")
    assert done.returncode != 0
    assert "tab" in done.stderr.lower()
    done = system.daemon.run("produce", "-p", "99", system.readings, input="x\n")
    assert done.returncode == 1
    assert "99" in done.stderr
