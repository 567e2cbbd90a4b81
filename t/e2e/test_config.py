# SPDX-License-Identifier: MIT
"""The configuration file and the command line."""

import os
import re

import pytest
import yaml

from conftest import sensor_config
from support.daemon import run
from support.workshop import REPOSITORY, wait_until

EXAMPLE = REPOSITORY / "etc" / "cqrs.yaml"


@pytest.fixture
def check(workshop):
    """Checks a text as a file; returns (exit code, lines of stderr without the path)."""

    def check_text(text, *arguments, env=None):
        path = workshop.directory("config") / "cqrs.yaml"
        path.write_text(text)
        done = run("-c", path, *(arguments or ["-t"]), env=env and {**os.environ, **env})
        lines = [line.removeprefix(f"{path}:") for line in done.stderr.splitlines()]
        return done.returncode, lines, done.stdout

    return check_text


def flat(tree, prefix=""):
    """{"log.level": "info", …}; an empty section is a value."""
    result = {}
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            result.update(flat(value, f"{prefix}{name}."))
        else:
            result[prefix + name] = value
    return result


def same(value):
    """A minute is 60 seconds, however it is written."""
    return "60s" if value == "1m" else value


# ---- the command line ----

def test_version():
    done = run("--version")
    assert done.returncode == 0
    assert re.match(r"cqrsd \d+\.\d+\.\d+", done.stdout)
    assert done.stderr == ""


def test_help_names_every_option_and_command():
    done = run("--help")
    assert done.returncode == 0
    for word in ("-c", "-t", "-T", "--probe", "--version", "migrate", "produce", "etc"):
        assert word in done.stdout
    for name in flat(yaml.safe_load(EXAMPLE.read_text())):
        if not name.startswith(("commands.", "queries.")):
            assert name in done.stdout, name
    for name in ("timestamp_unit", "on_duplicate", "unknown_sensors"):
        assert name in done.stdout, name


def test_the_manual_page_has_every_command_and_option_of_the_help():
    usage = run("--help").stdout.split("The configuration file:")[0]
    page = (EXAMPLE.parents[1] / "man" / "cqrsd.1").read_text()
    options = set(re.findall(r"(?<![\w`])--?([a-zA-Z][a-z-]*)", usage))
    commands = set(re.findall(r"^  cqrsd \[-c FILE\] ([a-z][a-z-]*)", usage, re.M))
    assert {"c", "probe", "dry-run", "H"} <= options
    assert {"migrate", "offsets"} <= commands
    for option in options:
        flag = option if len(option) == 1 else f"-{option}"
        assert re.search(rf"Fl (?:\w \| |\w , Fl )?{flag}\b", page), option
    for command in commands:
        assert f"Cm {command}" in page, command


@pytest.mark.parametrize("arguments", [
    ["--nonsense"], ["-x"], ["nonsense"], ["-c"], ["--probe"], ["-t", "migrate"]], ids=str)
def test_a_wrong_command_line_is_said_and_exits_64(arguments):
    done = run(*arguments)
    assert done.returncode == 64
    assert done.stdout == ""
    assert done.stderr.strip()


def test_exit_codes_are_documented():
    assert re.search(r"(?i)exit", run("--help").stdout)


def test_a_file_that_is_not_there():
    done = run("-c", "/nowhere/cqrs.yaml", "-t")
    assert done.returncode == 2
    assert "/nowhere/cqrs.yaml" in done.stderr
    assert "No such file" in done.stderr


# ---- -t and -T ----

def test_the_example_is_good():
    done = run("-c", EXAMPLE, "-t")
    assert (done.returncode, done.stdout.count("error")) == (0, 0), done.stderr


