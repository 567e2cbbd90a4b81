# SPDX-License-Identifier: MIT
"""What happens to a member of the group as a process."""

import signal

from .scene import SESSION


def restart(scene, member, rng, pause):
    scene.wait(pause)
    member.start()
    scene.timeline.say(member.name, "started again")


def kill(scene, member, rng):
    scene.timeline.say(member.name, "kill -9")
    scene.timeline.count("kills")
    member.kill()
    restart(scene, member, rng, rng.choice([0, 0, rng.uniform(0, 1), rng.uniform(0, 5)]))


def kill_after_commit(scene, member, rng):
    """Exactly between a COMMIT and its answer."""
    lost = member.proxy.lose_commit_answer("silence")
    for _ in range(80):
        if lost.is_set() or not scene.wait(0.1):
            break
    if not lost.is_set():
        member.proxy.disarm()
        return
    scene.timeline.say(member.name, "kill -9 between COMMIT and its answer")
    scene.timeline.count("kills")
    scene.timeline.count("kills between COMMIT and its answer")
    member.kill()
    restart(scene, member, rng, rng.choice([0, rng.uniform(0, 2)]))


def end(scene, member):
    code = member.stop()
    # It may have been started so recently that it did not listen to signals yet.
    if code not in (0, -signal.SIGTERM):
        scene.complain(f"{member.name} ended with {code} after SIGTERM")


def terminate(scene, member, rng):
    scene.timeline.say(member.name, "SIGTERM")
    scene.timeline.count("terminations")
    end(scene, member)
    restart(scene, member, rng, rng.choice([0, rng.uniform(0, 2)]))


def leave(scene, member, rng):
    with scene.timeline.span(member.name, "leaves the group", "leaves"):
        end(scene, member)
        scene.wait(rng.uniform(3, 10))
        member.start()


def stopped(scene, member, seconds):
    member.send_signal(signal.SIGSTOP)
    try:
        scene.wait(seconds)
    finally:
        member.send_signal(signal.SIGCONT)


def zombie(scene, member, rng):
    """Asleep for longer than the group waits for it."""
    seconds = SESSION + rng.uniform(1, 5)
    member.zombie_moments += 1
    with scene.timeline.span(member.name, "SIGSTOP, a zombie", "zombies"):
        stopped(scene, member, seconds)


def late_zombie(scene, member, rng):
    """Asleep, and what it had sent to store a batch arrives when others have long stored it."""
    seconds = SESSION + rng.uniform(2, 5)
    member.zombie_moments += 1
    with scene.timeline.span(member.name, "SIGSTOP, a zombie whose words come late", "zombies"):
        member.proxy.hold("up")
        scene.wait(0.3)
        try:
            stopped(scene, member, seconds)
        finally:
            member.proxy.heal()


def doze(scene, member, rng):
    with scene.timeline.span(member.name, "SIGSTOP, a nap", "naps"):
        stopped(scene, member, rng.uniform(0.2, SESSION - 1))


FAULTS = {kill: 5, kill_after_commit: 2, terminate: 2, leave: 1, zombie: 2, late_zombie: 3,
          doze: 1}
