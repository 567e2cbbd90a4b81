# SPDX-License-Identifier: MIT
"""From PostgreSQL to JSON over HTTP, next to the same statements without."""

import math
import random
from datetime import datetime
from itertools import product

from bench.figure import Benchmark, Figure, Ratio, demand
from bench.load import best, pgbench, select, wrk
from bench.readings import SENSORS, START
from bench.statement import asked

CLIENTS = (1, 2, 4, 8, 16, 32)
CONNECTIONS = 64
BY_KEY = "/api/v1/sensors/@"
SERIES = "/api/v1/sensor-data?sensor_id=@&limit=100"
AVERAGE = ("/api/v1/sensor-data/avg?sensor_id=@&bucket=30m"
           f"&from={START}&to={START + 86_400}")


def same(value, expected):
    if isinstance(expected, datetime):
        return datetime.fromisoformat(value.replace("Z", "+00:00")) == expected
    if isinstance(expected, float):
        return math.isclose(value, expected, rel_tol=1e-12)
    return value == expected


def same_row(row, expected):
    return len(row) == len(expected) and all(map(same, row, expected))


def check_answers(daemon, database, path, sql):
    """Some answers against a statement of our own."""
    for sensor in random.Random(path).sample(range(1, SENSORS + 1), 10):
        answer = daemon.get(path.replace("@", str(sensor))).json()
        rows = [list(row.values()) for row in (answer if isinstance(answer, list) else [answer])]
        expected = [list(row) for row in database.query(sql, {"sensor": sensor})]
        demand(len(rows) == len(expected) > 0 and all(map(same_row, rows, expected)),
               f"GET {path} of sensor {sensor} has {rows}, not {expected}")


def read_by_key(lab):
    """wrk with 64 connections; once in each round."""
    return lab.once("read by key", lambda: wrk(
        lab, lab.reader(lab.reads).http_port, BY_KEY, CONNECTIONS))


class Read(Benchmark):
    """The reference is the best of 1 to 32 clients with one statement in flight each."""

    path, truth = None, None

    def prepare(self):
        self.reader = self.lab.reader(self.lab.reads)
        check_answers(self.reader, self.lab.reads, self.path, self.truth)
        self.statement = asked(self.lab, self.lab.reads, self.path)
        self.best = best(self.settings(), lambda s: self.ask(s, self.lab.seconds / 8), 2)

    def settings(self):
        return list(product(CLIENTS, ("text", "binary")))

    def ask(self, setting, seconds):
        clients, result = setting
        return select(self.lab, self.lab.reads, self.statement, clients, result, seconds=seconds)

    def reference(self):
        return [max(self.ask(setting, self.lab.seconds / 2) for setting in self.best)]

    def cqrsd(self):
        return [wrk(self.lab, self.reader.http_port, self.path, CONNECTIONS).rate]


class ReadKey(Read):
    """Here pgbench can do it as well."""

    figures = (Figure("read-key", "1/s", Ratio(1.0)),)
    path = BY_KEY
    truth = "SELECT id, type, location FROM sensors WHERE id = %(sensor)s"
    SCRIPT = (f"\\set id random(1, {SENSORS})\n"
              "SELECT id, type, location FROM sensors WHERE id = :id;\n")

    def settings(self):
        return [*super().settings(), *product(CLIENTS, ("pgbench",))]

    def ask(self, setting, seconds):
        if setting[1] == "pgbench":
            return pgbench(self.lab, self.lab.reads, self.SCRIPT, setting[0], seconds)
        return super().ask(setting, seconds)

    def cqrsd(self):
        return [read_by_key(self.lab).rate]


class ReadKeyMany(Read):
    """As many connections as are best; the reference has as many statements in flight."""

    figures = (Figure("read-key-many", "1/s", Ratio(0.50)),)
    path, truth = ReadKey.path, ReadKey.truth

    def prepare(self):
        self.pool, self.connections = best(
            product((1, 2, 4), (64, 128, 256)), lambda s: self.get(*s, self.lab.seconds / 8))[0]
        super().prepare()

    def get(self, pool, connections, seconds=None):
        port = self.lab.reader(self.lab.reads, pool).http_port
        return wrk(self.lab, port, self.path, connections, seconds).rate

    def settings(self):
        return list(product((1, 2, 4, 8), ("text", "binary", "pgbench")))

    def ask(self, setting, seconds):
        clients, how = setting
        n = self.connections // clients
        if how != "pgbench":
            return select(self.lab, self.lab.reads, self.statement, clients, how, n, seconds)
        script = f"\\startpipeline\n{ReadKey.SCRIPT * n}\\endpipeline\n"
        return n * pgbench(self.lab, self.lab.reads, script, clients, seconds)

    def cqrsd(self):
        return [self.get(self.pool, self.connections)]


class ReadSeries(Read):
    figures = (Figure("read-series", "1/s", Ratio(0.80)),)
    path = SERIES
    truth = ("SELECT time, sensor_id, temperature, cpu FROM sensor_data "
             "WHERE sensor_id = %(sensor)s ORDER BY time LIMIT 100")


class ReadAverage(Read):
    """A day of one sensor in periods of 30 minutes."""

    figures = (Figure("read-average", "1/s", Ratio(0.95)),)
    path = AVERAGE
    truth = ("SELECT date_bin('30 minutes', time, '1970-01-01Z') AS period, avg(temperature), "
             "avg(cpu), count(*) FROM sensor_data WHERE sensor_id = %(sensor)s "
             f"AND time >= to_timestamp({START}) AND time < to_timestamp({START + 86_400}) "
             "GROUP BY 1 ORDER BY 1")