def test_the_example_says_the_defaults(check):
    """So all of it may be left out, but for the modules."""
    modules = yaml.safe_load(EXAMPLE.read_text())
    code, errors, printed = check(yaml.safe_dump(
        {side: {name: {} for name, options in modules[side].items() if isinstance(options, dict)}
         for side in ("commands", "queries")}), "-T")
    assert code == 0, errors
    effective, example = (
        {name: same(value) for name, value in flat(yaml.safe_load(text)).items()}
        for text in (printed, EXAMPLE.read_text()))
    assert effective == example


def test_the_effective_configuration_can_be_read_again(check):
    text = """
memory: 32MiB
shutdown_timeout: 1500ms
log: { level: debug }
kafka: { brokers: "a:1,b:2", group: "${HOME:-x}", properties: { client.id: gw7 } }
postgres: { dsn: "host=h dbname='a b'", read: { timeout: 250ms }, write: { max_rows: 77 } }
commands: { sensor: { topics: { readings: r, sensors: s }, on_duplicate: update } }
"""
    code, errors, printed = check(text, "-T")
    assert code == 0, errors
    tree = flat(yaml.safe_load(printed))
    assert tree["memory"] == "32MiB"
    assert tree["shutdown_timeout"] == "1500ms"
    assert tree["log.level"] == "debug"
    assert tree["kafka.brokers"] == "a:1,b:2"
    assert tree["kafka.group"] == os.environ.get("HOME", "x")
    assert tree["kafka.properties.client.id"] == "gw7"
    assert tree["postgres.read.timeout"] == "250ms"
    assert tree["postgres.write.max_rows"] == 77
    assert tree["commands.sensor.on_duplicate"] == "update"
    assert check(printed, "-T") == (0, [], printed)


@pytest.mark.parametrize("text, place, words", [
    ("postgres:\n  write: { max_row: 5 }", "2:12", ["unknown option", "max_row", "max_rows"]),
    ("colour: red", "1:1", ["unknown option", "colour"]),
    ("memory: lots", "1:9", ["memory", "size", "lots"]),
    ("memory: 1KiB", "1:9", ["memory", "16MiB"]),
    ("memory: [64MiB]", "1:9", ["memory"]),
    ("memory:", "1:8", ["memory"]),
    ("memory: 64MB", "1:9", ["memory", "64MB"]),
    ("log:\n    level: loud", "2:12", ["log.level", "debug", "loud"]),
    ("log: { level: infos }", "1:15", ["did you mean", "info"]),
    ("log: text", "1:6", ["log"]),
    ("memory: 64MiB\nmemory: 64MiB", "2:1", ["memory", "second"]),
    ("postgres: { write: { max_rows: 0 } }", "1:32", ["max_rows", "1"]),
    ("postgres: { write: { max_rows: 1000001 } }", "1:32", ["max_rows", "1000000"]),
    ("postgres: { write: { max_rows: many } }", "1:32", ["max_rows", "number", "many"]),
    ("postgres: { write: { max_rows: 99999999999999999999 } }", "1:32", ["max_rows"]),
    ("postgres: { write: { max_delay: 20 } }", "1:33", ["max_delay", "duration"]),
    ("postgres: { write: { max_delay: 11s } }", "1:33", ["max_delay", "10s"]),
    ("kafka: { session_timeout: 1ms }", "1:27", ["session_timeout", "1s"]),
    ("kafka: { start: yesterday }", "1:17", ["kafka.start", "earliest"]),
    ("kafka: { brokers: \"\" }", "1:19", ["kafka.brokers"]),
    ("kafka: { group: \"\" }", "1:17", ["kafka.group"]),
    ("kafka: { properties: { group.id: x } }", "1:", ["group.id", "kafka.group"]),
    ("kafka: { properties: { enable.auto.commit: true } }", "1:", ["enable.auto.commit"]),
    ("kafka: { properties: { isolation.level: read_uncommitted } }", "1:", ["isolation.level"]),
    ("kafka: { properties: { no.such.property: 1 } }", "", ["no.such.property"]),
    ("http: { listen: nowhere }", "1:17", ["http.listen"]),
    ("http: { listen: \"127.0.0.1:70000\" }", "1:17", ["http.listen"]),
    ("http: { listen: \"127.0.0.1:1\" }\nadmin: { listen: \"127.0.0.1:1\" }", "", ["listen"]),
    ("commands: { sensor: { on_duplicate: maybe } }", "1:37", ["on_duplicate", "ignore"]),
    ("commands: { sensor: { topcs: {} } }", "1:23", ["topcs", "topics"]),
    ("commands: { sensor: { timestamp_unit: h } }", "1:39", ["timestamp_unit", "auto"]),
    ("queries: { sensor: { x: 1 } }", "1:22", ["x"]),
    ("commands: { sensors: {} }", "1:", ["sensors", "sensor"]),
    ("commands: sensor", "1:11", ["commands"]),
    ("memory: ${CQRSD_NOT_SET}", "1:9", ["CQRSD_NOT_SET"]),
    ("memory: ${file:/nowhere/secret}", "1:9", ["/nowhere/secret"]),
    ("memory: \"${open\"", "1:9", ["${"]),
    ("memory: &a 64MiB", "1:9", ["anchor"]),
    ("memory: !!str 64MiB", "1:9", ["tag"]),
    ("memory: 'open", "", []),
    ("\tmemory: 1", "1:", []),
    ("- memory", "", ["mapping"]),
    ("memory: 64MiB\n---\nmemory: 64MiB", "", ["document"]),
])
def test_a_mistake_is_told_with_its_place(check, text, place, words):
    code, lines, _ = check(text)
    assert code == 2
    assert len(lines) == 1, lines
    assert lines[0].startswith(place), lines
    for word in words:
        assert word in lines[0], lines


