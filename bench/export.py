# SPDX-License-Identifier: MIT
"""All readings at once, as NDJSON and as CSV, next to psql."""

import time
from datetime import datetime, timezone

from bench.figure import AtMost, Benchmark, Figure, Ratio, demand
from bench.load import run
from bench.readings import START
from bench.statement import asked
from support.workshop import peak_memory, resident_memory

PATH = "/api/v1/sensor-data?from={}"
NDJSON, CSV = "application/x-ndjson", "text/csv"


class Export(Benchmark):
    """Of all readings; the first figure is NDJSON, and its reference CSV as well."""

    figures = (Figure("export", "rows/s", Ratio(0.80)),
               Figure("export-csv", "rows/s", Ratio(0.80)),
               Figure("export-growth", "MB", AtMost(8)))

    def prepare(self):
        self.rows = self.lab.stored.rows
        database = self.lab.reads
        self.check_one(self.lab.reader(database))
        # Of the last readings, to be quick; but for the time it is the same statement.
        last = self.lab.stored.ts(self.lab.stored.steps.stop - 1)
        statement = asked(self.lab, database, PATH.format(last), accept=CSV)
        demand(len(statement.parameters) == 1, f"which one is the time? {statement}")
        begin = datetime.fromtimestamp(START, timezone.utc).isoformat()
        self.sql = statement._replace(parameters=[begin]).literal()

    def check_one(self, daemon):
        """What the rows of one sensor are, in both formats."""
        expected = [(float(t), float(c)) for t, c in self.lab.reads.query(
            "SELECT temperature, cpu FROM sensor_data WHERE sensor_id = 7 ORDER BY time")]
        lines = daemon.get(f"{PATH.format(START)}&sensor_id=7", accept=NDJSON).lines()
        _, table = daemon.get(f"{PATH.format(START)}&sensor_id=7", accept=CSV).table()
        demand([(r["temperature"], r["cpu"]) for r in lines] == expected, "NDJSON is not right")
        demand([(float(r[2]), float(r[3])) for r in table] == expected, "CSV is not right")

    def reference(self):
        rate = self.lab.once("psql", self.psql)
        return [rate, rate, None]

    def psql(self):
        return self.rate(['psql -qXd "$1" -c "$2"', self.lab.reads.dsn,
                          f"COPY ({self.sql}) TO STDOUT CSV"], self.rows)

    def cqrsd(self):
        daemon = self.lab.daemon(self.lab.reads).start()
        before = resident_memory(daemon.process.pid)
        url = f"http://127.0.0.1:{daemon.http_port}{PATH.format(START)}"
        rates = [self.rate(['curl -sSf -H "Accept: $1" "$2"', media_type, url], lines)
                 for media_type, lines in ((NDJSON, self.rows), (CSV, self.rows + 1))]
        growth = peak_memory(daemon.process.pid) - before
        daemon.stop()
        return [*rates, growth / 1e6]

    def rate(self, command, lines):
        """Rows a second of a program that writes them; counting lines is cheap."""
        begin = time.monotonic()
        found = int(run(["sh", "-c", f"{command[0]} | wc -l", "sh", *command[1:]], 120))
        seconds = time.monotonic() - begin
        demand(found == lines, f"{found} lines instead of {lines}")
        return self.rows / seconds
