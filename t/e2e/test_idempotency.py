# SPDX-License-Identifier: MIT
"""A key stands for one command, whoever is killed meanwhile, and whoever is asked.

ROUNDS=500 in the environment for a longer proof.
"""

import os
import random
import threading
import uuid

import pytest

from shop import KEYBOARD, Shop, shop_config
from support.workshop import wait_until

ROUNDS = int(os.environ.get("ROUNDS", 20))


@pytest.fixture
def pair(cqrsd, database, kafka, unique):
    """Two processes of one group."""
    config = shop_config(database, kafka, unique, partitions=2)
    return [Shop(cqrsd(config).start(), database, kafka) for _ in range(2)]


def post(system, key, **more):
    """The answer, or None of one that died."""
    try:
        return system.call("POST", "/products", KEYBOARD | more, Idempotency_Key=f'"{key}"',
                           Content_Type="application/json")
    except OSError:
        return None


def insist(system, key):
    return wait_until(lambda: (answer := post(system, key)) and answer.status == 201 and answer, 40,
                      f"{key} is accepted")


def post_and_kill(system, key, rng):
    """It dies before, at or after the moment in which Kafka has the message."""
    answers = []
    client = threading.Thread(target=lambda: answers.append(post(system, key)))
    client.start()
    client.join(rng.choice([0, rng.uniform(0, 0.01), rng.uniform(0, 0.1)]))
    system.daemon.kill()
    client.join()
    system.daemon.start(ready=False)
    return {answer.json()["productId"] for answer in answers if answer and answer.status == 201}


def test_a_key_is_one_command_over_kill_9(pair):
    rng = random.Random(1)
    first, second = pair
    database, made = first.database, {}
    for n in range(ROUNDS):
        key = f"key-{n}"
        told = post_and_kill(first, key, rng)
        told |= {insist(rng.choice(pair), key).json()["productId"] for _ in range(3)}
        assert len(told) == 1, (key, told)
        (made[key],) = told
    assert len(set(made.values())) == ROUNDS
    for key, id in made.items():
        for system in pair:
            answer = post(system, key, name="Another")
            assert (answer.status, answer.json()["code"]) == (422, "idempotency_key_reused")
    wait_until(lambda: database.value("SELECT count(*) FROM cqrs.outcomes") == ROUNDS, 30,
               "each has an outcome")
    stored = database.query("SELECT id::text, version FROM products.product")
    assert sorted(stored) == sorted((id, 1) for id in made.values())
    assert database.value("SELECT count(*) FROM cqrs.outcomes WHERE status = 200") == ROUNDS
    assert all(uuid.UUID(id).version == 7 for id in made.values())
