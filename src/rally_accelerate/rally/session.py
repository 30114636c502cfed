"""Requests to Rally: concurrency limit, retries, adaptive page size, and usage counts."""

import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import httpx2
import stamina

from rally_accelerate.config.model import DEFAULT_PAGE_SIZE, LARGEST_PAGE, Properties
from rally_accelerate.errors import (
    ServiceTimeoutError,
    TransientError,
    TruncatedResponseError,
    UnavailableError,
    UnexpectedResponseError,
    UnreachableError,
)
from rally_accelerate.model.foreign_responses import capture_headers
from rally_accelerate.model.lenient_json import OversizedJsonError, join_limited
from rally_accelerate.model.report import Usage, track_attempts
from rally_accelerate.model.time_budget import RetryBudget
from rally_accelerate.rally import lookback
from rally_accelerate.rally.limiter import Limiter
from rally_accelerate.rally.responses import Answer, Oddities, parse_response
from rally_accelerate.rally.transport import limit_duration, make_route, translate_errors
from rally_accelerate.rally.wsapi import Request

logger = logging.getLogger(__name__)

#: The name of Rally in the retry budget of a run.
SERVICE = "Rally"

INITIAL_WAIT = 1.0
MAX_WAIT = 30.0
JITTER = 2.0

#: Up to this retry time, a user is assumed to wait: an attempt that took longer is the last one, even if the next page
#: would be smaller.
INTERACTIVE_RETRY_SECONDS = 10.0

#: Maximum time for shrinking the page while a user waits.
MAX_INTERACTIVE_SHRINKING = 20.0

#: Maximum time for shrinking the page in a run before the time counts as lost: a service that has not responded by then
#: might hang.
MAX_SHRINKING = 60.0

#: Failures before this time are not caused by the page size.
IMMEDIATE_FAILURE_SECONDS = 5.0

T = TypeVar("T")


async def retry(
    attempt: Callable[[], Awaitable[T]],
    *,
    seconds: float,
    shrink: Callable[[TransientError], bool] = lambda _: False,
    on_retry: Callable[[], None] = lambda: None,
    budget: RetryBudget | None = None,
) -> T:
    """Repeat an attempt until it succeeds, fails permanently, or has failed for too long.

    Waits double from one second to thirty, with jitter; a wait that the service requests is used exactly. In
    tests ``stamina.set_testing`` switches all waits off.

    Args:
        attempt: The operation; creates a new request each time.
        seconds: How long after the first failure further attempts can start; 0 for one attempt only.
        shrink: Called with each failure; returns whether the next attempt requests a smaller page. Then it is a new
            request, and the time starts again, as long as all attempts together take less than
            ``MAX_SHRINKING``: a page that takes too long is halved until it fits, not given up after two tries.
        on_retry: Called before each further attempt.
        budget: The time that all requests of the run can lose in total; None for this request alone.

    Raises:
        RallyAccelerateError: What the last attempt raised.
    """
    with track_attempts() as report, closing(_RetryPolicy(seconds, shrink, report, budget)) as patience:
        async for try_ in stamina.retry_context(on=patience.decide, attempts=None, timeout=None):
            with try_:
                patience.start_attempt()
                if try_.num > 1:
                    on_retry()
                    logger.warning("Trying again (attempt %d) after: %s", try_.num, patience.last_error)
                result = await attempt()
                patience.mark_succeeded()
                return result
    raise AssertionError("stamina ends with a result or an exception")


