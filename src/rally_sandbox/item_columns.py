"""Compact arrays with a few numbers per item; the rest of an item is generated on demand."""

# ruff: noqa: PLR2004 - the probabilities are the content of this file; names for them would add nothing

from array import array
from bisect import bisect_left
from dataclasses import dataclass, field
from random import Random

from rally_sandbox.clock import DAY, HOUR, MINUTE
from rally_sandbox.history_shapes import DEFECT, FEATURE, INITIATIVE, STORY, TASK, TEST_CASE, Catalog
from rally_sandbox.sample_company import PAST, Company

KINDS = (
    "HierarchicalRequirement",
    "Defect",
    "Task",
    "TestCase",
    "PortfolioItem/Feature",
    "PortfolioItem/Initiative",
    "DefectSuite",
)
PREFIXES = ("US", "DE", "TA", "TC", "F", "I", "DS")

FIRST_ITEM_ID = 412_000_000_000
FIRST_REVISION_ID = 520_000_000_000
#: First ObjectID of objects created after the world was generated; ascending, above all others.
FIRST_NEW_ID = 700_000_000_000
REVISION_STRIDE = 3

NO_ITEM = -1


KIND_NAMES = {
    "story": STORY,
    "userstory": STORY,
    "feature": KINDS.index("PortfolioItem/Feature"),
    "initiative": KINDS.index("PortfolioItem/Initiative"),
} | {name.lower(): position for position, name in enumerate(KINDS)}


def parse_kind(name: str) -> int:
    """Return the position in ``KINDS`` of a kind by any of its names.

    Raises:
        KeyError: The name is not a kind of work item.
    """
    try:
        return KIND_NAMES[name.lower()]
    except KeyError:
        raise KeyError(f"{name!r} is no kind of work item; there are {', '.join(KINDS)}") from None


def make_revision_id(position: int) -> int:
    """Return the ObjectID of a generated revision from its position among all generated revisions."""
    return FIRST_REVISION_ID + position * REVISION_STRIDE


def _int_array() -> "array[int]":
    return array("q")


def _link_array() -> "array[int]":
    return array("i")


@dataclass(slots=True, eq=False)
class Columns:
    """Parallel arrays; the index of an item is its position. Ascending: object_id, history_id, created, revisions."""

    kind: bytearray = field(default_factory=bytearray)
    #: Position in ``Company.teams``.
    team: "array[int]" = field(default_factory=lambda: array("H"))
    #: Position in ``Catalogue.shapes``; of no meaning for items made later.
    shape: "array[int]" = field(default_factory=lambda: array("H"))
    object_id: "array[int]" = field(default_factory=_int_array)
    history_id: "array[int]" = field(default_factory=_int_array)
    #: Milliseconds.
    created: "array[int]" = field(default_factory=_int_array)
    updated: "array[int]" = field(default_factory=_int_array)
    #: How many revisions of the generated history all items before this one have.
    revisions: "array[int]" = field(default_factory=_int_array)
    #: The item that this one belongs to: a story's feature, a defect's story, a task's work product, and so on.
    link: "array[int]" = field(default_factory=_link_array)
    #: A story's parent story.
    parent: "array[int]" = field(default_factory=_link_array)
    #: 1 while in the recycle bin or purged.
    deleted: bytearray = field(default_factory=bytearray)
    #: Indexes per kind, ascending.
    of_kind: "tuple[array[int], ...]" = field(default_factory=lambda: tuple(_link_array() for _ in KINDS))

    def __len__(self) -> int:
        return len(self.kind)

    def append(
        self,
        kind: int,
        team: int,
        *,
        object_id: int,
        history_id: int,
        created: int,
        updated: int,
        shape: int = 0,
        revisions: int = 0,
        link: int = NO_ITEM,
        parent: int = NO_ITEM,
        deleted: bool = False,
    ) -> int:
        """Append an item with so many generated ``revisions``; return its index."""
        index = len(self.kind)
        before = self.revisions[-1] if index else 0
        if not index:
            self.revisions.append(0)
        self.revisions.append(before + revisions)
        self.kind.append(kind)
        self.team.append(team)
        self.shape.append(shape)
        self.object_id.append(object_id)
        self.history_id.append(history_id)
        self.created.append(created)
        self.updated.append(updated)
        self.link.append(link)
        self.parent.append(parent)
        self.deleted.append(deleted)
        self.of_kind[kind].append(index)
        return index

    def find(self, object_id: int) -> int | None:
        """Return the index of an item by its ObjectID."""
        return _find_index(self.object_id, object_id)

    def find_history(self, history_id: int) -> int | None:
        """Return the index of an item by the ObjectID of its RevisionHistory."""
        return _find_index(self.history_id, history_id)

    def get_formatted_id(self, index: int) -> str:
        """Return the prefixed number: the position among the items of the kind, from 1."""
        kind = self.kind[index]
        return f"{PREFIXES[kind]}{bisect_left(self.of_kind[kind], index) + 1}"


