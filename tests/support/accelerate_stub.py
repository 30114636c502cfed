"""A stand-in for an Accelerate server that knows exactly one of the vendor's published schemas, and no more.

It validates every document and its variables, stores uploads, and answers reads with the fields of the schema alone:
histories, comments, raw issues and relations cannot be read back, as on a real server
(accelerate-api-notes.md#reading-issues-back). Tests look at what arrived in ``issues`` and ``uploads``, and at what a
real server would have refused in ``refused``.
"""

import base64
import json
import re
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from graphql import DocumentNode, GraphQLError, OperationDefinitionNode, execute_sync, parse, validate
from graphql.execution.values import get_variable_values
from graphql.language import FieldNode

from support.published_schemas import load_schema

#: ``A`` is an older server, ``B`` a newer one.
Label = Literal["A", "B"]

#: What becomes of a request: None answers it as usual, anything else is its HTTP status and its answer.
Decision = Callable[[dict[str, Any]], tuple[int, Any] | None]

#: How a server writes instants that it returns; the contract does not say which one a version uses.
DateForm = Literal["number", "digits", "iso"]

KEY = "0f9d6a52-3c1b-4e8e-9a7e-000000000001"
TENANT = "5ade13625558f2c6688d15ce"
TRACKER = "65a1b2c3d4e5f60718293a4b"
EVENT = "syncRallyDataEvent"

PATH = "/release-events-api/graphql"

#: Fields of an uploaded issue that hold an instant, by the object that they are in.
DATES = {
    "": ("created", "lastUpdate", "resolved"),
    "sprints": ("startTime", "endTime", "completeTime"),
    "releases": ("releaseDate",),
}


