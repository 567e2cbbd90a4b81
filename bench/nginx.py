# SPDX-License-Identifier: MIT
"""nginx with one worker, which what we answer by ourselves is measured against."""

import subprocess

from bench.figure import demand
from support.client import Client
from support.workshop import wait_until

CONFIGURATION = """\
daemon off;
master_process off;
pid {directory}/pid;
error_log {directory}/error.log;
events {{ worker_connections 1024; multi_accept {multi_accept}; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/body_temp;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    default_type text/plain;
    server {{
        listen 127.0.0.1:{port};
        {server}
    }}
}}
"""


def nginx(lab, server, body, multi_accept="on", **names):
    """One that runs and answers /body with that; its port.  `server` may use what it is given."""
    directory, port = lab.workshop.directory("nginx"), lab.workshop.free_port()
    (directory / "body").write_bytes(body)
    (directory / "nginx.conf").write_text(CONFIGURATION.format(
        directory=directory, port=port, multi_accept=multi_accept,
        server=server.format(directory=directory, body=body.decode(), **names)))
    process = lab.workshop.start(
        ["nginx", "-p", str(directory), "-e", str(directory / "error.log"),
         "-c", str(directory / "nginx.conf")], stdin=subprocess.DEVNULL)
    client = Client("127.0.0.1", port)

    def answers():
        demand(process.poll() is None, "nginx ended by itself")
        try:
            return client.get("/body").body == body
        except OSError:
            return False

    wait_until(answers, 10, "nginx answers")
    return port
