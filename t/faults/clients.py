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
EXPORT = b"GET /api/v1/sensor-data HTTP/1.1\r\nHost: x\r\nAccept: text/csv\r\n\r\n"
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

    def connect(self):
        s = socket.create_connection(self.address, 2)
        self.sockets.append(s)
        return s


def crowd(scene, rng, what, count, act):
    member = rng.choice(scene.members)
    with scene.timeline.span(member.name, what, count), Crowd(member) as clients:
        with suppress(OSError):  # it may be dead, or be killed meanwhile
            act(clients)


def slowloris(scene, rng):
    def act(clients):
        for _ in range(200):
            clients.connect().sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-")
        for _ in range(rng.randint(5, 20)):
            for s in clients.sockets:
                with suppress(OSError):
                    s.send(b"a")
            if not scene.wait(0.25):
                break

    crowd(scene, rng, "200 slow requests", "slowlorises", act)


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
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()

    crowd(scene, rng, "300 connections reset at any byte", "floods of resets", act)


def unread_exports(scene, rng):
    def act(clients):
        for _ in range(30):
            clients.connect().sendall(EXPORT)
        scene.wait(rng.uniform(2, 8))

    crowd(scene, rng, "30 exports that nobody reads", "unread exports", act)


FAULTS = {slowloris: 1, flood: 1, resets: 1, unread_exports: 2}
