# SPDX-License-Identifier: MIT
"""Who takes part: servers, and members of one group, each behind its own bad networks."""

import http.client
import random
import shutil
import threading
import time
from contextlib import contextmanager, suppress

import psycopg2

from support.broker import KafkaClient
from support.client import Metrics
from support.daemon import Cqrsd, is_instrumented
from support.pg_proxy import PgProxy
from support.shim import Shim, together
from support.workshop import BUILD, wait_until

from .load import CHECK, Load
from .servers import PASSWORD, ROLE

MEMORY = 32 << 20
SLACK = 16_000_000
SESSION = 3  # seconds until the group gives a silent member's partitions away
PARTITIONS = 6

# What the table of the readings is, by its name in the first line.
TABLES = {
    "with a key": "",
    "without a key": """
        DROP TABLE sensor_data;
        CREATE TABLE sensor_data (time timestamptz NOT NULL, sensor_id integer NOT NULL,
            temperature double precision, cpu double precision)""",
    "without a key, partitioned": """
        DROP TABLE sensor_data;
        CREATE TABLE sensor_data (time timestamptz NOT NULL, sensor_id integer NOT NULL,
            temperature double precision, cpu double precision) PARTITION BY RANGE (time)""",
}


class Member:
    """One daemon, its own ways to PostgreSQL and Kafka, and the most memory it was seen with."""

    def __init__(self, name, daemon, proxy, ways, topic):
        self.name = name
        self.daemon, self.topic = daemon, topic
        self.proxy, self.ways = proxy, ways  # to PostgreSQL, to each broker
        self.clock = Shim(daemon.workshop, "shifted_clock")
        # The sanitizer has a malloc of its own.
        self.memory = None if is_instrumented() else Shim(daemon.workshop, "failing_malloc")
        self.should_run = False
        self.has_log = True
        self.most_memory = 0
        self.zombie_moments = 0  # how often it was stopped for longer than its session
        self._evictions = {}  # process: how often it was thrown out for not polling
        self.lock = threading.Lock()

    def start(self, streams=""):
        """`streams`: what a shell does to them before."""
        with self.lock:
            self.daemon.start(ready=False, streams=streams,
                              env=together(*filter(None, (self.clock, self.memory))))
            self.has_log = not streams
            self.should_run = True

    def kill(self):
        with self.lock:
            self.should_run = False
            self.daemon.kill()

    def stop(self):
        """SIGTERM; the exit code."""
        with self.lock:
            self.should_run = False
            return self.daemon.stop(timeout=30)

    def send_signal(self, sig):
        with self.lock:
            self.daemon.send_signal(sig)

    def is_at_work(self):
        """Ready, and with partitions of its own."""
        return self.should_run and self.daemon.is_ready() and bool(self.daemon.metrics().values(
            "cqrsd_kafka_next_offset", topic=self.topic))

    def assignments(self):
        """How often the group gave it partitions, in all its lives."""
        return self.daemon.log().count(" gave us ")

    def fenced(self):
        return self.daemon.metrics().value("cqrsd_batches_fenced_total")

    def evictions(self):
        """How often it was thrown out for not polling, as far as it was seen."""
        return sum(self._evictions.values())

    def look_for_evictions(self):
        process = self.daemon.process
        with suppress(OSError, http.client.HTTPException):
            answer = self.daemon.admin.request("GET", "/metrics", timeout=1)
            if answer.status == 200:
                self._evictions[process] = Metrics(answer.text).value(
                    "cqrsd_kafka_evictions_total", reason="poll")

    def sample(self):
        """What is wrong with it, or None."""
        with self.lock:
            if not self.should_run:
                return None
            code = self.daemon.process.poll()
            if code is not None:
                self.should_run = False
                return f"ended by itself with {code}"
            with suppress(RuntimeError, OSError):
                self.most_memory = max(self.most_memory, self.daemon.resident_memory())
        return None


