"""AccelerateClient: finds out whose issues these are, and delivers them."""

import asyncio
import hashlib
import logging
import math
import random
import re
import ssl
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2
import orjson
import stamina
from pydantic import SecretStr

from rally_accelerate.accelerate import documents, payload, responses
from rally_accelerate.accelerate.payload import Retirement, pack_retirement
from rally_accelerate.accelerate.responses import field_names, own_issue, page_of
from rally_accelerate.errors import (
    AccessDeniedError,
    CertificateVerificationError,
    ConfigError,
    InternalServerError,
    NotFoundError,
    Problem,
    RallyAccelerateError,
    RejectedError,
    RequestTooLargeError,
    ServiceTimeoutError,
    TransientError,
    UnexpectedResponseError,
    UnreachableError,
)
from rally_accelerate.model.connection_errors import explain_connection_error
from rally_accelerate.model.foreign_responses import Route, capture_headers, explain_connect_refusal
from rally_accelerate.model.issue import SOURCE, Issue
from rally_accelerate.model.lenient_json import OversizedJsonError, join_limited
from rally_accelerate.model.report import Acknowledgement, Skipped, Usage, track_attempts
from rally_accelerate.model.time_budget import RetryBudget

#: What the budget of a run calls Accelerate.
SERVICE = "Accelerate"

FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
JITTER = 1.0


class Tries:
    """The attempts of one request.

    Args:
        budget: The time that all requests of the run may lose together.
        service: What the budget calls the service.
        tries_when_broken: How many bare failures of the server end the attempts; None for no limit of this kind.
    """

    def __init__(self, budget: RetryBudget, service: str, *, tries_when_broken: int | None = None) -> None:
        self._budget = budget
        self._service = service
        self._tries_when_broken = tries_when_broken
        self._began = 0.0
        self._broken = 0
        self._failures = 0

    def begins(self) -> None:
        """Note that an attempt begins."""
        self._began = time.monotonic()

    def close(self) -> None:
        """End the count of the time that this request loses."""
        if self._failures:
            self._budget.end_failure()
            self._failures = 0

    def wait_after(self, error: Exception) -> float | None:
        """Return for how many seconds to wait before the next attempt; None gives up."""
        if not isinstance(error, TransientError) or not self._budget.seconds:
            return None
        if isinstance(error, InternalServerError):
            self._broken += 1
            if self._broken == self._tries_when_broken:
                return None
        now = time.monotonic()
        # Where no answer was to be expected any more, the failed attempt is lost time as well.
        longest = isinstance(error, UnreachableError | ServiceTimeoutError) or not self._budget.has_responded(
            self._service
        )
        if not self._failures:
            self._budget.start_failure(self._service, since=self._began if longest else now)
        self._failures += 1
        # The next attempt will take as long as this one, and is to end in time too.
        left = self._budget.get_remaining(self._service) - (now - self._began if longest else 0.0)
        if left <= 0 or (error.retry_after or 0.0) >= left:
            return None
        if error.retry_after is not None:
            return error.retry_after
        doubled = FIRST_WAIT * 2.0 ** min(self._failures - 1, 10)
        # Jitter needs no cryptography; the last attempt is made when the time is over, not long after it.
        return min(min(LONGEST_WAIT, doubled) + random.uniform(0, JITTER), left)  # noqa: S311


log = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0

#: How many issues are read back at once.
ISSUES_IN_A_PAGE = 500

#: So many pages in a row may bring nothing new before a list is given up.
MOST_FRUITLESS_PAGES = 3

#: How often an upload that makes the server fail without a word is tried, before its items are tried apart.
TRIES_WHEN_BROKEN = 3

#: When so many single items make the server fail and it has taken none, the fault is the server's.
BROKEN_FOR_ALL = 3

