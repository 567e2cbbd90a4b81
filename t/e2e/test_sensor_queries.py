# SPDX-License-Identifier: MIT
"""Every route and parameter of query/sensor, against answers computed here."""

import csv
import io
import re
from collections import defaultdict
from datetime import datetime, timedelta, timezone

import pytest

from conftest import sensor_config

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
DAY = 1646352000  # 2022-03-04T00:00:00Z
STEP = 300
END = DAY + 86400

SENSORS = [
    (1, "a", "floor"),
    (2, "a", "ceiling"),
    (3, "b", "floor"),
    (4, "b", "ceiling"),
    (5, "", ""),  # without readings
    (6, 'x,"y"\n', "Wintergärten 🌡"),
    (7, "clock", "now"),
    (70, "a", "cellar"),
]
LOCATION = {sensor: location for sensor, _, location in SENSORS}

# Seconds before now, for what is asked with "now-6h".
AGES = [600, 7200, 5 * 3600, 7 * 3600, 13 * 3600]
NOW = datetime.now(timezone.utc).replace(microsecond=0)


def us(when):
    return (when - EPOCH) // timedelta(microseconds=1)


def make_rows():
    """(time in us, sensor, temperature, cpu); values whose sums are exact in a double."""
    rows = []
    for sensor in (1, 2, 3, 4):
        for i in range(288):
            temperature = None if (i + sensor) % 17 == 0 else sensor * 8 + i % 40 / 4
            cpu = None if (i + sensor) % 23 == 0 else (i * sensor) % 101 - 0.5
            rows.append(((DAY + i * STEP) * 10**6, sensor, temperature, cpu))
    rows += [((DAY + 1) * 10**6 + 123456, 6, 1e-7, 1e22),
             ((DAY + 2) * 10**6 + 500000, 6, -0.0, 0.1),
             ((DAY + 3) * 10**6 + 120000, 6, 1 / 3, -273.15)]
    rows += [(us(NOW - timedelta(seconds=age)), 7, age / 4, None) for age in AGES]
    return sorted(rows)


ROWS = make_rows()


@pytest.fixture(scope="module")
def system(module_cqrsd, module_database, unique):
    """A reader over tables that were filled by hand."""
    config = sensor_config(module_database, "127.0.0.1:1", unique("group"), {})
    config["commands"] = {}
    daemon = module_cqrsd(config)
    daemon.migrate()
    # Whatever day a row is of: nobody makes partitions here.
    if module_database.value("SELECT relkind = 'p' FROM pg_class WHERE oid = 'sensor_data'::regclass"):
        module_database.query("CREATE TABLE sensor_data_any PARTITION OF sensor_data DEFAULT")
    for row in SENSORS:
        module_database.query("INSERT INTO sensors VALUES (%s, %s, %s)", row)
    module_database.insert(
        "sensor_data", ["time", "sensor_id", "temperature", "cpu"],
        [((EPOCH + timedelta(microseconds=t)).isoformat(), *rest) for t, *rest in ROWS])
    return daemon.start()


# ---- what the answers should be ----

def rfc3339(t):
    """No, three or six digits of fraction."""
    text = (EPOCH + timedelta(microseconds=t)).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = t % 10**6
    if fraction % 1000:
        return f"{text}.{fraction:06d}Z"
    return f"{text}.{fraction // 1000:03d}Z" if fraction else f"{text}Z"


def sensor_json(sensor):
    return dict(zip(("id", "type", "location"), sensor))


def row_json(row, time=rfc3339):
    return {"time": time(row[0]), "sensor_id": row[1], "temperature": row[2], "cpu": row[3]}


def select(sensors=None, location=None, start=None, end=None):
    """Readings with start <= time < end, in order of time and sensor."""
    return [row for row in ROWS
            if (sensors is None or row[1] in sensors)
            and (location is None or LOCATION[row[1]] == location)
            and (start is None or row[0] >= start * 10**6)
            and (end is None or row[0] < end * 10**6)]


def newest():
    last = {}
    for row in ROWS:
        last[row[1]] = row
    return [last[sensor] for sensor in sorted(last)]


def mean(values):
    values = [v for v in values if v is not None]
    return sum(values) / len(values) if values else None


def extreme(pick, values):
    values = [v for v in values if v is not None]
    return pick(values) if values else None


