# SPDX-License-Identifier: MIT
"""The schema is changed under a running process: nothing is written, and that is said.

It is nobody's data's fault, so there are no dead letters; when the schema is back, all is
stored once.
"""

import pytest

from world import ROLE, between, world  # noqa: F401

# One try is 1 to 2 s after the first, and the further ones are further apart; each writer has its
# own, and a lost connection may add one.
TRIES = 12


def survives_slowly(world, begin, end, reason):
    before, retries = world.flow.retries(), []

    def put_back():
        retries.append(world.flow.retries() - before)
        world.database.query(f"SET ROLE {ROLE};{end};RESET ROLE")

    fault = between(lambda: world.database.query(f"SET ROLE {ROLE};{begin};RESET ROLE"), put_back)
    said = world.survives(fault, reason)
    assert "somebody puts back what is missing" in said
    assert 0 < retries[0] <= TRIES


@pytest.mark.parametrize("begin, end, reason", [
    ("ALTER TABLE sensor_data RENAME TO elsewhere",
     "ALTER TABLE elsewhere RENAME TO sensor_data", "sensor_data.*42P01"),
    ("CREATE TABLE kept AS TABLE sensor_data; DROP TABLE sensor_data",
     "ALTER TABLE kept RENAME TO sensor_data", "sensor_data.*42P01"),
    ("ALTER TABLE sensor_data DROP COLUMN temperature",
     "ALTER TABLE sensor_data ADD COLUMN temperature double precision", "temperature.*42703"),
    ("ALTER TABLE cqrs.offsets RENAME TO elsewhere",
     "ALTER TABLE cqrs.elsewhere RENAME TO offsets", "cqrs.offsets.*42P01"),
    ("REVOKE ALL ON sensor_data FROM cqrsd", "GRANT ALL ON sensor_data TO cqrsd",
     "sensor_data.*42501"),
], ids=["table renamed", "table dropped", "column dropped", "offsets renamed", "right revoked"])
def test_a_schema_that_is_changed_under_us(world, begin, end, reason):
    survives_slowly(world, begin, end, reason)


def test_a_function_that_is_dropped(world):
    ((text, name),) = world.database.query(
        "SELECT pg_get_functiondef(oid), oid::regprocedure::text FROM pg_proc "
        "WHERE proname = 'advance' AND pronamespace = 'cqrs'::regnamespace")
    survives_slowly(world, f"DROP FUNCTION {name}", text, "cqrs.advance.*42883")
