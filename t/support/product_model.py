# SPDX-License-Identifier: MIT
"""What commands make of products, in a few lines of Python."""

TOPICS = {"create": "created", "update": "updated", "patch": "updated", "delete": "deleted"}
CONTENT = ("name", "description", "price")


def content_of(row):
    """Of (name, description, price); None: it was deleted."""
    return dict(zip(CONTENT, row)) if row[0] is not None else None


class Model:
    """Products as commands leave them: id -> (version, content), without content if deleted."""

    def __init__(self):
        self.products, self.events, self.waiting, self.letters = {}, [], [], 0

    def is_known(self, id):
        return id in self.products

    def apply(self, command, id, content, expected):
        version, old = self.products.get(id, (0, None))
        if command == "create":
            if old:
                return 200 if old == content else 409
            self.change(command, id, version, content)
            waiting = [w for w in self.waiting if w[1] == id]
            self.waiting = [w for w in self.waiting if w[1] != id]
            for w in waiting:
                self.letters += self.apply(*w) >= 400
            return 200
        if not old:
            return 200 if command == "delete" else 404
        if expected not in (None, version):
            return 412
        self.change(command, id, version, None if command == "delete" else {**old, **content})
        return 200

    def change(self, command, id, version, content):
        self.products[id] = version + 1, content
        self.events.append((TOPICS[command], id, version + 1, content))

    def apply_or_wait(self, command, id, content, expected):
        if command == "create" or self.is_known(id):
            return self.apply(command, id, content, expected)
        self.waiting.append((command, id, content, expected))
        return 200

    def expire(self):
        waiting, self.waiting = self.waiting, []
        self.letters += sum(self.apply(*w) >= 400 for w in waiting)
