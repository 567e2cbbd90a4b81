# SPDX-License-Identifier: MIT
"""What tests of the products system have in common: its topics, its configuration, and calls."""

import json

KEYBOARD = {"name": "Keyboard", "description": "Mechanical keyboard", "price": 99.5}
NAMES = ("commands", "create", "update", "delete", "created", "updated", "deleted")


def shop_config(database, kafka, unique, partitions=1, **product):
    """Of a daemon with all three modules and topics of their own; `product` are options."""
    topics = {name: unique(f"product_{name}") for name in NAMES}
    progress = unique("progress")
    for topic in topics.values():
        kafka.create(topic, partitions)
    kafka.create(progress)
    events = {name: topics[name] for name in ("created", "updated", "deleted")}
    return {
        "kafka": {"brokers": kafka.address, "group": unique("group"), "session_timeout": "6s",
                  "progress": progress},
        "postgres": {"dsn": database.dsn, "migrate": "auto"},
        "commands": {"product": {"topics": topics, **product}, "product_view": {"topics": events}},
        "queries": {"product": {}}}


class Shop:
    """A daemon of such a configuration."""

    def __init__(self, daemon, database, kafka):
        self.daemon, self.database, self.kafka = daemon, database, kafka
        self.topics = daemon.config["commands"]["product"]["topics"]

    def call(self, method, path, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        return self.daemon.http.request(method, "/api/v1" + path, headers, body)