@dataclass
class AccelerateStub:
    """A server with one schema; every attribute can be changed while it runs."""

    schema: Label
    url: str = ""
    key: str = KEY
    #: Uploaded issues as they arrived, by the integration's id and the issue's ``_id``.
    issues: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    #: Every accepted upload (``IssueDataIn``), in order.
    uploads: list[dict[str, Any]] = field(default_factory=list)
    #: Known integrations by id; ``add`` makes one. Their ``state`` is what ``updateIntegrationState`` stored.
    integrations: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: ``deltaTime`` by integration and event, as ``updateScheduledEventStates`` left it.
    event_states: dict[tuple[str, str], Any] = field(default_factory=dict)
    #: Requests that do not fit the schema, by operation and message.
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: How often each operation was called.
    request_counts: Counter[str] = field(default_factory=Counter)
    #: Decides over a request before it is answered; see also ``fail``.
    decide: Decision | None = None
    #: False forgets what ``updateIntegrationState`` stores.
    keeps_state: bool = True
    #: False refuses introspection, as servers in production often do.
    introspection: bool = True
    #: How instants are written in answers.
    dates: DateForm = "number"
    #: True answers every page of a project with the same cursor and says that there are more.
    repeats_cursor: bool = False
    #: What ``uploadIssueData`` answers; ``result`` false and None store nothing.
    acknowledgement: dict[str, Any] | None = field(default_factory=lambda: {"result": True})
    _failures: dict[str, tuple[int | None, int, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.add(TRACKER, name="rally")

    def add(self, tracker: str, *, name: str) -> None:
        """Add an integration."""
        self.integrations[tracker] = {
            "_id": tracker,
            "type": "ucv-ext-rally",
            "pluginId": "ucv-ext-rally",
            "tenant_id": TENANT,
            "name": name,
            "displayName": "Rally",
            "loggingLevel": "INFO",
            "showHidden": False,
            "disabled": False,
            "status": "Online",
            "properties": {},
            "state": None,
        }

    def issues_of(self, tracker: str = TRACKER) -> dict[str, dict[str, Any]]:
        """Return the issues of an integration as they were uploaded, by ``_id``."""
        return {key: issue for (tracker_id, key), issue in self.issues.items() if tracker_id == tracker}

    def state_of(self, tracker: str = TRACKER) -> Any:
        """Return what ``updateIntegrationState`` stored for an integration."""
        return self.integrations[tracker]["state"]

    def lose_issues(self) -> None:
        """Forget every issue and keep everything else."""
        self.issues.clear()

    def lose_states(self) -> None:
        """Forget the stored state of every integration."""
        for integration in self.integrations.values():
            integration["state"] = None

    def fail(self, operation: str, *, times: int | None = None, status: int = 200, message: str = "refused") -> None:
        """Answer an operation with a GraphQL error.

        Args:
            operation: The name of the root field.
            times: After so many failures it works again; None fails until ``recover``.
            status: The HTTP status.
            message: The error's message.
        """
        self._failures[operation] = (times, status, message)

    def recover(self, operation: str) -> None:
        """Let an operation work again."""
        self._failures.pop(operation, None)

    def answer(self, path: str, authorization: str, content: bytes) -> tuple[int, Any]:
        """Answer one request: its HTTP status and its JSON."""
        if path.rstrip("/") != PATH:
            return 404, _errors(f"nothing at {path}")
        if authorization != f"UserAccessKey {self.key}":
            return 401, _errors("Unauthorized")
        body = json.loads(content)
        try:
            document = parse(body["query"])
        except GraphQLError as error:
            return self._refuse("", [error.message], 400)
        operation = _root_field(document)
        self.request_counts[operation] += 1
        decided = (self.decide(body) if self.decide is not None else None) or self._failure_of(operation)
        if decided is not None:
            return decided
        if operation.startswith("__") and not self.introspection:
            return 400, _errors("GraphQL introspection is not allowed")
        return self._execute(operation, document, body.get("variables") or {})

    def _execute(self, operation: str, document: DocumentNode, variables: dict[str, Any]) -> tuple[int, Any]:
        schema = load_schema(self.schema)
        if errors := validate(schema, document):
            return self._refuse(operation, [error.message for error in errors], 400)
        values = get_variable_values(schema, list(_operation(document).variable_definitions or ()), variables)
        if isinstance(values, list):
            return self._refuse(operation, [error.message for error in values], 200)
        result = execute_sync(schema, document, root_value=self._root(), variable_values=variables)
        response: dict[str, Any] = {"data": result.data}
        if result.errors:
            response["errors"] = [{"message": error.message} for error in result.errors]
        return 200, response

    def _failure_of(self, operation: str) -> tuple[int, Any] | None:
        if operation not in self._failures:
            return None
        times, status, message = self._failures[operation]
        if times is not None:
            self._failures[operation] = (times - 1, status, message)
            if times <= 1:
                del self._failures[operation]
        return status, _errors(message)

    def _refuse(self, operation: str, messages: list[str], status: int) -> tuple[int, Any]:
        for message in messages:
            # One entry for one kind of fault, wherever in a list the value was.
            self.refused[operation, re.sub(r"\[\d+\]", "[]", message)] += 1
        return status, {**_errors(*messages), "data": None}

    def _integration(self, tracker: str) -> dict[str, Any] | None:
        integration = self.integrations.get(tracker)
        if integration is None:
            return None
        states = [
            {"_id": event, "eventName": event, "deltaTime": at, "lastStartTime": 0}
            for (owner, event), at in self.event_states.items()
            if owner == tracker
        ]
        return {**integration, "scheduledEventStates": states}

    def _issue_data(self, key: tuple[str, str]) -> dict[str, Any]:
        issue = self.issues[key]
        data = self._format_dates(issue, "") | {"normalizedType": issue.get("normalizedType") or "OTHER"}
        for name in ("sprints", "releases"):
            data[name] = [
                {"_id": f"{key[1]}-{entry.get('id')}", **self._format_dates(entry, name)}
                for entry in data.get(name) or ()
            ]
        return {"_id": ":".join(key), "type": "issue", "trackerId": key[0], "tenantId": TENANT, "issue": data}

    def _format_dates(self, values: Mapping[str, Any], where: str) -> dict[str, Any]:
        dates = {name: self._date(values[name]) for name in DATES[where] if values.get(name) is not None}
        return {**values, **dates}

    def _date(self, value: Any) -> Any:
        match self.dates:
            case "number":
                return value
            case "digits":
                return str(value)
            case "iso":
                moment = datetime.fromtimestamp(int(value) / 1000, UTC)
                return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _root(self) -> dict[str, Callable[..., Any] | str]:
        """Return the resolvers; each takes what GraphQL hands over, and the arguments by their names."""
        return {
            "uploadIssueData": self._upload,
            "updateIntegrationState": self._store_state,
            "updateScheduledEventStates": self._store_event_states,
            "issue": self._find_issue,
            "issuesForProjectKey": self._list_project_issues,
            "issues": self._list_issues,
            "issueStatuses": lambda _, **__: sorted({entry["status"] for entry in self.issues.values()}),
            "integrationById": lambda _, **arguments: self._integration(arguments["id"]),
            "integrationByName": lambda _, **arguments: self._find_by_name(arguments["name"]),
            "integrationsByTenantId": lambda _, **__: [self._integration(entry) for entry in self.integrations],
            "productVersion": "4.0.0" if self.schema == "A" else "5.0.0",
            "productBuild": "1",
        }

    def _find_by_name(self, name: str) -> dict[str, Any] | None:
        return next(
            (self._integration(key) for key, integration in self.integrations.items() if integration["name"] == name),
            None,
        )

    def _upload(self, _: Any, data: dict[str, Any]) -> dict[str, Any] | None:
        if self.acknowledgement is None or not self.acknowledgement.get("result"):
            return self.acknowledgement
        self.uploads.append(data)
        issues = data.get("issues") or ()
        for issue in issues:
            self.issues[data["trackerId"], issue["_id"]] = issue
        return {"issueIds": [issue_data["_id"] for issue_data in issues], **self.acknowledgement}

    def _store_state(self, _: Any, **arguments: Any) -> dict[str, Any] | None:
        tracker = arguments["integrationId"]
        if self.keeps_state and tracker in self.integrations:
            self.integrations[tracker]["state"] = arguments.get("properties")
        return self._integration(tracker)

    def _store_event_states(self, _: Any, **arguments: Any) -> dict[str, Any] | None:
        for state in arguments["scheduledEventStates"]:
            self.event_states[arguments["integrationId"], state["eventName"]] = state["deltaTime"]
        return self._integration(arguments["integrationId"])

    def _find_issue(self, _: Any, **arguments: Any) -> dict[str, Any] | None:
        # Which id is looked for, and whose issue of several is answered, is not public: the first that fits.
        issue_id = arguments["issueId"]
        for key, issue in self.issues.items():
            if issue_id in (":".join(key), issue["_id"], issue["id"]):
                return self._issue_data(key)
        return None

    def _list_project_issues(self, _: Any, **arguments: Any) -> dict[str, Any]:
        project, limit = arguments["projectKey"], arguments["limit"]
        keys = [key for key, issue in self.issues.items() if (issue.get("project") or {}).get("key") == project]
        start = _position(arguments.get("cursor"))
        page = keys[start : start + limit]
        more = start + limit < len(keys)
        info = {"cursor": _cursor(start + limit) if more else None, "hasMore": more}
        if self.repeats_cursor:
            info = {"cursor": _cursor(start), "hasMore": True}
        return {"nodes": [self._issue_data(key) for key in page], "pageInfo": info}

    def _list_issues(self, _: Any, **arguments: Any) -> list[dict[str, Any]]:
        filters = arguments.get("filter") or {}
        skip, limit = filters.get("skip") or 0, filters.get("limit") or 100
        return [self._issue_data(key) for key in list(self.issues)[skip : skip + limit]]


@contextmanager
def accelerate_stub(schema: Label, *, tls: ssl.SSLContext | None = None) -> Iterator[AccelerateStub]:
    """Serve a stand-in on a free port of 127.0.0.1.

    Args:
        schema: ``A`` for an older server, ``B`` for a newer one.
        tls: The server's certificate; None serves plain HTTP.
    """
    stub = AccelerateStub(schema)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                status, answer = stub.answer(self.path, self.headers.get("Authorization") or "", content)
            written = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(written)))
            self.end_headers()
            self.wfile.write(written)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    stub.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _operation(document: DocumentNode) -> OperationDefinitionNode:
    return next(definition for definition in document.definitions if isinstance(definition, OperationDefinitionNode))


def _root_field(document: DocumentNode) -> str:
    first = _operation(document).selection_set.selections[0]
    return first.name.value if isinstance(first, FieldNode) else ""


def _errors(*messages: str) -> dict[str, Any]:
    return {"errors": [{"message": message} for message in messages]}


def _cursor(position: int) -> str:
    # Opaque: a client that counts by itself instead of handing a cursor back gets an error.
    return base64.urlsafe_b64encode(f"after:{position}".encode()).decode()


def _position(cursor: str | None) -> int:
    if not cursor:
        return 0
    try:
        word, _, number = base64.urlsafe_b64decode(cursor).decode().partition(":")
        if word == "after":
            return int(number)
    except ValueError:
        pass
    raise GraphQLError("Invalid cursor")
