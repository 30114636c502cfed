"""As much of Rally as a client's own promises need: rows in memory, the strict grammar, paging and scope.

Unlike the simulator it counts, it can be changed between two requests, and it fails exactly where a test says.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from support.request_recorder import RecordedRequest, Reply

Row = dict[str, Any]

TOKEN = re.compile(r'\s*(\(|\)|"[^"]*"|[^\s()"]+)')
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda value, other: value == other,
    "!=": lambda value, other: value != other,
    ">": lambda value, other: value is not None and value > other,
    ">=": lambda value, other: value is not None and value >= other,
    "<": lambda value, other: value is not None and value < other,
    "<=": lambda value, other: value is not None and value <= other,
    "contains": lambda value, other: str(other).lower() in str(value).lower(),
}


@dataclass
class TinyRally:
    """Rows by kind, and what happens on the way."""

    rows: dict[str, list[Row]] = field(default_factory=dict)
    default_workspace: int = 7
    most_rows: int = 2000
    date: str = "Wed, 21 Oct 2026 07:28:00 GMT"
    #: Called with the number of the request before it is answered.
    between: Callable[[int], None] = lambda _: None
    #: Answers instead, by the number of the request.
    faults: dict[int, Reply] = field(default_factory=dict)
    #: Every request: kind, parameters.
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def count_requests(self, kind: str) -> int:
        """How many requests asked for a kind."""
        return sum(1 for requested, _ in self.requests if requested == kind)

    def __call__(self, request: RecordedRequest) -> Reply:
        """Answer one request."""
        parts = urlsplit(request.target)
        kind = parts.path.removeprefix("/slm/webservice/v2.0/").lower()
        params = {name: values[0] for name, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()}
        if kind.startswith("typedefinition"):
            # Nothing is relabelled here; not counted, as it is asked once for each type whatever the histories are.
            return self._reply_json(
                {"QueryResult": {"Errors": [], "Warnings": [], "TotalResultCount": 0, "Results": []}}
            )
        self.requests.append((kind, params))
        assert len(request.target) < 4096, "a longer address than we promise"
        self.between(len(self.requests))
        if fault := self.faults.pop(len(self.requests), None):
            return fault
        if kind.startswith("/analytics/"):
            # No Lookback here, as on servers of one's own (rally-api-notes.md#lookback-availability).
            return Reply(status=404, headers={"Date": self.date}, body=b"<html>Not Found</html>")
        if kind == "subscription":
            return self._reply_json({"OperationResult": {"Errors": ["Cannot find object to read"], "Warnings": []}})
        return self._reply_json({"QueryResult": self._page(kind, params)})

    def _reply_json(self, data: Any) -> Reply:
        return Reply(headers={"Date": self.date}, body=orjson.dumps(data))

    def _page(self, kind: str, params: dict[str, str]) -> Row:
        rows = sorted(self._iter_rows_in_scope(kind, params), key=lambda row: row["ObjectID"])
        if "query" in params:
            test = parse_query(params["query"])
            rows = [row for row in rows if test(row)]
        size = min(int(params["pagesize"]), self.most_rows)
        names = set(params["fetch"].split(","))
        results = [{name: value for name, value in row.items() if name in names} for row in rows[:size]]
        return {
            "Errors": [],
            "Warnings": [],
            "TotalResultCount": len(rows),
            "StartIndex": 1,
            "PageSize": size,
            "Results": results,
        }

    def _iter_rows_in_scope(self, kind: str, params: dict[str, str]) -> Iterator[Row]:
        workspace = int(params.get("workspace", f"/workspace/{self.default_workspace}").rpartition("/")[2])
        project = params["project"]
        for row in self.rows.get(kind, []):
            if kind != "workspace" and row.get("in", self.default_workspace) != workspace:
                continue
            if project == "null" or f"/project/{row.get('Project', {}).get('ObjectID')}" == project:
                yield row


def parse_query(text: str) -> Callable[[Row], bool]:
    """A test from a query in the strictly binary grammar; an assertion fails on anything else.

    See rally-api-notes.md#query-language.
    """
    tokens = TOKEN.findall(text)
    assert "".join(tokens) == re.sub(r'\s+(?=(?:[^"]*"[^"]*")*[^"]*$)', "", text)

    def expression(place: int) -> tuple[Callable[[Row], bool], int]:
        assert tokens[place] == "("
        if tokens[place + 1] != "(":
            name, operator, value, closing = tokens[place + 1 : place + 5]
            assert closing == ")"
            compare, right = COMPARE[operator], parse_literal(value)
            return lambda row: compare(get_value(row, name), right), place + 5
        left_test, place = expression(place + 1)
        word = tokens[place]
        assert word in {"AND", "OR"}, "a redundant pair of parentheses"
        right_test, place = expression(place + 1)
        assert tokens[place] == ")", "more than two operands"
        if word == "AND":
            return lambda row: left_test(row) and right_test(row), place + 1
        return lambda row: left_test(row) or right_test(row), place + 1

    test, end = expression(0)
    assert end == len(tokens)
    return test


def parse_literal(token: str) -> Any:
    """A value as it was meant."""
    if token.startswith('"'):
        text = token[1:-1]
        return parse_date(text) if re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", text) else text
    return {"null": None, "true": True, "false": False}.get(token, int(token) if token.isdecimal() else token)


def get_value(row: Row, path: str) -> Any:
    """What stands at a dotted path; dates as moments."""
    value: Any = row
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return parse_date(value) if path.endswith("Date") and isinstance(value, str) else value


def parse_date(text: str) -> datetime:
    """A date of the wire."""
    return datetime.fromisoformat(text).astimezone(timezone.utc)  # noqa: UP017 - spelled as in the grammar's tests


# --- sample worlds ---------------------------------------------------------------------------------------------------


def workspace(key: int, name: str, **more: Any) -> Row:
    """A row of /workspace."""
    return {"ObjectID": key, "Name": name, "State": "Open", **more}


def project(key: int, name: str, *, parent: int | None = None, state: str = "Open", inside: int = 7) -> Row:
    """A row of /project."""
    return {
        "ObjectID": key,
        "Name": name,
        "State": state,
        "Parent": {"_ref": f"/project/{parent}"} if parent else None,
        "Workspace": {
            "_ref": f"https://rally1.rallydev.com/slm/webservice/v2.0/workspace/{inside}",
            "_refObjectName": "Main",
        },
        "in": inside,
    }


def item(key: int, *, prefix: str = "DE", updated: str = "2026-01-01T00:00:00.000Z", inside: int = 100) -> Row:
    """An artifact whose history has the next id."""
    return {
        "ObjectID": key,
        "FormattedID": f"{prefix}{key}",
        "VersionId": "1",
        "LastUpdateDate": updated,
        "CreationDate": updated,
        "CreatedBy": {"_refObjectName": "Ada Sample"},
        "Project": {"ObjectID": inside, "_ref": f"/project/{inside}"},
        "RevisionHistory": {"_ref": f"/revisionhistory/{key + 1}"},
    }


def revision(key: int, history: int, number: int, text: str = "SCHEDULE STATE changed from [a] to [b]") -> Row:
    """A row of /revision."""
    return {
        "ObjectID": key,
        "RevisionNumber": number,
        "CreationDate": f"2025-01-01T00:00:{number % 60:02}.000Z",
        "User": {"_ref": "/user/1", "_refObjectName": "Ada Sample"},
        "Description": text,
        "RevisionHistory": {"_ref": f"/revisionhistory/{history}", "ObjectID": history},
    }