#: A null field of an integration that was found is another fault.
_UNKNOWN_NAME = re.compile(
    r"(?i)not found|no (such )?integration|does not exist|cannot query field"
    r"|\bnull\b(?! for non-nullable field (?!Query\b))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Where to upload and in whose name."""

    #: Any form of the server's address that ``wire.graphql_address`` understands.
    url: str
    key: SecretStr
    tenant_id: str
    #: The integration's name, by which Accelerate may know it.
    name: str
    #: The integration's id when it is known already, else empty.
    tracker_id: str = ""
    #: The Rally server that the issues come from.
    source_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How to reach the server."""

    timeout_seconds: float = 150.0
    #: For how long a failing request is tried again; 0 tries once.
    retry_seconds: float = 90.0
    #: The time that all requests of the run may lose together; None gives this client ``retry_seconds`` of its own.
    budget: RetryBudget | None = None
    #: The largest answer that is read, in unpacked bytes.
    answer_max_bytes: int = 200_000_000
    #: True for the system's trust store, False for no verification, or a context with own authorities.
    verify: ssl.SSLContext | bool = True
    #: Replaces the network, for a server inside this process.
    transport: httpx2.AsyncBaseTransport | None = None
    #: Whether ``verify`` presents a client certificate.
    certificate: bool = False
    #: Whether a proxy that the environment names is passed by.
    direct: bool = False


class AccelerateClient:
    """A sink for issues over Accelerate's GraphQL endpoint; an async context manager.

    Args:
        account: Where to upload and in whose name.
        limits: How large one upload may be.
        connection: How to reach the server.

    Raises:
        ConfigError: The address cannot be read.
    """

    def __init__(
        self, account: Account, *, limits: payload.Limits | None = None, connection: Connection | None = None
    ) -> None:
        self._account = account
        self._limits = limits or payload.Limits()
        self._connection = connection or Connection()
        self._budget = self._connection.budget or RetryBudget(self._connection.retry_seconds)
        self._url = responses.graphql_address(account.url)
        self._route = Route(
            service="Accelerate",
            setting="accelerateUrl",
            server=self._url,
            proxy="" if self._connection.direct or self._connection.transport else _environment_proxy(self._url),
            proxy_setting="the environment (HTTPS_PROXY)",
            certificate=self._connection.certificate,
        )
        self._authorization = responses.authorization(account.key.get_secret_value())
        self._tracker_id = account.tracker_id
        self._accepted = False
        #: The fields of an issue that this server returns, once it was asked.
        self._readable: frozenset[str] | None = None
        #: Whether this server has taken anything from this client.
        self._delivered = False
        self._usage = Usage()
        self._http = httpx2.AsyncClient(
            headers={"User-Agent": "rally-accelerate", "Content-Type": "application/json"},
            timeout=httpx2.Timeout(self._connection.timeout_seconds, connect=CONNECT_SECONDS),
            verify=self._connection.verify,
            transport=self._connection.transport,
            # Of the environment only the proxy is left to be read: authorities are in ``verify``.
            trust_env=not self._connection.direct,
            follow_redirects=False,
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    @property
    def usage(self) -> Usage:
        """What has been spent since the client was made."""
        return self._usage

    @property
    def tracker_id(self) -> str:
        """The id of the integration that the issues belong to; known after ``open``."""
        return self._tracker_id

    @property
    def tenant_id(self) -> str:
        """The tenant that the issues belong to."""
        return self._account.tenant_id

    async def open(self) -> None:
        """Find the integration's id, which is the namespace of its issues, and see whether the key is accepted.

        Raises:
            AccessDeniedError, NotFoundError, TransientError: As ``decipher`` says.
        """
        if self._accepted and self._tracker_id:
            return
        found = await self._find_integration()
        if not self._tracker_id:
            self._tracker_id = found or make_tracker_id(self._account.tenant_id, self._account.name)
            if not found:
                log.info(
                    "Accelerate has no integration named %r; uploading its issues under the ID %s",
                    self._account.name,
                    self._tracker_id,
                )

    def mark_reachable(self) -> None:
        """Record that the server has accepted the key, so ``open`` needs no request."""
        self._accepted = True

    async def deliver(self, issues: Sequence[Issue]) -> AsyncIterator[Acknowledgement]:
        """Upload the issues in batches, in order.

        A batch that is too large, rejected, or makes the server fail is halved until the item at fault is alone: that
        item is rejected with the server's reason, and all others are delivered. A server that fails for several items
        and accepts none is considered broken, not the items.

        Yields:
            One acknowledgement for each upload that got a response.

        Raises:
            RallyAccelerateError: The fault is not in an item.
        """
        # One after the other: packed, the issues of a page are larger than they were.
        async for receipt in self._deliver_packed(payload.pack(issue) for issue in issues):
            yield receipt

    async def retire(self, retirements: Sequence[Retirement]) -> AsyncIterator[Acknowledgement]:
        """Upload the issues of removed items with their last status.

        Raises:
            RallyAccelerateError: The fault is not in an item.
        """
        async for receipt in self._deliver_packed(pack_retirement(entry) for entry in retirements):
            yield receipt

    async def read_back(
        self, external_ids: Sequence[str], *, projects: Sequence[str]
    ) -> Mapping[str, Mapping[str, Any]]:
        """Return what Accelerate returns of some issues of this integration; those that it does not hold are absent.

        Args:
            external_ids: The issues' ``_id``.
            projects: Keys of the projects that they may be in: which id ``issue`` looks for, and whose issue it
                answers where several integrations have the same, is not public, so the others are listed.

        Raises:
            RallyAccelerateError: The server does not answer these questions.
        """
        found: dict[str, Mapping[str, Any]] = {}
        for entry in external_ids:
            held = await self._read_issue(entry)
            if held is not None:
                found[entry] = held
        lacking = set(external_ids) - found.keys()
        if lacking:
            async for issue in self.list_issues(projects):
                key = str(issue.get("_id"))
                if key in lacking:
                    found[key] = issue
        return found

    async def _read_issue(self, external_id: str) -> Mapping[str, Any] | None:
        variables = {"tenantId": self._account.tenant_id, "issueId": external_id}
        data = await self.ask("issue", documents.read_issue(await self.readable_fields()), variables)
        return own_issue(data.get("issue"), tracker_id=self._tracker_id, external_id=external_id)

    async def _deliver_packed(self, packed: Iterable[payload.Packed]) -> AsyncIterator[Acknowledgement]:
        broken_by = 0
        for batch in payload.batches(packed, limits=self._limits, address=self._address()):
            waiting = [batch]
            while waiting:
                parcel = waiting.pop()
                try:
                    receipt = await self._upload(parcel)
                except (RejectedError, RequestTooLargeError, InternalServerError) as error:
                    if len(parcel) > 1:
                        middle = len(parcel) // 2
                        waiting += [parcel[middle:], parcel[:middle]]
                        continue
                    if isinstance(error, InternalServerError) and not self._delivered:
                        broken_by += 1
                        if broken_by >= BROKEN_FOR_ALL:
                            raise
                    receipt = Acknowledgement(
                        refused=((parcel[0].external_id, Skipped(parcel[0].display_id, str(error))),)
                    )
                else:
                    self._delivered = True
                yield receipt

    async def readable_fields(self) -> frozenset[str]:
        """Return the names of the fields of an issue that this server returns; one request per run.

        No published version of Accelerate returns histories, comments, raw issues or relations; the embedded server
        does (accelerate-api-notes.md#reading-issues-back). A server that refuses introspection is taken to return what
        every version does.

        Raises:
            RallyAccelerateError: The server cannot be reached.
        """
        if self._readable is None:
            try:
                data = await self.ask("readableFields", documents.READABLE_FIELDS, {})
            except (RejectedError, AccessDeniedError, NotFoundError, UnexpectedResponseError) as error:
                log.debug("introspection: %s", error)
                data = {}
            self._readable = frozenset(field_names(data.get("__type"))) or frozenset(documents.EVERYWHERE)
        return self._readable

    async def list_issues(self, projects: Sequence[str]) -> AsyncIterator[Mapping[str, Any]]:
        """Yield the issues of this integration that Accelerate holds, with every field that it returns.

        Args:
            projects: Keys of projects, as uploaded.

        Raises:
            RallyAccelerateError: As ``of_project`` says.
        """
        document = documents.read_issues(await self.readable_fields())
        for project in projects:
            async for issue in self.list_project_issues(project, document):
                yield issue

    async def list_project_issues(self, project: str, document: str) -> AsyncIterator[Mapping[str, Any]]:
        """Yield the issues of this integration in a project, each once, page by page.

        The cursor is opaque: each page is requested with the one that came with the page before it
        (accelerate-api-notes.md#queries).

        Args:
            project: A project's key, as uploaded.
            document: One of the documents for ``issuesForProjectKey``.

        Raises:
            UnexpectedResponseError: A page says that there are more, and its cursor leads nowhere new.
            RallyAccelerateError: As ``ask`` says.
        """
        seen: set[str] = set()
        listed: set[str] = set()
        cursors: set[str] = set()
        cursor: str | None = None
        fruitless = 0
        while True:
            variables = {
                "tenantId": self._account.tenant_id,
                "projectKey": project,
                "limit": ISSUES_IN_A_PAGE,
                "cursor": cursor,
            }
            data = await self.ask("issuesForProjectKey", document, variables)
            if data.get("issuesForProjectKey", ...) is None:
                return
            found = data.get("issuesForProjectKey")
            nodes, cursor = page_of(found)
            ids = {str(entry.get("_id")) for entry in nodes}
            fruitless = 0 if ids - listed else fruitless + 1
            listed |= ids
            for entry in nodes:
                issue = own_issue(entry, tracker_id=self._tracker_id)
                if issue is not None and (key := str(entry.get("_id"))) not in seen:
                    seen.add(key)
                    yield issue
            if cursor is None:
                return
            if cursor in cursors:
                raise UnexpectedResponseError(
                    f"Accelerate repeats a page of the issues of project {project}: it returned the same cursor twice",
                    hint="The issues that Accelerate holds cannot be listed. Uploading is not affected.",
                )
            if fruitless >= MOST_FRUITLESS_PAGES:
                raise UnexpectedResponseError(
                    f"Accelerate's list of the issues of project {project} does not end: {fruitless} pages in a row "
                    "brought nothing new",
                    hint="The issues that Accelerate holds cannot be listed. Uploading is not affected.",
                )
            cursors.add(cursor)

    async def ask(
        self, operation: str, document: str, variables: Mapping[str, Any], *, tries_when_broken: int | None = None
    ) -> Mapping[str, Any]:
        """Run an operation and return its ``data``.

        Args:
            operation: The name of the operation.
            document: The GraphQL document.
            variables: Its variables.
            tries_when_broken: How many bare failures of the server end the attempts; None for no limit of this kind.

        Raises:
            RallyAccelerateError: As ``decipher`` says, after tries again where they may help.
        """
        body = {"operationName": operation, "query": document, "variables": variables}
        content = orjson.dumps(body)
        data: Mapping[str, Any] = await self._post(content, operation=operation, tries_when_broken=tries_when_broken)
        return data

    async def _upload(self, parcel: Sequence[payload.Packed]) -> Acknowledgement:
        body = payload.body(parcel, address=self._address())
        await self._post(
            body,
            operation="uploadIssueData",
            tries_when_broken=TRIES_WHEN_BROKEN,
            check=responses.check_acknowledgement,
        )
        return Acknowledgement(delivered=tuple(one.external_id for one in parcel))

    async def _find_integration(self) -> str:
        variables = {"name": self._account.name, "tenantId": self._account.tenant_id}
        try:
            data = await self.ask("integrationByName", documents.FIND_INTEGRATION, variables)
        except RejectedError as error:
            # Some versions answer an unknown name with an error instead of null; a server may also lack the query.
            # Any other fault must not lead to an id of our own: the issues would be there twice.
            if not _UNKNOWN_NAME.search(str(error)):
                raise
            log.debug("integrationByName: %s", error)
            return ""
        if data.get("integrationByName", ...) is None:
            return ""
        found = data.get("integrationByName")
        its_id = found.get("_id") if isinstance(found, dict) else None
        # An id of our own for an integration that is there would duplicate its issues.
        if not isinstance(its_id, str) or not its_id.strip():
            raise UnexpectedResponseError(
                f"Accelerate's answer does not say whether it has an integration named {self._account.name!r}",
                hint="See the log of Accelerate's release-events-api for the reason.",
            )
        return its_id

    async def _post(
        self,
        content: bytes,
        *,
        operation: str,
        tries_when_broken: int | None = None,
        check: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> Any:
        tries = Tries(self._budget, SERVICE, tries_when_broken=tries_when_broken)

        def wait(error: Exception) -> bool | float:
            seconds = tries.wait_after(error)
            if seconds is None:
                return False
            self._usage += Usage(retries=1)
            log.warning("%s: %s; trying again", operation, error)
            tell(str(error), error.hint if isinstance(error, TransientError) else "")
            return seconds

        with track_attempts() as tell, closing(tries):
            async for attempt in stamina.retry_context(on=wait, attempts=None, timeout=None):
                with attempt:
                    tries.begins()
                    data = await self._post_once(content, operation=operation)
                    if check is not None:
                        check(data)
                    return data
        raise AssertionError("a retry loop ends by returning or raising")

    async def _post_once(self, content: bytes, *, operation: str) -> Mapping[str, Any]:
        started = time.monotonic()
        self._usage += Usage(requests=1, bytes_sent=len(content))
        # Also of a server that has answered before: one that hangs from now on must not outlast the run's time.
        longest = self._budget.get_limit(SERVICE, always=True)
        headers = {"Authorization": self._authorization}
        # Why a proxy refuses a connection is in its headers, which the library's error does not hold.
        answered: dict[str, str] = {}
        extensions = {"trace": capture_headers(answered)}
        try:
            async with (
                asyncio.timeout(None if math.isinf(longest) else longest),
                self._http.stream(
                    "POST", self._url, content=content, headers=headers, extensions=extensions
                ) as response,
            ):
                self._budget.record_response(SERVICE)
                answer = await join_limited(response.aiter_bytes(), most=self._connection.answer_max_bytes)
        except TimeoutError:
            raise ServiceTimeoutError(f"no answer from {self._url} within {longest:.0f} s") from None
        except OversizedJsonError as error:
            raise UnexpectedResponseError(
                f"Accelerate's answer to {operation} {error}.",
                hint="Check that accelerateUrl is Accelerate's address; if it is, raise answerMaxBytes.",
            ) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError) as error:
            raise connection_error(error, server=self._url, route=self._route, answered=answered) from error
        self._usage += Usage(bytes_received=len(answer))
        log.debug("%s: HTTP %s in %.2f s", operation, response.status_code, time.monotonic() - started)
        return responses.parse_response(
            response.status_code,
            {name.lower(): value for name, value in response.headers.items()},
            answer,
            route=self._route,
        )

    def _address(self) -> payload.Address:
        return payload.Address(
            source=SOURCE,
            tracker_id=self._tracker_id,
            tenant_id=self._account.tenant_id,
            base_url=self._account.source_url,
        )


def make_tracker_id(tenant_id: str, name: str) -> str:
    """Return a stable ID for an integration in Accelerate's format (24 hexadecimal digits)."""
    return hashlib.sha256(f"{SOURCE}\n{tenant_id}\n{name}".encode()).hexdigest()[:24]


def _environment_proxy(server: str) -> str:
    """Return the proxy that the HTTP library takes from the environment, without credentials; empty for none."""
    parts = urlsplit(server)
    proxies = urllib.request.getproxies()
    address = proxies.get(parts.scheme) or proxies.get("all") or ""
    if not address or urllib.request.proxy_bypass(parts.netloc):
        return ""
    scheme, mark, rest = address.rpartition("://")
    return (
        f"{scheme or 'http'}://{rest.rpartition('@')[2]}".rstrip("/") if mark else f"http://{rest.rpartition('@')[2]}"
    )


# A table of causes and errors reads better than one exit.
def connection_error(
    error: Exception, *, server: str, route: Route, answered: Mapping[str, str] | None = None
) -> RallyAccelerateError:
    """Return the error for a connection failure, by its cause.

    Args:
        error: What the HTTP library raised.
        server: The address that was asked, for the message.
        route: How it was asked.
        answered: The headers of the last answer that came, which may be a proxy's refusal to connect.
    """
    if found := explain_connection_error(error, route):
        if isinstance(found, CertificateVerificationError):
            found.hint = f"{found.hint} Or set verifyAccelerateTls to false, if only a test needs the connection."
        return found
    match error:
        case httpx2.ConnectTimeout():
            return UnreachableError(f"no connection to {server} within {CONNECT_SECONDS:g} s")
        case httpx2.TimeoutException():
            return ServiceTimeoutError(f"no answer from {server} in time")
        case httpx2.ProxyError():
            return explain_connect_refusal(str(error), answered or {}, route) or UnreachableError(
                f"the proxy on the way to {server} fails: {error}"
            )
        case httpx2.InvalidURL() | httpx2.UnsupportedProtocol():
            return ConfigError("an address cannot be used", problems=[Problem("accelerateUrl", str(error))])
        case _:
            reason = str(error) or type(error).__name__
            hint = f"If the server takes https only, set {route.setting} to https://." if server[:5] == "http:" else ""
            return UnreachableError(f"no connection to {server}: {reason}", hint=hint)