class _RetryPolicy:
    """Decides after each failure whether to retry, and how long to wait."""

    def __init__(
        self,
        seconds: float,
        shrink: Callable[[TransientError], bool],
        report: Callable[[str, str], None],
        budget: RetryBudget | None,
    ) -> None:
        self._is_run = budget is not None
        self._seconds = seconds
        self._shrink = shrink
        self._report = report
        self._budget = budget or RetryBudget(seconds)
        self._deadline: float | None = None
        self._attempt_started_at = 0.0
        self._first_failed_at: float | None = None
        self._failures = 0
        self._is_counting = False
        self._has_shrunk = False
        self._first_started_at: float | None = None
        self._succeeded = False
        self.last_error: TransientError | None = None

    def start_attempt(self) -> None:
        """Record the start of an attempt."""
        self._attempt_started_at = time.monotonic()
        if self._first_started_at is None:
            self._first_started_at = self._attempt_started_at

    def mark_succeeded(self) -> None:
        """Record that the last attempt succeeded."""
        self._succeeded = True

    def close(self) -> None:
        """Stop counting the time that this request lost; a smaller page that succeeded is no loss."""
        if self._is_counting:
            self._budget.end_failure(counts=not (self._succeeded and self._has_shrunk))
            self._is_counting = False

    def decide(self, error: Exception) -> bool | float:
        """Return how many seconds to wait before the next attempt, or False to give up; a hook of stamina."""
        if not isinstance(error, TransientError):
            return False
        now = time.monotonic()
        if self._first_failed_at is None:
            self._first_failed_at = now
        if self._seconds <= INTERACTIVE_RETRY_SECONDS and (
            now - self._attempt_started_at > self._seconds or now - self._first_failed_at > MAX_INTERACTIVE_SHRINKING
        ):
            return False
        self._failures += 1
        is_smaller = self._shrink(error) and not self._is_hopeless(now)
        self._has_shrunk |= is_smaller
        if is_smaller and not self._may_hang(now):
            if self._is_counting:
                self._budget.end_failure(counts=False)
                self._is_counting = False
            self._deadline = now + self._seconds
            remaining = self._seconds
        else:
            if is_smaller and not self._is_counting:
                self._deadline = now + self._seconds
            self._count_loss(error, now)
            if self._deadline is None:
                self._deadline = now + self._seconds
            remaining = min(self._deadline - now, self._budget.get_remaining(SERVICE))
            if self._counts_attempt(error):
                # The next attempt can take as long as this one, and must end in time, too.
                remaining -= now - self._attempt_started_at
        self.last_error = error
        if remaining <= 0 or (error.retry_after or 0.0) >= remaining:
            return False
        # Reported now, not when the next attempt starts, because a long wait shows no other progress.
        self._report(str(error), error.hint)
        if error.retry_after:
            return error.retry_after
        # The last attempt is made when the time is over, not up to half a minute later.
        return min(backoff(self._failures), remaining)

    def _is_hopeless(self, now: float) -> bool:
        """Return whether a smaller page cannot help: there was never a response, or the attempt failed at once."""
        silent = not self._budget.has_responded(SERVICE)
        return self._is_run and (silent or now - self._attempt_started_at < IMMEDIATE_FAILURE_SECONDS)

    def _may_hang(self, now: float) -> bool:
        """Return whether further attempts count as lost time, even with a smaller page."""
        return self._is_run and self._first_started_at is not None and now - self._first_started_at >= MAX_SHRINKING

    def _count_loss(self, error: TransientError, now: float) -> None:
        """Start counting lost time, including the failed attempt if no response could be expected."""
        if self._is_counting:
            return
        self._budget.start_failure(SERVICE, since=self._attempt_started_at if self._counts_attempt(error) else now)
        self._is_counting = True

    def _counts_attempt(self, error: TransientError) -> bool:
        # A request that was made smaller is another one, whose time begins with its failure.
        return isinstance(error, UnreachableError) or (not self._has_shrunk and not self._budget.has_responded(SERVICE))


def backoff(failures: int) -> float:
    """Return how many seconds to wait after so many failures of a request."""
    # Jitter needs no cryptography.
    return min(MAX_WAIT, INITIAL_WAIT * 2.0 ** min(failures - 1, 10)) + random.uniform(0, JITTER)  # noqa: S311


#: Below this, a smaller page no longer helps.
MIN_PAGE_SIZE = 10

#: Requests are cut at 4 to 5 minutes (rally-api-notes.md#limits): half of the shorter limit is a warning.
SLOW_SECONDS = 120.0
#: Only answers well within that let the size grow again.
FAST_SECONDS = 30.0

