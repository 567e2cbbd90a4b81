# SPDX-License-Identifier: MIT
"""A bad network: a TCP proxy on the loopback that does to connections what networks do.

It forwards until it is told otherwise; each fault is a call that has happened when it
returns, for the connections that are there and for those to come, until heal().
"""

import errno
import selectors
import socket
import struct
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress

PIECE = 64 * 1024
BUFFER = 4 * PIECE  # what one direction of a connection keeps at most

PASS, HOLD, SWALLOW = "pass", "hold", "swallow"


class Direction:
    """From one socket to the other: "up" goes to the server, "down" to the client."""

    def __init__(self, name):
        self.name = name
        self.source = self.sink = None
        self.pieces = deque()  # (when it is due, bytes)
        self.kept = 0
        self.ended = self.told = False  # the source has no more; the sink knows
        self.spoiled = False  # bytes were swallowed: never again what was sent
        self.other = None  # the way back

    def wants_to_read(self, fault):
        return self.source and not self.ended and fault != HOLD and self.kept < BUFFER

    def due(self):
        """When there is something to write; None: nothing is kept."""
        return self.pieces[0][0] if self.pieces else None


class Connection:
    def __init__(self, client):
        self.client, self.server = client, None
        self.connecting = False
        self.up, self.down = Direction("up"), Direction("down")
        self.up.other, self.down.other = self.down, self.up
        self.up.source = self.down.sink = client

    def attach(self, server):
        self.server = self.up.sink = self.down.source = server

    def directions(self):
        return self.up, self.down


