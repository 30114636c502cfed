"""One request: what arrives piece by piece and never whole is given up."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from rally_accelerate.config.load import validated
from rally_accelerate.errors import TimedOut
from rally_accelerate.rally import calls
from rally_accelerate.rally.calls import Caller
from rally_accelerate.rally.limiter import Limiter
from rally_accelerate.rally.wire import Request


class Dripping(httpx2.AsyncByteStream):
    """A body that never ends, each piece of it in time."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0)


async def test_an_answer_that_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "WHOLE_ANSWER", 0.01)
    raw = {"name": "n", "properties": {"baseUrl": "http://rally.example", "apiKey": "k", "retrySeconds": 0}}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, stream=Dripping()))
    async with httpx2.AsyncClient(transport=transport) as http:
        its = Caller(http, Limiter(), validated(raw).properties)
        with pytest.raises(TimedOut, match="had not arrived whole within"):
            await its.read(Request("/slm/webservice/v2.0/user"))
