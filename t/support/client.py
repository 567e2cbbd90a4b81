# SPDX-License-Identifier: MIT
"""HTTP as a client sees it: whole answers, and raw bytes where that matters."""

import csv
import http.client
import io
import json
import re
import socket
from urllib.parse import quote, urlencode, urlsplit


class Response:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # http.client.HTTPMessage: names without case
        self.body = body

    def __repr__(self):
        return f"<{self.status} {dict(self.headers)} {self.body[:500]!r}>"

    @property
    def text(self):
        return self.body.decode()

    @property
    def content_type(self):
        return self.headers.get("Content-Type", "").partition(";")[0].strip()

    def json(self):
        return json.loads(self.body)

    def lines(self):
        """NDJSON."""
        assert self.body == b"" or self.body.endswith(b"\n")
        return [json.loads(line) for line in self.text.splitlines()]

    def table(self):
        """CSV: the header and the rows."""
        rows = list(csv.reader(io.StringIO(self.text, newline="")))
        return rows[0], rows[1:]

    @property
    def next(self):
        """The target of Link rel="next", or None."""
        match = re.fullmatch(r'<([^>]*)>; *rel="next"', self.headers.get("Link", ""))
        return match and match[1]


class Client:
    """A client of one listener; each request has a connection of its own unless kept."""

    def __init__(self, host, port):
        self.host = host
        self.port = port

    def request(self, method, target, headers=None, body=None, timeout=20):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request(method, target, body, headers or {})
            answer = connection.getresponse()
            return Response(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path, parameters=None, accept=None, **headers):
        """`parameters` is a dict or a list of pairs; `headers` with _ for -."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if accept:
            headers["Accept"] = accept
        return self.request("GET", target(path, parameters), headers)

    def raw(self, data, timeout=5):
        """Sends bytes and returns all that comes until the server closes."""
        with socket.create_connection((self.host, self.port), timeout) as s:
            s.sendall(data)
            received = b""
            while chunk := s.recv(65536):
                received += chunk
            return received

    def connect(self, timeout=5):
        return socket.create_connection((self.host, self.port), timeout)


def target(path, parameters=None):
    """A link as the server wrote it passes unchanged."""
    if path.startswith("http://"):
        parts = urlsplit(path)
        path = parts.path + ("?" + parts.query if parts.query else "")
    if parameters:
        path += "?" + urlencode(parameters, doseq=True, quote_via=quote)
    return path


class Metrics:
    """The Prometheus text format, version 0.0.4, read strictly."""

    SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)')
    LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"(?:,|$)')

    def __init__(self, text):
        self.samples = []  # (name, {label: value}, number)
        self.types = {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                assert name not in self.types, f"{name} has two TYPE lines"
                self.types[name] = kind
            elif line and not line.startswith("#"):
                self.samples.append(self._sample(line))

    def _sample(self, line):
        match = self.SAMPLE.fullmatch(line)
        assert match, f"not a sample: {line}"
        labels, rest = {}, match[2] or ""
        while rest:
            label = self.LABEL.match(rest)
            assert label, f"not a label: {line}"
            labels[label[1]] = label[2].replace('\\"', '"').replace("\\n", "\n").replace(
                "\\\\", "\\")
            rest = rest[label.end():]
        return match[1], labels, float(match[3])

    def values(self, name, **labels):
        return [number for n, l, number in self.samples
                if n == name and labels.items() <= l.items()]

    def value(self, name, **labels):
        """The sum over all samples with these labels; 0 if there is none."""
        return sum(self.values(name, **labels))

    def names(self):
        return {name for name, _, _ in self.samples}
