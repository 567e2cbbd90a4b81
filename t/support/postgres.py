# SPDX-License-Identifier: MIT
"""A throw-away PostgreSQL server."""

import glob
import os
import shutil
import signal
import subprocess
from pathlib import Path

from .workshop import Workshop, wait_until


def bin_directory():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda p: int(p.split("/")[4]))
    if found:
        return Path(found[-1])
    return Path(subprocess.check_output(["pg_config", "--bindir"], text=True).strip())


class Postgres:
    """One server in its own directory, on a unix socket and on a free TCP port.

    The server refuses to run as root: then it runs as user postgres.  With
    `settings={"fsync": "off"}` and the like it is made for tests, not for data.
    """

    QUICK = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off",
             "track_commit_timestamp": "on"}  # to see what committed together

    def __init__(self, workshop: Workshop, settings=None, template=None):
        self.workshop = workshop
        self.bin = bin_directory()
        self.directory = workshop.directory("postgres", owner="postgres")
        self.data = self.directory / "data"
        self.port = workshop.free_port()
        self.settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.directory,
            "max_connections": 100,
            "autovacuum": "off",
            **(self.QUICK if settings is None else settings),
        }
        self.process = None
        self._connections = {}
        if template:
            self._as_server(["cp", "-a", str(template), str(self.data)])
        else:
            self._as_server([str(self.bin / "initdb"), "-D", str(self.data), "--no-sync",
                             "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C"])

    def _as_server(self, command):
        process = self.workshop.start(
            command, user="postgres", cwd=self.directory, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output, _ = process.communicate()
        self.workshop.forget(process.pid)
        if process.returncode:
            raise RuntimeError(f"{command[0]}: {output.decode()}")

    @classmethod
    def standby(cls, workshop, primary):
        """A copy of `primary` that follows it."""
        made = cls.__new__(cls)
        made.workshop, made.bin, made.process = workshop, primary.bin, None
        made._connections = {}
        made.directory = workshop.directory("postgres", owner="postgres")
        made.data = made.directory / "data"
        made.port = workshop.free_port()
        made.settings = {**primary.settings, "port": made.port,
                         "unix_socket_directories": made.directory}
        made._as_server([str(made.bin / "pg_basebackup"), "-D", str(made.data), "-R",
                         "--checkpoint=fast", "-d", primary.dsn("postgres")])
        return made.start()

    def promote(self):
        self.query("postgres", "SELECT pg_promote()")

    def database(self, name):
        """One that is there already."""
        return Database(self, name)

    def start(self):
        command = [str(self.bin / "postgres"), "-D", str(self.data)]
        for name, value in self.settings.items():
            command += ["-c", f"{name}={value}"]
        with open(self.directory / "log", "ab") as log:
            # SIGQUIT: at once, and without leaving shared memory behind.
            self.process = self.workshop.start(
                command, end_signal=signal.SIGQUIT, user="postgres", cwd=self.directory,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self._is_ready, 30, "PostgreSQL accepts connections", 0.01)
        return self

    def _is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError("postgres: " + (self.directory / "log").read_text())
        # The eighth line of this file is where pg_ctl looks as well.
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(self.process.pid) and lines[7].strip() == "ready"

    def stop(self, mode="fast"):
        """`smart`, `fast` or `immediate`, as the manual's chapter 19.5 has them."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        if self.process:
            sig = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
            self.workshop.stop(self.process, sig[mode], 20)
            self.process = None

    def restart(self, mode="fast"):
        self.stop(mode)
        self.start()

    def remove(self):
        self.stop("immediate")
        shutil.rmtree(self.directory, ignore_errors=True)

    def dsn(self, database, tcp=False, port=None, user="postgres"):
        """`port`: of a proxy in front of it."""
        host = "127.0.0.1" if tcp or port else self.directory
        return f"host={host} port={port or self.port} user={user} dbname={database}"

    def create(self, database, template="template0"):
        self.query("postgres", f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
        return Database(self, database)

    def set(self, **settings):
        """In the running server, also for sessions that are open; None: as it was."""
        for name, value in settings.items():
            self.query("postgres", f"ALTER SYSTEM RESET {name}" if value is None else
                       f"ALTER SYSTEM SET {name} = '{value}'")
        self.query("postgres", "SELECT pg_reload_conf()")

    def terminate(self, user):
        """Ends the sessions of a role; how many there were."""
        return self.query("postgres", "SELECT count(pg_terminate_backend(pid)) "
                          "FROM pg_stat_activity WHERE usename = %s", (user,))[0][0]

    def drop(self, database):
        if connection := self._connections.pop(database, None):
            connection.close()
        self.query("postgres", f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def connection(self, database):
        """Kept, in autocommit, and made anew after a restart."""
        connection = self._connections.get(database)
        if connection is None or connection.closed:
            import psycopg2  # the demo does without

            connection = psycopg2.connect(self.dsn(database))
            connection.autocommit = True
            self._connections[database] = connection
        return connection

    def query(self, database, sql, parameters=None):
        """The rows, or None for a statement without."""
        with self.connection(database).cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else None


class Database:
    """One database of a server: what a test gets for itself."""

    def __init__(self, server, name):
        self.server = server
        self.name = name

    @property
    def dsn(self):
        return self.server.dsn(self.name)

    def query(self, sql, parameters=None):
        return self.server.query(self.name, sql, parameters)

    def value(self, sql, parameters=None):
        """The only field of the only row."""
        ((value,),) = self.query(sql, parameters)
        return value

    def insert(self, table, columns, rows):
        """Many rows at once, through COPY."""
        from io import StringIO

        text = StringIO("".join(
            "\t".join("\\N" if v is None else str(v) for v in row) + "\n" for row in rows))
        with self.server.connection(self.name).cursor() as cursor:
            cursor.copy_expert(f"COPY {table} ({', '.join(columns)}) FROM STDIN", text)

    def drop(self):
        self.server.drop(self.name)


def template(workshop: Workshop):
    """A data directory to copy from, made once in a run."""
    path = workshop.path / "template"
    with workshop.lock("template"):
        if not path.exists():
            made = Postgres(workshop)
            os.rename(made.data, path)
            shutil.rmtree(made.directory)
    return path
