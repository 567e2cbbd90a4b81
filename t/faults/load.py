# SPDX-License-Identifier: MIT
"""Messages, good and bad, that never stop coming, and the ledger of what is in them.

Each reading has a number of its own, in `cpu`, and everything else in it follows
from that number.  Each message has a number too, which is its key: what stands in
Kafka in the end, and how often, is read from Kafka (oracle.py), and the ledger
says what must have come of it.
"""

import json
import random
import threading
import time
from array import array

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException

from support.broker import quiet

SENSORS = 20
START = 1_600_000_000
STEP = 30  # seconds between two readings of a sensor: a day's partition has 57,600
CHECK = "temperature < 600"
LARGE = 1_500_000

READING = '{{"ts":{ts},"sensor_id":{sensor},"temperature":{temperature},"cpu":{n}}}'


def reading(n):
    return READING.format(ts=START + n // SENSORS * STEP, sensor=n % SENSORS + 1,
                          temperature=n % 64 / 4, n=n)


def good_sql(n="cpu"):
    """Whether a row of sensor_data is what reading() wrote."""
    return (f"sensor_id = {n}::bigint % {SENSORS} + 1 "
            f"AND time = to_timestamp({START} + {n}::bigint / {SENSORS} * {STEP}) "
            f"AND temperature = {n}::bigint % 64 / 4.0")


# What the module refuses: elements of an array, each for itself.
BAD_ELEMENTS = [
    '{"ts":1646409307,"sensor_id":"x","cpu":1}',
    '{"ts":true,"sensor_id":1,"cpu":1}',
    '{"ts":1646409307,"sensor_id":0,"cpu":1}',
    '{"ts":1646409307,"sensor_id":1,"temperature":"warm"}',
    '{"ts":1646409307,"sensor_id":1}',
    '{"ts":"yesterday","sensor_id":1,"cpu":1}',
    '{"sensor_id":1,"cpu":1}',
    "7", "null", '"text"', "[[]]",
]