def test_all_mistakes_are_told_in_one_go(check):
    code, lines, _ = check("""memory: lots
log: { level: loud, colour: red }
kafka:
  brokers: 127.0.0.1:9092
  sesion_timeout: 10s
postgres:
  write: { max_rows: -1, max_row: 3 }
commands:
  sensor: { topics: { reading: x }, on_duplicate: never }
  nothing: {}
queries: { sensor: { what: 1 } }
""")
    assert code == 2
    places = [tuple(map(int, line.split(":")[:2])) for line in lines if re.match(r"\d+:\d+:", line)]
    assert places == sorted(places)
    assert {line for line, _ in places} >= {1, 2, 5, 7, 9, 11}
    assert len(places) >= 9
    assert any("nothing" in line for line in lines)


@pytest.mark.parametrize("text, expected", [
    ("${CQRSD_A}", "one"),
    ("x-${CQRSD_A}-${CQRSD_A}", "x-one-one"),
    ("${CQRSD_B:-two}", "two"),
    ("${CQRSD_EMPTY:-three}", "three"),
    ("${CQRSD_B:-}y", "y"),
    ("$$HOME and $5", "$HOME and $5"),
    ("$${CQRSD_A}", "${CQRSD_A}"),
])
def test_variables_in_values(check, text, expected):
    code, errors, printed = check(f"kafka: {{ group: \"{text}\" }}", "-T",
                                  env={"CQRSD_A": "one", "CQRSD_EMPTY": ""})
    assert code == 0, errors
    group = yaml.safe_load(printed)["kafka"]["group"]
    assert group.replace("$$", "$") == expected


def test_what_a_variable_brings_is_a_value_not_yaml(check):
    code, errors, printed = check("kafka: { group: \"${CQRSD_A}\" }", "-T",
                                  env={"CQRSD_A": 'x", start: "latest'})
    assert code == 0, errors
    tree = yaml.safe_load(printed)
    assert tree["kafka"]["group"] == 'x", start: "latest'
    assert tree["kafka"]["start"] == "earliest"