def averages(rows, seconds, group=None, latest=False):
    """One object for each bucket (and group), in order."""
    width = seconds * 10**6
    buckets = defaultdict(list)
    for row in rows:
        key = {None: (), "sensor": (row[1],), "location": (LOCATION[row[1]],)}[group]
        buckets[(row[0] // width * width, *key)].append(row)
    answer = []
    for (period, *key), members in sorted(buckets.items()):
        one = {"period": rfc3339(period)}
        if group:
            one[{"sensor": "sensor_id", "location": "location"}[group]] = key[0]
        temperatures = [row[2] for row in members]
        cpus = [row[3] for row in members]
        one["avg_temp"] = mean(temperatures)
        one["avg_cpu"] = mean(cpus)
        one["count"] = len(members)
        if latest:
            one["last_temp"] = [t for t in temperatures if t is not None][-1:]
            one["last_temp"] = one["last_temp"][0] if one["last_temp"] else None
            one["min_temp"] = extreme(min, temperatures)
            one["max_temp"] = extreme(max, temperatures)
        answer.append(one)
    return answer


def pages(daemon, path, parameters):
    """All pages, by their links."""
    answer = daemon.get(path, parameters)
    seen = []
    while True:
        assert answer.status == 200, answer
        seen.append(answer.json())
        if answer.next is None:
            return seen
        assert len(seen) < 2000
        answer = daemon.get(answer.next)


def problem(answer, status, code=None, param=None):
    """RFC 9457, with our members; its detail."""
    assert answer.status == status, answer
    assert answer.content_type == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    assert {"type", "title", "detail", "instance", "code", "trace_id"} <= document.keys()
    assert re.fullmatch("[0-9a-f]{32}", document["trace_id"])
    assert len(document["detail"]) > 10
    if code:
        assert document["code"] == code
    if param:
        assert document["param"] == param
    return document["detail"]


# ---- /sensors ----

def test_list_of_sensors(system):
    answer = system.get("/api/v1/sensors")
    assert answer.status == 200
    assert answer.content_type == "application/json"
    assert answer.json() == [sensor_json(s) for s in SENSORS]
    assert answer.next is None
    assert "Total-Count" not in answer.headers


@pytest.mark.parametrize("filters", [
    {"type": "a"}, {"location": "floor"}, {"type": "b", "location": "ceiling"}, {"type": "none"},
    {"type": 'x,"y"\n'}, {"location": "Wintergärten 🌡"}, {"type": ""}, {"location": "' OR 1=1"},
], ids=str)
def test_list_of_sensors_filtered(system, filters):
    expected = [sensor_json(s) for s in SENSORS
                if filters.get("type", s[1]) == s[1] and filters.get("location", s[2]) == s[2]]
    assert system.get("/api/v1/sensors", filters).json() == expected


@pytest.mark.parametrize("limit", [1, 2, 3, len(SENSORS), 1000])
def test_pages_of_sensors(system, limit):
    seen = pages(system, "/api/v1/sensors", {"limit": limit})
    assert [s for page in seen for s in page] == [sensor_json(s) for s in SENSORS]
    assert all(len(page) == limit for page in seen[:-1])


@pytest.mark.parametrize("sensor", SENSORS, ids=lambda s: s[0])
def test_one_sensor(system, sensor):
    answer = system.get(f"/api/v1/sensors/{sensor[0]}")
    assert answer.status == 200
    assert answer.json() == sensor_json(sensor)


def test_a_sensor_that_is_not_there(system):
    problem(system.get("/api/v1/sensors/4711"), 404)


@pytest.mark.parametrize("text", ["0", "-1", "2147483648", "x", "1.5", "%31x", "9" * 40])
def test_what_is_no_sensor_id(system, text):
    problem(system.get(f"/api/v1/sensors/{text}"), 400, param="id")


# ---- latest ----

def test_newest_of_every_sensor(system):
    assert system.get("/api/v1/sensors/latest").json() == [row_json(r) for r in newest()]


def test_pages_of_the_newest(system):
    seen = pages(system, "/api/v1/sensors/latest", {"limit": 2})
    assert [r for page in seen for r in page] == [row_json(r) for r in newest()]


@pytest.mark.parametrize("row", newest(), ids=lambda r: r[1])
def test_newest_of_one(system, row):
    answer = system.get(f"/api/v1/sensors/{row[1]}/latest")
    assert answer.status == 200
    assert answer.json() == row_json(row)


@pytest.mark.parametrize("sensor", [5, 4711])
def test_newest_of_one_without_readings(system, sensor):
    problem(system.get(f"/api/v1/sensors/{sensor}/latest"), 404)


# ---- /sensor-data ----

def all_readings(system, **parameters):
    seen = pages(system, "/api/v1/sensor-data", {"limit": 1000, **parameters})
    return [row for page in seen for row in page]


def test_the_first_hundred_readings(system):
    answer = system.get("/api/v1/sensor-data", {"order": "time"})
    assert answer.json() == [row_json(r) for r in ROWS[:100]]
    assert answer.next


def test_the_default_order_is_said_and_kept(system):
    rows = system.get("/api/v1/sensor-data").json()
    assert rows in ([row_json(r) for r in ROWS[:100]], [row_json(r) for r in newest_first()[:100]])


def newest_first(rows=None):
    """-time turns the whole order around."""
    return list(reversed(ROWS if rows is None else rows))


FILTERS = [
    ({"sensor_id": 1}, {"sensors": {1}}),
    ({"sensor_id": [1, 3]}, {"sensors": {1, 3}}),
    ({"sensor_id": [3, 1, 3, 999]}, {"sensors": {1, 3}}),
    ({"sensor_id": 5}, {"sensors": {5}}),
    ({"location": "floor"}, {"location": "floor"}),
    ({"location": "nowhere"}, {"location": "nowhere"}),
    ({"location": "floor", "sensor_id": [1, 2]}, {"sensors": {1}}),
    ({"from": DAY + 3600, "to": DAY + 7200}, {"start": DAY + 3600, "end": DAY + 7200}),
    ({"from": "2022-03-04T12:00:00Z", "to": "2022-03-04T12:00:01Z"},
     {"start": DAY + 43200, "end": DAY + 43201}),
    ({"from": "2022-03-04T14:00:00+02:00", "to": (DAY + 43201) * 1000},
     {"start": DAY + 43200, "end": DAY + 43201}),
    ({"from": (DAY + 80000) * 1000, "location": "ceiling", "to": END},
     {"start": DAY + 80000, "location": "ceiling", "end": END}),
    ({"to": DAY + 600}, {"end": DAY + 600}),
    ({"from": DAY + 600, "to": DAY + 601}, {"start": DAY + 600, "end": DAY + 601}),
    ({"sensor_id": 6}, {"sensors": {6}}),
]


@pytest.mark.parametrize("order", ["time", "-time"])
@pytest.mark.parametrize("parameters, choice", FILTERS, ids=str)
def test_readings_filtered(system, parameters, choice, order):
    expected = select(**choice)
    if order == "-time":
        expected = newest_first(expected)
    assert all_readings(system, order=order, **parameters) == [row_json(r) for r in expected]


@pytest.mark.parametrize("hours, count", [(1, 1), (6, 3), (24, 5)])
def test_readings_since_some_hours_ago(system, hours, count):
    rows = system.get("/api/v1/sensor-data", {"from": f"now-{hours}h", "order": "-time",
                                              "sensor_id": 7}).json()
    expected = [r for r in ROWS if r[1] == 7][-count:]
    assert rows == [row_json(r) for r in newest_first(expected)]
    rows = system.get("/api/v1/sensor-data", {"to": f"now-{hours}h", "order": "time",
                                              "sensor_id": 7}).json()
    assert rows == [row_json(r) for r in ROWS if r[1] == 7][:5 - count]


@pytest.mark.parametrize("order", ["time", "-time"])
@pytest.mark.parametrize("limit", [7, 100, 288, 1000])
def test_pages_of_readings_are_the_whole(system, order, limit):
    seen = pages(system, "/api/v1/sensor-data", {"order": order, "limit": limit})
    expected = ROWS if order == "time" else newest_first()
    assert [r for page in seen for r in page] == [row_json(r) for r in expected]
    assert all(len(page) == limit for page in seen[:-1])


def test_paging_is_by_key_not_by_position(system, module_database):
    """A reading that comes in behind us moves nothing."""
    parameters = {"sensor_id": 1, "from": DAY, "to": END, "order": "time", "limit": 10}
    first = system.get("/api/v1/sensor-data", parameters)
    module_database.query("INSERT INTO sensor_data VALUES (to_timestamp(%s), 1, 1, 1)", (DAY + 1,))
    try:
        second = system.get(first.next).json()
    finally:
        module_database.query("DELETE FROM sensor_data WHERE time = to_timestamp(%s) "
                              "AND sensor_id = 1", (DAY + 1,))
    expected = select(sensors={1}, start=DAY, end=END)
    assert first.json() + second == [row_json(r) for r in expected[:20]]


def test_a_link_is_a_path_that_keeps_the_parameters(system):
    link = system.get("/api/v1/sensor-data", {"sensor_id": [1, 2], "limit": 5, "order": "time",
                                              "time_format": "unix"}).next
    for part in ("sensor_id=1", "sensor_id=2", "limit=5", "order=time", "time_format=unix",
                 "cursor="):
        assert part in link


def test_the_last_page_has_no_link(system):
    count = len(select(sensors={6}))
    for limit, link in ((count - 1, True), (count, False), (count + 1, False)):
        answer = system.get("/api/v1/sensor-data", {"sensor_id": 6, "limit": limit})
        assert (answer.next is not None) == link


@pytest.mark.parametrize("page_size", [1, 10, 500])
def test_pages_by_number(system, page_size):
    for page in (1, 2, 3):
        answer = system.get("/api/v1/sensor-data",
                            {"page": page, "page_size": page_size, "order": "time"})
        expected = ROWS[(page - 1) * page_size:page * page_size]
        assert answer.json() == [row_json(r) for r in expected]


def test_pages_by_number_have_a_default_size(system):
    answer = system.get("/api/v1/sensor-data", {"page": 2, "order": "time"})
    assert answer.json() == [row_json(r) for r in ROWS[100:200]]
    answer = system.get("/api/v1/sensors", {"page_size": 3})
    assert answer.json() == [sensor_json(s) for s in SENSORS[:3]]


def test_a_page_beyond_the_end_is_empty(system):
    answer = system.get("/api/v1/sensors", {"page": 50})
    assert answer.status == 200
    assert answer.json() == []
    assert answer.next is None


@pytest.mark.parametrize("path, parameters, count", [
    ("/api/v1/sensors", {}, len(SENSORS)),
    ("/api/v1/sensors", {"type": "a", "limit": 1}, 3),
    ("/api/v1/sensors", {"type": "none"}, 0),
    ("/api/v1/sensors/latest", {"limit": 2}, 6),
    ("/api/v1/sensor-data", {"limit": 5}, len(ROWS)),
    ("/api/v1/sensor-data", {"sensor_id": [1, 2]}, 576),
    ("/api/v1/sensor-data", {"page": 3, "page_size": 10, "location": "floor"}, 576),
])
def test_the_total_is_told_when_asked(system, path, parameters, count):
    answer = system.get(path, {**parameters, "count": "exact"})
    assert answer.status == 200
    assert answer.headers["Total-Count"] == str(count)
    assert "Total-Count" not in system.get(path, parameters).headers


def test_the_total_is_the_same_on_every_page(system):
    answer = system.get("/api/v1/sensor-data", {"limit": 500, "count": "exact"})
    while answer.next:
        assert answer.headers["Total-Count"] == str(len(ROWS))
        answer = system.get(answer.next)
    assert answer.headers["Total-Count"] == str(len(ROWS))


# ---- formats of times ----

@pytest.mark.parametrize("path", ["/api/v1/sensor-data", "/api/v1/sensors/latest"])
def test_times_as_rfc3339_are_the_default(system, path):
    assert system.get(path, {"time_format": "rfc3339"}).json() == system.get(path).json()


def test_times_in_unix_seconds(system):
    answer = system.get("/api/v1/sensor-data", {"time_format": "unix", "sensor_id": 6,
                                                "order": "time"})
    times = [row["time"] for row in answer.json()]
    exact = [r[0] / 10**6 for r in select(sensors={6})]
    assert times == exact or times == [int(t) for t in exact]
    whole = system.get("/api/v1/sensor-data", {"time_format": "unix", "sensor_id": 1,
                                               "order": "time"})
    assert whole.json() == [row_json(r, lambda t: t // 10**6) for r in select(sensors={1})[:100]]


def test_times_in_unix_milliseconds(system):
    answer = system.get("/api/v1/sensor-data", {"time_format": "unix_ms", "sensor_id": 6,
                                                "order": "time"})
    times = [row["time"] for row in answer.json()]
    exact = [r[0] / 10**3 for r in select(sensors={6})]
    assert times == exact or times == [int(t) for t in exact]
    one = system.get("/api/v1/sensors/1/latest", {"time_format": "unix_ms"}).json()
    assert one["time"] == (END - STEP) * 1000
    bucket = system.get("/api/v1/sensor-data/avg", {
        "time_format": "unix_ms", "from": DAY, "to": END}).json()[0]
    assert bucket["period"] == DAY * 1000


# ---- averages ----

AVG, AVG_LATEST = "/api/v1/sensor-data/avg", "/api/v1/sensor-data/avg-latest"
DAYLONG = {"from": DAY, "to": END}
DAY_ROWS = {"start": DAY, "end": END}


def both(system, parameters, rows, seconds, group=None):
    for path in (AVG, AVG_LATEST):
        answer = system.get(path, {"limit": 1000, **parameters})
        assert answer.status == 200, answer
        expected = averages(rows, seconds, group, latest=path == AVG_LATEST)
        found = answer.json()
        if path == AVG_LATEST and found:
            # The order of members is not ours to say; what is there beyond these is.
            assert expected[0].keys() <= found[0].keys()
            found = [{k: row[k] for k in expected[0]} for row in found]
        assert found == expected


def quiet(rows):
    """Without sensor 6, whose numbers do not add up exactly."""
    return [r for r in rows if r[1] != 6]


NOT_6 = {"sensor_id": [1, 2, 3, 4]}


@pytest.mark.parametrize("bucket, seconds", [
    (None, 1800), ("30m", 1800), ("5m", 300), ("90s", 90), ("1h", 3600), ("6h", 21600),
    ("1d", 86400), ("7m", 420), ("1s", 1)])
def test_averages_by_bucket(system, bucket, seconds):
    parameters = {**NOT_6, "from": DAY, "to": DAY + 43200}
    if bucket:
        parameters["bucket"] = bucket
    both(system, parameters, quiet(select(start=DAY, end=DAY + 43200)), seconds)


@pytest.mark.parametrize("parameters, choice", [
    ({"sensor_id": 1}, {"sensors": {1}}),
    ({"sensor_id": [2, 3]}, {"sensors": {2, 3}}),
    ({"location": "floor"}, {"location": "floor"}),
    ({"location": "ceiling", "sensor_id": 4}, {"sensors": {4}}),
    ({"location": "nowhere"}, {"sensors": set()}),
    ({"sensor_id": 5}, {"sensors": {5}}),
], ids=str)
def test_averages_filtered(system, parameters, choice):
    both(system, {**DAYLONG, **parameters}, select(**choice, **DAY_ROWS), 1800)


@pytest.mark.parametrize("group", ["sensor", "location"])
def test_averages_by_group(system, group):
    both(system, {**DAYLONG, **NOT_6, "group_by": group, "bucket": "2h"},
         quiet(select(**DAY_ROWS)), 7200, group)


def test_averages_of_part_of_a_bucket(system):
    start, end = DAY + 1000, DAY + 5000
    both(system, {"from": start, "to": end, **NOT_6}, quiet(select(start=start, end=end)), 1800)


@pytest.mark.parametrize("points", [1, 10, 48, 500])
def test_points_pick_the_bucket(system, points):
    """No more than asked for (one more where the ends are cut), and not absurdly fewer."""
    parameters = {**DAYLONG, **NOT_6, "points": points, "limit": 1000}
    found = system.get(AVG, parameters).json()
    assert found
    assert len(found) <= points + 1
    assert sum(row["count"] for row in found) == 1152
    starts = [datetime.fromisoformat(row["period"]) for row in found]
    widths = {b - a for a, b in zip(starts, starts[1:])}
    if points in (10, 48):
        assert len(found) * 3 >= points
        assert len(widths) == 1


def test_averages_are_paged(system):
    seen = pages(system, AVG, {**DAYLONG, **NOT_6, "group_by": "sensor", "limit": 7})
    assert [row for page in seen for row in page] == averages(
        quiet(select(**DAY_ROWS)), 1800, "sensor")


def test_averages_since_some_hours_ago(system):
    found = system.get(AVG, {"from": "now-6h", "sensor_id": 7, "bucket": "1s"}).json()
    assert [(row["period"], row["avg_temp"], row["avg_cpu"], row["count"]) for row in found] == [
        (rfc3339(r[0]), r[2], None, 1) for r in ROWS if r[1] == 7][-3:]


# ---- other formats ----

def csv_value(value):
    if value is None:
        return ""
    return value if isinstance(value, str) else repr(value)


def csv_rows(answer):
    assert answer.status == 200
    assert answer.content_type == "text/csv"
    return list(csv.reader(io.StringIO(answer.text, newline="")))


def test_csv_of_sensors(system):
    rows = csv_rows(system.get("/api/v1/sensors", accept="text/csv"))
    assert rows[0] == ["id", "type", "location"]
    assert rows[1:] == [[str(s[0]), s[1], s[2]] for s in SENSORS]


def test_csv_of_all_readings(system):
    """Without a limit: all of it."""
    rows = csv_rows(system.get("/api/v1/sensor-data", {"order": "time"}, accept="text/csv"))
    assert rows[0] == ["time", "sensor_id", "temperature", "cpu"]

    def number(text):
        return float(text) if text else None

    assert [(r[0], int(r[1]), number(r[2]), number(r[3])) for r in rows[1:]] == [
        (rfc3339(t), s, temperature, cpu) for t, s, temperature, cpu in ROWS]


def test_csv_with_a_limit_or_a_page(system):
    rows = csv_rows(system.get("/api/v1/sensor-data", {"limit": 5, "order": "time"},
                               accept="text/csv"))
    assert [r[0] for r in rows[1:]] == [rfc3339(r[0]) for r in ROWS[:5]]
    rows = csv_rows(system.get("/api/v1/sensor-data", {"page": 2, "page_size": 5, "order": "time"},
                               accept="text/csv"))
    assert [r[0] for r in rows[1:]] == [rfc3339(r[0]) for r in ROWS[5:10]]


def test_csv_of_nothing_is_a_header(system):
    rows = csv_rows(system.get("/api/v1/sensors", {"type": "none"}, accept="text/csv"))
    assert rows == [["id", "type", "location"]]


def test_csv_of_averages(system):
    rows = csv_rows(system.get(AVG, {**DAYLONG, **NOT_6}, accept="text/csv"))
    expected = averages(quiet(select(**DAY_ROWS)), 1800)
    assert rows[0] == list(expected[0])
    assert [[r[0], *map(float, r[1:])] for r in rows[1:]] == [
        [row["period"], row["avg_temp"], row["avg_cpu"], row["count"]] for row in expected]


def test_ndjson_of_all_readings(system):
    answer = system.get("/api/v1/sensor-data", {"order": "time"}, accept="application/x-ndjson")
    assert answer.status == 200
    assert answer.content_type == "application/x-ndjson"
    assert answer.lines() == [row_json(r) for r in ROWS]


def test_ndjson_of_sensors_and_of_nothing(system):
    accept = "application/x-ndjson"
    assert system.get("/api/v1/sensors", accept=accept).lines() == [
        sensor_json(s) for s in SENSORS]
    assert system.get("/api/v1/sensors", {"type": "none"}, accept=accept).lines() == []


@pytest.mark.parametrize("accept, content_type", [
    (None, "application/json"),
    ("*/*", "application/json"),
    ("application/*", "application/json"),
    ("text/*", "text/csv"),
    ("text/csv;q=0.5, application/json;q=0.4", "text/csv"),
    ("text/html, application/x-ndjson;q=0.9, */*;q=0.1", "application/x-ndjson"),
    ("application/json;q=0, */*", "application/x-ndjson"),
])
def test_the_format_is_negotiated(system, accept, content_type):
    answer = system.get("/api/v1/sensors", accept=accept)
    assert answer.status == 200
    assert answer.content_type == content_type
    assert "accept" in answer.headers.get("Vary", "").lower()


@pytest.mark.parametrize("accept", ["text/html", "image/png", "*/*;q=0", "application/json;q=0"])
def test_a_format_that_we_do_not_have(system, accept):
    answer = system.get("/api/v1/sensors", accept=accept)
    detail = problem(answer, 406)
    assert "text/csv" in detail


# ---- what is refused ----

BAD = [
    ("/api/v1/sensors", "limit=0", "limit"),
    ("/api/v1/sensors", "limit=1001", "limit"),
    ("/api/v1/sensors", "limit=-1", "limit"),
    ("/api/v1/sensors", "limit=", "limit"),
    ("/api/v1/sensors", "limit=ten", "limit"),
    ("/api/v1/sensors", "limit=1e1", "limit"),
    ("/api/v1/sensors", "limit=10&limit=10", "limit"),
    ("/api/v1/sensors", "limit=99999999999999999999", "limit"),
    ("/api/v1/sensors", "cursor=nonsense", "cursor"),
    ("/api/v1/sensors", "cursor=", "cursor"),
    ("/api/v1/sensors", "page=0", "page"),
    ("/api/v1/sensors", "page_size=1001", "page_size"),
    ("/api/v1/sensors", "count=estimated", "count"),
    ("/api/v1/sensors", "time_format=iso", "time_format"),
    ("/api/v1/sensors", "type=" + "x" * 51, "type"),
    ("/api/v1/sensors", "location=" + "x" * 51, "location"),
    ("/api/v1/sensors", "colour=red", "colour"),
    ("/api/v1/sensors", "Type=a", "Type"),
    ("/api/v1/sensors/1", "limit=1", "limit"),
    ("/api/v1/sensor-data", "sensor_id=0", "sensor_id"),
    ("/api/v1/sensor-data", "sensor_id=1&sensor_id=x", "sensor_id"),
    ("/api/v1/sensor-data", "sensor_id=2147483648", "sensor_id"),
    ("/api/v1/sensor-data", "&".join(["sensor_id=1"] * 101), "sensor_id"),
    ("/api/v1/sensor-data", "from=yesterday", "from"),
    ("/api/v1/sensor-data", "from=2022-03-04", "from"),
    ("/api/v1/sensor-data", "from=now-6", "from"),
    ("/api/v1/sensor-data", "to=-1", "to"),
    ("/api/v1/sensor-data", "to=2201-01-01T00:00:00Z", "to"),
    ("/api/v1/sensor-data", "from=1&from=2", "from"),
    ("/api/v1/sensor-data", "from=1646352600&to=1646352600", "to"),
    ("/api/v1/sensor-data", "from=now&to=now-1h", "to"),
    ("/api/v1/sensor-data", "order=temperature", "order"),
    ("/api/v1/sensor-data", "order=time;drop", "order"),
    (AVG, "bucket=0s", "bucket"),
    (AVG, "bucket=-5m", "bucket"),
    (AVG, "bucket=30", "bucket"),
    (AVG, "bucket=1.5h", "bucket"),
    (AVG, "group_by=type", "group_by"),
    (AVG, "points=0", "points"),
    (AVG, "points=many", "points"),
    (AVG_LATEST, "bucket=fast", "bucket"),
]


@pytest.mark.parametrize("path, query, param", BAD, ids=lambda v: str(v)[:40])
def test_bad_parameters_are_explained(system, path, query, param):
    problem(system.get(f"{path}?{query}"), 400, param=param)


def test_an_unknown_parameter_gets_a_suggestion(system):
    detail = problem(system.get("/api/v1/sensor-data?sensorid=1"), 400, param="sensorid")
    assert 'did you mean "sensor_id"' in detail
    detail = problem(system.get("/api/v1/sensors?locatoin=x"), 400, param="locatoin")
    assert 'did you mean "location"' in detail
    for name in ("type", "location", "limit", "cursor", "page", "count", "time_format"):
        assert name in detail


@pytest.mark.parametrize("query", ["type=%", "type=%4", "type=%zz", "type=%ff", "type=%00"])
def test_broken_escapes_are_refused(system, query):
    problem(system.get("/api/v1/sensors?" + query), 400)


def test_a_cursor_of_another_question_is_refused(system):
    link = system.get("/api/v1/sensor-data", {"limit": 5, "order": "time"}).next
    cursor = re.search("cursor=([^&]*)", link)[1]
    for query in ("order=-time&", "order=time&sensor_id=1&", "location=floor&order=time&"):
        problem(system.get(f"/api/v1/sensor-data?{query}cursor={cursor}"), 400, param="cursor")
    problem(system.get(f"/api/v1/sensors?cursor={cursor}"), 400, param="cursor")
    broken = cursor[:-3] + ("AAA" if cursor[-3:] != "AAA" else "BBB")
    problem(system.get(f"/api/v1/sensor-data?order=time&cursor={broken}"), 400, param="cursor")


def test_a_cursor_and_a_page_are_one_too_many(system):
    link = system.get("/api/v1/sensors", {"limit": 2}).next
    problem(system.get(link + "&page=2"), 400)


@pytest.mark.parametrize("path", [
    "/api/v1/nothing", "/api/v1/", "/api/v1", "/api/v2/sensors", "/api/v1/sensors/1/nothing",
    "/api/v1/sensor-data/average", "/API/v1/sensors", "/api/v1/sensors//latest"])
def test_a_path_that_is_not_there(system, path):
    problem(system.get(path), 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/api/v1/sensors", "/api/v1/sensors/1", "/api/v1/sensor-data"])
def test_a_method_that_is_not_allowed(system, method, path):
    answer = system.http.request(method, path)
    problem(answer, 405)
    allowed = {m.strip() for m in answer.headers["Allow"].split(",")}
    assert {"GET", "HEAD"} <= allowed
    assert method not in allowed


@pytest.mark.parametrize("path", ["/api/v1/sensors", "/api/v1/sensors/1", "/api/v1/sensors/4711",
                                  "/api/v1/sensors?x=1", "/api/v1/sensor-data?limit=1000"])
def test_head_is_get_without_a_body(system, path):
    get, head = system.get(path), system.http.request("HEAD", path)
    assert head.status == get.status
    assert head.body == b""
    for name in ("Content-Type", "Content-Length", "Link"):
        assert head.headers.get(name) == get.headers.get(name)


# ---- documents ----

ROUTES = {"/api/v1/sensors", "/api/v1/sensors/{id}", "/api/v1/sensors/latest",
          "/api/v1/sensors/{id}/latest", "/api/v1/sensor-data", AVG, AVG_LATEST}


def test_openapi_has_every_route_and_parameter(system):
    answer = system.get("/api/v1/openapi.json")
    assert answer.status == 200
    assert answer.content_type in ("application/json", "application/openapi+json")
    document = answer.json()
    assert document["openapi"].startswith("3.1")
    base = document.get("servers", [{"url": ""}])[0]["url"].rstrip("/")
    paths = {base + path if not path.startswith("/api/") else path: item
             for path, item in document["paths"].items()}
    assert ROUTES <= set(paths)
    names = {p["name"] for p in paths["/api/v1/sensor-data"]["get"]["parameters"] if "name" in p}
    assert {"sensor_id", "location", "from", "to", "order", "limit", "cursor", "page",
            "page_size", "count", "time_format"} <= names
    names = {p["name"] for p in paths[AVG]["get"]["parameters"] if "name" in p}
    assert {"bucket", "points", "from", "to", "sensor_id", "location", "group_by"} <= names


def test_the_front_page_lists_the_routes(system):
    answer = system.get("/")
    assert answer.status == 200
    for route in ROUTES:
        assert route in answer.text


def test_requests_in_one_connection_are_answered_in_order(system):
    ids = [1, 4711, 2, 3, 4, 6, 70, 0, 5] * 5
    requests = b"".join(b"GET /api/v1/sensors/%d HTTP/1.1\r\nHost: x\r\n\r\n" % i for i in ids[:-1])
    last = b"GET /api/v1/sensors/%d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % ids[-1]
    answer = system.http.raw(requests + last)
    codes = [int(code) for code in re.findall(rb"HTTP/1\.1 (\d+) ", answer)]
    assert codes == [{4711: 404, 0: 400}.get(i, 200) for i in ids]
    found = [int(i) for i in re.findall(rb'\{"id":\s*(\d+)', answer)]
    assert found == [i for i in ids if i not in (4711, 0)]


def test_a_query_that_takes_too_long_is_given_up(module_cqrsd, system, module_database):
    daemon = module_cqrsd({**system.given,
                           "postgres": {**system.given["postgres"], "read": {"timeout": "300ms"}}})
    daemon.start()
    with module_database.server.connection(module_database.name).cursor() as cursor:
        cursor.execute("BEGIN; LOCK TABLE sensors")
        try:
            answer = daemon.get("/api/v1/sensors")
            problem(answer, 503 if answer.status == 503 else 504)
        finally:
            cursor.execute("ROLLBACK")
    assert daemon.get("/api/v1/sensors").status == 200


@pytest.mark.parametrize("limit,seen", [(1, True), (20, True), (100, True),
                                        (7, False), (101, False)])
def test_postgresql_sees_the_limits_that_people_use(system, module_database, limit, seen):
    """It would make a plan for each request otherwise."""
    assert len(system.get(f"/api/v1/sensor-data?sensor_id=1&limit={limit}").json()) == limit
    (limits,), = module_database.query(
        "SELECT array_agg(substring(query from 'LIMIT (.*)$')) FROM pg_stat_activity "
        "WHERE datname = current_database() AND query LIKE '%FROM sensor_data d WHERE%'")
    assert (str(limit + 1) in limits) == seen
