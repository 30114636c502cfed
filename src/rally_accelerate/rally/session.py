"""One read of Rally from the question to the data: limiter, network, decipher, retry, and what it cost."""

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
from rally_accelerate.model.foreign_responses import headers_into
from rally_accelerate.model.lenient_json import OversizedJsonError, bounded
from rally_accelerate.model.report import Usage, trying
from rally_accelerate.model.time_budget import RetryBudget
from rally_accelerate.rally import lookback
from rally_accelerate.rally.limiter import Limiter
from rally_accelerate.rally.responses import Answer, Oddities, decipher
from rally_accelerate.rally.transport import translated, way_of, whole
from rally_accelerate.rally.wsapi import Request

logger = logging.getLogger(__name__)

#: What the budget of a run calls Rally.
SERVICE = "Rally"

FIRST_WAIT = 1.0
LONGEST_WAIT = 30.0
JITTER = 2.0

#: Who tries for no longer than this waits before a screen: an attempt that itself took longer is the last one, also
#: where the next would ask for less.
LITTLE_PATIENCE = 10.0

#: For so long it asks for less and less before such a screen.
LONGEST_SHRINKING = 20.0

#: For so long a run asks for less and less as if no time were lost. A service that has not answered by then may hang:
#: what follows counts as time that the run loses.
LONGEST_EASING = 60.0

#: What fails sooner does not fail because of the size of what was asked for.
AT_ONCE_SECONDS = 5.0

T = TypeVar("T")


async def retrying(
    attempt: Callable[[], Awaitable[T]],
    *,
    seconds: float,
    eased: Callable[[TransientError], bool] = lambda _: False,
    retried: Callable[[], None] = lambda: None,
    budget: RetryBudget | None = None,
) -> T:
    """Run an attempt until it succeeds, fails for good, or has failed for too long.

    Waits double from one second to thirty, with jitter; a wait that the service asks for is kept exactly. In
    tests ``stamina.set_testing`` switches all waits off.

    Args:
        attempt: What is tried; makes its request anew each time.
        seconds: For how long after the first failure further attempts begin; 0 means one attempt only.
        eased: Told of each failure; answers whether the next attempt will ask for less. Then it is another
            request, and the time begins anew, as long as all attempts together take less than
            ``LONGEST_EASING``: a page that takes too long is halved until it fits, not given up after two tries.
        retried: Called before each further attempt.
        budget: The time that all requests of the run may lose together; None leaves this request to itself.

    Raises:
        RallyAccelerateError: What the last attempt raised.
    """
    with trying() as tell, closing(_Patience(seconds, eased, tell, budget)) as patience:
        async for try_ in stamina.retry_context(on=patience.decide, attempts=None, timeout=None):
            with try_:
                patience.begins()
                if try_.num > 1:
                    retried()
                    logger.warning("Trying again (attempt %d) after: %s", try_.num, patience.last)
                result = await attempt()
                patience.succeeded()
                return result
    raise AssertionError("stamina ends with a result or an exception")


class _Patience:
    """Decides after each failure whether to go on, and how long to wait."""

    def __init__(
        self,
        seconds: float,
        eased: Callable[[TransientError], bool],
        tell: Callable[[str, str], None],
        budget: RetryBudget | None,
    ) -> None:
        self._is_run = budget is not None
        self._seconds = seconds
        self._eased = eased
        self._tell = tell
        self._budget = budget or RetryBudget(seconds)
        self._until: float | None = None
        self._began = 0.0
        self._first: float | None = None
        self._failures = 0
        self._counted = False
        self._asked_less = False
        self._started: float | None = None
        self._succeeded = False
        self.last: TransientError | None = None

    def begins(self) -> None:
        """Note that an attempt begins."""
        self._began = time.monotonic()
        if self._started is None:
            self._started = self._began

    def succeeded(self) -> None:
        """Note that the last attempt brought an answer."""
        self._succeeded = True

    def close(self) -> None:
        """End the count of the time that this request loses; a smaller page that came is no loss."""
        if self._counted:
            self._budget.ended(counts=not (self._succeeded and self._asked_less))
            self._counted = False

    def decide(self, error: Exception) -> bool | float:
        """Return False to give up, or for how many seconds to wait before the next attempt; stamina's hook."""
        if not isinstance(error, TransientError):
            return False
        now = time.monotonic()
        if self._first is None:
            self._first = now
        if self._seconds <= LITTLE_PATIENCE and (
            now - self._began > self._seconds or now - self._first > LONGEST_SHRINKING
        ):
            return False
        self._failures += 1
        eased = self._eased(error) and not self._is_dead(now)
        self._asked_less |= eased
        if eased and not self._may_hang(now):
            if self._counted:
                self._budget.ended(counts=False)
                self._counted = False
            self._until = now + self._seconds
            left = self._seconds
        else:
            if eased and not self._counted:
                self._until = now + self._seconds
            self._count(error, now)
            if self._until is None:
                self._until = now + self._seconds
            left = min(self._until - now, self._budget.left(SERVICE))
            if self._whole(error):
                # The next attempt will take as long as this one, and is to end in time too.
                left -= now - self._began
        self.last = error
        if left <= 0 or (error.retry_after or 0.0) >= left:
            return False
        # Told now, not when the next attempt begins: whoever looks on sees nothing else during a long wait.
        self._tell(str(error), error.hint)
        if error.retry_after:
            return error.retry_after
        # The last attempt is made when the time is over, not up to half a minute later.
        return min(backoff(self._failures), left)

    def _is_dead(self, now: float) -> bool:
        """Return whether asking for less changes nothing: no answer ever came, or the failure came at once."""
        silent = not self._budget.has_answered(SERVICE)
        return self._is_run and (silent or now - self._began < AT_ONCE_SECONDS)

    def _may_hang(self, now: float) -> bool:
        """Return whether so much time has passed that more of it is lost, even if the next attempt asks for less."""
        return self._is_run and self._started is not None and now - self._started >= LONGEST_EASING

    def _count(self, error: TransientError, now: float) -> None:
        """Count the time that is lost, with the failed attempt where no answer was to be expected any more."""
        if self._counted:
            return
        self._budget.failing(SERVICE, since=self._began if self._whole(error) else now)
        self._counted = True

    def _whole(self, error: TransientError) -> bool:
        # A request that was made smaller is another one, whose time begins with its failure.
        return isinstance(error, UnreachableError) or (not self._asked_less and not self._budget.has_answered(SERVICE))


