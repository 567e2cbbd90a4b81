# SPDX-License-Identifier: MIT
"""Bringing the schema up to date: once, twice, by many at the same time."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import sensor_config
from support.workshop import REPOSITORY, wait_until

FILES = sorted((REPOSITORY / "sql").glob("*.sql"))
NUMBERS = [int(path.name[:3]) for path in FILES]


@pytest.fixture
def daemon(cqrsd, database, unique):
    """With its schema in our hands, and nothing to do with Kafka."""
    config = sensor_config(database, "127.0.0.1:1", unique("group"), {})
    config["commands"] = {}
    config["postgres"]["migrate"] = "manual"
    return cqrsd(config)


def applied(database):
    return [n for (n,) in database.query(
        "SELECT version FROM cqrs.schema_migrations ORDER BY version")]


def test_an_empty_database_gets_everything(daemon, database):
    daemon.migrate()
    assert applied(database) == NUMBERS
    for table in ("cqrs.offsets", "cqrs.dead_letters", "sensors", "sensor_data"):
        assert database.value(f"SELECT count(*) FROM {table}") == 0


def test_a_second_time_changes_nothing(daemon, database):
    daemon.migrate()
    rows = database.query("SELECT * FROM cqrs.schema_migrations ORDER BY version")
    database.query("INSERT INTO sensors (id) VALUES (7)")
    daemon.migrate()
    assert database.query("SELECT * FROM cqrs.schema_migrations ORDER BY version") == rows
    assert database.value("SELECT count(*) FROM sensors") == 1


def test_many_at_the_same_time(daemon, database):
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(lambda _: daemon.run("migrate"), range(6)))
    assert [d.returncode for d in done] == [0] * 6, [d.stderr for d in done]
    assert applied(database) == NUMBERS


def test_the_names_and_columns_that_are_contract(daemon, database):
    daemon.migrate()

    def columns(schema, table):
        return dict(database.query(
            "SELECT column_name::text, data_type::text FROM information_schema.columns "
            "WHERE table_schema = %s AND table_name = %s", (schema, table)))

    number, text = "integer", "text"
    assert columns("cqrs", "offsets") == {
        "consumer_group": text, "topic": text, "partition": number, "next_offset": "bigint",
        "updated_at": "timestamp with time zone", "last_offset": "bigint", "last_mark": "bigint"}
    assert set(columns("cqrs", "gaps")) == {
        "id", "consumer_group", "topic", "partition", "from_offset", "to_offset", "reason",
        "policy", "found_at", "closed_at"}
    dead = columns("cqrs", "dead_letters")
    assert set(dead) == {"id", "consumer_group", "topic", "partition", "offset", "part_index",
                         "key", "headers", "payload", "payload_is_whole", "reason", "sqlstate",
                         "created_at", "redrive_of", "resolution", "resolved_at", "resolved_by"}
    assert dead["key"] == dead["payload"] == "bytea"
    assert set(columns("public", "sensors")) == {"id", "type", "location"}
    assert columns("public", "sensor_data") == {
        "time": "timestamp with time zone", "sensor_id": number,
        "temperature": "double precision", "cpu": "double precision"}


def plan_of_averages(database):
    database.query("VACUUM ANALYZE sensor_data")  # what is visible to all is known then
    return "\n".join(line for (line,) in database.query(
        "EXPLAIN SELECT date_bin('30 min', time, 'epoch'), avg(temperature), avg(cpu)"
        " FROM sensor_data WHERE sensor_id = 7 AND time < '2022-03-05Z' GROUP BY 1"))


def test_a_sensor_is_read_from_its_index_alone_also_what_came_before_that_index(daemon, database):
    daemon.migrate()
    database.query("ALTER TABLE sensor_data DROP CONSTRAINT sensor_data_pkey")
    database.query("ALTER TABLE sensor_data ADD PRIMARY KEY (sensor_id, time)")
    database.query("SELECT sensor_data_partition('2022-03-04Z', '2022-03-05Z')")
    database.query("INSERT INTO sensor_data SELECT timestamptz '2022-03-04Z' + t * interval '5 min',"
                   " s, 20, 50 FROM generate_series(0, 287) t, generate_series(1, 50) s")
    assert "Index Only Scan" not in plan_of_averages(database)
    database.query((REPOSITORY / "sql" / "006-sensors-covering.sql").read_text())
    assert "Index Only Scan" in plan_of_averages(database)
    assert database.value("SELECT count(*) FROM sensor_data") == 288 * 50


def refused(daemon):
    """Starts, and returns what it says; it must end by itself, or wait and be not ready."""
    daemon.start(ready=False)
    code = daemon.wait(15)
    assert code not in (0, -6, -11)
    return daemon.log()


def test_it_does_not_run_without_a_schema(daemon):
    log = refused(daemon)
    assert "migrate" in log


def test_it_does_not_run_on_an_old_schema(daemon, database):
    daemon.migrate()
    database.query("DELETE FROM cqrs.schema_migrations WHERE version = %s", (NUMBERS[-1],))
    assert "cqrsd migrate" in refused(daemon)


def test_it_does_not_run_on_a_schema_of_the_future(daemon, database):
    daemon.migrate()
    database.query("INSERT INTO cqrs.schema_migrations (version, name, checksum) "
                   "SELECT 999, 'future', checksum FROM cqrs.schema_migrations LIMIT 1")
    log = refused(daemon)
    assert "999" in log
    done = daemon.run("migrate")
    assert done.returncode != 0
    assert "999" in done.stderr


def test_a_file_that_changed_after_it_was_applied_is_noticed(daemon, database):
    daemon.migrate()
    kind = database.value("SELECT pg_typeof(checksum)::text FROM cqrs.schema_migrations LIMIT 1")
    other = {"bytea": "'\\x00'", "text": "repeat('0', length(checksum))"}.get(kind, "0")
    database.query(f"UPDATE cqrs.schema_migrations SET checksum = {other} WHERE version = 1")
    done = daemon.run("migrate")
    assert done.returncode != 0
    assert FILES[0].stem.partition("-")[2] in done.stderr or "1" in done.stderr
    refused(daemon)


def test_auto_migrates_at_start(daemon, database):
    daemon.write(postgres={"migrate": "auto"})
    daemon.start()
    assert applied(database) == NUMBERS
    assert daemon.get("/api/v1/sensors").json() == []


def test_migrate_says_so_when_the_server_is_away(daemon):
    daemon.write(postgres={"dsn": "host=127.0.0.1 port=1 dbname=x user=x"})
    try:
        done = daemon.run("migrate")
    except subprocess.TimeoutExpired:
        pytest.fail("migrate waits for ever")
    assert done.returncode != 0
    assert "127.0.0.1" in done.stderr


def test_a_file_that_fails_leaves_nothing(daemon, database):
    """Each file is one transaction: a table in the way, and nothing of the file is there."""
    database.query("CREATE TABLE sensor_data (mine integer)")
    done = daemon.run("migrate")
    assert done.returncode != 0
    assert "sensor_data" in done.stderr
    assert applied(database) == [n for n in NUMBERS if n < 2]
    assert database.value("SELECT to_regclass('sensors') IS NULL")
    database.query("DROP TABLE sensor_data")
    daemon.migrate()
    assert applied(database) == NUMBERS


def test_without_rights_it_says_which(daemon, database, unique):
    role = unique("role").replace("-", "_")
    database.query(f"CREATE ROLE {role} LOGIN")
    try:
        daemon.write(postgres={"dsn": database.dsn.replace("user=postgres", f"user={role}")})
        done = daemon.run("migrate")
        assert done.returncode != 0
        assert "permission denied" in done.stderr
    finally:
        database.query(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_auto_waits_for_a_server_that_is_away(cqrsd, own_postgres, unique):
    database = own_postgres.create("cqrs")
    config = sensor_config(database, "127.0.0.1:1", unique("group"), {})
    config["commands"] = {}
    own_postgres.stop()
    daemon = cqrsd(config).start(ready=False)
    wait_until(daemon.is_listening, 10)
    assert not daemon.is_ready()
    own_postgres.start()
    daemon.wait_ready()
    assert applied(database) == NUMBERS
