# SPDX-License-Identifier: MIT
"""What schemathesis cannot know: what there is.

It runs in its own environment, and is told in KNOWN, as JSON: {"tokens", "products",
"commands"}.  A token that nobody was given names what is never written, and is rightly answered
with 503 when the wait is over; so a well-formed one becomes one of the known, and every 503 that
is left is a mistake.  Half of the UUIDs become known ones, or nearly all answers were 404.
"""

import json
import os
import re
import zlib

import schemathesis

KNOWN = json.loads(os.environ["KNOWN"])
TOKEN = re.compile(r"[ \t]*[A-Za-z0-9._-]+:[0-9]+@[0-9]+([ \t]*,[ \t]*[A-Za-z0-9._-]+:[0-9]+@[0-9]+)*"
                   r"[ \t]*")
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def choose(known, text):
    """The same for the same text, so that a case can be repeated."""
    return known[zlib.crc32(text.encode()) // 2 % len(known)]


def use_known(values, name, form, known, always):
    text = str((values or {}).get(name, ""))
    if form.fullmatch(text) and (always or zlib.crc32(text.encode()) % 2):
        values[name] = choose(known, text)


@schemathesis.hook
def before_call(context, case, kwargs):
    known = KNOWN["commands" if "/commands/" in case.path else "products"]
    use_known(case.headers, "Consistency-Token", TOKEN, KNOWN["tokens"], True)
    use_known(case.path_parameters, "id", UUID, known, False)
