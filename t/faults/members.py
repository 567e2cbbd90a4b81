# SPDX-License-Identifier: MIT
"""What happens to a member of the group as a process."""

import signal
from contextlib import suppress

from support.descriptors import few_descriptors
from support.workshop import Timeout, wait_until

from .clients import Crowd
from .scene import SESSION

# What a shell does to the log, if anything.
STREAMS = {"": 8, "2>/dev/full": 1, "2>&-": 1}
HOUR = 3600


def start(scene, member, rng):
    (streams,) = rng.choices(*zip(*STREAMS.items()))
    member.start(streams)
    scene.timeline.say(member.name, f"started again {streams}")
    if streams:
        scene.timeline.count("times without a log")


def restart(scene, member, rng, pause):
    scene.wait(pause)
    start(scene, member, rng)


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
        start(scene, member, rng)


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


def has_started(member):
    """It has all that it needs to begin with: until then it may give up for want of it."""
    with suppress(Timeout):
        return wait_until(member.daemon.is_ready, 10)
    return False


def few_files(scene, member, rng):
    """Clients come for the last descriptors, and others have to connect again."""
    if not has_started(member):
        return
    what = "no descriptors left for its clients"
    with scene.timeline.span(member.name, what, "times without descriptors"):
        with few_descriptors(member.daemon.process.pid, rng.choice([0, 3, 10])):
            with Crowd(member) as clients, suppress(OSError):
                for _ in range(100):
                    clients.connect().sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                if rng.random() < 0.5:
                    member.proxy.cut()
                scene.wait(rng.uniform(1, 5))


def out_of_memory(scene, member, rng):
    """For cqrsd, libpq, libevent and jansson: librdkafka ends the process by itself."""
    if not member.memory or not has_started(member):
        return
    one_in = rng.choice([30, 100, 1000])
    before = member.memory.answer
    with scene.timeline.span(member.name, f"one allocation of {one_in} fails",
                             "times without memory"):
        member.memory.set(one_in)
        scene.wait(rng.uniform(1, 5))
        member.memory.set(0)
    scene.timeline.count("allocations that failed", member.memory.answer - before)


def clock(scene, member, rng):
    seconds = rng.choice([-HOUR, HOUR])
    what = f"its clock is set {'back' if seconds < 0 else 'forward'} by an hour, and again"
    with scene.timeline.span(member.name, what, "clocks set"):
        member.clock.set(seconds)
        scene.wait(rng.uniform(1, 8))
        member.clock.set(0)


FAULTS = {kill: 5, kill_after_commit: 2, terminate: 2, leave: 1, zombie: 2, late_zombie: 3,
          doze: 1, few_files: 2, out_of_memory: 2, clock: 1}