class Scene:
    def __init__(self, workshop, timeline, seed, members, rate, servers, session=SESSION):
        self.workshop, self.timeline, self.seed = workshop, timeline, seed
        self.postgres, self.kafka, self.disk = servers.postgres, servers.kafka, servers.disk
        self.session = session
        rng = random.Random(f"{seed} scene")
        self.table = list(TABLES)[seed % len(TABLES)]
        self.keyed = self.table == "with a key"
        self.max_rows = rng.choice([200, 500, 2000])
        self.rate = rate
        self.compacted = rng.random() < 0.5
        self.complaints = []
        self.table_was_away = False
        self.ending = threading.Event()
        self.server_lock = threading.Lock()  # PostgreSQL's life
        self.broker_lock = threading.Lock()
        self.partitions = PARTITIONS
        self.database = f"cqrs_{seed}"
        self.topics = {"readings": f"readings-{seed}", "sensors": f"sensors-{seed}"}
        self.applied = self.produced = 0
        self.others = []  # who are watched, and not of the group
        self._n_members = members

    def complain(self, text):
        self.timeline.say("!", text)
        self.complaints.append(text)

    def wait(self, seconds):
        """False when the campaign ends meanwhile."""
        return not self.ending.wait(seconds)

    # ---- setting up ----

    def set_up(self, late=()):
        """`late`: the topics that create_topic() will make."""
        self.postgres.query("postgres", f"CREATE DATABASE {self.database} OWNER {ROLE} "
                                        "TEMPLATE template0 TABLESPACE small")
        self.client = KafkaClient(self.kafka.address)
        for kind in self.topics.keys() - set(late):
            self.create_topic(kind)
        self.members = [self._member(i + 1) for i in range(self._n_members)]
        # Never started: for what is asked over networks that are good.
        self.auditor = Cqrsd(self.workshop, {"memory": "1GiB", **self._config(
            self.kafka.address, self.postgres.port)}, "auditor")
        self.auditor.migrate()
        if TABLES[self.table]:
            self.sql(f"SET ROLE {ROLE}; {TABLES[self.table]}")
        self.sql(f"ALTER TABLE sensor_data ADD CONSTRAINT plausible CHECK ({CHECK})")
        self.load = Load(self.kafka.address, self.topics, lambda: self.partitions, self.keyed,
                         f"{self.seed} load", self.rate, lambda: self.produced - self.applied)

    def create_topic(self, kind):
        # Small pieces that are compacted soon: then there are holes everywhere.
        config = {"cleanup_policy": "compact", "segment_ms": 2000,
                  "min_cleanable_dirty_ratio": 0.3} if self.compacted else {}
        partitions = self.partitions if kind == "readings" else 2
        self.client.create(self.topics[kind], partitions, self.kafka.replicas, **config)

    def config(self, kafka, port, database, group, topics, **more):
        return {
            "kafka": {"brokers": kafka, "group": group, "session_timeout": f"{self.session}s"},
            "postgres": {
                "dsn": f"host=127.0.0.1 port={port} user={ROLE} password={PASSWORD} "
                       f"dbname={database} sslmode=disable gssencmode=disable", **more},
            "commands": {"sensor": {"topics": topics}},
            "queries": {"sensor": {}},
        }

    def _config(self, kafka, port, **more):
        return self.config(kafka, port, self.database, f"group-{self.seed}", self.topics, **more)

    def _member(self, number):
        proxy = PgProxy(("127.0.0.1", self.postgres.port), self.workshop.free_port())
        ways = self.kafka.ways(number - 1)
        kafka = ",".join(way.address for way in ways) or self.kafka.address
        config = self._config(kafka, proxy.port,
                              write={"max_rows": self.max_rows, "timeout": "3s"})
        daemon = Cqrsd(self.workshop, {"memory": f"{MEMORY >> 20}MiB", **config},
                       f"member-{number}")
        return Member(f"member {number}", daemon, proxy, ways, self.topics["readings"])

    # ---- as the administrator ----

    def connect(self, user="postgres", database=None):
        connection = psycopg2.connect(
            f"host={self.postgres.directory} port={self.postgres.port} user={user} "
            f"dbname={database or self.database} connect_timeout=10")
        connection.autocommit = True
        return connection

    def sql(self, statement, database=None):
        """The rows, or None for a statement without."""
        connection = self.connect(database=database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def insist(self, *statements):
        """Until the server has done it: it may be away, or the table locked."""
        def done():
            try:
                for statement in statements:
                    self.sql(statement)
                return True
            except psycopg2.Error:
                return False

        wait_until(done, 120, f"PostgreSQL does {statements}", 0.1)

    @contextmanager
    def server(self):
        """For who stops and starts PostgreSQL: it is up before and after."""
        with self.server_lock:
            yield self.postgres
            if self.postgres.process is None:
                self.postgres.start()

    # ---- watching ----

    def everybody(self):
        return self.members + self.others

    def watch(self):
        """Until stopped: members' lives and memory five times a second."""
        self.watching = threading.Event()
        self._watchers = [threading.Thread(target=target, name=target.__name__, daemon=True)
                          for target in (self._watch_members, self._watch_evictions,
                                         self._watch_progress)]
        for thread in self._watchers:
            thread.start()

    def stop_watching(self):
        self.watching.set()
        for thread in self._watchers:
            thread.join()

    def _watch_members(self):
        while not self.watching.wait(0.2):
            for member in self.everybody():
                if wrong := member.sample():
                    self.complain(f"{member.name} {wrong}")

    def _watch_evictions(self):
        while not self.watching.wait(0.5):
            for member in self.everybody():
                if member.should_run:
                    member.look_for_evictions()

    def _watch_progress(self):
        told = time.monotonic()
        while not self.watching.wait(0.5):
            with suppress(psycopg2.Error):
                self.applied = self.count_applied()
            self.produced = len(self.load.ledger)
            if time.monotonic() > told + 10:
                told = time.monotonic()
                memory = ", ".join(f"{m.most_memory / 1e6:.0f}" for m in self.members)
                self.timeline.say("", f"{self.produced:,} messages sent, positions at "
                                      f"{self.applied:,}, most memory {memory} MB")

    def count_applied(self):
        return int(self.sql("SELECT coalesce(sum(next_offset), 0) FROM cqrs.offsets")[0][0])

    def positions(self):
        return {(topic, partition): offset for topic, partition, offset in self.sql(
            "SELECT topic, partition, next_offset FROM cqrs.offsets")}

    # ---- the end ----

    def readiness(self):
        return {m.name: m.daemon.reasons() if m.should_run else "does not run"
                for m in self.everybody()}

    def keep_logs(self):
        """Where somebody can read them after the workshop is gone."""
        to = BUILD / "faults" / f"seed-{self.seed}"
        shutil.rmtree(to, ignore_errors=True)
        to.mkdir(parents=True)
        logs = {m.name.replace(" ", "-"): m.daemon.log_path for m in self.everybody()}
        logs |= {"postgres": self.postgres.directory / "log"}
        logs |= {f"kafka-{b.node}": b.directory / "log" for b in self.kafka.brokers}
        for name, path in logs.items():
            if path.exists():
                shutil.copy(path, to / f"{name}.log")
        (to / "timeline").write_text("\n".join(self.timeline.lines) + "\n")
        return to

    def tear_down(self):
        for member in self.everybody():
            member.kill()
            if member.proxy:
                member.proxy.close()
