"""Pure: what an issue was at any instant, by undoing its history from the present backwards.

The present is what was uploaded and so the only state that is known whole; a history may begin late, have gaps, or
leave fields out. What it does not tell is said to be so, never guessed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rally_accelerate.host.changes import PRESENT, changes_of, former_sprints, raw_name

#: A value as people read it: a text, or those of a list; nothing is nothing.
Value = tuple[str, ...]


class Sure(StrEnum):
    """How far a value is told by the history."""

    #: A change before or after the instant tells it.
    TOLD = "told"
    #: The change before the instant leads elsewhere than the one after it begins: something between is missing.
    GAP = "gap"
    #: No change of the field is known at all: it is taken to be as today.
    UNTOLD = "untold"
    #: The first change after the instant does not tell what it changed.
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Was:
    """One field at an instant."""

    field: str
    value: Value
    now: Value
    sure: Sure

    @property
    def differs(self) -> bool:
        """Whether it is another one today."""
        return not _same(self.value, self.now)


@dataclass(frozen=True, slots=True)
class Past:
    """An issue at an instant."""

    #: False before its creation: then there are no fields.
    existed: bool
    fields: tuple[Was, ...]


#: Fields that servers know in words of their own, and tools in theirs.
SHARED = frozenset({"severity", "impact", "resolution"})


def as_of(issue: Mapping[str, Any], instant: int) -> Past:
    """What an issue was at an instant.

    Args:
        issue: An issue under the wire's names, instants in milliseconds since 1970.
        instant: Changes at the instant itself have happened.
    """
    created = issue.get("created")
    if created is not None and instant < created:
        return Past(existed=False, fields=())
    present = _present(issue)
    changes = _sides(issue)
    for field in changes:
        # Words of the tool's own, such as its severity, are kept beside what servers know under the same name.
        if field not in PRESENT or (field in SHARED and not present[field]):
            present[field] = _aside(issue, field, changes[field])
    fields = tuple(
        _was(field, now, changes.get(field, ()), instant) for field, now in present.items() if now or changes.get(field)
    )
    return Past(existed=True, fields=fields)


def plain(value: Any) -> Value:
    """A value as people read it, alike for what is written differently in an issue and in its history."""
    match value:
        case None | "":
            return ()
        case bool():
            return ("true" if value else "false",)
        case float() if value.is_integer():
            return (str(int(value)),)
        case list() | tuple():
            return tuple(text for each in value for text in plain(each))
        case Mapping():
            named = next((value[key] for key in ("name", "id", "key") if value.get(key)), None)
            return plain(named) if named is not None else (str(dict(value)),)
        case _:
            return (_number(str(value)),)


def _was(field: str, now: Value, changes: Sequence[Mapping[str, Any]], instant: int) -> Was:
    if not changes:
        return Was(field, now, now, Sure.UNTOLD)
    before = [each for each in changes if each["at"] <= instant]
    after = [each for each in changes if each["at"] > instant]
    if after and after[0]["from"] is None:
        # The change itself is known, what it changed is not: the one before it may say.
        told = before[-1]["to"] if before else None
        return Was(field, told or (), now, Sure.LOST if told is None else Sure.TOLD)
    value = after[0]["from"] if after else now
    last = before[-1]["to"] if before else None
    return Was(field, value, now, Sure.TOLD if last is None or _same(last, value) else Sure.GAP)


def _sides(issue: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What each field came from and went to, oldest first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for change in changes_of(issue):
        if not change.says_nothing:
            # A side that is not told at all is another thing than one that is empty.
            content = change.content
            sides = {side: plain(content[side]) if side in content else None for side in ("from", "to")}
            found.setdefault(change.field, []).append({"at": change.at, **sides})
    return found


def _present(issue: Mapping[str, Any]) -> dict[str, Value]:
    found = {field: plain(issue.get(name or field)) for field, name in PRESENT.items()}
    former = former_sprints(issue)
    found["sprint"] = plain([each for each in issue.get("sprints") or () if each not in former])
    return found


def _aside(issue: Mapping[str, Any], field: str, changes: Sequence[Mapping[str, Any]]) -> Value:
    """The present value of a field that is none of an issue's own: from the raw issue, else from its last change."""
    raw: Any = issue.get("rawIssue")
    name = raw_name(raw, field)
    if name is not None:
        return plain(raw[name])
    return changes[-1]["to"] or ()


def _same(one: Value, other: Value) -> bool:
    """Whether two values are the same; lists have no order that anybody chose."""
    return sorted(one) == sorted(other)


def _number(text: str) -> str:
    """Histories hold numbers as texts: ``3.0`` and ``3`` are the same estimate."""
    head, dot, tail = text.partition(".")
    return head if dot and tail and not tail.strip("0") and head.lstrip("-").isdecimal() else text