def test_a_file_as_a_value(workshop, check):
    secret = workshop.directory("secret") / "group"
    secret.write_text("from a file\n")
    code, errors, printed = check(f"kafka: {{ group: \"${{file:{secret}}}\" }}", "-T")
    assert code == 0, errors
    assert yaml.safe_load(printed)["kafka"]["group"] == "from a file"


@pytest.mark.parametrize("dsn", [
    "host=h password=geheim dbname=x", "postgresql://user:geheim@h/x",
    "host=h password='geheim' dbname=x", "postgresql://h/x?password=geheim",
    "host=h sslpassword=geheim"])
def test_secrets_are_never_printed(check, dsn):
    code, _, printed = check(f"postgres: {{ dsn: \"{dsn}\" }}", "-T")
    assert code == 0
    assert "geheim" not in printed
    assert "host=h" in printed or "@h" in printed or "//h" in printed


def test_secret_properties_are_never_printed(check):
    code, _, printed = check(
        "kafka: { properties: { sasl.password: geheim, ssl.key.password: geheim,"
        " sasl.username: me } }", "-T")
    assert code == 0
    assert "geheim" not in printed
    assert "me" in printed


def test_secrets_are_not_in_logs_or_status(cqrsd, database, unique):
    config = sensor_config(database, "127.0.0.1:1", unique("group"), {})
    config["postgres"]["dsn"] += " password=geheim"
    config["commands"] = {}
    config["log"] = {"level": "debug"}
    daemon = cqrsd(config).start()
    assert "geheim" not in daemon.admin.get("/status").text
    daemon.stop()
    assert "geheim" not in daemon.log()


# ---- --probe ----

@pytest.fixture
def probed(cqrsd, database, kafka, unique):
    topics = {"readings": unique("readings"), "sensors": unique("sensors")}
    for topic in topics.values():
        kafka.create(topic)
    daemon = cqrsd(sensor_config(database, kafka.address, unique("group"), topics))
    daemon.topics = topics
    return daemon


def test_probe_finds_everything_there(probed):
    probed.migrate()
    done = probed.run("-t", "--probe")
    assert done.returncode == 0, done.stderr


def test_probe_finds_the_schema_missing(probed):
    done = probed.run("-t", "--probe")
    assert done.returncode == 3
    assert "migrate" in done.stderr


def test_probe_finds_a_topic_missing(probed, unique):
    probed.migrate()
    missing = unique("missing")
    probed.write(commands={"sensor": {"topics": {"readings": missing}}})
    done = probed.run("-t", "--probe")
    assert done.returncode == 1
    assert missing in done.stderr


def test_probe_finds_servers_away_all_at_once(probed):
    probed.write(kafka={"brokers": "127.0.0.1:1"},
                 postgres={"dsn": "host=127.0.0.1 port=2 user=x dbname=x"})
    done = probed.run("-t", "--probe")
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr
    assert "port 2" in done.stderr or ":2" in done.stderr


def test_probe_finds_a_right_missing(probed, database, unique):
    probed.migrate()
    role = unique("role").replace("-", "_")
    database.query(f"CREATE ROLE {role} LOGIN")
    try:
        database.query(f"GRANT USAGE ON SCHEMA cqrs TO {role};"
                       f"GRANT SELECT ON ALL TABLES IN SCHEMA cqrs, public TO {role}")
        probed.write(postgres={"dsn": database.dsn.replace("user=postgres", f"user={role}")})
        done = probed.run("-t", "--probe")
        assert done.returncode == 1
        assert "INSERT" in done.stderr or "UPDATE" in done.stderr or "permission" in done.stderr
    finally:
        database.query(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_probe_of_a_reader_needs_no_kafka(cqrsd, database, unique):
    config = sensor_config(database, "127.0.0.1:1", unique("group"), {})
    config["commands"] = {}
    reader = cqrsd(config)
    assert reader.run("-t", "--probe").returncode == 3
    reader.migrate()
    done = reader.run("-t", "--probe")
    assert (done.returncode, done.stderr) == (0, "")


# ---- options that other tests do not meet ----

def test_unix_sockets(cqrsd, workshop, database, unique):
    import http.client
    import socket

    path = workshop.directory("socket") / "http"
    config = sensor_config(database, "127.0.0.1:1", unique("group"), {})
    config["commands"] = {}
    config["http"] = {"listen": f"unix:{path}"}
    cqrsd(config).start()
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    connection.request("GET", "/api/v1/sensors")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"[]\n")


