# SPDX-License-Identifier: MIT
"""PostgreSQL is away for long while Kafka fills: what that costs, and how fast it is over."""

import threading
import time

import confluent_kafka

from .workshop import wait_until

PER_MESSAGE = 100
PARTITIONS = 4
SENSORS = 1000
START = 1_646_352_000


def message(number):
    """About 6.5 kB: 100 sensors of a gateway, once a second."""
    step, gateway = divmod(number, SENSORS // PER_MESSAGE)
    first = gateway * PER_MESSAGE + 1
    return "[" + ",".join(
        f'{{"ts":{START + step},"sensor_id":{s},"temperature":{15 + (step * 7 + s) % 200 / 10},'
        f'"cpu":{(step + s * 3) % 1000 / 10}}}' for s in range(first, first + PER_MESSAGE)) + "]"


class Backlog:
    """`make(**config)` makes a daemon of a new consumer group that reads `topics`."""

    def __init__(self, server, database, kafka, topic, make, say=lambda text: None):
        self.server, self.database, self.kafka = server, database, kafka
        self.topic, self.make, self.say = topic, make, say
        self.messages = 0

    def fill(self, size, seconds):
        """So many bytes into the topic, spread over the time, from a thread."""
        producer = confluent_kafka.Producer({
            **self.kafka.settings, "compression.type": "lz4", "linger.ms": 50,
            "queue.buffering.max.messages": 20_000})
        total, written, begin = size // len(message(0)), 0, time.monotonic()
        while written < total:
            due = total * min(1.0, (time.monotonic() - begin) / seconds) if seconds else total
            while written < due:
                producer.produce(self.topic, message(written), partition=written % PARTITIONS)
                producer.poll(0)
                written += 1
                if len(producer) > 10_000:
                    producer.poll(0.05)
            time.sleep(0.02)
        assert producer.flush(120) == 0
        self.messages = written

    def run(self, size, seconds):
        """PostgreSQL stops, the topic fills, PostgreSQL is back; then again without a stop.

        Rows a second of both, and the most memory of each part.
        """
        daemon = self.make().start()
        self.server.stop("fast")
        self.say(f"PostgreSQL is away for {seconds} s, {size >> 20} MB come meanwhile")
        end = time.monotonic() + seconds
        # Most of it early: what is there is what memory has to bear.
        filling = threading.Thread(target=self.fill, args=(size, seconds / 2))
        filling.start()
        filling.join()
        time.sleep(max(0.0, end - time.monotonic()))
        assert not daemon.is_ready()
        away = daemon.peak_memory()
        self.server.start()
        rate = self.drain(daemon)
        result = {"away": away, "draining": daemon.peak_memory(), "rate": rate,
                  "messages": self.messages, "log": daemon.log()}
        self.say(f"{away >> 20} MiB resident while it was away, {result['draining'] >> 20} MiB "
                 f"until all was drained at {rate:,.0f} rows/s")
        daemon.wait_ready()
        daemon.stop()
        self.check()
        self.database.query("TRUNCATE sensor_data; CHECKPOINT")
        self.say("the same again, with PostgreSQL there all the time")
        fresh = self.make()
        fresh.start(ready=False)
        result["reference"] = self.drain(fresh)
        result["reference memory"] = fresh.peak_memory()
        fresh.stop()
        self.check()
        return result

    def drain(self, daemon):
        """Rows a second from the first commit to the last."""
        group = daemon.config["kafka"]["group"]

        def done():
            return self.database.value(
                "SELECT coalesce(sum(next_offset), 0)::bigint FROM cqrs.offsets "
                "WHERE consumer_group = %s AND topic = %s", (group, self.topic))

        first = wait_until(done, 120, "the first batch", 0.01)
        begin = time.monotonic()
        wait_until(lambda: done() >= self.messages, 3600,
                   lambda: f"all is stored; {daemon.reasons()}", 0.05)
        return (self.messages - first) * PER_MESSAGE / (time.monotonic() - begin)

    def check(self):
        """Every reading once; a key would hide a second copy, so duplicates are counted too."""
        n = self.messages * PER_MESSAGE
        assert self.database.query(
            "SELECT count(*), count(DISTINCT (sensor_id, time)) FROM sensor_data") == [(n, n)]
        assert self.database.value("SELECT count(*) FROM cqrs.dead_letters") == 0
