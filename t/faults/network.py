# SPDX-License-Identifier: MIT
"""What happens between members and PostgreSQL."""


def choose(scene, rng):
    """One member, or all of them: a cable or a switch."""
    if rng.random() < 0.7:
        member = rng.choice(scene.members)
        return member.name, [member]
    return "network", scene.members


def cut(scene, rng):
    who, members = choose(scene, rng)
    for _ in range(rng.randint(1, 5)):
        scene.timeline.say(who, "connections to PostgreSQL are reset")
        scene.timeline.count("cuts")
        for member in members:
            member.proxy.cut()
        if not scene.wait(rng.uniform(0, 0.8)):
            return


def cut_within(scene, rng):
    """After so many bytes, wherever that is."""
    who, members = choose(scene, rng)
    n, direction = int(10 ** rng.uniform(0, 5)), rng.choice(["up", "down"])
    scene.timeline.say(who, f"connections are reset after {n} bytes more {direction}")
    scene.timeline.count("cuts")
    for member in members:
        member.proxy.cut_after(n, direction)
    scene.wait(1)


def half_open(scene, rng):
    who, members = choose(scene, rng)
    side = rng.choice(["client", "server"])
    with scene.timeline.span(who, f"half open: only the {side} is told of a reset", "half-opens"):
        for member in members:
            member.proxy.cut(side)
        scene.wait(rng.uniform(0.5, 4))
        heal(members)


def heal(members):
    for member in members:
        member.proxy.heal()


def fault(scene, rng, what, count, begin, low, high):
    who, members = choose(scene, rng)
    with scene.timeline.span(who, what, count):
        for member in members:
            begin(member.proxy)
        scene.wait(rng.uniform(low, high))
        heal(members)


def refused(scene, rng):
    fault(scene, rng, "connections to PostgreSQL are refused", "refusals of connections",
          lambda proxy: proxy.refuse(), 0.5, 5)


def black_hole(scene, rng):
    directions = rng.choice([[], ["up"], ["down"]])
    fault(scene, rng, f"black hole {' '.join(directions)}", "black holes",
          lambda proxy: proxy.swallow(*directions), 1, 8)


def stall(scene, rng):
    fault(scene, rng, "nothing comes through, nothing is lost", "stalls",
          lambda proxy: proxy.hold(), 0.5, 8)


def delay(scene, rng):
    seconds = rng.choice([0.002, 0.02, 0.2])
    fault(scene, rng, f"{seconds * 1000:.0f} ms later in each direction", "delays",
          lambda proxy: proxy.delay(seconds), 1, 6)


def lose_answers(scene, rng):
    """The server commits, the member never hears of it and lives."""
    who, members = choose(scene, rng)
    for _ in range(rng.randint(1, 4)):
        for member in members:
            lost = member.proxy.lose_commit_answer("cut")
            for _ in range(20):
                if lost.is_set() or not scene.wait(0.1):
                    break
            if lost.is_set():
                scene.timeline.say(member.name, "the answer to a COMMIT is lost")
                scene.timeline.count("answers lost")
            else:
                member.proxy.disarm()


FAULTS = {cut: 3, cut_within: 3, half_open: 2, refused: 1, black_hole: 2, stall: 2, delay: 2,
          lose_answers: 4}
