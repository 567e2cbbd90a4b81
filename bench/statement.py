# SPDX-License-Identifier: MIT
"""The statement that cqrsd asks PostgreSQL for a request, so that references ask the same."""

import re
from typing import NamedTuple

from bench.figure import demand
from support.workshop import wait_until

PROBE = 777  # a sensor whose number is nothing else's


class Statement(NamedTuple):
    """Parameters as text; an @ in them is the number of a sensor."""

    sql: str
    parameters: list

    def literal(self):
        """With the parameters in it."""
        values = [None if p is None else "'" + p.replace("'", "''") + "'" for p in self.parameters]
        return re.sub(r"\$(\d+)", lambda m: values[int(m[1]) - 1] or "NULL", self.sql)


EXECUTE = re.compile(r"duration: [0-9.]+ ms  execute [^:]*: (.*)\n.*?DETAIL:  parameters: (.*)\n")
PARAMETER = re.compile(r"\$\d+ = (NULL|'(?:[^']|'')*')")


def asked(lab, database, path, **headers):
    """Of the request that a fresh daemon answers: the server's log has it, and its parameters."""
    log = lab.postgres.directory / "log"
    database.query(f"ALTER DATABASE {database.name} SET log_min_duration_statement = 0")
    daemon = lab.daemon(database).start()
    begin = log.stat().st_size
    answer = daemon.get(path.replace("@", str(PROBE)), **headers)
    demand(answer.status == 200, f"{path}: {answer}")
    database.query(f"ALTER DATABASE {database.name} RESET log_min_duration_statement")
    found = wait_until(lambda: EXECUTE.findall(log.read_text(errors="replace")[begin:]), 5,
                       f"the statement for {path} is in the log")
    daemon.stop()
    sql, parameters = found[-1]
    return Statement(sql, [text(p).replace(str(PROBE), "@") for p in PARAMETER.findall(parameters)])


def text(parameter):
    return parameter[1:-1].replace("''", "'")
