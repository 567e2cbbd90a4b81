# SPDX-License-Identifier: MIT
"""Modules from outside: the examples that a newcomer copies, and all that does not fit."""

import json
import os
import re
import subprocess

import pytest

from conftest import sensor_config
from support.daemon import run
from support.workshop import BUILD, REPOSITORY, wait_until

SUPPORT = REPOSITORY / "t" / "support"

FITTING = """
#include <cqrs/query.h>
static void *start(struct cqrs_routes *routes, const void *options)
{ (void)routes; return (void *)options; }
static void stop(void *self) { (void)self; }
"""


@pytest.fixture(scope="session")
def installed(workshop):
    """What `make install` puts on a machine."""
    root = workshop.directory("installed")
    # The build is there: this must build nothing.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    subprocess.run(
        ["make", "-C", str(REPOSITORY), "install", f"DESTDIR={root}", "PREFIX=/usr",
         f"BUILD={BUILD}"], check=True, capture_output=True, env=environment)
    return root


@pytest.fixture
def build(workshop, installed):
    """Builds a module with nothing but what is installed; returns its directory."""
    path = workshop.directory("modules")

    def compile_module(kind, name, source, *flags):
        (path / kind).mkdir(exist_ok=True)
        if isinstance(source, str):
            file = path / f"{name}.c"
            file.write_text(source)
            source = file
        postgres = subprocess.check_output(["pg_config", "--includedir"], text=True).strip()
        subprocess.run(
            ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-O1",
             f"-I{installed}/usr/include", f"-I{postgres}", *flags, "-o",
             str(path / kind / f"{name}.so"), str(source)],
            check=True, cwd=path)
        return path

    return compile_module


def refusal(workshop, modules, section, name):
    path = workshop.directory("config") / "cqrs.yaml"
    path.write_text(f"module_path: {modules}\n{section}: {{ {name}: {{}} }}\n")
    done = run("-c", path, "-t")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    return line


def test_what_is_installed(installed):
    files = {str(p.relative_to(installed)) for p in installed.rglob("*") if p.is_file()}
    assert any(re.fullmatch(r"usr/s?bin/cqrsd", f) for f in files)
    for name in ("abi", "command", "json", "option", "query", "time", "value"):
        assert f"usr/include/cqrs/{name}.h" in files
    assert any(f.endswith("cqrs.yaml") for f in files)
    assert all(f.startswith(("usr/", "etc/")) for f in files)


def test_each_installed_header_compiles_alone(installed, workshop):
    postgres = subprocess.check_output(["pg_config", "--includedir"], text=True).strip()
    for header in sorted((installed / "usr/include/cqrs").glob("*.h")):
        subprocess.run(
            ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c",
             f"-I{installed}/usr/include", f"-I{postgres}", "-"],
            input=f"#include <cqrs/{header.name}>\n#include <cqrs/{header.name}>\n", text=True,
            check=True)


def test_a_module_of_another_abi(workshop, build):
    modules = build("query", "old", FITTING + "#undef CQRS_ABI\n#define CQRS_ABI 4711u\n"
                    'CQRS_QUERY_MODULE(old, .summary = "x", .start = start, .stop = stop);')
    line = refusal(workshop, modules, "queries", "old")
    assert "4711" in line
    assert "rebuild" in line


def test_a_file_that_is_no_module(workshop, build):
    modules = build("query", "empty", "int cqrs_nothing; ")
    line = refusal(workshop, modules, "queries", "empty")
    assert "empty" in line
    assert "CQRS_QUERY_MODULE" in line


def test_a_command_module_under_queries(workshop, build):
    modules = build("command", "mine", """
#include <cqrs/command.h>
static void *start(struct cqrs_setup *setup, const void *options)
{ (void)setup; return (void *)options; }
static void stop(void *self) { (void)self; }
CQRS_COMMAND_MODULE(mine, .summary = "x", .start = start, .stop = stop);
""")
    (modules / "query").mkdir()
    (modules / "command" / "mine.so").rename(modules / "mine.so")
    line = refusal(workshop, modules, "queries", "mine")
    assert "commands" in line


def test_a_query_module_under_commands(workshop, build):
    modules = build("query", "mine", FITTING +
                    'CQRS_QUERY_MODULE(mine, .summary = "x", .start = start, .stop = stop);')
    (modules / "query" / "mine.so").rename(modules / "mine.so")
    line = refusal(workshop, modules, "commands", "mine")
    assert "queries" in line


