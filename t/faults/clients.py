# SPDX-License-Identifier: MIT
"""Who asks over HTTP: readers who behave, and clients who do not."""

import http.client
import json
import random
import socket
import struct
import threading
from contextlib import suppress

TARGETS = ["/api/v1/sensors", "/api/v1/sensors/latest", "/api/v1/sensor-data?limit=50",
           "/api/v1/sensor-data?sensor_id=3&order=-time&limit=100", "/api/v1/sensors/7/latest",
           "/api/v1/sensor-data/avg?bucket=1h&from=1600000000&to=1600600000"]
PAGE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
EXPORT = b"GET /api/v1/sensor-data HTTP/1.1\r\nHost: x\r\nAccept: text/csv\r\n\r\n"
MOST_CONNECTIONS = 10_000  # of http.max_connections
HURRIED = {200, 404, 429, 503, 504}  # what may be said in such times
BROKEN = HURRIED | {500}  # and without the table


class Readers(threading.Thread):
    """Asks members in turn, and looks at what they answer."""

    def __init__(self, scene):
        super().__init__(name="readers", daemon=True)
        self.scene = scene
        self.rng = random.Random(f"{scene.seed} readers")
        self.answered = self.refused = self.unreached = 0

    def run(self):
        while self.scene.wait(0.02):
            member, target = self.rng.choice(self.scene.members), self.rng.choice(TARGETS)
            connection = http.client.HTTPConnection("127.0.0.1", member.daemon.http_port,
                                                    timeout=5)
            try:
                connection.request("GET", target)
                answer = connection.getresponse()
                self._judge(target, answer.status, answer.read())
            except (OSError, http.client.HTTPException):
                self.unreached += 1  # killed, stopped, or not yet there
            finally:
                connection.close()

    def _judge(self, target, status, body):
        if status == 200:
            self.answered += 1
        else:
            self.refused += 1
        if status not in (BROKEN if self.scene.table_was_away else HURRIED):
            self.scene.complain(f"GET {target} was answered with {status}: {body[:200]!r}")
        if not body and status >= 400:
            return  # there was no memory to say why
        try:
            json.loads(body)
        except ValueError:
            self.scene.complain(f"GET {target} was answered with no JSON: {body[:200]!r}")


class Crowd:
    """Connections to one member, all closed in the end."""

    def __init__(self, member):
        self.address = "127.0.0.1", member.daemon.http_port
        self.sockets = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in self.sockets:
            s.close()

    def connect(self, buffer=None):
        s = socket.socket()
        self.sockets.append(s)
        if buffer:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        # Closed with a reset: thousands that wait for their time would use up all ports.
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.settimeout(2)
        s.connect(self.address)
        return s


def read_all(s):
    received = b""
    with suppress(OSError):
        while chunk := s.recv(65536):
            received += chunk
    return received


def crowd(scene, rng, what, count, act):
    member = rng.choice(scene.members)
    with scene.timeline.span(member.name, what, count), Crowd(member) as clients:
        with suppress(OSError):  # it may be dead, or be killed meanwhile
            act(clients)


BEGINNINGS = {
    "header": b"GET / HTTP/1.1\r\nHost: x\r\nX-",
    "body": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
    "chunk": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n",
}


def drip(scene, rng, clients, step):
    """Does a little to each of them, now and then."""
    for _ in range(rng.randint(5, 20)):
        for s in clients.sockets:
            with suppress(OSError):
                step(s)
        if not scene.wait(0.25):
            break


def slowloris(scene, rng):
    where = rng.choice(list(BEGINNINGS))

    def act(clients):
        for _ in range(200):
            clients.connect().sendall(BEGINNINGS[where])
        drip(scene, rng, clients, lambda s: s.send(b"a"))

    crowd(scene, rng, f"200 slow requests, {where} byte by byte", "slowlorises", act)


def slow_readers(scene, rng):
    def act(clients):
        for _ in range(30):
            s = clients.connect(buffer=4096)
            s.sendall(EXPORT)
            s.setblocking(False)
        drip(scene, rng, clients, lambda s: s.recv(1))

    crowd(scene, rng, "30 exports read byte by byte", "slow readers", act)


def many(scene, rng):
    """As many as there may be, and some more; one in ten asks something."""
    count = rng.choice([1000, 3000, MOST_CONNECTIONS + 50])

    def act(clients):
        for n in range(count):
            s = clients.connect()
            if n % 10 == 0:
                s.sendall(PAGE)
        scene.wait(rng.uniform(1, 4))

    crowd(scene, rng, f"{count} connections", "multitudes", act)


def half_close(scene, rng):
    """Who sends no more is answered all the same."""
    def act(clients):
        for _ in range(50):
            s = clients.connect()
            s.sendall(PAGE * 3)
            s.shutdown(socket.SHUT_WR)
        for s in clients.sockets:
            answer = read_all(s)
            if answer and answer.count(b"HTTP/1.1 ") != 3:
                scene.timeline.say("clients", f"half of what was asked for: {answer[-100:]!r}")

    crowd(scene, rng, "50 half-closed connections", "times of half-closes", act)


def flood(scene, rng):
    def act(clients):
        requests = b"GET /api/v1/sensors HTTP/1.1\r\nHost: x\r\n\r\n" * 500
        for _ in range(20):
            clients.connect().setblocking(False)
        for _ in range(rng.randint(10, 30)):
            for s in clients.sockets:
                with suppress(OSError):
                    s.send(requests)  # and nobody reads the answers
            if not scene.wait(0.1):
                break

    crowd(scene, rng, "a flood of pipelined requests", "floods", act)


def resets(scene, rng):
    def act(clients):
        for _ in range(300):
            s = clients.connect()
            s.sendall(EXPORT[:rng.randint(0, len(EXPORT))])
            s.close()

    crowd(scene, rng, "300 connections reset at any byte", "floods of resets", act)


def unread_exports(scene, rng):
    def act(clients):
        for _ in range(30):
            clients.connect().sendall(EXPORT)
        scene.wait(rng.uniform(2, 8))

    crowd(scene, rng, "30 exports that nobody reads", "unread exports", act)


FAULTS = {slowloris: 3, slow_readers: 2, many: 1, flood: 2, resets: 2, half_close: 1,
          unread_exports: 3}
