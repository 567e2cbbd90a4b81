# SPDX-License-Identifier: MIT
"""The benchmarks do not rot: they run, notice what is wrong, and leave nothing behind."""

import json
import os
import subprocess
import sys

import pytest
from support.workshop import REPOSITORY

sys.path.append(str(REPOSITORY))

from bench.course import Course  # noqa: E402
from bench.figure import AtMost, Failed, Figure, Longer, Ratio, Within  # noqa: E402
from bench.readings import SENSORS, Readings, Stream  # noqa: E402
from bench.report import Result, history_line  # noqa: E402
from bench.topic import check_rows  # noqa: E402

BENCH = REPOSITORY / "bench" / "bench"


def result(goal, reference, *cqrsd):
    made = Result(Figure("it", "ms", goal))
    made.note("reference", reference)
    for value in cqrsd:
        made.note("cqrsd", value)
    return made


@pytest.mark.parametrize("goal, reference, cqrsd, met", [
    (Ratio(0.5), 10, 5, True), (Ratio(0.5), 10, 4.9, False),
    (Longer(2), 10, 20, True), (Longer(2), 10, 21, False),
    (Within(3), 10, 13, True), (Within(3), 10, 13.1, False),
    (AtMost(12), None, 12, True), (AtMost(12), None, 12.1, False),
    (Ratio(0.5), 10, None, False), (Ratio(0.5), None, 10, False)])
def test_a_goal_is_met_or_not(goal, reference, cqrsd, met):
    assert result(goal, reference, cqrsd).as_dict()["met"] is met


def test_medians_of_the_rounds_are_compared():
    row = result(Ratio(2), 10, 90, 30, 20).as_dict()
    assert (row["reference"], row["cqrsd"], row["ratio"], row["met"]) == (10, 30, 3, True)


def test_a_line_of_the_history_marks_goals_that_are_not_met():
    document = {"versions": {"commit": "abc"}, "machine": {"processors": 2, "model": "Z80"},
                "rounds": 3}
    results = [result(Ratio(1), 10, 9), result(Within(3), 10, 12), result(AtMost(1), None, 2)]
    assert history_line(document, results).endswith(
        "abc, 2 x Z80, 3 rounds: it 0.90!, it +2.00 ms, it 2.00 ms!")


class NoLab:
    def begin_round(self):
        pass

    def tidy(self):
        pass


def fake(name, calls, fails_at=None):
    """A benchmark that notes what is called, and measures how many calls there were."""

    class Fake:
        figures = (Figure(name, "1", Ratio(1)),)

        def __init__(self, _):
            self.name = name

        def note(self, call):
            calls.append(f"{name} {call}")
            if len(calls) == fails_at:
                raise Failed("wrong")
            return [len(calls)]

        def prepare(self):
            self.note("prepare")

        def reference(self):
            return self.note("reference")

        def cqrsd(self):
            return self.note("cqrsd")

    return Fake


def test_sides_are_measured_in_turn_and_the_last_is_the_first_of_the_next_round():
    calls = []
    course = Course(NoLab(), [fake("a", calls), fake("b", calls)])
    course.run(2)
    assert calls == ["a prepare", "b prepare", "a reference", "a cqrsd", "b reference", "b cqrsd",
                     "a cqrsd", "a reference", "b cqrsd", "b reference"]
    assert course.results["a"].rounds == {"reference": [3, 8], "cqrsd": [4, 7]}
    assert not course.failures


def test_what_fails_is_left_out_and_the_others_go_on():
    calls = []
    course = Course(NoLab(), [fake("a", calls, fails_at=4), fake("b", calls)])
    course.run(2)
    assert calls[2:] == ["a reference", "a cqrsd", "b reference", "b cqrsd", "b cqrsd",
                         "b reference"]
    assert course.failures == {"a": "wrong"}
    assert course.results["a"].as_dict()["reference"] is None
    assert not course.results["a"].as_dict()["met"]


@pytest.mark.parametrize("spoil", ["DELETE FROM sensor_data WHERE cpu = 0",
                                   "UPDATE sensor_data SET cpu = cpu + 1 WHERE sensor_id = 7"])
def test_what_was_stored_is_checked(database, postgres, spoil):
    database.query("CREATE TABLE sensor_data (time timestamptz, sensor_id integer, "
                   "temperature double precision, cpu double precision)")
    readings = Readings(3 * SENSORS)
    with postgres.connection(database.name).cursor() as cursor:
        cursor.copy_expert("COPY sensor_data FROM STDIN BINARY", Stream(readings.chunks()))
    check_rows(database, readings)
    rows = database.query("SELECT extract(epoch FROM time)::integer, sensor_id, temperature, cpu "
                          "FROM sensor_data ORDER BY 1, 2")
    sent = [tuple(r.values()) for _, value in readings.messages() for r in json.loads(value)]
    assert rows == sorted(sent)
    database.query(spoil)
    with pytest.raises(Failed):
        check_rows(database, readings)


def test_a_benchmark_runs_and_leaves_nothing_behind(workshop, tmp_path):
    scratch, path = workshop.directory("bench"), tmp_path / "bench.json"
    scratch.chmod(0o711)  # user postgres must come through
    done = subprocess.run(
        [str(BENCH), "ingest", "ingest-duplicates", "--scale", "0.1", "--rounds", "2",
         "--json", str(path)],
        env={**os.environ, "TMPDIR": str(scratch)}, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(path.read_text())
    assert document["complete"] and not document["failures"]
    assert document["versions"]["kafka"] == "4.1.0" and document["machine"]["processors"] > 0
    rows = {row["name"]: row for row in document["results"]}
    assert list(rows) == ["ingest", "ingest-cores", "ingest-duplicates"]
    for name in ("ingest", "ingest-duplicates"):
        row = rows[name]
        assert row["unit"] == "rows/s" and row["goal"].startswith("≥")
        assert row["ratio"] == row["cqrsd"] / row["reference"] > 0
        assert [len(values) for values in row["rounds"].values()] == [2, 2]
        assert isinstance(row["met"], bool) and name in done.stdout
    assert list(scratch.iterdir()) == []


def test_a_benchmark_ends_when_its_time_is_up(tmp_path):
    path = tmp_path / "bench.json"
    done = subprocess.run(
        [str(BENCH), "ingest", "--minutes", "0.4", "--rounds", "1000", "--scale", "0.01",
         "--json", str(path)], capture_output=True, text=True, timeout=300)
    assert "minutes are over" in done.stderr
    document = json.loads(path.read_text())
    assert not document["complete"] and not document["failures"]
    measured = all(row["cqrsd"] is not None for row in document["results"])
    assert done.returncode == (0 if measured else 1)
