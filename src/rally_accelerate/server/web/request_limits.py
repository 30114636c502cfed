"""How long a request's body can take to arrive, and how large it can be, by whether its sender is known.

Without limits, a client that sends one byte at a time would keep a connection and its descriptor for as long as it
likes. Clients without a session or an access key send nothing but the sign-in form, which is small.
"""

import asyncio
import time
from dataclasses import dataclass

from starlette.types import Message, Receive


class SlowBodyError(Exception):
    """A request did not arrive in time."""


class LargeBodyError(Exception):
    """A request is larger than its sender can send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What is expected of a body."""

    #: It has arrived after so long in all.
    seconds: float
    #: It can take so long before ``rate`` counts.
    grace: float
    #: Bytes per second on average.
    rate: float
    #: In bytes; None leaves it to the routes.
    most: int | None = None

    def ends(self, received: int) -> float:
        """Return after how many seconds a body is given up of which some bytes have been received."""
        return min(self.seconds, self.grace + received / self.rate)


#: The sign-in form: two short fields, and an address with its filters.
OF_STRANGERS = Arrival(seconds=10.0, grace=10.0, rate=1_000.0, most=20_000)

#: An upload of ten megabytes over a slow line takes half of the time.
OF_CALLERS = Arrival(seconds=180.0, grace=20.0, rate=500.0)


def within(receive: Receive, arrival: Arrival, *, announced: int = 0) -> Receive:
    """Receive a request while it arrives as expected; afterwards, wait as long as it takes for a hang-up.

    Args:
        receive: Receives it.
        arrival: What is expected.
        announced: The size that its headers announce; 0 if they do not.
    """
    begun, received, is_complete = time.monotonic(), 0, False

    async def receiving() -> Message:
        nonlocal received, is_complete
        if is_complete:
            return await receive()
        if arrival.most is not None and announced > arrival.most:
            raise LargeBodyError
        remaining = begun + arrival.ends(received) - time.monotonic()
        # What has arrived already is received without waiting, so that no timeout would end it.
        if remaining <= 0 and received:
            raise SlowBodyError
        try:
            async with asyncio.timeout(max(0.0, remaining)):
                message = await receive()
        except TimeoutError:
            raise SlowBodyError from None
        received += len(message.get("body", b""))
        if arrival.most is not None and received > arrival.most:
            raise LargeBodyError
        is_complete = not message.get("more_body", False)
        return message

    return receiving
