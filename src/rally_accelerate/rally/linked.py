"""Which other items an item's revisions link it to; pure.

Each member of a collection comes and goes by a clause of its own, as ``ID: name`` (rally-api-notes.md#revision-texts),
so that the links of many items are known without a request for each of them. How many links there are is told by the
item itself: where the texts lead to another number, they are not believed.
"""

import re
from collections.abc import Mapping, Sequence

from rally_accelerate.rally.records import Revision
from rally_accelerate.rally.revisions import Change, Unparsed, is_cut, parse
from rally_accelerate.rally.saves import in_order

#: Collections of other items, with the labels of their clauses.
LINKED = {
    "Predecessors": "PREDECESSORS",
    "Successors": "SUCCESSORS",
    "Duplicates": "DUPLICATES",
    "DefectSuites": "DEFECT SUITES",
}

_KEY = re.compile(r"([^\s:]*\d+)(?:: |$)")

#: FormattedIDs by collection, in order.
Keys = Mapping[str, tuple[str, ...]]


def linked(revisions: Sequence[Revision], labels: Mapping[str, str] = LINKED) -> Keys:
    """The items that the revisions leave an item linked to; a collection that cannot be read is left out.

    Args:
        revisions: All revisions of one item, in any order.
        labels: What the clauses of each collection begin with.
    """
    found: dict[str, set[str]] = {}
    unclear: set[str] = set()
    by_label = {label: name for name, label in labels.items()}
    for revision in (save.revision for save in in_order(revisions).saves):
        if is_cut(revision.description):
            # It may have spoken of any of them behind the cut.
            return {}
        spoken_of = [name for name, label in labels.items() if f"{label} " in revision.description]
        if not spoken_of:
            continue
        clauses = parse(revision.description)
        if isinstance(clauses, Unparsed):
            unclear.update(spoken_of)
            continue
        for clause in clauses:
            name = by_label.get(clause.label) if isinstance(clause, Change) else None
            if name is not None and isinstance(clause, Change) and not _follow(clause, found.setdefault(name, set())):
                unclear.add(name)
    return {name: tuple(sorted(keys)) for name, keys in found.items() if name not in unclear}


def _follow(clause: Change, keys: set[str]) -> bool:
    """Let members come and go; whether the clause tells which."""
    gone, come = _key(clause.before), _key(clause.after)
    if gone is None or come is None or not (gone or come):
        return False
    keys.discard(gone)
    keys.update({come} - {""})
    return True


def _key(text: str | None) -> str | None:
    """The FormattedID in a value; an empty text for no value, None where there is no id in it."""
    if not text:
        return ""
    told = _KEY.match(text)
    return told[1] if told else None
