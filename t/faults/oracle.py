# SPDX-License-Identifier: MIT
"""What must be in the tables, from what is in Kafka, and whether it is."""

import io
import json
import time
from collections import Counter

import confluent_kafka
from confluent_kafka import TopicPartition

from support.broker import quiet

from .load import good_sql

EXAMPLES = 5
AUDIT = 600  # seconds


def read_log(address, topic):
    """[(partition, offset, number of the message)], committed ones, to the end."""
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": address, "logger": quiet, "group.id": "oracle",
        "enable.auto.commit": False, "isolation.level": "read_committed",
        "enable.partition.eof": True, "auto.offset.reset": "earliest"})
    try:
        partitions = consumer.list_topics(topic, 20).topics[topic].partitions
        consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
        log, ended = [], set()
        while len(ended) < len(partitions):
            for message in consumer.consume(1000, 0.5):
                error = message.error()
                if error is None:
                    log.append((message.partition(), message.offset(), int(message.key())))
                elif error.code() == confluent_kafka.KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
                else:
                    raise confluent_kafka.KafkaException(error)
        return sorted(log)
    finally:
        consumer.close()


class Oracle:
    """`scene.load` has ended and all faults are over."""

    def __init__(self, scene):
        self.scene = scene
        self.ledger = scene.load.ledger
        self.logs = {kind: read_log(scene.kafka.address, topic)
                     for kind, topic in scene.topics.items()}
        self.lost = self.doubled = 0

    # ---- has it all been applied? ----

    def ends(self):
        """Where each partition that has messages must stand."""
        return {(self.scene.topics[kind], partition): offset + 1
                for kind, log in self.logs.items() for partition, offset, _ in log}

    def wait_until_applied(self, patience):
        """False when for so many seconds nothing moves."""
        ends = self.ends()
        best, since = -1, time.monotonic()
        while True:
            positions = self.scene.positions()
            behind = {place: end - positions.get(place, 0) for place, end in ends.items()
                      if positions.get(place, 0) != end}
            if not behind:
                return True
            if any(n < 0 for n in behind.values()):
                self.scene.complain(f"positions beyond the end of the log: {behind}")
                return False
            applied = -sum(behind.values())
            if applied != best:
                best, since = applied, time.monotonic()
            if time.monotonic() > since + patience:
                self.scene.complain(f"stuck: {behind} messages behind for {patience} s")
                return False
            time.sleep(0.2)

    # ---- and is it right? ----

    def forget_what_is_not_applied(self):
        """What is below the positions must be right even if the rest is never applied."""
        positions = self.scene.positions()
        for kind, log in self.logs.items():
            topic = self.scene.topics[kind]
            log[:] = [(p, o, m) for p, o, m in log if o < positions.get((topic, p), 0)]

    def judge(self):
        copies = Counter(message for _, _, message in self.logs["readings"]
                         if message != self.ledger.empty)
        self.messages = sum(len(log) for log in self.logs.values())
        self.connection = self.scene.connect()
        try:
            self._cursor = self.connection.cursor()
            self._cursor.execute("SET timezone = 'UTC'; SET work_mem = '64MB'")
            self._judge_readings()
            self._judge_dead_letters()
            self._judge_sensors()
        finally:
            self.connection.close()
        if more := sum(n - 1 for n in copies.values()):
            self.scene.timeline.say("", f"{more} messages stand more than once in Kafka")

    def _load(self, table, columns, rows):
        """A temporary table with rows of integers; None is NULL."""
        self._cursor.execute(f"CREATE TEMP TABLE {table} ({columns})")
        text = io.StringIO("".join(
            "\t".join("\\N" if v is None else str(v) for v in row) + "\n" for row in rows))
        self._cursor.copy_expert(f"COPY {table} FROM STDIN", text)
        self._cursor.execute(f"ANALYZE {table}")

    def _rows(self, sql):
        self._cursor.execute(sql)
        return self._cursor.fetchall()

    def _judge_readings(self):
        ledger = self.ledger
        self._load("sent", 'partition int, "offset" bigint, first bigint, count int', (
            (p, o, ledger.first[m], ledger.count[m]) for p, o, m in self.logs["readings"]
            if ledger.count[m]))
        allowed = "1" if self.scene.keyed else "count(*)"
        self._cursor.execute(
            f"""CREATE TEMP TABLE expected AS SELECT n, {allowed} AS copies
            FROM sent, generate_series(first, first + count - 1) AS n GROUP BY n;
            CREATE TEMP TABLE found AS SELECT cpu::bigint AS n, count(*) AS copies,
                bool_and({good_sql()}) AS good FROM sensor_data GROUP BY 1;
            CREATE TEMP TABLE wrong AS
            SELECT n, coalesce(e.copies, 0) AS expected, coalesce(f.copies, 0) AS found, good
            FROM expected e FULL JOIN found f USING (n)
            WHERE e.copies IS DISTINCT FROM f.copies OR NOT good""")
        ((self.readings,),) = self._rows("SELECT sum(copies)::bigint FROM expected")
        ((lost, doubled, foreign, bad),) = self._rows(
            """SELECT coalesce(sum(greatest(expected - found, 0)), 0)::bigint,
                coalesce(sum(greatest(found - expected, 0)) FILTER (WHERE expected > 0), 0),
                count(*) FILTER (WHERE expected = 0), count(*) FILTER (WHERE NOT good)
            FROM wrong""")
        self.lost, self.doubled = int(lost), int(doubled)
        for what, n in (("lost", lost), ("doubled", doubled), ("that nobody sent", foreign),
                        ("with other values than were sent", bad)):
            if n:
                self.scene.complain(f"{n} readings {what}")
        if lost or doubled:
            for row in self._rows(
                    f"""SELECT w.found, w.n, s.partition, s."offset" FROM wrong w
                    JOIN sent s ON w.n >= s.first AND w.n < s.first + s.count
                    ORDER BY s.partition, s."offset", w.n LIMIT {EXAMPLES}"""):
                self.scene.timeline.say("!", "reading {1} is there {0} times; it was sent in "
                                             "partition {2} at offset {3}".format(*row))

    def _judge_dead_letters(self):
        expected = [(p, o, -1 if part is None else part, state) for p, o, m in self.logs["readings"]
                    for part, state in self.ledger.dead.get(m, ())]
        self.expected_dead = len(expected)
        self._load("expected_dead", 'partition int, "offset" bigint, part int, state text',
                   expected)
        topic = self.scene.topics["readings"]
        ((self.found_dead,),) = self._rows("SELECT count(*) FROM cqrs.dead_letters")
        wrong = self._rows(
            f"""SELECT coalesce(e.copies, 0), coalesce(f.copies, 0),
                partition, "offset", part, state
            FROM (SELECT partition, "offset", part, coalesce(state, '') AS state, count(*) AS copies
                FROM expected_dead GROUP BY 1, 2, 3, 4) e
            FULL JOIN (SELECT partition, "offset", coalesce(part_index, -1) AS part,
                    coalesce(sqlstate, '') AS state, count(*) AS copies
                FROM cqrs.dead_letters WHERE topic = '{topic}' GROUP BY 1, 2, 3, 4) f
            USING (partition, "offset", part, state) WHERE e.copies IS DISTINCT FROM f.copies""")
        if wrong:
            self.scene.complain(f"{len(wrong)} dead letters are wrong")
        for row in wrong[:EXAMPLES]:
            self.scene.timeline.say("!", "dead letter expected {} times, found {} times: partition "
                                         "{}, offset {}, part {}, SQLSTATE '{}'".format(*row))
        others = self._rows("SELECT topic, reason FROM cqrs.dead_letters "
                            f"WHERE topic <> '{topic}' LIMIT {EXAMPLES}")
        if others:
            self.scene.complain(f"dead letters of another topic: {others}")

    def _judge_sensors(self):
        """Statements: an INSERT for each description without id, the last one for each id."""
        registered, put = Counter(), {}
        for _, _, message in self.logs["sensors"]:
            id, type = self.ledger.sensors[message]
            if id is None:
                registered[type] += 1
            else:
                put[id] = type
        self.statements = sum(registered.values())
        found = Counter(dict(self._rows(
            "SELECT type, count(*) FROM sensors WHERE id < 1000000 AND type <> '' GROUP BY 1")))
        missing, more = registered - found, found - registered
        self.lost += sum(missing.values())
        self.doubled += sum(more.values())
        if missing or more:
            self.scene.complain(f"{sum(missing.values())} descriptions of sensors lost, "
                                f"{sum(more.values())} doubled: {(missing + more).most_common(5)}")
        stands = dict(self._rows("SELECT id, type FROM sensors WHERE id >= 1000000"))
        if stands != put:
            wrong = sorted(set(stands.items()) ^ set(put.items()))
            self.scene.complain("descriptions of sensors are not the last ones: "
                                f"{wrong[:EXAMPLES]}")

    # ---- and does cqrsd see it as we do? ----

    def compare_with_audit(self):
        """After judge(): `cqrsd audit` must come to the same sums."""
        if not self.scene.keyed and not self.doubled:
            # Or it would read the whole table again and again.
            self.scene.sql("CREATE UNIQUE INDEX ON sensor_data (sensor_id, time)")
        done = self.scene.auditor.run("audit", "--json", timeout=AUDIT)
        # Compaction goes on: a message that we read may be gone when the audit comes to it.
        least = self.messages if not self.scene.compacted else sum(
            len(read_log(self.scene.kafka.address, topic)) for topic in self.scene.topics.values())
        if done.returncode:
            self.scene.complain(f"audit: {done.returncode}: {done.stderr}{done.stdout[-1000:]}")
            return
        found = json.loads(done.stdout)
        sent = sum(self.ledger.count[message] for _, _, message in self.logs["readings"])
        expected = {"readings": sent + self.expected_dead,
                    "present": self.readings, "dead": self.expected_dead,
                    "duplicate": sent - self.readings, "missing": 0}
        wrong = {name: f"{found['total'][name]}, not {n}" for name, n in expected.items()
                 if found["total"][name] != n}
        wrong |= {name: found[name] for name in ("doubled", "changed") if found[name]}
        if not least <= found["total"]["messages"] <= self.messages:
            wrong["messages"] = f"{found['total']['messages']}, not {least} to {self.messages}"
        if wrong:
            self.scene.complain(f"audit says otherwise: {wrong}")
        else:
            self.scene.timeline.say("", "audit says the same")