#: The part of a page to ask for next when the last answer took so long that there is little time left.
LATE_SHRINK_FACTOR = 10

#: Larger bodies cost memory and tempt gateways to cut them.
LARGE_BYTES = 32_000_000

#: The size grows by a quarter of itself, so that a size that failed is not tried again at once.
GROWTH_DIVISOR = 4


@dataclass(frozen=True, slots=True)
class PageSize:
    """A page size with its maximum."""

    maximum: int
    current: int

    @classmethod
    def of(cls, largest: int) -> "PageSize":
        """Return the initial size."""
        return cls(largest, largest)

    @property
    def can_shrink(self) -> bool:
        """Whether a smaller size is possible."""
        return self.current > min(MIN_PAGE_SIZE, self.maximum)

    def shrink(self, *, by: int = 2) -> "PageSize":
        """Return half of the size, or another fraction, but not less than the minimum."""
        return replace(self, current=max(min(MIN_PAGE_SIZE, self.maximum), self.current // by))

    def adjust(self, *, seconds: float, size: int) -> "PageSize":
        """Return the size for the next page after a complete response.

        Args:
            seconds: How long the answer took.
            size: The body's bytes, decompressed.
        """
        if seconds > SLOW_SECONDS or size > LARGE_BYTES:
            return self.shrink()
        grown = self.current + max(1, self.current // GROWTH_DIVISOR)
        if seconds > FAST_SECONDS or size * grown > LARGE_BYTES * self.current:
            return self
        return replace(self, current=min(self.maximum, grown))


#: Maximum time of a slow response, as a multiple of the read timeout, which limits the time between two parts of it.
#: Rally cuts requests at 4 to 5 minutes (rally-api-notes.md#limits).
ANSWER_TIMEOUT_FACTOR = 2

#: How often an unlikely response must be repeated before it is accepted.
MAX_DOUBTFUL_TRIES = 3

#: The kind of Lookback's rows in page sizes.
SNAPSHOT = "snapshot"

_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class PageSizes:
    """The adaptive page sizes of one client, by kind of rows."""

    properties: Properties
    current: dict[str, PageSize]

    def of(self, what: str) -> PageSize:
        """Return the current size of a kind."""
        return self.current.setdefault(what, PageSize.of(largest_page(what, self.properties)))


def largest_page(kind: str, properties: Properties) -> int:
    """Return the maximum page size of a kind; revisions are small, so only a smaller pageSize reduces theirs."""
    if kind == SNAPSHOT:
        # In proportion to pageSize: a smaller one means smaller responses.
        return max(1, lookback.MAX_PAGE_SIZE * min(properties.page_size, DEFAULT_PAGE_SIZE) // DEFAULT_PAGE_SIZE)
    if kind == "revision" and properties.page_size >= DEFAULT_PAGE_SIZE:
        return LARGEST_PAGE
    return properties.page_size


class _DoubtfulRequestError(UnavailableError):
    """An unlikely response, which is requested again before it is accepted."""


class Session:
    """Sends all requests to Rally."""

    def __init__(
        self,
        http: httpx2.AsyncClient,
        limiter: Limiter,
        properties: Properties,
        budget: RetryBudget | None = None,
    ) -> None:
        self._http = http
        self._limiter = limiter
        self._base_url = properties.base_url
        self._route = make_route(properties)
        self._timeout = properties.request_timeout_seconds
        self._retry_seconds = properties.retry_seconds
        self._max_bytes = properties.answer_max_bytes
        self._budget = budget or RetryBudget(properties.retry_seconds)
        self._sizes = PageSizes(properties, {})
        self.usage = Usage()
        self.oddities = Oddities()

    async def read(self, request: Request) -> Answer:
        """Send a request whose page size does not matter, and return the response."""
        return await retry(
            lambda: self._send(request),
            seconds=self._retry_seconds,
            on_retry=lambda: self._count(retries=1),
            budget=self._budget,
        )

    async def read_page(
        self,
        what: str,
        ask: Callable[[int], Request],
        *,
        patience: float = math.inf,
        doubtful: Callable[[Mapping[str, Any]], bool] = lambda _: False,
    ) -> tuple[Answer, int]:
        """Read a page as large as the service can deliver; return the response and the requested size.

        Args:
            what: The kind of rows; its page size is adapted for the next page.
            ask: Builds the request for a number of rows; called for each attempt, because the number can
                shrink.
            patience: Maximum retry time in seconds, if there is an alternative.
            doubtful: Whether a response is so unlikely that the request is repeated a few times before it is accepted.
        """
        requested_size = doubts = 0
        started = time.monotonic()
        doubted: Answer | None = None

        async def attempt() -> Answer:
            nonlocal requested_size, doubts, doubted
            requested_size = self._sizes.of(what).current
            answer = await self._send(ask(requested_size), what=what)
            if doubts < MAX_DOUBTFUL_TRIES - 1 and doubtful(answer.data):
                doubts, doubted = doubts + 1, answer
                raise _DoubtfulRequestError(f"Rally announces rows of {what} but returns an empty page.")
            return answer

        def shrink(error: TransientError) -> bool:
            size = self._sizes.of(what)
            if not isinstance(error, ServiceTimeoutError | TruncatedResponseError) or not size.can_shrink:
                return False
            # Another task can have reduced the size after its own failure: one reduction is enough for both.
            if size.current >= requested_size:
                is_late = time.monotonic() - started >= MAX_SHRINKING
                self._sizes.current[what] = size.shrink(by=LATE_SHRINK_FACTOR) if is_late else size.shrink()
            return True

        try:
            answer = await retry(
                attempt,
                seconds=min(self._retry_seconds, patience),
                shrink=shrink,
                on_retry=lambda: self._count(retries=1),
                budget=self._budget,
            )
        except _DoubtfulRequestError:
            # There is no time left for another request.
            assert doubted is not None
            answer = doubted
        return answer, requested_size

    async def _send(self, request: Request, *, what: str = "") -> Answer:
        async with self._limiter.slot():
            started = time.monotonic()
            self._count(requests=1, bytes_sent=len(request.target) + len(request.body))
            address = f"{self._base_url}{request.target}"
            method, headers = ("POST", _JSON) if request.body else ("GET", None)
            longest = min(ANSWER_TIMEOUT_FACTOR * self._timeout, self._budget.get_limit(SERVICE))
            answered: dict[str, str] = {}
            with translate_errors(request.resource, seconds=self._timeout, route=self._route, answered=answered):
                async with (
                    limit_duration(request.resource, seconds=longest),
                    self._http.stream(
                        method,
                        address,
                        content=request.body or None,
                        headers=headers,
                        # Why a proxy refuses a connection is in its headers, which the library's error does not hold.
                        extensions={"trace": capture_headers(answered)},
                    ) as response,
                ):
                    self._budget.record_response(SERVICE)
                    try:
                        # Joined there: a response that was read keeps its body until the garbage collector comes.
                        body = await join_limited(response.aiter_bytes(), most=self._max_bytes)
                    except OversizedJsonError as error:
                        raise UnexpectedResponseError(
                            f"The answer for {request.resource} {error}.",
                            hint="Lower pageSize; if the items are really so large, raise answerMaxBytes. Otherwise "
                            "check that no proxy or gateway answers in Rally's place.",
                        ) from None
                    finally:
                        self._count(bytes_received=response.num_bytes_downloaded)
            seconds = time.monotonic() - started
        answer = parse_response(
            response.status_code, response.headers, body, resource=request.resource, seconds=seconds, route=self._route
        )
        self.oddities.add_unreadable(answer.unreadable)
        if what:
            self._sizes.current[what] = self._sizes.of(what).adjust(seconds=seconds, size=len(body))
        return answer

    def _count(self, **more: int) -> None:
        self.usage = replace(self.usage, **{name: getattr(self.usage, name) + count for name, count in more.items()})
