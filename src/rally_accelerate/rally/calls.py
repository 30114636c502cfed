"""One read of Rally from the question to the data: limiter, network, decipher, retry, and what it cost."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx2

from rally_accelerate.config.model import DEFAULT_PAGE_SIZE, LARGEST_PAGE, Properties
from rally_accelerate.errors import CutShort, TimedOut, Transient, Unavailable, UnexpectedAnswer
from rally_accelerate.model.budget import RetryBudget
from rally_accelerate.model.decoding import Oversized, bounded
from rally_accelerate.model.foreign import headers_into
from rally_accelerate.model.report import Usage
from rally_accelerate.rally import lookback
from rally_accelerate.rally.decipher import Answer, decipher
from rally_accelerate.rally.limiter import Limiter
from rally_accelerate.rally.oddities import Oddities
from rally_accelerate.rally.pagesize import SMALL_PART, PageSize
from rally_accelerate.rally.retry import LONGEST_EASING, SERVICE, retrying
from rally_accelerate.rally.transport import translated, way_of, whole
from rally_accelerate.rally.wire import Request

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


class _Doubtful(Unavailable):
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
                raise _Doubtful(f"Rally announces rows of {what} but returns an empty page.")
            return answer

        def eased(error: Transient) -> bool:
            size = self._sizes.of(what)
            if not isinstance(error, TimedOut | CutShort) or not size.can_shrink:
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
        except _Doubtful:
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
                    except Oversized as error:
                        raise UnexpectedAnswer(
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
