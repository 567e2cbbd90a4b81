# SPDX-License-Identifier: MIT
"""The programs that make load: wrk, pgbench, and bench/select.c."""

import re
import subprocess
from typing import NamedTuple

from bench.figure import Failed, demand
from bench.readings import SENSORS
from support.workshop import BUILD

SELECT = BUILD / "bench" / "select"

# Every sensor's request is made before; all that is left is to choose one.
LUA = """\
local requests = {}
init = function()
  for i = 1, %d do requests[i] = wrk.format('GET', (string.gsub('%s', '@', i))) end
end
request = function() return requests[math.random(#requests)] end
"""


class Wrk(NamedTuple):
    rate: float
    p99_ms: float


def whole(seconds):
    """wrk and pgbench know no others."""
    return max(1, round(seconds))


def run(command, seconds):
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                              timeout=seconds + 60)
    except subprocess.TimeoutExpired:
        raise Failed(f"{command[0]} does not end") from None
    demand(done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}")
    return done.stdout


def wrk(lab, port, path, connections=64, seconds=None):
    """GET; an @ in the path is the number of a sensor."""
    seconds = seconds or lab.seconds
    command = ["wrk", "-t", 1, "-c", connections, "-d", f"{whole(seconds)}s", "--timeout", "30s",
               "--latency"]
    if "@" in path:
        script = lab.workshop.path / "get.lua"
        script.write_text(LUA % (SENSORS, path))
        command += ["-s", script]
    text = run([*command, f"http://127.0.0.1:{port}{'' if '@' in path else path}"], seconds)
    demand(not re.search("Non-2xx|Socket errors", text), f"wrk met errors:\n{text}")
    p99 = re.search(r"99%\s+([0-9.]+)(us|ms|s|m)\b", text)
    return Wrk(float(re.search(r"Requests/sec:\s+([0-9.]+)", text)[1]),
               float(p99[1]) * {"us": 1e-3, "ms": 1, "s": 1e3, "m": 6e4}[p99[2]])


def pgbench(lab, database, script, clients, seconds=None, define=()):
    """How often a second a script of pgbench runs."""
    seconds = seconds or lab.seconds
    path = lab.workshop.path / "pgbench.sql"
    path.write_text(script)
    variables = [text for name in define for text in ("-D", f"{name}={define[name]}")]
    text = run([lab.postgres.bin / "pgbench", "-n", "-M", "prepared", "-f", path, *variables,
                "-c", clients, "-j", min(clients, 2), "-T", whole(seconds),
                "-h", lab.postgres.directory, "-p", lab.postgres.port, "-U", "postgres",
                database.name], seconds)
    demand("number of failed transactions: 0 " in text, f"pgbench failed:\n{text}")
    return float(re.search(r"tps = ([0-9.]+)", text)[1])


def select(lab, database, statement, clients, result="text", in_flight=1, seconds=None):
    """Answers a second to a statement of which an @ is the number of a sensor."""
    seconds = seconds or lab.seconds
    return float(run([SELECT, database.dsn, clients, in_flight, seconds, result, SENSORS,
                      statement.sql, *statement.parameters], seconds))


def best(settings, measure, n=1):
    """The `n` settings that are the best in one trial each."""
    return sorted(settings, key=measure, reverse=True)[:n]