def backoff(failures: int) -> float:
    """Return how many seconds to wait after so many failures of a request."""
    # Jitter needs no cryptography.
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(failures - 1, 10)) + random.uniform(0, JITTER)  # noqa: S311


#: Below this, asking for less no longer helps.
SMALLEST = 10

#: Requests are cut at 4 to 5 minutes (rally-api-notes.md#limits): half of the shorter limit is a warning.
SLOW_SECONDS = 120.0
#: Only answers well within that let the size grow again.
QUICK_SECONDS = 30.0

#: The part of a page to ask for next when the last answer took so long that there is little time left.
SMALL_PART = 10

#: Larger bodies cost memory and tempt gateways to cut them.
LARGE_BYTES = 32_000_000

#: The size grows by a quarter of itself, so that a size that failed is not tried again at once.
GROWTH = 4


@dataclass(frozen=True, slots=True)
class PageSize:
    """A size that remembers its largest value."""

    largest: int
    current: int

    @classmethod
    def of(cls, largest: int) -> "PageSize":
        """The size to begin with."""
        return cls(largest, largest)

    @property
    def can_shrink(self) -> bool:
        """Whether a smaller size is left to try."""
        return self.current > min(SMALLEST, self.largest)

    def shrunk(self, *, by: int = 2) -> "PageSize":
        """Half, or another part, but not below the smallest useful size."""
        return replace(self, current=max(min(SMALLEST, self.largest), self.current // by))

    def after(self, *, seconds: float, size: int) -> "PageSize":
        """The size for the next page when this one came whole.

        Args:
            seconds: How long the answer took.
            size: The body's bytes, decompressed.
        """
        if seconds > SLOW_SECONDS or size > LARGE_BYTES:
            return self.shrunk()
        grown = self.current + max(1, self.current // GROWTH)
        if seconds > QUICK_SECONDS or size * grown > LARGE_BYTES * self.current:
            return self
        return replace(self, current=min(self.largest, grown))


#: An answer that trickles has arrived after so many times of what may pass between two pieces of it, or is given up.
#: Rally cuts requests at 4 to 5 minutes (rally-api-notes.md#limits).
WHOLE_ANSWER = 2

#: How often an unlikely answer has to come before it is believed.
TRIES_WHEN_DOUBTFUL = 3

#: What Lookback's rows are called where page sizes are learned.
SNAPSHOT = "snapshot"

_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Sizes:
    """The page sizes that one client has learned, by what is asked for."""

    properties: Properties
    learned: dict[str, PageSize]

    def of(self, what: str) -> PageSize:
        """The present size."""
        return self.learned.setdefault(what, PageSize.of(largest_page(what, self.properties)))


def largest_page(kind: str, properties: Properties) -> int:
    """How many rows of a kind are asked for at most: revisions are small, so only who wants small pages gets less."""
    if kind == SNAPSHOT:
        # In proportion: whoever asks for small pages of items wants small answers.
        return max(1, lookback.LARGEST_PAGE * min(properties.page_size, DEFAULT_PAGE_SIZE) // DEFAULT_PAGE_SIZE)
    if kind == "revision" and properties.page_size >= DEFAULT_PAGE_SIZE:
        return LARGEST_PAGE
    return properties.page_size


class _DoubtfulRequestError(UnavailableError):
    """An answer that is requested again before it is trusted."""


class Caller:
    """Asks Rally; the only place where requests are sent."""

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
        self._way = way_of(properties)
        self._timeout = properties.request_timeout_seconds
        self._retry_seconds = properties.retry_seconds
        self._most_bytes = properties.answer_max_bytes
        self._budget = budget or RetryBudget(properties.retry_seconds)
        self._sizes = Sizes(properties, {})
        self.usage = Usage()
        self.oddities = Oddities()

    async def read(self, request: Request) -> Answer:
        """The answer to a request whose size does not matter."""
        return await retrying(
            lambda: self._send(request),
            seconds=self._retry_seconds,
            retried=lambda: self._count(retries=1),
            budget=self._budget,
        )

    async def page(
        self,
        what: str,
        ask: Callable[[int], Request],
        *,
        patience: float = math.inf,
        doubtful: Callable[[Mapping[str, Any]], bool] = lambda _: False,
    ) -> tuple[Answer, int]:
        """One page, as large as the service manages: its answer, and how many rows were asked for.

        Args:
            what: The kind of rows; what is learned about their size is kept for the next page.
            ask: Makes the request for a number of rows; called anew for each attempt, as the number may have
                shrunk.
            patience: For how many seconds a failing request is tried again at most, where there is another way.
            doubtful: Whether an answer is so unlikely that the request is repeated, a few times, before it is believed.
        """
        asked_for = doubts = 0
        started = time.monotonic()
        doubted: Answer | None = None

        async def attempt() -> Answer:
            nonlocal asked_for, doubts, doubted
            asked_for = self._sizes.of(what).current
            answer = await self._send(ask(asked_for), what=what)
            if doubts < TRIES_WHEN_DOUBTFUL - 1 and doubtful(answer.data):
                doubts, doubted = doubts + 1, answer
                raise _DoubtfulRequestError(f"Rally announces rows of {what} but returns an empty page.")
            return answer

        def eased(error: TransientError) -> bool:
            size = self._sizes.of(what)
            if not isinstance(error, ServiceTimeoutError | TruncatedResponseError) or not size.can_shrink:
                return False
            # Another task may have learned the same from its own failure: one halving is enough for both.
            if size.current >= asked_for:
                is_late = time.monotonic() - started >= LONGEST_EASING
                self._sizes.learned[what] = size.shrunk(by=SMALL_PART) if is_late else size.shrunk()
            return True

        try:
            answer = await retrying(
                attempt,
                seconds=min(self._retry_seconds, patience),
                eased=eased,
                retried=lambda: self._count(retries=1),
                budget=self._budget,
            )
        except _DoubtfulRequestError:
            # There is no time left to ask again.
            assert doubted is not None
            answer = doubted
        return answer, asked_for

    async def _send(self, request: Request, *, what: str = "") -> Answer:
        async with self._limiter.slot():
            started = time.monotonic()
            self._count(requests=1, bytes_sent=len(request.target) + len(request.body))
            address = f"{self._base_url}{request.target}"
            method, headers = ("POST", _JSON) if request.body else ("GET", None)
            longest = min(WHOLE_ANSWER * self._timeout, self._budget.limit(SERVICE))
            answered: dict[str, str] = {}
            with translated(request.asked, seconds=self._timeout, way=self._way, answered=answered):
                async with (
                    whole(request.asked, seconds=longest),
                    self._http.stream(
                        method,
                        address,
                        content=request.body or None,
                        headers=headers,
                        # Why a proxy refuses a connection is in its headers, which the library's error does not hold.
                        extensions={"trace": headers_into(answered)},
                    ) as response,
                ):
                    self._budget.answered(SERVICE)
                    try:
                        # Joined there: a response that was read keeps its body until the garbage collector comes.
                        body = await bounded(response.aiter_bytes(), most=self._most_bytes)
                    except OversizedJsonError as error:
                        raise UnexpectedResponseError(
                            f"The answer for {request.asked} {error}.",
                            hint="Lower pageSize; if the items are really so large, raise answerMaxBytes. Otherwise "
                            "check that no proxy or gateway answers in Rally's place.",
                        ) from None
                    finally:
                        self._count(bytes_received=response.num_bytes_downloaded)
            seconds = time.monotonic() - started
        answer = decipher(
            response.status_code, response.headers, body, asked=request.asked, seconds=seconds, route=self._way
        )
        self.oddities.unreadable(answer.unreadable)
        if what:
            self._sizes.learned[what] = self._sizes.of(what).after(seconds=seconds, size=len(body))
        return answer

    def _count(self, **more: int) -> None:
        self.usage = replace(self.usage, **{name: getattr(self.usage, name) + count for name, count in more.items()})
