# SPDX-License-Identifier: MIT
"""A real Apache Kafka: one node that is broker and controller (KRaft)."""

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
from pathlib import Path

import confluent_kafka
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from .proxy import Proxy
from .workshop import Workshop, wait_until

VERSION = "4.1.0"


def library():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = Path(cache) / "cqrsd" / f"kafka-{VERSION}" / "lib"
    if not path.is_dir():
        raise RuntimeError(f"{path} is missing: t/support/need check fetches it")
    return path


class Kafka:
    """A broker that this process started; see `shared()` for one that all workers use.

    `first` makes it another broker of the cluster that `first` began.  `ways`: so many more
    listeners, each behind a bad network of its own, which is all that its clients know.
    """

    def __init__(self, workshop: Workshop, first=None, replicas=1, heap="512m", ways=0,
                 network=Proxy):
        self.workshop = workshop
        self.heap = heap
        self.directory = workshop.directory("kafka")
        self.port = workshop.free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.process = None
        self.controller = first.controller if first else workshop.free_port()
        self.node = first.node + 1 if first else 1
        self.ways = [network(("127.0.0.1", workshop.free_port()), workshop.free_port())
                     for _ in range(ways)]
        own = "" if first else f",CONTROLLER://127.0.0.1:{self.controller}"
        properties = {
            "process.roles": "broker" if first else "broker,controller",
            "node.id": self.node,
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port}{own}" + "".join(
                f",WAY{i}://127.0.0.1:{way.target[1]}" for i, way in enumerate(self.ways)),
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}" + "".join(
                f",WAY{i}://{way.address}" for i, way in enumerate(self.ways)),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT" + "".join(
                f",WAY{i}:PLAINTEXT" for i in range(ways)),
            "log.dirs": self.directory / "data",
            "num.partitions": 1,
            "offsets.topic.num.partitions": 4,
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.num.partitions": 2,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            "leader.imbalance.check.interval.seconds": 5,
            "auto.create.topics.enable": "false",
            "message.max.bytes": 16 << 20,
            "replica.fetch.max.bytes": 16 << 20,
            # Compaction and retention within the patience of a test.
            "log.cleaner.backoff.ms": 300,
            "log.cleaner.dedupe.buffer.size": 4 << 20,
        }
        (self.directory / "server.properties").write_text(
            "".join(f"{name}={value}\n" for name, value in properties.items()))
        (self.directory / "log4j2.yaml").write_text(
            "Configuration:\n"
            "  Appenders: {Console: {name: STDOUT, PatternLayout: {pattern: '%d %p %m (%c)%n'}}}\n"
            "  Loggers: {Root: {level: WARN, AppenderRef: {ref: STDOUT}}}\n")
        self._run("kafka.tools.StorageTool", "format", "-t", "Y3Fyc2QtdGVzdC1ydW4tMA", "-c")

    def _command(self, *arguments):
        # One processor's worth of garbage collection and compilation: we share the machine.
        return ["java", "-Xms128m", f"-Xmx{self.heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                "-Xshare:auto", f"-Djava.io.tmpdir={self.directory}",
                f"-Dlog4j2.configurationFile={self.directory}/log4j2.yaml",
                "-cp", f"{library()}/*", *arguments, str(self.directory / "server.properties")]

    def _run(self, *arguments):
        done = subprocess.run(self._command(*arguments), capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{arguments[0]}: {done.stdout}{done.stderr}")

    def start(self):
        with open(self.directory / "log", "ab") as log:
            self.process = self.workshop.start(
                self._command("kafka.Kafka"), cwd=self.directory,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self._is_ready, 60, "Kafka answers", 0.05)
        return self

    def _is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError("kafka: " + (self.directory / "log").read_text())
        log = {"logger": quiet, "log_level": 0}
        try:
            AdminClient({"bootstrap.servers": self.address, **log}).list_topics(timeout=1)
            return True
        except confluent_kafka.KafkaException:
            return False

    def stop(self, sig=signal.SIGTERM):
        if self.process:
            self.workshop.stop(self.process, sig, 30)
            self.process = None

    def remove(self):
        self.stop(signal.SIGKILL)
        for way in self.ways:
            way.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def shared(workshop: Workshop):
    """The address of the one broker of a run: whoever comes first starts it, the janitor ends it."""
    note = workshop.path / "kafka.json"
    with workshop.lock("kafka"):
        if not note.exists():
            kafka = Kafka(workshop).start()
            note.write_text(json.dumps({"address": kafka.address}))
    return json.loads(note.read_text())["address"]


class KafkaClient:
    """What tests do to a broker, whichever it is."""

    def __init__(self, address):
        self.address = address
        self.settings = {"bootstrap.servers": address, "logger": quiet}
        self._admin = None
        self._producer = None
        self._lock = threading.Lock()

    @property
    def admin(self):
        self._admin = self._admin or AdminClient(self.settings)
        return self._admin

    def create(self, topic, partitions=1, replicas=1, **config):
        """Waits until the topic has its leaders, so that nobody meets it half-made."""
        config = {name.replace("_", "."): str(value) for name, value in config.items()}
        new = NewTopic(topic, partitions, replicas, config=config)
        self.admin.create_topics([new])[topic].result(20)
        wait_until(lambda: self._has_leaders(topic, partitions), 20, f"{topic} has leaders")

    def add_partitions(self, topic, total):
        self._producer = None  # which knows only those that were there
        self.admin.create_partitions([NewPartitions(topic, total)])[topic].result(20)
        wait_until(lambda: self._has_leaders(topic, total), 20, f"{topic} has leaders")

    def leader(self, topic, partition=0):
        """The node that leads a partition; -1: none."""
        return self.admin.list_topics(topic, timeout=10).topics[topic].partitions[partition].leader

    def _has_leaders(self, topic, partitions):
        found = self.admin.list_topics(topic, timeout=5).topics[topic].partitions
        return len(found) == partitions and all(p.leader >= 0 for p in found.values())

    def delete(self, *topics):
        for future in self.admin.delete_topics(list(topics)).values():
            future.result(20)

    def produce(self, topic, messages, partition=None, flush=True):
        """Each message is a value or {"value", "key", "headers", "partition", "timestamp"}.

        Returns where each landed, as (partition, offset).
        """
        if self._producer is None:
            self._producer = confluent_kafka.Producer({
                **self.settings, "linger.ms": 5, "message.max.bytes": 16 << 20,
                "topic.metadata.refresh.interval.ms": 10000,
                "queue.buffering.max.messages": 2000000})
        places = {}
        for i, message in enumerate(messages):
            produce(self._producer, topic, message, partition, places, i)
        if flush:
            self.flush()
        return [places.get(i) for i in range(len(places))]

    def flush(self):
        left = self._producer.flush(60)
        assert left == 0, f"{left} messages could not be produced"

    def transaction(self, topic, messages, partition=None, commit=True):
        producer = confluent_kafka.Producer({
            **self.settings, "transactional.id": f"t-{os.getpid()}-{id(messages)}"})
        producer.init_transactions(30)
        producer.begin_transaction()
        places = {}
        for i, message in enumerate(messages):
            produce(producer, topic, message, partition, places, i)
        producer.flush(30)
        if commit:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)
        return [places.get(i) for i in range(len(places))]

    def delete_records(self, topic, partition, before):
        """As retention does.  This client library has no such call: DeleteRecords, version 0.

        The answer waits for replicas, and not for ever for one that has just come back: then it
        is REQUEST_TIMED_OUT (7), and done where it counts.
        """
        name = topic.encode()
        body = struct.pack(f">i h{len(name)}s i iq i", 1, len(name), name, 1, partition, before,
                           30000)
        request = struct.pack(">hhih", 21, 0, 1, -1) + body
        host, port = self.address.split(":")
        with socket.create_connection((host, int(port)), 60) as s:
            s.sendall(struct.pack(">i", len(request)) + request)
            with s.makefile("rb") as file:
                answer = file.read(struct.unpack(">i", file.read(4))[0])
        (error,) = struct.unpack(">h", answer[-2:])
        assert error in (0, 7), f"DeleteRecords: error {error}"

    def watermarks(self, topic, partition=0):
        """(first offset, next offset)."""
        consumer = confluent_kafka.Consumer({**self.settings, "group.id": "watermarks"})
        try:
            return consumer.get_watermark_offsets(TopicPartition(topic, partition), 10)
        finally:
            consumer.close()

    def read(self, topic, partition=0):
        """The offsets of all that a partition has now."""
        consumer = confluent_kafka.Consumer({**self.settings, "group.id": "read",
                                             "enable.partition.eof": True})
        consumer.assign([TopicPartition(topic, partition, 0)])
        offsets = []
        try:
            while True:
                message = consumer.poll(20)
                assert message is not None, "no answer"
                if message.error():
                    return offsets
                offsets.append(message.offset())
        finally:
            consumer.close()

    def committed(self, group, topic, partition=0):
        consumer = confluent_kafka.Consumer({**self.settings, "group.id": group})
        try:
            return consumer.committed([TopicPartition(topic, partition)], 10)[0].offset
        finally:
            consumer.close()


def produce(producer, topic, message, partition, places, i):
    def delivered(error, done):
        if error is None:
            places[i] = (done.partition(), done.offset())

    if not isinstance(message, dict) or not message.keys() <= {
            "value", "key", "headers", "partition", "timestamp"} or not message:
        message = {"value": message}
    message = {"partition": partition, **message}
    if message["partition"] is None:
        del message["partition"]
    while True:
        try:
            producer.produce(topic, on_delivery=delivered, **message)
            return
        except BufferError:
            producer.poll(0.1)


class Quiet:
    """A logger for a client whose broker comes and goes on purpose."""

    def log(self, *_):
        pass


quiet = Quiet()
