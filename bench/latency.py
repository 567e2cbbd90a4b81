# SPDX-License-Identifier: MIT
"""How long after it was produced a reading is seen by GET, next to Kafka's own consumers."""

import json
import multiprocessing
import queue
import socket
import time

import confluent_kafka

from bench.figure import Benchmark, Failed, Figure, Within, demand
from bench.readings import PARTITIONS, START, Readings
from bench.topic import Topic

RATE = 1000
SECONDS = 20
PATIENCE = 30
PAUSE = 0.0005  # between two requests of the one who watches


def produce(address, topic, count, results):
    """Reading number i has i as its cpu and belongs to sensor i % 4 + 1; when each was sent."""
    producer = confluent_kafka.Producer({"bootstrap.servers": address, "linger.ms": 0})
    producer.list_topics(topic, 10)
    sent, begin = [], time.monotonic()
    for i in range(count):
        time.sleep(max(0.0, begin + i / RATE - time.monotonic()))
        value = json.dumps({"ts": START * 1000 + i, "sensor_id": i % PARTITIONS + 1, "cpu": i})
        sent.append(time.monotonic())
        producer.produce(topic, value, str(i), partition=i % PARTITIONS)
        producer.poll(0)
    producer.flush(PATIENCE)
    results.put(("sent", sent))


def consume(address, topic, count, results):
    """When a consumer of librdkafka had each."""
    consumer = confluent_kafka.Consumer({"bootstrap.servers": address, "group.id": "latency"})
    consumer.assign([confluent_kafka.TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
    received, left = [None] * count, count
    results.put(("consumer", None))
    while left:
        message = consumer.poll(PATIENCE)
        demand(message is not None and not message.error(), "Kafka's consumer stands still")
        received[int(message.key())] = time.monotonic()
        left -= 1
    consumer.close()
    results.put(("received", received))


def watch(port, count, results):
    """When an answer had each: the newest of a sensor is not seen before those it follows."""
    seen, newest = [None] * count, [i - PARTITIONS for i in range(PARTITIONS)]
    connection = Connection(port)
    end = time.monotonic() + SECONDS + 2 * PATIENCE
    while max(newest) < count - 1 or min(newest) < count - PARTITIONS:
        rows, now = connection.get("/api/v1/sensors/latest"), time.monotonic()
        demand(now < end, "not all readings were seen")
        for row in rows:
            sensor, number = row["sensor_id"] - 1, round(row["cpu"])
            for i in range(newest[sensor] + PARTITIONS, number + 1, PARTITIONS):
                seen[i] = now
            newest[sensor] = number
        time.sleep(PAUSE)
    results.put(("seen", seen))


class Connection:
    """Kept open; quicker than http.client."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, path):
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._receive()
        head, _, body = answer.partition(b"\r\n\r\n")
        demand(head.startswith(b"HTTP/1.1 200 "), head.decode())
        length = int(head.lower().partition(b"\r\ncontent-length:")[2].split()[0])
        while len(body) < length:
            body += self._receive()
        return json.loads(body)

    def _receive(self):
        data = self.socket.recv(65536)
        demand(data, "cqrsd closed the connection")
        return data


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def take(results):
    try:
        return results.get(timeout=SECONDS + 3 * PATIENCE)
    except queue.Empty:
        raise Failed("one of those who measure says nothing") from None


class Latency(Benchmark):
    figures = (Figure("latency", "ms", Within(3)), Figure("latency-p99", "ms", Within(15)))

    def prepare(self):
        self.count = max(RATE, round(RATE * SECONDS * min(1, self.lab.scale))) // 4 * 4
        self.database = self.lab.database("latency", Readings(10_000))
        # Those who send and no others: the newest of each sensor is what is asked for.
        self.database.query(f"DELETE FROM sensors WHERE id > {PARTITIONS}")
        self.topics = 0
        self.measure(RATE)  # a broker that has just started is slow

    def reference(self):
        return self.lab.once("latency", lambda: self.measure(self.count))[0]

    def cqrsd(self):
        return self.lab.once("latency", lambda: self.measure(self.count))[1]

    def measure(self, count):
        """p50 and p99 in ms: of a consumer, and of cqrsd."""
        self.topics += 1
        self.lab.empty(self.database)
        topic = Topic(self.lab.kafka_client, f"latency-{self.topics}", None)
        daemon = self.lab.daemon(self.database, topic).start()
        times = self.run(topic.name, daemon.http_port, count)
        daemon.stop()
        stored = self.database.value("SELECT count(*) FROM sensor_data")
        demand(stored == count, f"{stored} readings are stored instead of {count}")
        return [[percentile([(after - sent) * 1e3 for sent, after in
                             zip(times["sent"], times[what])], share) for share in (0.5, 0.99)]
                for what in ("received", "seen")]

    def run(self, topic, port, count):
        """Three processes, so that none waits for another; what they saw, on one clock."""
        spawn = multiprocessing.get_context("spawn")
        results, address = spawn.Queue(), self.lab.kafka.address
        tasks = {produce: (address, topic), consume: (address, topic), watch: (port,)}
        processes = [spawn.Process(target=task, args=(*arguments, count, results), daemon=True)
                     for task, arguments in tasks.items()]
        producer, *others = processes
        try:
            for process in others:
                process.start()
            times = dict([take(results)])
            producer.start()
            while not {"sent", "received", "seen"} <= times.keys():
                times |= [take(results)]
            for process in processes:
                process.join()
            return times
        finally:
            for process in processes:
                if process.is_alive():
                    process.kill()
