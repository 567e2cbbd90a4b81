# SPDX-License-Identifier: MIT
"""The OpenAPI document of a daemon with all modules: complete, valid, and what the daemon does.

The last two take tools of PyPI (support/openapi_tools.py) and are skipped, with the reason, where
that cannot be reached.
"""

import json
import os
import shlex
import subprocess

import pytest

from support import openapi_tools
from support.workshop import REPOSITORY

SUPPORT = REPOSITORY / "t" / "support"
SECONDS = 40
T = 1646409300

QUERIES = {"/commands/{id}", "/products/search", "/products/{id}", "/sensor-data",
           "/sensor-data/avg", "/sensor-data/avg-latest", "/sensors", "/sensors/latest",
           "/sensors/{id}", "/sensors/{id}/latest"}
COMMANDS = {("post", "/products"), ("put", "/products/{id}"), ("patch", "/products/{id}"),
            ("delete", "/products/{id}"), ("post", "/sensor-data"), ("put", "/sensors/{id}")}
# Whatever is asked.
ANY = {"400", "405", "408", "413", "414", "417", "429", "431", "500", "501", "503", "505"}


class Daemon:
    """All of both systems, and something in it."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.document = daemon.get("/api/v1/openapi.json").json()
        self.known = {"tokens": [], "products": [], "commands": []}

    def send(self, method, path, body):
        answer = self.daemon.http.request(method, "/api/v1" + path, {"Prefer": "wait=20"},
                                          json.dumps(body))
        assert answer.status in (200, 201), answer
        self.known["tokens"].append(answer.headers["Consistency-Token"])
        self.known["commands"].append(answer.headers["Command-Id"])
        return answer.json() if answer.body else None

    def fill(self):
        for sensor in range(1, 4):
            self.send("PUT", f"/sensors/{sensor}", {"type": "a", "location": f"place {sensor}"})
        self.send("POST", "/sensor-data", [
            {"ts": T + 60 * n, "sensor_id": 1 + n % 3, "temperature": 20.5, "cpu": n}
            for n in range(300)])
        for n in range(20):
            made = self.send("POST", "/products", {"name": f"name {n}", "description": "d",
                                                   "price": 12.99})
            self.known["products"].append(made["productId"])

    def operations(self):
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                yield method, path.removeprefix("/api/v1"), operation

    def operation(self, method, path):
        return self.document["paths"]["/api/v1" + path][method]


@pytest.fixture(scope="module")
def system(module_cqrsd, module_database, kafka, unique):
    names = ("commands", "create", "update", "delete", "created", "updated", "deleted")
    products = {name: unique(f"product_{name}") for name in names}
    sensors = {name: unique(name) for name in ("readings", "sensors")}
    progress = unique("progress")
    for topic in (*products.values(), *sensors.values(), progress):
        kafka.create(topic)
    events = {name: products[name] for name in ("created", "updated", "deleted")}
    daemon = module_cqrsd({
        "kafka": {"brokers": kafka.address, "group": unique("group"), "session_timeout": "6s",
                  "progress": progress},
        "postgres": {"dsn": module_database.dsn, "migrate": "auto"},
        "commands": {"product": {"topics": products}, "product_view": {"topics": events},
                     "sensor": {"topics": sensors}},
        "queries": {"product": {}, "sensor": {}}})
    return Daemon(daemon.start())


@pytest.fixture(scope="module")
def tools():
    try:
        return openapi_tools.tools()
    except openapi_tools.Unreachable as error:
        pytest.skip(str(error))


# ---- complete ----

def test_every_route_is_in_it(system):
    found = {(method, path) for method, path, _ in system.operations()}
    assert found == {("get", path) for path in QUERIES} | COMMANDS
    for path in system.document["paths"]:
        answer = system.daemon.http.request("OPTIONS", path.replace("{id}", "1"))
        allowed = set(answer.headers["Allow"].lower().split(", ")) - {"head", "options"}
        assert allowed == system.document["paths"][path].keys(), path


def statuses(*own):
    return ANY | set(own)


def test_every_answer_is_in_it(system):
    for method, path, operation in system.operations():
        found = set(operation["responses"])
        if method != "get":
            done = "201" if path == "/products" else "200"
            assert found == statuses(done, "202", "404", "409", "412", "415", "422"), path
        elif path == "/commands/{id}":
            assert found == statuses("200", "404"), path
        else:
            own = {"200", "406", "504"}
            own |= {"404"} if "{id}" in path or path == "/products/search" else set()
            own |= {"304"} if path == "/products/{id}" else set()
            assert found == statuses(*own), path


def headers(operation, status):
    return operation["responses"][status]["headers"].keys()


def test_headers_are_in_it(system):
    def asked(method, path):
        return {p["name"] for p in system.operation(method, path)["parameters"]
                if p["in"] == "header"}

    for method, path in COMMANDS:
        operation = system.operation(method, path)
        assert asked(method, path) == {"Prefer", "Idempotency-Key", "If-Match"}
        assert headers(operation, "202") == {"Command-Id", "Consistency-Token", "Location",
                                             "Preference-Applied"}
        assert headers(operation, "412") == {"Command-Id", "Consistency-Token",
                                             "Preference-Applied"}
        assert headers(operation, "503") == {"Retry-After", "Command-Id", "Location"}
    assert asked("get", "/sensors") == {"Consistency-Token", "Prefer"}
    assert asked("get", "/products/{id}") == {"Consistency-Token", "Prefer", "If-None-Match"}
    product = system.operation("get", "/products/{id}")
    assert headers(product, "200") == {"ETag", "Vary", "Warning", "Preference-Applied"}
    assert "ETag" in headers(product, "304")
    assert {"Link", "Total-Count", "Warning"} <= headers(system.operation("get", "/sensors"), "200")
    problems = system.document["components"]["responses"]
    assert problems["Problem503"]["headers"]["Retry-After"]["required"]
    assert problems["Problem405"]["headers"].keys() == {"Allow"}
    assert {"Retry-After", "RateLimit"} <= problems["Problem429"]["headers"].keys()


def test_parameters_have_their_limits_and_defaults(system):
    found = {p["name"]: p["schema"]
             for p in system.operation("get", "/products/search")["parameters"]}
    assert found["size"] == {"type": "integer", "format": "int32", "minimum": 1, "maximum": 100,
                             "default": 10}
    assert found["search"] == {"type": "string", "minLength": 0, "maxLength": 250}
    assert found["order_by"]["default"] == "name" and "-price" in found["order_by"]["enum"]
    body = system.operation("post", "/products")["requestBody"]
    schema = body["content"]["application/json"]["schema"]
    assert body["required"] and schema["additionalProperties"] is False
    assert schema["properties"]["name"] == {"type": "string", "minLength": 1, "maxLength": 250}


# ---- valid ----

def test_it_is_valid(system, tools):
    done = subprocess.run([tools / "openapi-spec-validator", "--errors", "all", "-"],
                          input=json.dumps(system.document), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# ---- what the daemon does ----

def test_the_daemon_does_what_it_says(system, tools):
    """And has no answer of 5xx, and has answered well whatever can be asked."""
    system.fill()
    options = shlex.split(os.environ.get("SCHEMATHESIS", f"--max-time {SECONDS}"))
    done = subprocess.run(
        [tools / "schemathesis", "--config-file", SUPPORT / "schemathesis.toml", "run",
         f"http://127.0.0.1:{system.daemon.http_port}/api/v1/openapi.json", "--no-color",
         "--output-sanitize", "false", "--warnings", "off", *options],
        cwd=system.daemon.directory, capture_output=True, text=True, env={
            **os.environ, "PYTHONPATH": str(SUPPORT), "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
            "PYTHONDONTWRITEBYTECODE": "1", "KNOWN": json.dumps(system.known)})
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    system.daemon.check_alive()
    metrics = system.daemon.metrics()
    asked = [labels for name, labels, number in metrics.samples
             if name == "cqrsd_http_requests_total" and labels["listener"] == "http" and number]
    assert not [labels for labels in asked if labels["status"] >= "500"]
    fine = {(labels["method"].lower(), labels["route"].removeprefix("/api/v1"))
            for labels in asked if labels["status"] < "300"}
    assert {(method, path) for method, path, _ in system.operations()} <= fine
