# SPDX-License-Identifier: MIT
"""The products system in such times: two members who take commands over HTTP and from Kafka.

It stands apart, in a database, topics and a group of its own; the servers are everybody's.
"""

from contextlib import suppress

from support.daemon import Cqrsd
from support.pg_proxy import PgProxy
from support.workshop import Timeout, wait_until

from . import members
from .customers import Customer, Wholesaler
from .scene import MEMORY, Member
from .servers import ROLE
from .shop_oracle import ShopOracle

PATIENCE = 90
PARTITIONS = 3
NAMES = ("commands", "create", "update", "delete", "created", "updated", "deleted")
EVENTS = NAMES[4:]
# The view never goes back: whoever makes it do so is remembered.
WATCH = """
    CREATE TABLE public.steps_back (id uuid, was bigint, became bigint);
    CREATE FUNCTION public.remember_step_back() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER AS $$
    BEGIN
        INSERT INTO public.steps_back VALUES (old.id, old.version, new.version);
        RETURN NULL;
    END
    $$;
    CREATE TRIGGER steps_back AFTER UPDATE ON product_view.product FOR EACH ROW
    WHEN (new.version <= old.version) EXECUTE FUNCTION public.remember_step_back()"""


def cut(scene, member, _):
    scene.timeline.say(member.name, "its connections to PostgreSQL are cut")
    scene.timeline.count("cuts of the shop")
    member.proxy.cut()


FAULTS = {**members.FAULTS, cut: 4}


class Shop:
    def __init__(self, scene):
        self.scene = scene
        self.database, self.group = f"shop_{scene.seed}", f"shop-{scene.seed}"
        self.topics = {name: f"shop-{name}-{scene.seed}" for name in NAMES}
        self.progress = f"shop-progress-{scene.seed}"
        self.customers = [Customer(self, n) for n in range(2)]
        self.wholesaler = Wholesaler(self)

    def set_up(self):
        scene = self.scene
        scene.postgres.query("postgres", f"CREATE DATABASE {self.database} OWNER {ROLE} "
                                         "TEMPLATE template0 TABLESPACE small")
        scene.sql("CREATE EXTENSION pg_trgm", self.database)
        for topic in self.topics.values():
            scene.client.create(topic, PARTITIONS, scene.kafka.replicas)
        scene.client.create(self.progress, 1, scene.kafka.replicas)
        self.members = [self._member(n + 1) for n in range(2)]
        self.members[0].daemon.migrate()
        self.sql(WATCH)

    def _member(self, number):
        scene = self.scene
        proxy = PgProxy(("127.0.0.1", scene.postgres.port), scene.workshop.free_port())
        events = {name: self.topics[name] for name in EVENTS}
        config = scene.config(scene.kafka.address, proxy.port, self.database, self.group, {},
                              write={"timeout": "3s"})
        config["kafka"]["progress"] = self.progress
        config["commands"] = {"product": {"topics": self.topics, "reorder_wait": "1s"},
                              "product_view": {"topics": events}}
        config["queries"] = {"product": {}}
        daemon = Cqrsd(scene.workshop, {"memory": f"{MEMORY >> 20}MiB", **config},
                       f"shop-{number}")
        return Member(f"shop {number}", daemon, proxy, [], self.topics["commands"])

    def open(self):
        for thread in (*self.customers, self.wholesaler):
            thread.start()

    def sql(self, statement):
        return self.scene.sql(statement, self.database)

    # ---- the end ----

    def settle(self):
        """All faults are over; True: all that was sent is applied."""
        for thread in (*self.customers, self.wholesaler):
            thread.join()
        for failure in self.wholesaler.failed[:5]:
            self.scene.complain(f"the wholesaler could not deliver: {failure}")
        for member in self.members:
            member.proxy.disarm()
            member.proxy.heal()
            if not member.has_log:
                member.stop()
                member.start()
        try:
            wait_until(lambda: not self._behind(), PATIENCE, interval=0.3)
            return True
        except Timeout:
            self.scene.complain(f"the shop does not come to rest: {self._behind()}; "
                                f"{ {m.name: m.daemon.reasons() for m in self.members} }")
            return False

    def _behind(self):
        """What is still to come, as {what: where it is and should be}."""
        position = {(topic, partition): offset for topic, partition, offset in self.sql(
            f"SELECT topic, partition, next_offset FROM cqrs.offsets "
            f"WHERE consumer_group = '{self.group}'")}
        behind = {}
        for topic in self.topics.values():
            for partition in range(PARTITIONS):
                _, end = self.scene.client.watermarks(topic, partition)
                if position.get((topic, partition), 0) < end:
                    behind[topic, partition] = position.get((topic, partition), 0), end
        if left := self.sql("SELECT count(*) FROM cqrs.outbox")[0][0]:
            behind["outbox"] = left
        return behind

    def judge(self):
        self.oracle = ShopOracle(self)
        self.oracle.judge(PARTITIONS)

    def summary(self):
        with suppress(AttributeError):
            return self.oracle.summary()
        return "shop: not judged"
