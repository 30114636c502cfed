"""What the columns held under a mark, kept in the database: a start then reads only the issues that came since."""

import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import orjson
import sqlalchemy as sa

from rally_accelerate.host.store.column import Codes
from rally_accelerate.host.store.tables import snapshots

COLUMNS = "columns"

#: Of what is written here. Another one is not read.
FORMAT = 1

#: Bytes of the length of the part in JSON, which goes first.
PREFIX = 8


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The columns of all issues."""

    #: The issues that were uploaded up to it are in the columns, and those removed up to the other are not.
    mark: int
    removals: int
    #: The set of all issues, and when each came into its status.
    members: bytes
    since: "array[int]"
    #: By field: what the codes stand for, and the code of each issue.
    columns: Mapping[str, tuple[Sequence[str | None], Codes]]


def packed(snapshot: Snapshot) -> bytes:
    """A snapshot in bytes, for ``unpacked`` on a machine like this one."""
    columns = sorted(snapshot.columns.items())
    head = orjson.dumps(
        {
            **_machine(),
            "mark": snapshot.mark,
            "removals": snapshot.removals,
            "size": len(snapshot.members),
            "columns": [[name, held, isinstance(codes, bytearray)] for name, (held, codes) in columns],
        }
    )
    arrays = [bytes(codes) if isinstance(codes, bytearray) else codes.tobytes() for _, (_, codes) in columns]
    return b"".join([len(head).to_bytes(PREFIX), head, snapshot.members, snapshot.since.tobytes(), *arrays])


def unpacked(content: bytes) -> Snapshot | None:
    """A snapshot from its bytes; None where another version or another kind of machine wrote it, or nothing did."""
    begin = PREFIX + int.from_bytes(content[:PREFIX])
    try:
        head: dict[str, Any] = orjson.loads(content[PREFIX:begin])
    except orjson.JSONDecodeError:
        return None
    if any(head.get(name) != value for name, value in _machine().items()):
        return None
    size, kinds = head["size"], ("q", *("B" if is_narrow else "I" for _, _, is_narrow in head["columns"]))
    ends = list(accumulate((size, *(size * array(kind).itemsize for kind in kinds)), initial=begin))
    if ends[-1] != len(content):
        return None
    members = content[ends[0] : ends[1]]
    since, *codes = (
        array(kind, content[first:last]) for kind, first, last in zip(kinds, ends[1:], ends[2:], strict=False)
    )
    columns: dict[str, tuple[Sequence[str | None], Codes]] = {
        name: (held, bytearray(its) if is_narrow else its)
        for (name, held, is_narrow), its in zip(head["columns"], codes, strict=True)
    }
    return Snapshot(head["mark"], head["removals"], members, since, columns)


def load(connection: sa.Connection) -> Snapshot | None:
    """The snapshot of a database, if it has one that can be read."""
    query = sa.select(snapshots.c.content).where(snapshots.c.name == COLUMNS)
    content = connection.execute(query).scalar_one_or_none()
    return None if content is None else unpacked(content)


def save(connection: sa.Connection, snapshot: Snapshot) -> None:
    """Put a snapshot in the place of the one before."""
    connection.execute(sa.delete(snapshots).where(snapshots.c.name == COLUMNS))
    connection.execute(sa.insert(snapshots).values(name=COLUMNS, content=packed(snapshot)))


def _machine() -> dict[str, Any]:
    return {"format": FORMAT, "order": sys.byteorder, "widths": f"{array('q').itemsize} {array('I').itemsize}"}
