# SPDX-License-Identifier: MIT
"""Raw bytes against the running daemon: what is refused, how, and that nothing slips in behind.

The table is t/support/http_cases, which the parser's unit test reads as well.
There each case comes in pieces of every size; here it comes through a socket,
whole and in pieces, and behind it comes one more request, the probe.
"""

import random
import re
import socket
from pathlib import Path

import pytest

from support.workshop import wait_until

CASES = Path(__file__).resolve().parents[1] / "support" / "http_cases"
PROBE = b"GET /probe HTTP/1.1\r\nHost: probe\r\nX-Request-Id: probe\r\nConnection: close\r\n\r\n"
NO_BODY = (204, 304)


def unescape(text):
    """The request, and what is behind it."""
    named = {"r": b"\r", "n": b"\n", "t": b"\t", "\\": b"\\"}
    parts, at = [b""], 0
    for match in re.finditer(r"\\(?:x(..)|\{(\d+)\*([^}]*)\}|(\|)|(.))", text):
        parts[-1] += text[at:match.start()].encode()
        at = match.end()
        code, times, piece, bar, letter = match.groups()
        if code:
            parts[-1] += bytes([int(code, 16)])
        elif times:
            parts[-1] += int(times) * unescape(piece)[0]
        elif bar:
            parts.append(b"")
        else:
            parts[-1] += named[letter]
    parts[-1] += text[at:].encode()
    return parts[0], b"".join(parts[1:])


class Case:
    def __init__(self, line):
        self.verdict, self.what, data = line.split(" | ", 2)
        self.request, self.behind = unescape(data)
        status, _, self.code = self.verdict.partition(" ")
        self.is_refused = status.isdigit()
        self.status = int(status) if self.is_refused else None
        self.is_accepted = not self.is_refused and self.verdict != "more"


def read_cases():
    lines = CASES.read_text().splitlines()
    return [Case(line) for line in lines if line and not line.startswith("#")]


ALL = read_cases()


def of(kind):
    cases = [case for case in ALL if kind(case)]
    return pytest.mark.parametrize("case", cases, ids=[case.what for case in cases])


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body


def split_answers(data, methods):
    """The answers in a stream of bytes, read strictly; `methods` were asked for."""
    answers = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end, f"an answer without an end: {head!r}"
        first, *fields = head.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.1 (\d{3}) [ -~]+", first)
        assert match, f"not an answer: {first!r}"
        status = int(match[1])
        if status == 100:
            continue
        headers = dict(field.lower().split(": ", 1) for field in fields)
        assert len(headers) == len(fields)
        method = methods[len(answers)] if len(answers) < len(methods) else "GET"
        n = 0 if method == "HEAD" or status in NO_BODY else int(headers["content-length"])
        assert len(data) >= n
        answers.append(Answer(status, headers, data[:n]))
        data = data[n:]
    return answers


@pytest.fixture(scope="module")
def daemon(module_cqrsd, unique):
    """A reader whose database is away: nothing here asks for it."""
    return module_cqrsd({
        "kafka": {"group": unique("group")},
        "postgres": {"dsn": "host=127.0.0.1 port=1 dbname=none"},
        "http": {"max_body": "1KiB"},
        "queries": {"sensor": {}},
    }).start(ready=False)


@pytest.fixture(autouse=True)
def listening(daemon):
    wait_until(daemon.is_listening, 30, "cqrsd listens")


def pieces_of(data, seed):
    """Cut at random, but the same each time."""
    chance = random.Random(seed)
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(min(8, len(data))))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)]) if a < b]


def exchange(daemon, pieces, half_close=False):
    """All that comes until the server closes; a reset is an error."""
    with daemon.http.connect(timeout=20) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            s.sendall(piece)
        if half_close:
            s.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := s.recv(65536):
            received += chunk
        return received


def both_ways(daemon, case, behind=b""):
    """The answers to a case, which are the same whole and in pieces."""
    method = case.verdict.split(" ")[0]
    data = case.request + behind
    whole, cut = (split_answers(exchange(daemon, pieces), [method, "GET"])
                  for pieces in ([data], pieces_of(data, case.what)))
    assert [a.status for a in whole] == [a.status for a in cut]
    return whole


@of(lambda case: case.is_refused)
def test_refuses_and_reads_nothing_behind(daemon, case):
    answer, = both_ways(daemon, case, case.behind + PROBE)
    assert answer.status == case.status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert f'"code":"{case.code}"'.encode() in answer.body
    assert b"probe" not in answer.body


@of(lambda case: case.is_accepted and not case.behind)
def test_understands_and_goes_on_behind(daemon, case):
    answers = both_ways(daemon, case, PROBE)
    first = answers[0]
    # Refusals of the parser close; those of the handler do not.
    if first.headers.get("connection") == "close":
        assert len(answers) == 1
        assert b"HTTP/1.0" in case.request or b"close" in case.request.lower()
    else:
        assert len(answers) == 2
        assert answers[1].headers["x-request-id"] == "probe"
        assert answers[1].status == 404
    method, target = case.verdict.split(" ")[:2]
    path = target.partition("?")[0]
    if target == "*":
        assert first.status == 204
    elif path != "/":
        assert first.status == 404
    else:
        assert first.status == {"GET": 200, "HEAD": 200, "OPTIONS": 204}.get(method, 405)


@of(lambda case: case.is_accepted and case.behind)
def test_answers_the_first_and_judges_what_is_behind(daemon, case):
    data = case.request + case.behind
    answers = split_answers(exchange(daemon, [data], half_close=True), [])
    assert answers[0].status in (200, 405)
    assert len(answers) <= 2
    if b"close" in case.request:
        assert len(answers) == 1


@of(lambda case: case.verdict == "more")
def test_does_not_answer_half_a_request(daemon, case):
    assert split_answers(exchange(daemon, [case.request], half_close=True), []) == []


def test_there_are_enough_cases():
    assert len(ALL) >= 300
    assert len({case.request + case.behind for case in ALL}) >= 300
    assert all(re.match(r"\d{4} \d+(\.\d+)* |\d{4} ", case.what) for case in ALL)


def test_pipelined_requests_are_answered_in_their_order(daemon):
    data = b"".join(b"GET /x%d HTTP/1.1\r\nHost: a\r\nX-Request-Id: %d\r\n\r\n" % (i, i)
                    for i in range(200))
    answers = split_answers(exchange(daemon, [data + PROBE]), [])
    assert [a.headers["x-request-id"] for a in answers] == [*map(str, range(200)), "probe"]


def test_a_head_request_that_is_refused_has_no_body(daemon):
    data = b"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx"
    answers = split_answers(exchange(daemon, [data + PROBE]), ["HEAD"])
    assert [a.status for a in answers] == [400]


def test_a_body_that_is_invited_comes_after_the_invitation(daemon):
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    with daemon.http.connect(timeout=20) as s:
        s.sendall(head)
        received = s.recv(65536)
        assert received == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(b"abc" + PROBE)
        received = b""
        while chunk := s.recv(65536):
            received += chunk
    assert [a.status for a in split_answers(received, [])] == [405, 404]


def test_a_body_that_is_too_large_is_not_invited(daemon):
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\nExpect: 100-continue\r\n\r\n"
    received = exchange(daemon, [head])
    assert b"100 Continue" not in received
    assert [a.status for a in split_answers(received, [])] == [413]


def test_the_daemon_is_still_there(daemon):
    daemon.check_alive()
    assert daemon.get("/").status == 200