def _find_index(values: "array[int]", value: int) -> int | None:
    position = bisect_left(values, value)
    return position if position < len(values) and values[position] == value else None


#: Percentages of the kinds, and the kinds of the first items, which ensure that later items have possible owners.
_MIX = (STORY,) * 52 + (DEFECT,) * 25 + (TASK,) * 14 + (TEST_CASE,) * 4 + (FEATURE,) * 4 + (INITIATIVE,)
_FIRST = (INITIATIVE, FEATURE, FEATURE, STORY, STORY, DEFECT, TASK, TEST_CASE, FEATURE, STORY)
ARCHIVE_SHARE = 0.03


def fill_columns(columns: Columns, *, seed: int, items: int, company: Company, catalog: Catalog) -> None:
    """Append the items of a seed, in the order of their creation."""
    random = Random(seed * 1_000_003 + items)
    chance = random.random
    latest = company.history_end - MINUTE
    first = company.history_end - PAST + DAY
    span = (company.history_end - HOUR - first) / items
    object_id = FIRST_ITEM_ID + random.randrange(1_000) * 1_000
    owners = _OwnerSelector(company, random)
    for index in range(items):
        kind = _FIRST[index] if index < len(_FIRST) else _MIX[int(chance() * 100)]
        created = first + int((index + chance()) * span)
        place = 0 if index < len(_FIRST) or chance() >= ARCHIVE_SHARE else 1
        team, link, parent = owners.choose(kind, place)
        old = created < latest - 25 * DAY and chance() < 0.86
        shapes = (catalog.finished if old else catalog.running)[kind]
        shape_index = shapes[int(chance() * len(shapes))]
        shape = catalog.shapes[shape_index]
        updated = created + int(shape.days * DAY * (0.5 + chance()))
        if updated > latest:
            updated = created + int((latest - created) * (0.2 + 0.8 * chance()))
        # Gaps are wide enough for the history's id between two items, at a varying distance.
        object_id += 5 + int(chance() * 26)
        history_id = object_id + 1 + int(chance() * 3)
        columns.append(
            kind,
            team,
            object_id=object_id,
            history_id=history_id,
            created=created,
            updated=updated,
            shape=shape_index,
            revisions=len(shape.steps) + 1,
            link=link,
            parent=parent,
            deleted=shape.deleted,
        )
        owners.remember(index, kind, place, team, lasting=not shape.moved and not shape.deleted)


class _OwnerSelector:
    """Chooses the team and the owning item of the next item: a recent one of the same workspace."""

    def __init__(self, company: Company, random: Random) -> None:
        self._random = random
        self._teams: tuple[list[int], list[int]] = ([], [])
        for position, team in enumerate(company.teams):
            number = company.workspaces.index(team.workspace)
            # A third workspace only repeats a name and stays empty; teams differ in size.
            if number < len(self._teams):
                self._teams[number].extend(
                    [position] * (1 if team.project.values["State"] == "Closed" else 3 + position % 4)
                )
        self._recent: tuple[dict[int, list[tuple[int, int]]], ...] = tuple(
            {kind: [] for kind in range(len(KINDS))} for _ in self._teams
        )

    def choose(self, kind: int, place: int) -> tuple[int, int, int]:
        """Choose team, link and parent."""
        teams = self._teams[place]
        team = teams[int(self._random.random() * len(teams))]
        link = parent = NO_ITEM
        for owner_kind, share in _OWNER_CHANCES[kind]:
            owner = self._pick(owner_kind, place, share)
            if owner is not None:
                link = owner[0]
                # Tasks follow the project of their work product (rally-api-notes.md#tasks).
                if kind == TASK:
                    team = owner[1]
                break
        if kind == STORY and link == NO_ITEM:
            owner = self._pick(STORY, place, 0.15)
            parent = owner[0] if owner is not None else NO_ITEM
        return team, link, parent

    def _pick(self, kind: int, place: int, share: float) -> tuple[int, int] | None:
        recent = self._recent[place][kind]
        if not recent or self._random.random() >= share:
            return None
        return recent[int(self._random.random() * len(recent))]

    def remember(self, index: int, kind: int, place: int, team: int, *, lasting: bool) -> None:
        """Offer an item as an owner of later ones."""
        if not lasting:
            return
        recent = self._recent[place][kind]
        recent.append((index, team))
        if len(recent) > _RECENT_ITEMS:
            recent.pop(0)


_RECENT_ITEMS = 40
_OWNER_CHANCES: dict[int, tuple[tuple[int, float], ...]] = {
    STORY: ((FEATURE, 0.6),),
    DEFECT: ((STORY, 0.5),),
    TASK: ((STORY, 0.75), (DEFECT, 1.0), (STORY, 1.0)),
    TEST_CASE: ((STORY, 0.7),),
    FEATURE: ((INITIATIVE, 0.8),),
    INITIATIVE: (),
}