def test_a_module_that_is_nowhere(workshop):
    line = refusal(workshop, "/nowhere", "queries", "absent")
    assert "absent" in line
    assert "/nowhere" in line


@pytest.mark.parametrize("name", ["../evil", "a/b", "A", "\"\"", "a.b", "x" * 80])
def test_a_name_that_is_none(workshop, name):
    refusal(workshop, "/nowhere", "queries", f"\"{name}\"" if '"' not in name else name)


def test_a_module_twice(workshop, build):
    path = workshop.directory("config") / "cqrs.yaml"
    path.write_text("queries: { sensor: {}, sensor: {} }\n")
    done = run("-c", path, "-t")
    assert done.returncode == 2
    assert "sensor" in done.stderr


def test_a_module_that_others_can_write(workshop, build):
    modules = build("query", "open", FITTING +
                    'CQRS_QUERY_MODULE(open, .summary = "x", .start = start, .stop = stop);')
    (modules / "query" / "open.so").chmod(0o666)
    assert "chmod" in refusal(workshop, modules, "queries", "open")


@pytest.mark.parametrize("kind", ["command", "query"])
def test_the_shipped_modules_are_files_too(kind):
    assert (BUILD / "modules" / kind / "sensor.so").exists()


@pytest.mark.parametrize("kind", ["command", "query"])
def test_the_examples_are_short(kind):
    lines = (SUPPORT / f"example_{kind}.c").read_text().splitlines()
    assert len(lines) < 60
    includes = [line for line in lines if line.startswith("#include")]
    assert all("<cqrs/" in i or "jansson" in i or re.search(r"<[a-z]+\.h>", i) for i in includes)


def test_the_examples_run_in_the_daemon(build, cqrsd, database, kafka, unique):
    build("command", "note", SUPPORT / "example_command.c")
    modules = build("query", "note", SUPPORT / "example_query.c")
    topic = unique("notes")
    kafka.create(topic)
    config = sensor_config(database, kafka.address, unique("group"), {}, module_path=str(modules))
    config["commands"] = {"note": {"topic": topic}}
    config["queries"] = {"note": {}, "sensor": {}}
    database.query("CREATE TABLE notes (part int, pos bigint, text text, PRIMARY KEY (part, pos))")
    daemon = cqrsd(config).start()
    texts = ["buy milk", "x" * 20, "ä\"\n", "milk again"]
    kafka.produce(topic, [json.dumps({"text": text}) for text in texts]
                  + ['{"text": 5}', "not JSON", None])
    wait_until(lambda: database.query("SELECT next_offset FROM cqrs.offsets") == [(7,)], 10)
    notes = [{"part": 0, "pos": i, "text": text} for i, text in enumerate(texts)]
    assert daemon.get("/api/v1/notes").json() == notes
    assert daemon.get("/api/v1/notes", {"contains": "milk"}).json() == [notes[0], notes[3]]
    first = daemon.get("/api/v1/notes", {"limit": 3})
    assert first.json() + daemon.get(first.next).json() == notes
    reasons = database.query('SELECT "offset", reason FROM cqrs.dead_letters ORDER BY 1')
    assert [o for o, _ in reasons] == [4, 5, 6]
    assert all("a note is" in reason or "not JSON" in reason for _, reason in reasons)
    assert "/api/v1/notes" in daemon.get("/").text
    assert daemon.stop() == 0


def test_an_option_of_an_example_is_checked_like_any_other(workshop, build):
    modules = build("command", "note", SUPPORT / "example_command.c")
    path = workshop.directory("config") / "cqrs.yaml"
    path.write_text(f"module_path: {modules}\ncommands:\n  note: {{ topics: x }}\n")
    done = run("-c", path, "-t")
    assert done.returncode == 2
    assert done.stderr.startswith(f"{path}:3:11: ")
    assert 'did you mean "topic"' in done.stderr


@pytest.mark.parametrize("kind", ["command", "query"])
def test_the_readme_shows_the_examples_as_they_are(kind):
    source = (SUPPORT / f"example_{kind}.c").read_text()
    assert f"```c\n{source}```" in (REPOSITORY / "README.md").read_text()
