"""Faults on request: what a service or something in front of it does wrong, at chosen requests, deterministically."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rally_sandbox.world import World

#: Every fault by name, with what it does.
FAULTS: Mapping[str, str] = {
    "html-401": "the HTML page of a servlet container for bad credentials",
    "sso-redirect": "302 to a login page, which answers 200 with HTML",
    "maintenance-200": "an HTML page with status 200",
    "errors-200": "`text` in QueryResult.Errors with status 200",
    "operation-result": "`text` in an OperationResult with status 200",
    "truncated-json": "the body cut in the middle, with a Content-Length that fits the cut body",
    "truncated-connection": "the connection ends in the middle of the body",
    "429": "too many requests, with `retry_after` seconds, an HTTP date (`retry_after_date`) or nothing",
    "500-html": "the HTML page of an unexpected error",
    "502": "a gateway's HTML page",
    "503": "a maintenance HTML page",
    "524": "a gateway's HTML page: the origin took too long",
    "timeout": "no answer for `seconds`, an hour unless told",
    "slow": "the right answer after `seconds`",
    "drop": "the connection ends without an answer",
    "set-cookie": "the right answer with a session cookie",
    "byte-order-mark": "the right answer after a byte order mark",
    "lone-surrogate": "half a surrogate pair at the end of every text named `field`, or of the first `rows` of them",
    "control-characters": "likewise, raw control characters",
    "invalid-utf-8": "likewise, a byte that is not UTF-8",
    "empty-page": "a page without rows that announces as many as there are",
    "sso-401": "401 of a subscription with single sign-on for a user name and password",
    "proxy-401": "401 of a proxy (tinyproxy) for a wrong proxy password",
    "ntlm-proxy": "407 of a proxy that offers NTLM and Negotiate only",
    "page-limit": "`answer` (502 unless told, or truncated-json) for every page larger than `rows`",
}

#: Plays for as long as it is there, unless told otherwise.
FOREVER = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault.

    Raises:
        ValueError: The name is none of ``FAULTS``.
    """

    name: str
    #: The kind of request: a type such as ``project`` or ``revision``, ``hierarchicalrequirement/tasks`` for a
    #: collection, or ``*``. Lower case.
    match: str = "*"
    #: How many matching requests pass first.
    after: int = 0
    #: How often it plays, ``FOREVER`` without end.
    times: int = 1
    text: str = "Could not read: sample fault"
    seconds: float = 3600.0
    retry_after: int | None = None
    #: Whether ``retry_after`` is sent as an HTTP date.
    retry_after_date: bool = False
    #: For ``page-limit``; for hostile texts, how many are changed, 0 for all.
    rows: int = 0
    #: For hostile texts: the member of rows and nested objects.
    field: str = "Name"
    answer: str = "502"

    def __post_init__(self) -> None:
        if self.name not in FAULTS:
            raise ValueError(f"unknown fault {self.name!r}; there are {', '.join(FAULTS)}")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Fault":
        """From the members of a JSON object, which are named as the attributes.

        Raises:
            ValueError: A member is unknown, or the name.
        """
        unknown = set(data) - {each.name for each in fields(cls)}
        if unknown or "name" not in data:
            raise ValueError(f"a fault has the members {', '.join(each.name for each in fields(cls))}; not {unknown}")
        return cls(**data)


@dataclass(slots=True)
class _Armed:
    fault: Fault
    seen: int = 0
    played: int = 0

    def plays(self, kind: str, page_size: int) -> bool:
        fault = self.fault
        if fault.match not in {"*", kind} or (fault.name == "page-limit" and page_size <= fault.rows):
            return False
        self.seen += 1
        if self.seen <= fault.after or (fault.times != FOREVER and self.played >= fault.times):
            return False
        self.played += 1
        return True


@dataclass(slots=True, eq=False)
class Faults:
    """The faults in force, in the order in which they were added; the first that matches a request plays.

    Attributes:
        latency_ms: How long every answer is held back.
        edit_between_pages: What happens after each served page of a query: a callable that gets the world, or a
            number of steps of ``World.work``.
    """

    latency_ms: int = 0
    edit_between_pages: "Callable[[World], object] | int | None" = None
    _armed: list[_Armed] = dataclasses.field(default_factory=list)
    _lock: Lock = dataclasses.field(default_factory=Lock)

    def add(self, name: str, **details: Any) -> None:
        """Arm a fault; see ``Fault`` for the details.

        Raises:
            ValueError: The fault or a detail is unknown.
        """
        if name == "page-limit":
            details.setdefault("times", FOREVER)
        self._arm(Fault.from_json({"name": name, **details}))

    def _arm(self, fault: Fault) -> None:
        with self._lock:
            self._armed.append(_Armed(fault))

    def clear(self) -> None:
        """Everything works again, at once."""
        with self._lock:
            self._armed.clear()
        self.latency_ms = 0
        self.edit_between_pages = None

    def next_for(self, kind: str, *, page_size: int) -> Fault | None:
        """The fault that a request meets, which counts as played."""
        with self._lock:
            return next((armed.fault for armed in self._armed if armed.plays(kind, page_size)), None)

    @property
    def played(self) -> int:
        """How often any fault has played."""
        return sum(armed.played for armed in self._armed)

    def between_pages(self, world: "World") -> None:
        """Do what happens between pages."""
        match self.edit_between_pages:
            case None:
                return
            case int(steps):
                world.work(steps)
            case edit:
                edit(world)
