"""Fault injection: errors of a service or of a proxy in front of it, at chosen requests, deterministically."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from threading import Lock
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from rally_sandbox.world import World


#: Every fault by name, with what it does.
FAULTS: Mapping[str, str] = {
    "html-401": "401 with the HTML page of a servlet container for wrong credentials",
    "sso-redirect": "302 to a login page, which returns 200 with HTML",
    "maintenance-200": "200 with an HTML maintenance page",
    "errors-200": "200 with `text` in `QueryResult.Errors`",
    "operation-result": "200 with `text` in an `OperationResult`",
    "truncated-json": "a truncated body with a matching `Content-Length`",
    "truncated-connection": "the connection closes in the middle of the body",
    "429": "429 with `retry_after` in seconds, as an HTTP date (`retry_after_date`), or without it",
    "500-html": "500 with an HTML error page",
    "502": "502 with the HTML page of a gateway",
    "503": "503 with an HTML maintenance page",
    "524": "524 with the HTML page of a gateway whose upstream timed out",
    "timeout": "no response for `seconds` (default: one hour)",
    "slow": "the correct response after `seconds`",
    "drop": "the connection closes without a response",
    "set-cookie": "the correct response with a session cookie",
    "byte-order-mark": "the correct response after a byte order mark",
    "lone-surrogate": "half a surrogate pair at the end of every text named `field`, or of the first `rows` of them",
    "control-characters": "control characters at the end of every text named `field`, or of the first `rows` of them",
    "invalid-utf-8": "a byte that isn't UTF-8 at the end of every text named `field`, or of the first `rows` of them",
    "empty-page": "a page without rows that announces the usual total",
    "sso-401": "401 for a user name and password in a subscription with single sign-on",
    "proxy-401": "401 of a proxy (tinyproxy) for a wrong proxy password",
    "ntlm-proxy": "407 of a proxy that offers only NTLM and Negotiate",
    "page-limit": "`answer` (502 by default, or truncated-json) for every page with more than `rows` rows",
}

#: Value of ``times`` for a fault that plays until it is removed.
UNLIMITED = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault.

    Raises:
        ValueError: The name is not in ``FAULTS``.
    """

    name: str
    #: The kind of request: a type such as ``project`` or ``revision``, ``hierarchicalrequirement/tasks`` for a
    #: collection, or ``*``. Lower case.
    match: str = "*"
    #: How many matching requests succeed first.
    after: int = 0
    #: How often it plays; ``UNLIMITED`` has no end.
    times: int = 1
    text: str = "Could not read: sample fault"
    seconds: float = 3600.0
    retry_after: int | None = None
    #: Whether ``retry_after`` is sent as an HTTP date.
    retry_after_date: bool = False
    #: For ``page-limit``, the largest page size that succeeds; for hostile texts, how many are changed, 0 for all.
    rows: int = 0
    #: For hostile texts: the member of rows and nested objects.
    field: str = "Name"
    answer: str = "502"

    def __post_init__(self) -> None:
        if self.name not in FAULTS:
            raise ValueError(f"unknown fault {self.name!r}; there are {', '.join(FAULTS)}")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Fault":
        """Create a fault from a JSON object whose members are the attributes.

        Raises:
            ValueError: A member or the fault's name is unknown.
        """
        unknown = set(data) - {field.name for field in fields(cls)}
        if unknown or "name" not in data:
            raise ValueError(f"a fault has the members {', '.join(field.name for field in fields(cls))}; not {unknown}")
        return cls(**data)


@dataclass(slots=True)
class _ArmedFault:
    fault: Fault
    seen: int = 0
    played: int = 0

    def consume(self, kind: str, page_size: int) -> bool:
        fault = self.fault
        if fault.match not in {"*", kind} or (fault.name == "page-limit" and page_size <= fault.rows):
            return False
        self.seen += 1
        if self.seen <= fault.after or (fault.times != UNLIMITED and self.played >= fault.times):
            return False
        self.played += 1
        return True


@dataclass(slots=True, eq=False)
class Faults:
    """The active faults in the order in which they were added; the first that matches a request plays.

    Attributes:
        latency_ms: Added latency per response, in milliseconds.
        edit_between_pages: What happens after each page of a query: a callable that gets the world, or a
            number of steps of ``World.work``.
    """

    latency_ms: int = 0
    edit_between_pages: "Callable[[World], object] | int | None" = None
    _armed: list[_ArmedFault] = dataclasses.field(default_factory=list)
    _lock: Lock = dataclasses.field(default_factory=Lock)

    def add(self, name: str, **details: Any) -> None:
        """Add a fault; see ``Fault`` for the details.

        Raises:
            ValueError: The fault or a detail is unknown.
        """
        if name == "page-limit":
            details.setdefault("times", UNLIMITED)
        self._arm(Fault.from_json({"name": name, **details}))

    def _arm(self, fault: Fault) -> None:
        with self._lock:
            self._armed.append(_ArmedFault(fault))

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._armed.clear()
        self.latency_ms = 0
        self.edit_between_pages = None

    def take(self, kind: str, *, page_size: int) -> Fault | None:
        """Return the fault for a request, if any, and count it as played."""
        with self._lock:
            return next((armed.fault for armed in self._armed if armed.consume(kind, page_size)), None)

    @property
    def played(self) -> int:
        """How often faults have played in all."""
        return sum(armed.played for armed in self._armed)

    def run_between_pages(self, world: "World") -> None:
        """Apply ``edit_between_pages``."""
        match self.edit_between_pages:
            case None:
                return
            case int(steps):
                world.work(steps)
            case edit:
                edit(world)


#: Bytes that are appended to texts, by the name of the fault.
ENDING_BYTES: Mapping[str, bytes] = {
    # Half of a surrogate pair: the escape is valid JSON, the text is not valid Unicode.
    "lone-surrogate": rb" \ud83d",
    # As pasted from documents: vertical tab, tab, file separator.
    "control-characters": b" \x0b\t\x1c",
    # One letter in ISO 8859-1.
    "invalid-utf-8": b" \xf6",
}

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def corrupt_body(fault: Fault, body: bytes) -> bytes:
    """Apply a fault to a response body; other faults leave the body unchanged."""
    match fault.name:
        case "byte-order-mark":
            return BYTE_ORDER_MARK + body
        case "empty-page":
            return remove_rows(body)
        case name if name in ENDING_BYTES:
            return append_to_texts(body, member=fault.field, ending=ENDING_BYTES[name], most=fault.rows)
        case _:
            return body


def append_to_texts(body: bytes, *, member: str, ending: bytes, most: int = 0) -> bytes:
    """Append bytes to the texts of a member.

    Args:
        body: JSON without white space.
        member: The member's name, for example ``Name``.
        ending: The bytes to append.
        most: How many texts are changed, starting with the first; 0 changes all.
    """
    text = re.compile(b'("%b":"(?:[^"\\\\]|\\\\.)*)"' % re.escape(member.encode()))
    return text.sub(lambda match: match[1] + ending + b'"', body, count=most)


def remove_rows(body: bytes) -> bytes:
    """Remove the rows of a page; its counts remain."""
    document = orjson.loads(body)
    page = document.get("QueryResult", document)
    if isinstance(page, dict) and isinstance(page.get("Results"), list):
        page["Results"] = []
    return orjson.dumps(document)
