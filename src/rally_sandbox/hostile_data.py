"""Hostile texts: what people paste, and what databases truncate and garble.

Private-use characters represent bytes that no text can contain; ``insert_raw_bytes`` inserts the bytes into a
response.
"""

from collections.abc import Sequence
from random import Random

from rally_sandbox.records import Change, FieldChange, Item, Record, apply_changes
from rally_sandbox.revision_text import LONGEST_TEXT, LONGEST_VALUE, NameOf, format_clause
from rally_sandbox.sample_company import Company

#: Share of hostile texts in the world named hostile.
SHARE = 0.01

#: Private-use characters and the bytes that they represent: half of a surrogate pair (valid JSON, invalid Unicode), a
#: letter in ISO 8859-1, and control characters that JSON forbids unescaped.
BYTES = {"\ue0f1": rb"\ud83d", "\ue0f2": b"\xf6", "\ue0f3": b"\x0b\x1c"}
_MARKS = {mark.encode(): data for mark, data in BYTES.items()}
_READABLE = str.maketrans({"\ue0f1": "\ufffd", "\ue0f2": "\ufffd", "\ue0f3": "\x0b\x1c"})
#: The first bytes of every mark.
_BEGINNING = b"\xee\x83"

#: Endings that make a text hostile.
TEXT_ENDINGS = (
    *(f" {mark}" for mark in BYTES),
    " \x07\x1b[31m\x7f",
    " \"quoted\" 'single' “typographic” «angle»",
    " [a], [b]] [",
    ", and, more, ",
    " changed from [Defined] to [Accepted]",
    "], SCHEDULE STATE changed from [Defined] to [Accepted",
    " changed, FLOW STATE added [x",
    "] to [",
    " :]",
    "\ufeff bom \ufeff",
    "\u00a0no\u00a0break\u00a0",
    "\u200f\u202eright to left",
    " <script>alert(1)</script> & <b>bold",
    "\u2028line\u2029paragraph",
    " 😀 👩\u200d👩\u200d👧 e\u0301",
    "\r\n\tsecond line",
    " %s {0} $x \\ \\n",
)

#: Attributes of work items with texts that people write.
_TEXTS = ("Name", "Description", "Notes", "BlockedReason")

#: Kinds of records with names that people write, and the attribute that contains the name.
_NAMED = {
    "user": "DisplayName",
    "tag": "Name",
    "milestone": "Name",
    "iteration": "Name",
    "release": "Name",
    "flowstate": "Name",
}

#: One in so many hostile items has a truncated revision text.
_CUTS = 3


def insert_raw_bytes(body: bytes) -> bytes:
    """Replace marks in a response body with the bytes that they represent."""
    if _BEGINNING in body:
        for mark, data in _MARKS.items():
            body = body.replace(mark, data)
    return body


def replace_unreadable(text: str) -> str:
    """Replace marks for invalid characters with U+FFFD."""
    return text.translate(_READABLE)


def choose_ending(random: Random) -> str:
    """Choose a random ending that makes a text hostile."""
    return TEXT_ENDINGS[int(random.random() * len(TEXT_ENDINGS))]


def make_company_hostile(company: Company, random: Random, share: float) -> None:
    """Make names of users, tags, timeboxes and states hostile: a share of each kind, and at least one."""
    for kind, attribute in _NAMED.items():
        records: Sequence[Record] = company.records_of(kind)
        for record in random.sample(list(records), max(1, round(len(records) * share))) if records else ():
            # Texts of the generated history contain the first name.
            record.name = record.first_name = record.values[attribute] = record.name + choose_ending(random)


def make_item_hostile(item: Item, random: Random, name_of: NameOf) -> None:
    """Make the texts of an item hostile, in its full history.

    Args:
        item: The item with its generated history.
        random: The random generator.
        name_of: Returns the name of a referenced record or item in revision texts.
    """
    tail = choose_ending(random)

    def append_tail(name: str, value: object) -> object:
        return f"{value[:200]}{tail}" if name in _TEXTS and isinstance(value, str) and value else value

    item.initial.update({name: append_tail(name, item.initial[name]) for name in _TEXTS if name in item.initial})
    item.changes[:] = [
        change._replace(
            field_changes=tuple(
                (name, append_tail(name, old), append_tail(name, new)) for name, old, new in change.field_changes
            )
        )
        for change in item.changes
    ]
    if len(item.changes) > 1 and int(random.random() * _CUTS) == 0:
        _truncate_revision_text(item, random, name_of)
    item.values.clear()
    item.values.update(item.initial)
    for change in item.changes:
        apply_changes(item.values, change.field_changes)


def _truncate_revision_text(item: Item, random: Random, name_of: NameOf) -> None:
    """Add a change of a description that is so long that the revision text is truncated."""
    at = 1 + int(random.random() * (len(item.changes) - 1))
    one, other = (
        f"{letter}{item.initial['Description']}".ljust(LONGEST_VALUE, letter)[:LONGEST_VALUE] for letter in "ab"
    )
    item.initial["Description"] = one
    long: FieldChange = ("Description", one, other)
    for number, change in enumerate(item.changes):
        field_changes = tuple(field_change for field_change in change.field_changes if field_change[0] != "Description")
        item.changes[number] = change._replace(field_changes=(*field_changes, long) if number == at else field_changes)
    if random.random() < 0.5:  # noqa: PLR2004 - half of them
        # The other changes come after the description and are truncated.
        item.changes[at] = _set_revision_text(item.changes[at], name_of)


def _set_revision_text(change: Change, name_of: NameOf) -> Change:
    field_changes = (change.field_changes[-1], *change.field_changes[:-1])
    text = ", ".join(filter(None, (format_clause(*field_change, name_of=name_of) for field_change in field_changes)))
    return change._replace(text=text[:LONGEST_TEXT])