def test_a_socket_left_behind_is_no_obstacle(cqrsd, workshop, database, unique):
    path = workshop.directory("socket") / "http"
    config = sensor_config(database, "127.0.0.1:1", unique("group"), {})
    config["commands"] = {}
    config["http"] = {"listen": f"unix:{path}"}
    daemon = cqrsd(config).start()
    daemon.kill()
    assert path.exists()
    daemon.start()
    assert daemon.stop() == 0
    assert not path.exists()


def test_port_0_is_any_port_and_said(cqrsd, database, unique):
    config = sensor_config(database, "127.0.0.1:1", unique("group"), {})
    config["commands"] = {}
    config["http"] = {"listen": "127.0.0.1:0"}
    daemon = cqrsd(config).start()
    found = re.search(r"127\.0\.0\.1:(\d{4,5})\b", daemon.log().replace(
        str(daemon.admin_port), ""))
    assert found, daemon.log()
    daemon.http.port = int(found[1])
    assert daemon.get("/api/v1/sensors").status == 200


def test_http_limits_come_from_the_file(cqrsd, database, unique):
    config = sensor_config(database, "127.0.0.1:1", unique("group"), {})
    config["commands"] = {}
    daemon = cqrsd(config)
    daemon.write(http={"idle_timeout": "500ms", "header_timeout": "700ms", "max_body": "1KiB",
                       "max_connections": 3})
    daemon.start()
    request = b"GET /api/v1/sensors HTTP/1.1\r\nHost: x\r\n"
    # Idle after an answer: closed without a word.
    with daemon.http.connect() as s:
        s.sendall(request + b"\r\n")
        assert s.recv(65536).startswith(b"HTTP/1.1 200")
        assert s.recv(65536) == b""
    # Half a request: 408.
    assert daemon.http.raw(request).startswith(b"HTTP/1.1 408")
    # A body that is too long: 413.
    assert daemon.http.raw(
        b"POST /api/v1/sensors HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n"
    ).startswith(b"HTTP/1.1 413")
    # One client too many, once those above are gone.
    wait_until(lambda: daemon.metrics().value("cqrsd_http_connections", listener="http") == 0, 5,
               "no connection is left")
    open_ones = [daemon.http.connect() for _ in range(3)]
    try:
        for s in open_ones:
            s.sendall(request + b"\r\n")
            assert s.recv(65536).startswith(b"HTTP/1.1 200")
        with daemon.http.connect() as s:
            s.sendall(request + b"\r\n")
            try:
                answer = s.recv(65536)
            except ConnectionResetError:
                answer = b""
            assert answer == b"" or answer.startswith(b"HTTP/1.1 503")
    finally:
        for s in open_ones:
            s.close()
    wait_until(lambda: daemon.get("/api/v1/sensors").status == 200, 5, "room again")


def test_reading_from_another_database(cqrsd, postgres, database, unique):
    replica = postgres.create(unique("replica"))
    try:
        config = sensor_config(replica, "127.0.0.1:1", unique("group"), {})
        config["commands"] = {}
        daemon = cqrsd(config)
        daemon.migrate()
        daemon.write(postgres={"dsn": database.dsn, "read": {"dsn": replica.dsn}})
        replica.query("INSERT INTO sensors VALUES (1, 'replica', '')")
        daemon.start()
        assert daemon.get("/api/v1/sensors/1").json()["type"] == "replica"
    finally:
        daemon.kill()
        replica.drop()
