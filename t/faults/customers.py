# SPDX-License-Identifier: MIT
"""Who sends commands about products, over HTTP and through Kafka."""

import http.client
import json
import random
import threading
import uuid

import confluent_kafka

from .load import Load

KEYBOARD = {"name": "Keyboard", "description": "Mechanical keyboard", "price": 99.5}
WAITING = {None: 5, "wait=2": 3, "respond-async": 1}
HURRIED = {200, 201, 202, 404, 409, 412, 429, 500, 503, 504}


class Sent:
    """A request, and all that was answered to it."""

    def __init__(self, method, path, body, headers):
        self.method, self.path, self.body, self.headers = method, path, body, headers
        self.answers = []  # (status, headers, body)
        self.unanswered = 0

    def ids(self):
        return {headers["Command-Id"] for _, headers, _ in self.answers if "Command-Id" in headers}


class Customer(threading.Thread):
    """Sends commands to members in turn; what was not answered is asked for again, with its key."""

    def __init__(self, shop, number):
        super().__init__(name=f"customer {number}", daemon=True)
        self.shop, self.number = shop, number
        self.rng = random.Random(f"{shop.scene.seed} customer {number}")
        self.sent, self.products = [], []

    def run(self):
        while self.shop.scene.wait(0.03):
            request = self._request()
            self.sent.append(request)
            again = "Idempotency-Key" in request.headers
            self._send(request)
            for _ in range(self.rng.randint(0, 3) if again else 0):
                self._send(request)
            for status, _, body in request.answers:
                if status == 201:
                    self.products.append(json.loads(body)["productId"])
                    break

    def _request(self):
        headers = {"Content-Type": "application/json"}
        if self.rng.random() < 0.4:
            headers["Idempotency-Key"] = f'"{self.number}-{len(self.sent)}"'
        (prefer,) = self.rng.choices(*zip(*WAITING.items()))
        if prefer:
            headers["Prefer"] = prefer
        body = {**KEYBOARD, "price": self.rng.randint(0, 10000) / 100}
        if not self.products or self.rng.random() < 0.3:
            return Sent("POST", "/products", body, headers)
        if self.rng.random() < 0.3:
            headers["If-Match"] = f'"{self.rng.randint(1, 5)}"'
        # Some of them are in the hands of all customers.
        path = f"/products/{self.rng.choice(self.products[-20:])}"
        method = self.rng.choices(["PUT", "PATCH", "DELETE"], [4, 4, 1])[0]
        if method == "PATCH":
            body = {"price": body["price"]}
        return Sent(method, path, None if method == "DELETE" else body, headers)

    def _send(self, request):
        member = self.rng.choice(self.shop.members)
        connection = http.client.HTTPConnection("127.0.0.1", member.daemon.http_port, timeout=15)
        try:
            connection.request(request.method, "/api/v1" + request.path,
                               request.body and json.dumps(request.body), request.headers)
            answer = connection.getresponse()
            request.answers.append((answer.status, dict(answer.headers), answer.read()))
            if answer.status not in HURRIED:
                self.shop.scene.complain(f"{request.method} {request.path} was answered with "
                                         f"{request.answers[-1]}")
        except (OSError, http.client.HTTPException):
            request.unanswered += 1  # killed, stopped, or not yet there
        finally:
            connection.close()


class Wholesaler(threading.Thread):
    """Sends commands through Kafka, many about one product at once: so are their events."""

    RATE = 200  # commands a second
    AT_ONCE = 25
    PRODUCTS = 30
    BACKLOG = 2000  # commands in the producer

    def __init__(self, shop):
        super().__init__(name="wholesaler", daemon=True)
        self.shop = shop
        self.rng = random.Random(f"{shop.scene.seed} wholesaler")
        self.products = [self._uuid() for _ in range(self.PRODUCTS)]
        self.failed = []

    def _uuid(self):
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def run(self):
        producer = confluent_kafka.Producer({
            "bootstrap.servers": self.shop.scene.kafka.address, **Load.SETTINGS})
        while self.shop.scene.wait(self.rng.expovariate(2 * self.RATE / self.AT_ONCE)):
            if len(producer) < self.BACKLOG:
                self._order(producer, self.rng.randint(1, self.AT_ONCE))
            producer.poll(0)
        if left := producer.flush(100):
            self.failed.append(f"{left} commands were not delivered")

    def _order(self, producer, n):
        id = self.rng.choice(self.products)
        for _ in range(n):
            (command,) = self.rng.choices(["create", "update", "patch", "delete"], [3, 8, 8, 1])
            price = self.rng.randint(0, 10000) / 100
            content = {"create": KEYBOARD, "update": KEYBOARD, "patch": {}, "delete": None}[command]
            value = {"productId": id} if content is None else \
                {"productId": id, **content, "price": price}
            headers = {"command": command}
            if self.rng.random() < 0.1:
                headers["if-match"] = str(self.rng.randint(1, 50))
            if self.rng.random() < 0.6:
                headers["command-id"] = self._uuid()
            for _ in range(2 if self.rng.random() < 0.03 else 1):
                producer.produce(self.shop.topics["commands"], json.dumps(value), id,
                                 headers=headers, on_delivery=self._delivered)

    def _delivered(self, error, message):
        if error is not None:
            self.failed.append(f"a command for {message.key()}: {error}")
