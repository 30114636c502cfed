"""Pure: the entries of a history as sentences, and the names that people have for fields."""

import re
from collections.abc import Mapping
from typing import Any

from rally_accelerate.host.changes import name_of
from rally_accelerate.host.past import Value, plain

#: A piece of a sentence: whether it is a value, and its text.
Piece = tuple[bool, str]

LABELS = {
    "storyPoints": "Story points",
    "businessValue": "Business value",
    "lastUpdate": "Last update",
    "revision": "Other changes",
    "id": "ID",
}

#: What people say of a field: when it gets a value, when one follows another, and when it loses its value. ``{0}`` is
#: the value before, ``{1}`` the one after.
SAID: Mapping[str, tuple[str, str, str]] = {
    "status": ("set the status to {1}", "moved it from {0} to {1}", "took the status {0} away"),
    "owner": ("assigned it to {1}", "handed it from {0} to {1}", "took it from {0}; nobody owns it"),
    "sprint": ("planned it for {1}", "moved it from {0} to {1}", "took it out of {0}"),
    "release": ("planned it for {1}", "moved it from {0} to {1}", "took it out of {0}"),
    "storyPoints": ("estimated it at {1}", "changed the estimate from {0} to {1}", "removed the estimate of {0}"),
    "project": ("put it into {1}", "moved it from {0} to {1}", "took it out of {0}"),
    "name": ("named it {1}", "renamed it from {0} to {1}", "removed the name {0}"),
    "parent": ("put it below {1}", "moved it from below {0} to below {1}", "took it out from below {0}"),
    "blockedReason": ("said why it is blocked: {1}", "said why it is blocked: {1}", "no longer says why it is blocked"),
    "revision": ("noted: {1}", "noted: {1}", "removed the note {0}"),
}

#: Fields that are one of two, and what people say when they become it.
SWITCHES = {
    "blocked": ("blocked it", "unblocked it"),
    "ready": ("marked it ready", "marked it not ready"),
    "expedite": ("asked to expedite it", "no longer asks to expedite it"),
    "flagged": ("flagged it", "removed the flag"),
}

#: Texts that are too long for a sentence are named, not told.
LONG = frozenset({"description", "notes", "acceptanceCriteria"})

#: Lists that usually have one element: a change of it is a move, not an addition and a removal.
ONE_AT_A_TIME = frozenset({"sprint", "release"})

#: Longer values are cut in a sentence.
LONGEST = 200

#: What is said of any other field.
OTHERWISE = ("set {2} to {1}", "changed {2} from {0} to {1}", "removed {2} {0}")


def label(field: str) -> str:
    """A field's name as people write it: ``flowState`` is Flow state."""
    if known := LABELS.get(field):
        return known
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", field.removeprefix("c_")).replace("_", " ").strip()
    return f"{words[:1].upper()}{words[1:].lower()}" or field


def sentence(content: Mapping[str, Any]) -> list[Piece]:
    """What happened, without who and when: pieces that are put behind each other."""
    field = name_of(str(content.get("field") or ""))
    before, after = plain(content.get("from")), plain(content.get("to"))
    if field in SWITCHES and {*before, *after} <= {"true", "false"}:
        return [(False, SWITCHES[field][0 if after == ("true",) else 1])]
    if field in LONG:
        return [(False, f"changed the {label(field).lower()}")]
    is_list = content.get("type") == "stringArray" and not (
        field in ONE_AT_A_TIME and max(len(before), len(after)) == 1
    )
    if is_list or field in {"labels", "milestones", "components"}:
        return _of_a_list(label(field).lower(), before, after)
    forms = SAID.get(field, OTHERWISE)
    form = forms[0] if not before else forms[1] if after else forms[2]
    if not before and not after:
        return [(False, f"touched {label(field)}")]
    return _filled(form, _told(before), _told(after), label(field) or "a field")


def _of_a_list(name: str, before: Value, after: Value) -> list[Piece]:
    added = [each for each in after if each not in before]
    gone = [each for each in before if each not in after]
    pieces: list[Piece] = []
    for verb, values in (("added", added), ("removed", gone)):
        if values:
            pieces += [(False, f"{' and ' if pieces else ''}{verb} {name} "), (True, _told(tuple(values)))]
    return pieces or [(False, f"touched {name}")]


def _filled(form: str, *values: str) -> list[Piece]:
    pieces: list[Piece] = []
    for part in re.split(r"(\{[012]\})", form):
        if part.startswith("{"):
            pieces.append((part != "{2}", values[int(part[1])]))
        elif part:
            pieces.append((False, part))
    return pieces


def _told(value: Value) -> str:
    text = ", ".join(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
