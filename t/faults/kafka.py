# SPDX-License-Identifier: MIT
"""What happens to the brokers."""

import signal
from contextlib import suppress

from confluent_kafka import KafkaException
from confluent_kafka.admin import NewPartitions

MOST_PARTITIONS = 12


def restart(scene, rng, low=0.0, high=0.0):
    sig = rng.choice([signal.SIGTERM, signal.SIGKILL])
    how = "stopped" if sig == signal.SIGTERM else "kill -9"
    broker = rng.choice(scene.kafka.brokers)
    with scene.broker_lock, scene.timeline.span(f"kafka {broker.node}", how, "restarts of Kafka"):
        broker.stop(sig)
        try:
            scene.wait(rng.uniform(low, high))
        finally:
            broker.start()


def down(scene, rng):
    restart(scene, rng, 3, 12)


def lead(scene, rng):
    """Of two brokers the second hands over what it leads, and soon takes it back."""
    if len(scene.kafka.brokers) < 2:
        return
    with scene.broker_lock, scene.timeline.span("kafka", "another leader", "changes of leaders"):
        scene.kafka.brokers[1].stop()
        scene.kafka.brokers[1].start()


def add_partitions(scene, rng):
    if scene.partitions >= MOST_PARTITIONS:
        return
    with scene.broker_lock, suppress(KafkaException):
        topic, n = scene.topics["readings"], scene.partitions + rng.randint(1, 2)
        scene.client.admin.create_partitions([NewPartitions(topic, n)])[topic].result(10)
        scene.timeline.say("kafka", f"{topic} has {n} partitions now")
        scene.timeline.count("times of new partitions")
        scene.partitions = n


FAULTS = {restart: 3, down: 1, lead: 4, add_partitions: 2}
