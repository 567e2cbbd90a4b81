# SPDX-License-Identifier: MIT
"""A bad network that knows what a COMMIT is, so that it can lose exactly the answer to one."""

import struct
import threading

from .proxy import Proxy

# Protocol 3.0, "Message Formats" in PostgreSQL's manual (chapter 55.7).
HEADER = 5  # type and length; the first message of a connection has no type
REQUESTS = (80877103, 80877104)  # for TLS and GSSAPI: the same beginning follows again


class Questions:
    """What a client sends, as messages: tells of each simple Query."""

    KEPT = 1 << 20  # of a message, at most

    def __init__(self, on_query):
        self._on_query = on_query
        self._buffer = b""
        self._skip = 0
        self._started = False

    def feed(self, data):
        self._buffer += data
        while True:
            if self._skip:
                n = min(self._skip, len(self._buffer))
                self._buffer, self._skip = self._buffer[n:], self._skip - n
                if self._skip:
                    return
            if not (self._query() if self._started else self._startup()):
                return

    def _startup(self):
        if len(self._buffer) < 8:
            return False
        length, code = struct.unpack_from(">ii", self._buffer)
        self._started = code not in REQUESTS
        self._skip = length
        return True

    def _query(self):
        if len(self._buffer) < HEADER:
            return False
        length = 1 + struct.unpack_from(">i", self._buffer, 1)[0]
        if self._buffer[:1] != b"Q" or length > self.KEPT:
            self._skip = length
            return True
        if len(self._buffer) < length:
            return False
        text, self._buffer = self._buffer[HEADER:length - 1], self._buffer[length:]
        self._on_query(text)
        return True


class Order:
    """To lose one answer."""

    def __init__(self, then):
        self.lost, self.then = threading.Event(), then


class Trap:
    """On one connection: lets the server's answer to a commit come this far."""

    def __init__(self, order, copies):
        self.order = order
        self._copies = copies  # that the Query has: each is invited once, before there is an answer
        self._buffer = b""
        self._withheld = b""
        self.committed = False
        self.failed = False

    def feed(self, data):
        """What goes on to the client."""
        passed = b""
        self._buffer += data
        while len(self._buffer) >= HEADER and not self.committed:
            length = 1 + struct.unpack_from(">i", self._buffer, 1)[0]
            if len(self._buffer) < length:
                break
            message, self._buffer = self._buffer[:length], self._buffer[length:]
            kind = message[:1]
            self.failed |= kind == b"E" or kind == b"C" and message[HEADER:] == b"ROLLBACK\0"
            if self._copies:
                self._copies -= kind == b"G"
                passed += message
            else:
                self._withheld += message
                self.committed = kind == b"Z" and message[HEADER:] == b"I" and not self.failed
            if self.failed:  # nothing was committed: nothing to lose
                passed, self._withheld = passed + self._withheld, b""
                passed, self._buffer = passed + self._buffer, b""
                break
        return passed


class PgProxy(Proxy):
    """A Proxy with lose_commit_answer()."""

    def __init__(self, target, port=0):
        self._order = None
        self._questions = {}  # direction: Questions
        self._traps = {}  # direction: Trap
        super().__init__(target, port)

    def lose_commit_answer(self, then="cut"):
        """The next batch is committed, and its member never hears of it: the connection is
        "cut", or stays and says nothing ("silence") until heal().

        Returns an Event: the server has committed, and the answer is lost.
        """
        assert then in ("cut", "silence")
        order = Order(then)
        self._do(lambda: setattr(self, "_order", order))
        return order.lost

    def disarm(self):
        """Nobody waits for it any more."""
        def disarm():
            self._order = None
            for trap in self._traps.values():
                if not trap.committed:
                    trap.order.then = "cut"  # no silence that nobody would heal

        self._do(disarm)

    def _filter(self, direction, data):
        if direction.name == "up":
            questions = self._questions.get(direction)
            if not questions:
                self._forget_the_closed()
                questions = self._questions[direction] = Questions(
                    lambda text: self._on_query(direction.other, text))
            questions.feed(data)
            return data
        trap = self._traps.get(direction)
        if not trap:
            return data
        if trap.committed:  # silence
            direction.spoiled = True
            return b""
        data = trap.feed(data)
        if trap.committed:
            self._lose(direction)
        elif trap.failed:
            self._order = self._order or trap.order  # the next one, then
            del self._traps[direction]
        return data

    def _on_query(self, down, text):
        commits = text.rstrip().rstrip(b";").endswith(b"COMMIT") or (
            b"cqrs.advance(" in text and not text.startswith(b"BEGIN"))
        if self._order and commits:
            self._traps[down] = Trap(self._order, text.count(b" FROM STDIN"))
            self._order = None

    def _lose(self, down):
        down.spoiled = True
        order = self._traps[down].order
        if order.then == "cut":
            del self._traps[down]
            for connection in list(self._open):
                if connection.down is down:
                    self._cut(connection)
        order.lost.set()

    def _forget_the_closed(self):
        living = {d for c in self._open for d in c.directions()}
        for direction in self._traps.keys() - living:
            if not self._traps[direction].committed:  # cut before there was an answer
                self._order = self._order or self._traps[direction].order
        for known in (self._questions, self._traps):
            for direction in known.keys() - living:
                del known[direction]
