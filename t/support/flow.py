# SPDX-License-Identifier: MIT
"""Readings that arrive all the time while something goes wrong, and the proof at the end."""

import json
import threading
import time
from datetime import datetime, timezone

from .broker import KafkaClient
from .daemon import is_instrumented
from .workshop import wait_until

START = 1_600_000_000
SENSORS = 20
PER_MESSAGE = 50

# Nothing in the database prevents a second copy here.
WITHOUT_KEY = """
    DROP TABLE sensor_data;
    CREATE TABLE sensor_data (time timestamptz NOT NULL, sensor_id integer NOT NULL,
        temperature double precision, cpu double precision);
"""


def message(first, n):
    """Readings number `first` and following; each has its number in `cpu`."""
    return json.dumps([{"sensor_id": i % SENSORS + 1, "ts": START + i // SENSORS,
                        "temperature": i % 64 / 4, "cpu": i} for i in range(first, first + n)])


class Flow:
    """Produces to a topic in a thread, and knows what must be in the table at the end.

    `database` is asked over the server's own socket, whatever the daemon's network does.
    """

    def __init__(self, daemon, database, kafka, topic, memory, per_second=2000):
        self.daemon, self.database, self.topic = daemon, database, topic
        self.budget = memory + (16 << 20)
        self.per_second = per_second
        self.sent = 0
        self._kafka = KafkaClient(kafka.address)
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._produce, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()

    def burst(self, readings):
        """So many at once."""
        with self._lock:
            first, self.sent = self.sent, self.sent + readings
            self._kafka.produce(self.topic, (message(i, min(PER_MESSAGE, first + readings - i))
                                             for i in range(first, first + readings, PER_MESSAGE)))

    def _produce(self):
        while not self._end.wait(0.1):
            self.burst(max(1, self.per_second // 10))

    def stored(self):
        return self.database.value("SELECT count(*) FROM sensor_data")

    def dead_letters(self):
        return self.database.value("SELECT count(*) FROM cqrs.dead_letters")

    def retries(self):
        return self.daemon.metrics().value("cqrsd_write_retries_total")

    def watch_reason(self, pattern, seconds, timeout=60):
        """Waits until /readyz says `pattern` of a writer, and then for so long that it stays.

        Not for one moment may it be ready meanwhile, or the failure be another one.
        """
        before = datetime.now(timezone.utc).timestamp()
        reason = wait_until(lambda: self._reason(pattern), timeout,
                            lambda: f"/readyz says {pattern}: {self.daemon.reasons()}")
        since = datetime.fromisoformat(reason["since"].replace("Z", "+00:00")).timestamp()
        assert before - 60 < since <= time.time() + 1
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            now = {r["check"]: r for r in self.daemon.admin.get("/readyz").json()["reasons"]}
            assert reason["check"] in now, "ready while the fault lasts"
            assert now[reason["check"]]["since"] == reason["since"]
            time.sleep(0.05)
        return reason["reason"]

    def _reason(self, pattern):
        answer = self.daemon.admin.get("/readyz")
        reasons = answer.json()["reasons"]
        assert (answer.status == 200) == (not reasons)
        return next((r for r in reasons
                     if r["check"].startswith("postgres write") and pattern.search(r["reason"])),
                    None)

    def finish(self, timeout=120):
        """Stops producing and waits for the end: everything once, nothing dead, all in bounds."""
        self.__exit__()
        wait_until(lambda: self.stored() >= self.sent, timeout,
                   lambda: f"{self.stored()} of {self.sent} are stored; {self.daemon.reasons()}")
        self.daemon.wait_ready()
        self.check()

    def check(self):
        n = self.sent
        assert self.database.query(
            "SELECT count(*), count(DISTINCT cpu), min(cpu), max(cpu), sum(cpu) FROM sensor_data"
        ) == [(n, n, 0, n - 1, n * (n - 1) / 2)]
        assert self.dead_letters() == 0
        ends = {p: self._kafka.watermarks(self.topic, p)[1]
                for p in self._kafka.admin.list_topics(self.topic, 10)
                .topics[self.topic].partitions}
        assert dict(self.database.query(
            "SELECT partition, next_offset FROM cqrs.offsets WHERE topic = %s",
            (self.topic,))) == ends
        # Whoever polls is never thrown out of its group, and given its partitions once.
        log = self.daemon.log()
        assert "poll interval" not in log and "went on without us" not in log
        assert self.daemon.metrics().value("cqrsd_kafka_evictions_total") == 0
        if not is_instrumented():
            assert self.daemon.peak_memory() <= self.budget