# What it refuses as a whole, whatever good readings stand in it as well.
BAD_MESSAGES = {
    "not JSON": lambda good: good[:-1] + ",",
    "cut off": lambda good: good[: len(good) // 2],
    "empty": lambda good: "",
    "tombstone": lambda good: None,
    "deep": lambda good: "[" * 100_000 + "]" * 100_000,
    "NUL in text": lambda good: '[{"ts":"\\u0000","sensor_id":1,"cpu":1}]',
    "NUL byte": lambda good: good.replace(":", ":\0", 1),
    "bad object": lambda good: '{"ts":1646409307,"sensor_id":-1,"cpu":1}',
    "number": lambda good: "12",
}


class Ledger:
    """Message by message: the numbers of its good readings, and its dead letters."""

    def __init__(self):
        self.first, self.count = array("q"), array("H")
        self.dead = {}  # message: [(part or None, SQLSTATE or None)]
        self.sensors = {}  # message of the other topic: (id or None, type)
        self.readings = 0  # numbers given out
        self.empty = self.add(0)  # sent often, with the same key: compaction takes it away

    def __len__(self):
        return len(self.first)

    def add(self, count, dead=None, first=None):
        message = len(self.first)
        if first is None:
            first = self.readings
            self.readings += count
        self.first.append(first)
        self.count.append(count)
        if dead:
            self.dead[message] = dead
        return message

    def add_sensor(self, id, type):
        self.sensors[self.add(0)] = (id, type)


class Composer:
    """Makes the next message: (number, value)."""

    def __init__(self, ledger, rng, keyed):
        self.ledger, self.rng, self.keyed = ledger, rng, keyed

    def _good(self):
        size = int(200 ** self.rng.random())
        first = self.ledger.readings
        return size, [reading(n) for n in range(first, first + size)]

    def next(self):
        chance = self.rng.random()
        if chance < 0.005:
            return self._poison()
        if chance < 0.010:
            return self._bad_elements()
        if chance < 0.015:
            return self._refused_elements()
        if chance < 0.035 and self.keyed and len(self.ledger) > 100:
            return self._again()
        if chance < 0.0352:
            return self._large()
        if chance < 0.055:
            return self.ledger.empty, "[]"
        size, elements = self._good()
        value = elements[0] if size == 1 and self.rng.random() < 0.5 else f"[{','.join(elements)}]"
        return self.ledger.add(size), value

    def _poison(self):
        name = self.rng.choice(list(BAD_MESSAGES))
        value = BAD_MESSAGES[name](f"[{','.join(self._good()[1])}]")
        return self.ledger.add(0, [(None, None)]), value

    def _with(self, bad, sqlstate):
        """Good readings with bad ones between them."""
        size, elements = self._good()
        places = sorted(self.rng.sample(range(size + len(bad)), len(bad)))
        for place, element in zip(places, bad):
            elements.insert(place, element)
        return self.ledger.add(size, [(p, sqlstate) for p in places]), f"[{','.join(elements)}]"

    def _bad_elements(self):
        return self._with(self.rng.choices(BAD_ELEMENTS, k=self.rng.randint(1, 3)), None)

    def _refused_elements(self):
        """Only the database knows; with keys of their own, or they would be duplicates."""
        ts = START + len(self.ledger)
        return self._with([READING.format(ts=ts, sensor=1001 + i, temperature=666, n=-1)
                           for i in range(self.rng.randint(1, 3))], "23514")

    def _again(self):
        """What an earlier message had, once more: only a key can tell."""
        old = self.rng.randrange(len(self.ledger))
        first, count = self.ledger.first[old], self.ledger.count[old]
        elements = ",".join(reading(n) for n in range(first, first + count))
        return self.ledger.add(count, first=first), f"[{elements}]"

    def _large(self):
        note = "x" * LARGE
        if self.rng.random() < 0.5:
            return self.ledger.add(0, [(None, None)]), "[" + note
        n = self.ledger.readings
        return self.ledger.add(1), '[{"note":"' + note + '",' + reading(n)[1:] + "]"

    def sensor(self):
        """A description of a sensor: (number, value, partition)."""
        message = len(self.ledger)
        if self.rng.random() < 0.5:
            self.ledger.add_sensor(None, f"t{message}")
            return message, json.dumps({"type": f"t{message}"}), self.rng.randrange(2)
        # The last one stands; they are in order, because they are in one partition.
        id = 1_000_000 + self.rng.randrange(50)
        self.ledger.add_sensor(id, f"t{message}")
        return message, json.dumps({"id": id, "type": f"t{message}"}), id % 2


class Load(threading.Thread):
    """Produces at about `rate` messages a second while the backlog is bearable."""

    SHARE_OF_SENSORS = 0.03
    BACKLOG = 20_000  # messages
    SETTINGS = {"logger": quiet, "log_level": 0, "enable.idempotence": True, "linger.ms": 5,
                "message.timeout.ms": 0, "message.max.bytes": 4 << 20,
                "topic.metadata.refresh.interval.ms": 1000,
                "reconnect.backoff.max.ms": 1000, "queue.buffering.max.kbytes": 65536}

    def __init__(self, address, topics, partitions, keyed, seed, rate, backlog):
        super().__init__(name="load", daemon=True)
        self.address, self.topics, self.partitions = address, topics, partitions
        self.rng = random.Random(seed)
        self.ledger = Ledger()
        self.composer = Composer(self.ledger, self.rng, keyed)
        self.rate, self.backlog = rate, backlog
        self.aborted = 0  # transactions
        self.failed = []  # what could not be delivered
        self.error = None
        self._ending = threading.Event()
        self._producer = confluent_kafka.Producer({
            "bootstrap.servers": address, **self.SETTINGS})
        self._transactional = None

    def end(self):
        """Until everything is delivered."""
        self._ending.set()
        self.join(120)
        if self.error:
            raise self.error
        if self.is_alive():
            raise AssertionError("the producer does not come to an end")

    def run(self):
        try:
            self._run()
            self._flush()
        except Exception as error:  # told by end()
            self.error = error

    def _run(self):
        owed, last = 0.0, time.monotonic()
        next_transaction = last + 2
        while not self._ending.wait(0.01):
            now = time.monotonic()
            owed, last = min(owed + (now - last) * self.rate, self.rate), now
            if self.backlog() > self.BACKLOG:
                owed = 0
            while owed >= 1:
                owed -= 1
                self._one(self._producer, self._delivered)
            self._producer.poll(0)
            if now > next_transaction:
                self._transaction()
                next_transaction = time.monotonic() + self.rng.uniform(0.5, 3)

    def _one(self, producer, delivered=None):
        if self.rng.random() < self.SHARE_OF_SENSORS:
            message, value, partition = self.composer.sensor()
            topic = self.topics["sensors"]
        else:
            message, value = self.composer.next()
            topic, partition = self.topics["readings"], self.rng.randrange(self.partitions())
        while True:
            try:
                producer.produce(topic, value, str(message), partition, on_delivery=delivered)
                return
            except BufferError:
                producer.poll(0.05)
            except KafkaException as error:
                if error.args[0].code() != KafkaError._UNKNOWN_PARTITION:
                    raise
                partition = 0  # one that was added a moment ago, and is not known yet

    def _delivered(self, error, message):
        if error is not None:
            self.failed.append(f"message {message.key()}: {error}")

    def _flush(self):
        left = self._producer.flush(100)
        assert left == 0, f"{left} messages could not be delivered"

    # ---- transactions, of which some abort ----

    def _transaction(self):
        """What becomes of it is not our business: in the end the log says what is in it."""
        producer = self._transactional
        try:
            if producer is None:
                producer = confluent_kafka.Producer({
                    "bootstrap.servers": self.address, **self.SETTINGS,
                    "message.timeout.ms": 10000, "transaction.timeout.ms": 10000,
                    "transactional.id": f"{self.topics['readings']}-load"})
                producer.init_transactions(5)
                self._transactional = producer
            producer.begin_transaction()
            for _ in range(self.rng.randint(1, 20)):
                self._one(producer)
            if self.rng.random() < 0.4:
                self.aborted += 1
                producer.abort_transaction(5)
            else:
                producer.commit_transaction(5)
        except KafkaException:
            # The broker is away, most likely: a new one takes over from it and aborts.
            self._transactional = None
