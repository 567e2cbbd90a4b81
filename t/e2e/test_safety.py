# SPDX-License-Identifier: MIT
"""What the process trusts, and what nobody gets out of it: files, rights, SQL."""

import json
import os
import pwd
import stat
import subprocess
from urllib.parse import quote

import pytest

from conftest import sensor_config
from support.daemon import BINARY, WRAPPER, run
from support.workshop import wait_until

# ---- files ----


def check(workshop, mode, text="postgres: { dsn: 'host=db password=secret' }\nqueries: {}\n"):
    path = workshop.directory("config") / "cqrs.yaml"
    path.write_text(text)
    path.chmod(mode)
    return run("-c", path, "-t")


def test_a_configuration_that_everybody_can_write_is_refused(workshop):
    done = check(workshop, 0o666)
    assert done.returncode == 2
    assert "can be written by everybody: chmod o-w" in done.stderr
    assert check(workshop, 0o640).returncode == 0


def test_a_secret_that_everybody_can_write_is_refused(workshop):
    secret = workshop.directory("secret") / "password"
    secret.write_text("hunter2\n")
    text = f"postgres: {{ dsn: 'password=${{file:{secret}}}' }}\nqueries: {{}}\n"
    secret.chmod(0o602)
    done = check(workshop, 0o600, text)
    assert done.returncode == 2
    assert "everybody can write it" in done.stderr and "hunter2" not in done.stderr
    secret.chmod(0o600)
    assert check(workshop, 0o600, text).returncode == 0


