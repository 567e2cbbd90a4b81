# SPDX-License-Identifier: MIT
"""HTTP alone: /livez, next to nginx with an answer of the same size."""

from itertools import product

from bench.figure import Benchmark, Figure, Ratio
from bench.load import best, wrk
from bench.nginx import nginx

SERVER = """\
server_tokens {tokens};
        location / {{ return 200 "{body}"; }}
"""


class Http(Benchmark):
    """One worker each; the reference is the best of some settings."""

    figures = (Figure("http", "1/s", Ratio(1.0)),)

    def prepare(self):
        self.daemon = self.lab.reader(self.lab.reads)
        size = len(self.daemon.admin.get("/livez").body)
        self.ports = best(
            [nginx(self.lab, SERVER, b"x" * size, multi_accept=multi_accept, tokens=tokens)
             for multi_accept, tokens in product(("on", "off"), repeat=2)],
            lambda port: wrk(self.lab, port, "/", seconds=self.lab.seconds / 8).rate)

    def reference(self):
        return [wrk(self.lab, self.ports[0], "/").rate]

    def cqrsd(self):
        return [wrk(self.lab, self.daemon.admin_port, "/livez").rate]
