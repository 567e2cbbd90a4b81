# SPDX-License-Identifier: MIT
"""What `make demo` shows, and that it leaves nothing behind."""

import os
import re
import subprocess

from support.workshop import BUILD, REPOSITORY


def test_the_demo_shows_what_it_says_and_cleans_up(workshop):
    directory = workshop.directory("demo")
    done = subprocess.run([REPOSITORY / "t" / "support" / "demo"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=180,
                          env={**os.environ, "TMPDIR": str(directory), "CQRSD_BUILD": str(BUILD)})
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    first, *shown = done.stdout.split("\n# ")
    assert first.startswith("Starting PostgreSQL and cqrsd")
    assert len(shown) == 13 and all("\n$ curl -sS " in part for part in shown)
    assert "time,sensor_id,temperature,cpu\n" in shown[5]
    assert '"code":"invalid_parameter"' in shown[6]
    created, seen, changed, conflict, search, unchanged = shown[7:]
    (id,) = re.findall(r"^Location: /api/v1/products/(\S+)$", created, re.MULTILINE)
    assert "\nHTTP/1.1 201 Created\n" in created
    assert "\nHTTP/1.1 200 OK\n" in seen and '\nETag: "1"\n' in seen and id in seen
    assert "\nHTTP/1.1 200 OK\n" in changed and '"version": 2' in changed
    assert '"status":412' in conflict and "version 2, not 1" in conflict
    assert '"totalCount":1' in search and f'"{id}"' in search
    assert unchanged.endswith('\nHTTP/1.1 304 Not Modified\nETag: "2"\n')
    assert not list(directory.iterdir())
