"""Work items as bytes, and back: so that changed rules can map them without asking Rally again; pure."""

import zlib

import pydantic

from rally_accelerate.rally.records import WorkItem

_WORK_ITEM: pydantic.TypeAdapter[WorkItem] = pydantic.TypeAdapter(WorkItem)

#: Rows repeat the same names over and over: the quickest level makes a fifth of them, the best one hardly less.
LEVEL = 1


def to_bytes(item: WorkItem) -> bytes:
    """An item with everything that belongs to it."""
    return zlib.compress(_WORK_ITEM.dump_json(item), LEVEL)


def from_bytes(kept: bytes) -> WorkItem:
    """The item that ``to_bytes`` was given.

    Raises:
        ValueError: The bytes are none of this program's.
    """
    try:
        return _WORK_ITEM.validate_json(zlib.decompress(kept))
    except zlib.error as error:
        raise ValueError(str(error)) from error