def test_a_socket_is_not_for_others(cqrsd, database, workshop):
    path = workshop.directory("socket") / "http.sock"
    daemon = cqrsd({"kafka": {"brokers": "127.0.0.1:1"}, "queries": {"sensor": {}},
                    "postgres": {"dsn": database.dsn, "migrate": "auto"},
                    "http": {"listen": f"unix:{path}"}})
    previous = os.umask(0)
    try:
        daemon.start()
    finally:
        os.umask(previous)
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert path.stat().st_mode & 0o007 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_anybody_can_run_it_without_capabilities(cqrsd, database, kafka, unique, workshop):
    topics = {"readings": unique("readings"), "sensors": unique("sensors")}
    for topic in topics.values():
        kafka.create(topic)
    daemon = cqrsd(sensor_config(database, kafka.address, unique("group"), topics))
    # A copy where nobody can read it: the tree may be in somebody's home.
    directory = workshop.directory("nobody")
    binary = directory / "cqrsd"
    subprocess.run(["cp", str(BINARY), str(binary)], check=True)
    directory.chmod(0o755)
    binary.chmod(0o755)
    daemon.path.chmod(0o644)
    with open(daemon.log_path, "ab") as log:
        daemon.process = workshop.start(
            [*WRAPPER, str(binary), "-c", str(daemon.path)], cwd="/", user="nobody",
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    daemon.wait_ready()
    status = dict(line.split(":", 1) for line in
                  open(f"/proc/{daemon.process.pid}/status").read().splitlines())
    assert set(status["Uid"].split()) == {str(pwd.getpwnam("nobody").pw_uid)}
    assert int(status["CapEff"], 16) == 0 and int(status["CapPrm"], 16) == 0
    kafka.produce(topics["readings"], [json.dumps({"ts": 1646409307, "sensor_id": 1, "cpu": 1})])
    wait_until(lambda: database.value("SELECT count(*) FROM sensor_data") == 1, 20)
    assert daemon.get("/api/v1/sensors/1").status == 200
    assert daemon.stop() == 0


# ---- SQL ----

HOSTILE = [
    "'", "''", '"', "\\", "\\'", "';", "--", "/*", "*/", "$$", "$1", "$?", "%", "_", ";",
    "' OR '1'='1", "1 OR 1=1", "1; DROP TABLE sensors; --", "'; DROP TABLE sensor_data; --",
    "' UNION SELECT passwd FROM pg_shadow --", "1) UNION SELECT 1,2,3,4 --",
    "(SELECT pg_sleep(30))", "pg_sleep(30)", "'||(SELECT version())||'",
    "E'\\047'", "\x00", "a\x00b", "\x7f", "\u2019; DROP TABLE sensors", "\uff07", "{}", "{1,2}",
    "{\"a\"", "[1]", "NULL", "null", "NaN", "Infinity", "-0", "1e400", "0x10", "1_000",
    "9" * 400, "a" * 3000, "now()", "now-999999999999999999d", "now-6h; SELECT 1",
    "2022-03-04T00:00:00Z'; DELETE FROM sensors; --", "time DESC; DROP TABLE sensors",
    "\r\nSet-Cookie: x=1", "%00", "%27", "../../etc/passwd", "${HOME}", "{{7*7}}",
]

SNAPSHOT = """
    SELECT (SELECT md5(coalesce(string_agg(s::text, '|' ORDER BY id), '')) FROM sensors s),
           (SELECT md5(coalesce(string_agg(d::text, '|' ORDER BY sensor_id, time), ''))
            FROM sensor_data d),
           (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_roles)"""


@pytest.fixture(scope="module")
def reader(module_cqrsd, module_database, unique):
    config = sensor_config(module_database, "127.0.0.1:1", unique("group"), {},
                           postgres={"read": {"timeout": "3s"}})
    config["commands"] = {}
    daemon = module_cqrsd(config)
    daemon.migrate()
    module_database.query(
        "CREATE TABLE sensor_data_any PARTITION OF sensor_data DEFAULT;"
        "INSERT INTO sensors VALUES (1, 'a', 'floor'), (2, '''', '; DROP TABLE sensors');"
        "INSERT INTO sensor_data SELECT to_timestamp(1646352000 + n), 1, n, n"
        " FROM generate_series(1, 50) n")
    return daemon.start()


def routes(daemon):
    document = daemon.get("/api/v1/openapi.json").json()
    for path, item in document["paths"].items():
        yield path, item["get"].get("parameters", [])


def test_nobody_gets_out_of_a_parameter(reader, module_database):
    before = module_database.query(SNAPSHOT)
    asked = 0
    for path, parameters in routes(reader):
        full = path if path.startswith("/api") else "/api/v1" + path
        in_path = [p["name"] for p in parameters if p["in"] == "path"]
        plain = full
        for name in in_path:
            plain = plain.replace("{" + name + "}", "1")
        for value in HOSTILE:
            targets = [full.replace("{" + name + "}", quote(value, safe="")) for name in in_path]
            names = [p["name"] for p in parameters if p["in"] == "query"] + [value]
            targets += [f"{plain}?{quote(name, safe='')}={quote(value, safe='')}"
                        for name in names]
            for target in targets:
                answer = reader.get(target)
                asked += 1
                assert answer.status in (200, 400, 404, 414), (target, answer)
                if answer.status != 200:
                    assert answer.content_type == "application/problem+json", (target, answer)
                    assert answer.json()["status"] == answer.status
                assert "Set-Cookie" not in answer.headers
                # What PostgreSQL says about a statement is no answer to a client.
                assert b"syntax error" not in answer.body and b"SQLSTATE" not in answer.body
    assert asked > 1000
    assert module_database.query(SNAPSHOT) == before


def test_a_text_is_compared_and_not_interpreted(reader):
    found = reader.get("/api/v1/sensors", {"location": "; DROP TABLE sensors"}).json()
    assert [s["id"] for s in found] == [2]
    assert [s["id"] for s in reader.get("/api/v1/sensors", {"type": "'"}).json()] == [2]
    for pattern in ("%", "fl%", "floo_", "' OR true --"):
        assert reader.get("/api/v1/sensors", {"location": pattern}).json() == []


def test_names_from_the_configuration_are_quoted(cqrsd, database, kafka, unique):
    """Group and topic get into SQL text, and into Kafka."""
    topics = {"readings": unique("readings"), "sensors": unique("sensors")}
    for topic in topics.values():
        kafka.create(topic)
    group = unique("it's; DROP TABLE sensors; -- $1 \\ \"g\"")
    daemon = cqrsd(sensor_config(database, kafka.address, group, topics)).start()
    kafka.produce(topics["readings"],
                  [json.dumps({"ts": 1646409307, "sensor_id": 1, "cpu": 1}), "bad"])
    wait_until(lambda: database.value("SELECT sum(next_offset) FROM cqrs.offsets") == 2, 20)
    assert database.value("SELECT DISTINCT consumer_group FROM cqrs.offsets") == group
    assert database.value("SELECT consumer_group FROM cqrs.dead_letters") == group
    assert database.value("SELECT count(*) FROM sensors") == 1
    daemon.stop()
    daemon.write(commands={"sensor": {"topics": {"readings": "a'; DROP TABLE sensors; --"}}})
    daemon.start(ready=False)
    assert daemon.wait() == 1
    assert "is not a name that a Kafka topic can have" in daemon.log()
