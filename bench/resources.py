# SPDX-License-Identifier: MIT
"""What cqrsd needs: memory in three situations, and time to start."""

import selectors
import socket
import statistics
import time

import confluent_kafka

from bench.figure import AtMost, Benchmark, Figure, Within, demand
from bench.ingest import drained, main_topic
from bench.lab import SENSORS_TOPIC
from bench.readings import SENSORS
from support.workshop import peak_memory, resident_memory, wait_until

BUDGET = 64 << 20  # the default of memory:
SLOW_CLIENTS = 64
OF_SENSORS = 20  # each asks for the readings of so many


class Memory(Benchmark):
    """Resident, in MB: with nothing to do, at full ingest, with 64 slow readers of exports."""

    figures = (Figure("memory", "MB", AtMost(12)),
               Figure("memory-ingest", "MB", AtMost(round(BUDGET / 1e6 + 12, 1))),
               Figure("memory-export", "MB", AtMost(round(BUDGET / 1e6 + 12, 1))))

    def prepare(self):
        self.topic = main_topic(self.lab)
        self.lab.reader(self.lab.reads)

    def cqrsd(self):
        return [size / 1e6 for size in
                (self.idle(), drained(self.lab, self.topic).peak, self.export())]

    def idle(self):
        daemon = self.lab.daemon(self.lab.writes, self.lab.silence).start()
        time.sleep(1)
        size = resident_memory(daemon.process.pid)
        daemon.stop()
        return size

    def export(self):
        daemon = self.lab.daemon(self.lab.reads, postgres={"read": {"streams": SLOW_CLIENTS}})
        daemon.start()
        clients = [SlowClient(daemon.http_port, n) for n in range(SLOW_CLIENTS)]
        read_slowly(clients, self.lab.seconds)
        demand(all(c.received.startswith(b"HTTP/1.1 200 ") for c in clients), "an export failed")
        size = peak_memory(daemon.process.pid)
        for client in clients:
            client.socket.close()
        daemon.stop()
        return size


class SlowClient:
    """Has asked for more than the kernel buffers."""

    def __init__(self, port, number):
        self.received = b""
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", port))
        first = number * OF_SENSORS % SENSORS + 1
        sensors = "&".join(f"sensor_id={s}" for s in range(first, min(first + OF_SENSORS, SENSORS)))
        self.socket.sendall(f"GET /api/v1/sensor-data?{sensors} HTTP/1.1\r\nHost: localhost\r\n"
                            "Accept: application/x-ndjson\r\n\r\n".encode())


def read_slowly(clients, seconds):
    """16 KiB each, ten times a second."""
    selector = selectors.DefaultSelector()
    for client in clients:
        selector.register(client.socket, selectors.EVENT_READ, client)
    wait_until(lambda: all(c.received for c in clients) or take(selector), 60,
               "all exports have begun", 0.1)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        take(selector)
        time.sleep(0.1)


def take(selector):
    for key, _ in selector.select(0):
        data = key.data.socket.recv(16384)
        key.data.received = key.data.received or data


class Start(Benchmark):
    """exec to /readyz; the reference is a consumer of librdkafka that joins a group."""

    figures = (Figure("start", "ms", Within(50)),)
    STARTS = 5

    def prepare(self):
        self.topic, self.database = self.lab.silence, self.lab.writes

    def reference(self):
        return [statistics.median(self.join() for _ in range(self.STARTS)) * 1e3]

    def join(self):
        joined = []
        begin = time.monotonic()
        consumer = confluent_kafka.Consumer({"bootstrap.servers": self.lab.kafka.address,
                                             "group.id": self.lab.new_group()})
        consumer.subscribe([self.topic.name, SENSORS_TOPIC],
                           on_assign=lambda *_: joined.append(time.monotonic()))
        wait_until(lambda: consumer.poll(0.001) or joined, 30, "the group was joined", 0)
        consumer.close()
        return joined[0] - begin

    def cqrsd(self):
        return [statistics.median(self.start() for _ in range(self.STARTS)) * 1e3]

    def start(self):
        daemon = self.lab.daemon(self.database, self.topic)
        daemon.start(ready=False)
        begin = time.monotonic()  # it has called exec; to fork us takes longer the larger we are
        wait_until(daemon.is_ready, 30, "cqrsd is ready", 0.001)
        seconds = time.monotonic() - begin
        daemon.stop()
        return seconds
