# SPDX-License-Identifier: MIT
"""HTTP alone: /livez, next to nginx with an answer of the same size."""

import subprocess
from itertools import product

from bench.figure import Benchmark, Figure, Ratio, demand
from bench.load import best, wrk
from support.client import Client
from support.workshop import wait_until

NGINX = """\
daemon off;
master_process off;
pid {directory}/pid;
error_log {directory}/error.log;
events {{ worker_connections 1024; multi_accept {multi_accept}; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    default_type text/plain;
    server {{
        listen 127.0.0.1:{port};
        server_tokens {tokens};
        location / {{ return 200 "{body}"; }}
    }}
}}
"""


class Http(Benchmark):
    """One worker each; the reference is the best of some settings."""

    figures = (Figure("http", "1/s", Ratio(1.0)),)

    def prepare(self):
        self.daemon = self.lab.reader(self.lab.reads)
        body = self.daemon.admin.get("/livez").body
        self.ports = best([self.nginx(len(body), *setting) for setting in
                           product(("on", "off"), repeat=2)],
                          lambda port: wrk(self.lab, port, "/", seconds=self.lab.seconds / 8).rate)

    def nginx(self, size, multi_accept, tokens):
        """One that runs; its port."""
        directory, port = self.lab.workshop.directory("nginx"), self.lab.workshop.free_port()
        body = "x" * size
        (directory / "nginx.conf").write_text(NGINX.format(
            directory=directory, port=port, body=body, multi_accept=multi_accept, tokens=tokens))
        process = self.lab.workshop.start(
            ["nginx", "-p", str(directory), "-e", str(directory / "error.log"),
             "-c", str(directory / "nginx.conf")], stdin=subprocess.DEVNULL)
        client = Client("127.0.0.1", port)

        def answers():
            demand(process.poll() is None, "nginx ended by itself")
            try:
                return client.get("/").text == body
            except OSError:
                return False

        wait_until(answers, 10, "nginx answers")
        return port

    def reference(self):
        return [wrk(self.lab, self.ports[0], "/").rate]

    def cqrsd(self):
        return [wrk(self.lab, self.daemon.admin_port, "/livez").rate]
