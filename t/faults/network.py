# SPDX-License-Identifier: MIT
"""What happens between members and PostgreSQL, or Kafka."""


class Ways:
    """Those of all members to one of the two."""

    def __init__(self, name, proxies):
        self.name = name
        self._proxies = proxies  # of a member

    def choose(self, scene, rng):
        """Of one member, or of all of them: a cable or a switch."""
        one = rng.random() < 0.7
        members = [rng.choice(scene.members)] if one else scene.members
        who = members[0].name if one else "network"
        return who, [proxy for member in members for proxy in self._proxies(member)]


POSTGRES = Ways("PostgreSQL", lambda member: [member.proxy])
KAFKA = Ways("Kafka", lambda member: member.ways)


def cut(scene, ways, rng):
    who, proxies = ways.choose(scene, rng)
    for _ in range(rng.randint(1, 5)):
        scene.timeline.say(who, f"connections to {ways.name} are reset")
        scene.timeline.count("cuts")
        for proxy in proxies:
            proxy.cut()
        if not scene.wait(rng.uniform(0, 0.8)):
            return


def cut_within(scene, ways, rng):
    """After so many bytes, wherever that is."""
    who, proxies = ways.choose(scene, rng)
    n, direction = int(10 ** rng.uniform(0, 5)), rng.choice(["up", "down"])
    scene.timeline.say(who, f"connections to {ways.name} are reset after {n} bytes {direction}")
    scene.timeline.count("cuts")
    for proxy in proxies:
        proxy.cut_after(n, direction)
    scene.wait(1)


def fault(scene, ways, rng, what, count, begin, low, high):
    who, proxies = ways.choose(scene, rng)
    with scene.timeline.span(who, f"{ways.name}: {what}", count):
        for proxy in proxies:
            begin(proxy)
        scene.wait(rng.uniform(low, high))
        for proxy in proxies:
            proxy.heal()


def half_open(scene, ways, rng):
    side = rng.choice(["client", "server"])
    fault(scene, ways, rng, f"half open: only the {side} is told of a reset", "half-opens",
          lambda proxy: proxy.cut(side), 0.5, 4)


def refused(scene, ways, rng):
    fault(scene, ways, rng, "connections are refused", "refusals of connections",
          lambda proxy: proxy.refuse(), 0.5, 5)


def black_hole(scene, ways, rng):
    directions = rng.choice([[], ["up"], ["down"]])
    fault(scene, ways, rng, f"black hole {' '.join(directions)}", "black holes",
          lambda proxy: proxy.swallow(*directions), 1, 8)


def stall(scene, ways, rng):
    fault(scene, ways, rng, "nothing comes through, nothing is lost", "stalls",
          lambda proxy: proxy.hold(), 0.5, 8)


def delay(scene, ways, rng):
    seconds = rng.choice([0.002, 0.02, 0.2])
    fault(scene, ways, rng, f"{seconds * 1000:.0f} ms later in each direction", "delays",
          lambda proxy: proxy.delay(seconds), 1, 6)


def lose_answers(scene, ways, rng):
    """The server commits, the member never hears of it and lives."""
    who, proxies = ways.choose(scene, rng)
    for _ in range(rng.randint(1, 4)):
        for proxy in proxies:
            lost = proxy.lose_commit_answer("cut")
            for _ in range(20):
                if lost.is_set() or not scene.wait(0.1):
                    break
            if lost.is_set():
                scene.timeline.say(who, "the answer to a COMMIT is lost")
                scene.timeline.count("answers lost")
            else:
                proxy.disarm()


FAULTS = {cut: 3, cut_within: 3, half_open: 2, refused: 1, black_hole: 2, stall: 2, delay: 2}
FAULTS_OF_POSTGRES = {**FAULTS, lose_answers: 4}
