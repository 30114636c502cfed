"""Pure: a view of the list of issues is its address, and nothing else; saved or sent to somebody it shows the same."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from rally_accelerate.dql.tree import Query
from rally_accelerate.errors import QueryError
from rally_accelerate.host.store.query_limits import parse_limited
from rally_accelerate.host.store.search import Sort, Wanted
from rally_accelerate.host.web.issue_columns import USUAL, Column, chosen

PAGE = 50
LARGEST_PAGE = 1000

#: So many values of one field may be asked for at once.
MOST_VALUES = 100
LONGEST_TEXT = 1000

#: What a list can be narrowed down by: the name in the address, for people, and in a search.
FACETS: Mapping[str, tuple[str, str]] = {
    "type": ("Type", "types"),
    "status": ("Status", "statuses"),
    "priority": ("Priority", "priorities"),
    "owner": ("Owner", "owners"),
    "project": ("Project", "projects"),
    "sprint": ("Sprint", "sprints"),
    "release": ("Release", "releases"),
    "label": ("Label", "labels"),
    "integration": ("Integration", "tracker_ids"),
}

#: These begin with their largest value.
LARGEST_FIRST = frozenset({Sort.UPDATED, Sort.CREATED, Sort.POINTS, Sort.AGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Which issues, in which order, with which columns."""

    chosen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    text: str = ""
    dql: str = ""
    sort: Sort = Sort.UPDATED
    descending: bool = True
    columns: tuple[Column, ...]
    #: Where the page begins.
    after: str = ""
    #: None where none was asked for: a page has its usual length then, and a file everything.
    limit: int | None = None

    @property
    def query(self) -> Query | None:
        """What the text in the value streams' language means.

        Raises:
            QueryError: It cannot be read.
        """
        return parse_limited(self.dql) if self.dql else None

    @property
    def narrowed(self) -> bool:
        """Whether anything is left out."""
        return bool(self.text or self.dql or any(self.chosen.values()))

    def wanted(self, *, without: str = "") -> Wanted:
        """The search for it; without one field's values to see which others there are.

        Raises:
            QueryError: Its query cannot be read.
        """
        query = self.query
        among: dict[str, Any] = {
            name: self.chosen.get(facet, ()) for facet, (_, name) in FACETS.items() if facet != without
        }
        return Wanted(text=self.text, queries=(query,) if query is not None else (), **among)

    def parameters(self, *, leave_out: str = "") -> list[tuple[str, str]]:
        """What its address says; nothing that is as usual."""
        order = f"{'-' if self.descending else ''}{self.sort}"
        names = tuple(column.name for column in self.columns)
        everything = [
            *((facet, value) for facet in FACETS for value in self.chosen.get(facet, ())),
            ("text", self.text),
            ("dql", self.dql),
            ("sort", "" if order == f"-{Sort.UPDATED}" else order),
            *(("column", name) for name in names if names != USUAL),
            ("limit", "" if self.limit is None else str(self.limit)),
            ("after", self.after),
        ]
        return [(name, value) for name, value in everything if value and name not in leave_out.split()]

    def address(self, path: str = "/issues") -> str:
        """Where it is."""
        query = urlencode(self.parameters())
        return f"{path}?{query}" if query else path

    def toggled(self, facet: str, value: str) -> "View":
        """With one more value of a field, or without it."""
        values = self.chosen.get(facet, ())
        changed = tuple(each for each in values if each != value) if value in values else (*values, value)
        return replace(self, chosen={**self.chosen, facet: changed}, after="")

    def ordered(self, sort: Sort) -> "View":
        """By another column, or by the same one the other way round."""
        descending = not self.descending if sort is self.sort else sort in LARGEST_FIRST
        return replace(self, sort=sort, descending=descending, after="")


def view_of(given: QueryParams) -> View:
    """The view of an address; what makes no sense in it is taken as usual."""
    order = given.get("sort", "").strip()
    try:
        sort, descending = Sort(order.removeprefix("-")), order.startswith("-")
    except ValueError:
        sort, descending = Sort.UPDATED, True
    values = {facet: _several(given, facet) for facet in FACETS}
    return View(
        chosen={facet: several for facet, several in values.items() if several},
        text=given.get("text", "").strip()[:LONGEST_TEXT],
        dql=given.get("dql", "").strip(),
        sort=sort,
        descending=descending,
        columns=chosen(given.getlist("column")),
        after=given.get("after", ""),
        limit=_limit(given.get("limit", "")),
    )


def fault_of(view: View) -> dict[str, Any] | None:
    """What is wrong with the query of a view, with its line and a mark below its place; None when nothing is."""
    try:
        _ = view.query
    except QueryError as error:
        lines = view.dql.splitlines() or [""]
        line = lines[min(max(error.line or 1, 1), len(lines)) - 1]
        return {
            "message": str(error),
            "line": error.line,
            "column": error.column,
            "expected": list(error.expected),
            "text": line,
            "mark": " " * (max(error.column or 1, 1) - 1) + "^",
        }
    return None


def _several(given: QueryParams, facet: str) -> tuple[str, ...]:
    values = (value for value in given.getlist(facet) if value)
    return tuple(dict.fromkeys(values))[:MOST_VALUES]


def _limit(text: str) -> int | None:
    if not (text.isdecimal() and len(text) <= len(str(LARGEST_PAGE))):
        return None
    return min(max(int(text), 1), LARGEST_PAGE)
