"""Answers with texts that no reader expects: pure changes of their bytes."""

import re
from collections.abc import Mapping

import orjson

from rally_sandbox.faults import Fault

#: What is put at the end of texts, by the name of the fault.
ENDINGS: Mapping[str, bytes] = {
    # Half of a surrogate pair: the escape is valid JSON, the text is not valid Unicode.
    "lone-surrogate": rb" \ud83d",
    # As people paste them from documents: vertical tab, tab, file separator.
    "control-characters": b" \x0b\t\x1c",
    # One letter in ISO 8859-1.
    "invalid-utf-8": b" \xf6",
}

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def spoiled(fault: Fault, body: bytes) -> bytes:
    """What a fault makes of a body; the same for a fault that leaves it alone."""
    match fault.name:
        case "byte-order-mark":
            return BYTE_ORDER_MARK + body
        case "empty-page":
            return emptied(body)
        case name if name in ENDINGS:
            return with_ending(body, member=fault.field, ending=ENDINGS[name], most=fault.rows)
        case _:
            return body


def with_ending(body: bytes, *, member: str, ending: bytes, most: int = 0) -> bytes:
    """Put something at the end of the texts of a member.

    Args:
        body: JSON without white space.
        member: The member's name, for example ``Name``.
        ending: What is put there.
        most: How many texts are changed, from the first on; 0 changes all.
    """
    text = re.compile(b'("%b":"(?:[^"\\\\]|\\\\.)*)"' % re.escape(member.encode()))
    return text.sub(lambda found: found[1] + ending + b'"', body, count=most)


def emptied(body: bytes) -> bytes:
    """Take the rows out of a page, but leave what it announces."""
    document = orjson.loads(body)
    page = document.get("QueryResult", document)
    if isinstance(page, dict) and isinstance(page.get("Results"), list):
        page["Results"] = []
    return orjson.dumps(document)
