# SPDX-License-Identifier: MIT
"""Where it was measured, the table, the JSON, and the line for bench/history.md."""

import os
import platform
import re
import statistics
import subprocess
import time

import confluent_kafka

from bench.figure import AtLeast, AtMost, Within
from support import broker
from support.daemon import BINARY
from support.postgres import bin_directory
from support.workshop import REPOSITORY

ALONE = AtMost, AtLeast  # goals without a reference


def said(*command):
    """By a program; empty if it is not there."""
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                              cwd=REPOSITORY)
    except FileNotFoundError:
        return ""
    return (done.stdout + done.stderr).strip()


def version(*command):
    found = re.search(r"[0-9]+(\.[0-9]+)+", said(*command))
    return found and found[0]


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = re.findall(r"model name\s*: (.*)", file.read())
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processors": os.cpu_count(),
        "model": models[0].strip() if models else platform.machine(),
        "memory_gb": round(pages / 1e9),
        "load_before": os.getloadavg()[0],
        "system": f"{platform.system()} {platform.release()}",
    }


def versions():
    return {
        "cqrsd": version(BINARY, "--version"),
        "commit": said("git", "describe", "--always", "--dirty"),
        "postgresql": version(bin_directory() / "postgres", "--version"),
        "kafka": broker.VERSION,
        "librdkafka": confluent_kafka.libversion()[0],
        "wrk": version("wrk", "-v"),
        "nginx": version("nginx", "-v"),
        "python": platform.python_version(),
    }


class Result:
    """The values of one figure, round after round."""

    def __init__(self, figure):
        self.figure = figure
        self.rounds = {"reference": [], "cqrsd": []}

    def note(self, side, value):
        if value is not None:
            self.rounds[side].append(value)

    def median(self, side):
        return statistics.median(self.rounds[side]) if self.rounds[side] else None

    def as_dict(self):
        reference, cqrsd = self.median("reference"), self.median("cqrsd")
        return {
            "name": self.figure.name, "unit": self.figure.unit,
            "reference": reference, "cqrsd": cqrsd,
            "ratio": cqrsd / reference if cqrsd is not None and reference else None,
            "goal": str(self.figure.goal),
            "met": self.is_met(reference, cqrsd),
            "rounds": self.rounds,
        }

    def is_met(self, reference, cqrsd):
        if cqrsd is None or reference is None and not isinstance(self.figure.goal, ALONE):
            return False
        return self.figure.goal.is_met(reference, cqrsd)


def number(value, digits=None):
    if value is None:
        return "-"
    if digits is None:
        digits = 0 if value >= 1000 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"


def print_table(rows):
    width = max(len(row["name"]) for row in rows)
    print(f"{'name':{width}} {'unit':>7} {'reference':>11} {'cqrsd':>11} {'ratio':>6} "
          f"{'goal':>12}  met")
    for row in rows:
        print(f"{row['name']:{width}} {row['unit']:>7} {number(row['reference']):>11} "
              f"{number(row['cqrsd']):>11} {number(row['ratio'], 2):>6} {row['goal']:>12}  "
              f"{'yes' if row['met'] else 'no'}")


def brief(result):
    """One figure for the history: a ratio, a difference or a value; ! is a goal not met."""
    row, goal = result.as_dict(), result.figure.goal
    mark = "" if row["met"] else "!"
    if row["cqrsd"] is None:
        return f"{row['name']} -"
    if isinstance(goal, Within):
        return f"{row['name']} {row['cqrsd'] - row['reference']:+.2f} {row['unit']}{mark}"
    if isinstance(goal, ALONE):
        return f"{row['name']} {number(row['cqrsd'])} {row['unit']}{mark}"
    return f"{row['name']} {number(row['ratio'], 2)}{mark}"


def history_line(document, results):
    """Of one state of the tree; no name of a host."""
    where = document["machine"]
    return (f"- {time.strftime('%Y-%m-%d')}, {document['versions']['commit']}, "
            f"{where['processors']} x {where['model']}, {document['rounds']} rounds: "
            f"{', '.join(brief(result) for result in results)}")
