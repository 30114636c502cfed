"""What is answered when a request fails by no fault of its own, and how long one may take to arrive."""

import asyncio
import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive

from rally_accelerate.errors import StoreError
from rally_accelerate.host.web.addresses import page_before
from rally_accelerate.host.web.render import page

#: A body has arrived after so long, or it never will: an upload of ten megabytes over a slow line takes half of it.
BODY_SECONDS = 180.0

#: Said of a fault that nobody but a developer can mend.
FAULT, REPORT = "A fault in rally-accelerate itself.", "Its details are in the log of the process; please report it."


class SlowBodyError(Exception):
    """A request did not arrive in time."""


def within(receive: Receive, seconds: float) -> Receive:
    """Receive a request, but no longer than some time in all; afterwards, wait as long as it takes for a hang-up."""
    ends = time.monotonic() + seconds
    whole = False

    async def receiving() -> Message:
        nonlocal whole
        if whole:
            return await receive()
        try:
            async with asyncio.timeout(max(0.0, ends - time.monotonic())):
                message = await receive()
        except TimeoutError:
            raise SlowBodyError from None
        whole = not message.get("more_body", False)
        return message

    return receiving


def unkept(error: StoreError) -> str:
    """What a form says above what was typed, which could not be kept."""
    text = str(error).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}, so nothing was saved. {error.hint}".strip()


def faulty(request: Request, text: str, hint: str, *, status: int, api: bool) -> Response:
    """The answer to a request that could not be answered, in the form that its sender reads.

    Args:
        request: The request.
        text: What is wrong, in one sentence.
        hint: What can be done about it.
        status: Of HTTP.
        api: Whether a GraphQL client asks.
    """
    if api:
        return JSONResponse({"errors": [{"message": f"{text} {hint}".strip()}]}, status)
    data = {"title": "Not done", "error": text, "hint": hint, "before": page_before(request)}
    return page(request, "fault.html", data, status=status)