class Proxy:
    """`with Proxy(("127.0.0.1", port)) as proxy:` clients connect to proxy.port."""

    def __init__(self, target, port=0):
        self.target = target
        self.connections = 0  # that were ever accepted
        self.passed = {"up": 0, "down": 0}  # bytes
        self._open = []
        self._fault = {"up": PASS, "down": PASS}
        self._delay = 0.0
        self._left = {"up": None, "down": None}  # bytes until the cut
        self._calls = deque()
        self._closing = False
        self._watched = {}
        self._selector = selectors.DefaultSelector()
        self._wake, woken = socket.socketpair()
        woken.setblocking(False)
        self._woken = woken
        self._selector.register(woken, selectors.EVENT_READ, None)
        self._listener = None
        self.port = port
        self._listen()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def close(self):
        if self._closing:
            return
        self._do(self._shut)
        self._thread.join()

    # ---- what can be done to the network ----

    def heal(self):
        """Forwards again.  Connections that lost bytes are cut: no network would mend them."""

        def heal():
            self._fault = {"up": PASS, "down": PASS}
            self._delay = 0.0
            self._left = {"up": None, "down": None}
            self._listen()
            for connection in list(self._open):
                if connection.up.spoiled or connection.down.spoiled:
                    self._cut(connection)
                elif not connection.server:
                    self._connect(connection)

        self._do(heal)

    def refuse(self):
        """Nobody listens, and connections are reset: the machine is up, the server is not."""

        def refuse():
            self._listen(False)
            for connection in list(self._open):
                self._cut(connection)

        self._do(refuse)

    def hold(self, *directions):
        """Nothing comes through and nothing is lost: after heal() it flows again.

        Without a direction, both.  Kernels go on acknowledging until the buffers are full.
        """
        self._do(lambda: self._set(HOLD, directions))

    def swallow(self, *directions):
        """What is sent is read and thrown away; connections are accepted, and nobody answers."""
        self._do(lambda: self._set(SWALLOW, directions))

    def delay(self, seconds):
        """Every piece arrives so much later, in both directions."""

        def delay():
            self._delay = seconds

        self._do(delay)

    def cut(self, side="both"):
        """Resets (RST) the connections that are there; with "client" or "server" only that
        side hears of it, and for the other the connection stays, half open.
        """

        def cut():
            for connection in list(self._open):
                self._cut(connection, side)

        self._do(cut)

    def cut_after(self, n, direction="down"):
        """Resets all connections as soon as `n` more bytes went through; then it is over."""

        def cut_after():
            self._left[direction] = n

        self._do(cut_after)

    def count(self):
        """Connections that are open."""
        return self._do(lambda: sum(1 for c in self._open if c.client and c.server))

    # ---- in the thread ----

    def _do(self, call):
        """Lets the thread do it, and waits until it is done."""
        future = Future()
        self._calls.append((call, future))
        self._wake.send(b"x")
        return future.result(60)

    def _set(self, fault, directions):
        for direction in directions or ("up", "down"):
            assert direction in self._fault, direction
            self._fault[direction] = fault

    def _listen(self, on=True):
        if on and not self._listener:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", self.port))
            listener.listen(128)
            listener.setblocking(False)
            self.port = listener.getsockname()[1]
            self._listener = listener
            self._selector.register(listener, selectors.EVENT_READ, self._accept)
        elif not on and self._listener:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None

    def _shut(self):
        self._closing = True
        self._listen(False)
        for connection in list(self._open):
            self._cut(connection)

    def _accept(self, _):
        if not self._listener:
            return  # closed since it was found ready
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(client)
        self.connections += 1
        self._open.append(connection)
        if PASS in self._fault.values():
            self._connect(connection)

    def _connect(self, connection):
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        server.setblocking(False)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.connecting = True
        connection.attach(server)
        if server.connect_ex(self.target) not in (0, errno.EINPROGRESS):
            self._cut(connection)

    def _cut(self, connection, side="both"):
        for name in ("client", "server"):
            s = getattr(connection, name)
            if not s or side not in ("both", name):
                continue
            self._unwatch(s)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
            setattr(connection, name, None)
            for direction in connection.directions():
                direction.spoiled = True
                if direction.source is s:
                    direction.source = None
                if direction.sink is s:
                    direction.sink = None
        if not connection.client and not connection.server and connection in self._open:
            self._open.remove(connection)

    def _watch(self, s, events, connection):
        before = self._watched.get(s, 0)
        if events == before:
            return
        if not before:
            self._selector.register(s, events, connection)
        elif not events:
            self._selector.unregister(s)
        else:
            self._selector.modify(s, events, connection)
        self._watched[s] = events

    def _unwatch(self, s):
        if self._watched.pop(s, 0):
            self._selector.unregister(s)

    def _watch_all(self):
        """Waits for what may go on; returns the seconds until a delayed piece is due."""
        now, soonest = time.monotonic(), None
        for connection in self._open:
            events = dict.fromkeys((connection.client, connection.server), 0)
            for direction in connection.directions():
                if direction.wants_to_read(self._fault[direction.name]):
                    events[direction.source] |= selectors.EVENT_READ
                due = direction.due()
                if due is None or not direction.sink or self._fault[direction.name] != PASS:
                    continue
                if due <= now:
                    events[direction.sink] |= selectors.EVENT_WRITE
                elif soonest is None or due < soonest:
                    soonest = due
            if connection.connecting:
                events[connection.client] &= selectors.EVENT_READ
                events[connection.server] = selectors.EVENT_WRITE
            for s, wanted in events.items():
                if s:
                    self._watch(s, wanted, connection)
        return None if soonest is None else max(0.0, soonest - now)

    def _run(self):
        while not self._closing:
            for key, events in self._selector.select(self._watch_all()):
                if key.data is None:
                    self._run_calls()
                elif key.data == self._accept:
                    key.data(events)
                else:
                    self._work(key.data, key.fileobj, events)
        self._selector.close()
        self._woken.close()
        self._wake.close()

    def _run_calls(self):
        with suppress(BlockingIOError):
            self._woken.recv(4096)
        while self._calls:
            call, future = self._calls.popleft()
            try:
                future.set_result(call())
            except Exception as error:
                future.set_exception(error)

    def _work(self, connection, s, events):
        try:
            if s.fileno() < 0:
                return  # cut meanwhile
            if connection.connecting and s is connection.server:
                error = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    raise OSError(error, "connect")
                connection.connecting = False
                return
            for direction in connection.directions():
                if direction.source is s and events & selectors.EVENT_READ:
                    self._read(direction)
                if direction.sink is s and events & selectors.EVENT_WRITE:
                    self._write(direction)
            self._pass_ends(connection)
        except BlockingIOError:
            pass
        except OSError:
            # A reset goes through, unless nothing does.
            hidden = self._fault["down" if s is connection.server else "up"] != PASS
            self._cut(connection, "both" if not hidden else
                      "server" if s is connection.server else "client")

    def _read(self, direction):
        data = direction.source.recv(PIECE)
        if not data:
            direction.ended = True
        elif self._fault[direction.name] == SWALLOW or not direction.sink:
            direction.spoiled = True
        else:
            data = self._filter(direction, data)
            direction.pieces.append((time.monotonic() + self._delay, data))
            direction.kept += len(data)

    def _filter(self, direction, data):
        """For who knows the protocol: what of it goes on."""
        return data

    def _write(self, direction):
        due, data = direction.pieces.popleft()
        left = self._left[direction.name]
        n = 0
        try:
            n = direction.sink.send(data if left is None else data[:left])
        finally:
            if n < len(data):
                direction.pieces.appendleft((due, data[n:]))
            direction.kept -= n
        self.passed[direction.name] += n
        if left is not None:
            self._left[direction.name] = left - n
            if left == n:
                self._left[direction.name] = None
                for connection in list(self._open):
                    self._cut(connection)

    def _pass_ends(self, connection):
        for direction in connection.directions():
            if direction.ended and not direction.pieces and not direction.told \
                    and direction.sink and self._fault[direction.name] == PASS:
                direction.told = True
                direction.sink.shutdown(socket.SHUT_WR)
        both = connection.up.told and connection.down.told
        alone = not connection.client or not connection.server
        if both or alone and (connection.up.ended or connection.down.ended):
            self._cut(connection)
