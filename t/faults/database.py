# SPDX-License-Identifier: MIT
"""What happens to PostgreSQL."""

import time
from contextlib import closing, suppress

import psycopg2

from .servers import PASSWORD, ROLE, ROOM

THEIRS = f"FROM pg_stat_activity WHERE usename = '{ROLE}'"


def restart(scene, rng):
    mode = rng.choice(["fast", "immediate"])
    with scene.timeline.span("postgres", f"restart, {mode}", f"{mode} restarts of PostgreSQL"):
        with scene.server() as server:
            server.restart(mode)


def down(scene, rng):
    mode = rng.choice(["fast", "immediate"])
    with scene.timeline.span("postgres", f"down, {mode}", f"{mode} restarts of PostgreSQL"):
        with scene.server() as server:
            server.stop(mode)
            scene.wait(rng.uniform(1, 10))


def terminate(scene, rng):
    """Now these backends, now those."""
    with scene.timeline.span("postgres", "pg_terminate_backend, at random", "terminated backends"):
        for _ in range(rng.randint(2, 8)):
            with suppress(psycopg2.Error):
                scene.sql(f"SELECT pg_terminate_backend(pid) {THEIRS} AND random() < 0.4")
            if not scene.wait(rng.uniform(0.05, 0.6)):
                break


def setting(scene, rng, name, value, what, count, low, high):
    with scene.timeline.span("postgres", what, count):
        try:
            scene.insist(f"ALTER SYSTEM SET {name} = {value}", "SELECT pg_reload_conf()")
            scene.wait(rng.uniform(low, high))
        finally:
            scene.insist(f"ALTER SYSTEM RESET {name}", "SELECT pg_reload_conf()")


def read_only(scene, rng):
    setting(scene, rng, "default_transaction_read_only", "on", "read-only", "read-only times", 1, 6)


def serializable(scene, rng):
    level = rng.choice(["repeatable read", "serializable"])
    setting(scene, rng, "default_transaction_isolation", f"'{level}'", level,
            "times of strict isolation", 2, 8)


def wrong_password(scene, rng):
    with scene.timeline.span("postgres", "the password is wrong", "wrong passwords"):
        try:
            scene.insist(f"ALTER ROLE {ROLE} PASSWORD 'changed'",
                         f"SELECT pg_terminate_backend(pid) {THEIRS}")
            scene.wait(rng.uniform(1, 6))
        finally:
            scene.insist(f"ALTER ROLE {ROLE} PASSWORD '{PASSWORD}'")


def too_many_connections(scene, rng):
    with scene.timeline.span("postgres", "too many connections", "times of too many connections"):
        taken = []
        try:
            end = time.monotonic() + rng.uniform(2, 7)
            while time.monotonic() < end:
                try:
                    taken.append(scene.connect(user="stranger"))
                except psycopg2.Error:
                    with suppress(psycopg2.Error):
                        scene.sql(f"SELECT pg_terminate_backend(pid) {THEIRS} AND random() < 0.3")
                    if not scene.wait(0.2):
                        break
        finally:
            for connection in taken:
                connection.close()


def table_away(scene, rng):
    """42P01, a mistake of ours: nothing may become a dead letter for it."""
    with scene.timeline.span("postgres", "sensor_data is renamed away", "tables renamed away"):
        scene.table_was_away = True
        scene.insist("SET lock_timeout = '500ms'; "
                     "ALTER TABLE IF EXISTS sensor_data RENAME TO sensor_data_away")
        scene.wait(rng.uniform(0.5, 5))
        scene.insist("SET lock_timeout = '500ms'; "
                     "ALTER TABLE IF EXISTS sensor_data_away RENAME TO sensor_data")


def hold(scene, rng, sql, what, count, low, high):
    """Somebody else's transaction."""
    with scene.timeline.span("postgres", what, count), suppress(psycopg2.Error):
        with closing(scene.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN; SET LOCAL lock_timeout = '5s'")
            cursor.execute(sql)
            scene.wait(rng.uniform(low, high))
            with suppress(psycopg2.Error):
                cursor.execute("ROLLBACK")


def lock_table(scene, rng):
    hold(scene, rng, "LOCK TABLE sensor_data IN ACCESS EXCLUSIVE MODE", "sensor_data is locked",
         "locks held", 0.5, 6)


def lock_offsets(scene, rng):
    hold(scene, rng, "SELECT FROM cqrs.offsets WHERE partition % 2 = 0 FOR UPDATE",
         "half of the offsets are locked", "locks held", 0.5, 5)


def deadlock(scene, rng):
    """Locks in the other order than the writers', again and again."""
    with scene.timeline.span("postgres", "deadlocks", "times of deadlocks"):
        for _ in range(rng.randint(3, 10)):
            with suppress(psycopg2.Error), closing(scene.connect()) as connection:
                with connection.cursor() as cursor:
                    cursor.execute("BEGIN; SET LOCAL lock_timeout = '3s'; "
                                   f"SET LOCAL deadlock_timeout = '{rng.choice([50, 5000])}ms'; "
                                   "LOCK TABLE sensor_data IN EXCLUSIVE MODE")
                    time.sleep(0.05)
                    cursor.execute("SELECT FROM cqrs.offsets FOR UPDATE; ROLLBACK")
            if not scene.wait(rng.uniform(0, 0.3)):
                break


# Of things that pass: disk full, out of memory, I/O, internal, deadlock, serialization, lock.
PASSING = ["53100", "53200", "58030", "XX000", "40P01", "40001", "55P03"]


def errors(scene, rng):
    """As PostgreSQL says them, for every second move of an offset."""
    state = rng.choice(PASSING)
    with scene.timeline.span("postgres", f"errors, SQLSTATE {state}", "times of passing errors"):
        scene.insist(f"""SET lock_timeout = '1s';
            CREATE OR REPLACE FUNCTION public.trouble() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF random() < 0.5 THEN
                    RAISE EXCEPTION 'trouble' USING ERRCODE = '{state}';
                END IF;
                RETURN new;
            END $$;
            CREATE OR REPLACE TRIGGER trouble BEFORE UPDATE ON cqrs.offsets
            FOR EACH ROW EXECUTE FUNCTION public.trouble()""")
        scene.wait(rng.uniform(1, 6))
        scene.insist("SET lock_timeout = '1s'; DROP TRIGGER IF EXISTS trouble ON cqrs.offsets")


def disk_full(scene, rng):
    """Where all tables are; neither the log of transactions nor that of the server."""
    if not scene.disk:
        return
    with scene.timeline.span("postgres", "the disk is full", "full disks"):
        scene.disk.fill()
        scene.wait(rng.uniform(1, 8))
        scene.disk.grow(ROOM)


FAULTS = {disk_full: 2, errors: 2, restart: 4, down: 2, terminate: 3, read_only: 2, serializable: 2,
          wrong_password: 1, too_many_connections: 1, table_away: 2, lock_table: 2,
          lock_offsets: 1, deadlock: 2}
