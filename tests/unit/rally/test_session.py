"""One request: what arrives piece by piece and never whole is given up."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from rally_accelerate.config.load import validate_integration
from rally_accelerate.errors import ServiceTimeoutError
from rally_accelerate.rally import session
from rally_accelerate.rally.limiter import Limiter
from rally_accelerate.rally.session import SERVICE, Session
from rally_accelerate.rally.wsapi import Request


class Dripping(httpx2.AsyncByteStream):
    """A body that never ends, each piece of it in time."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0)


async def test_an_answer_that_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "ANSWER_TIMEOUT_FACTOR", 0.01)
    raw = {"name": "n", "properties": {"baseUrl": "http://rally.example", "apiKey": "k", "retrySeconds": 0}}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, stream=Dripping()))
    async with httpx2.AsyncClient(transport=transport) as http:
        its = Session(http, Limiter(), validate_integration(raw).properties)
        with pytest.raises(ServiceTimeoutError, match="was not complete after"):
            await its.read(Request("/slm/webservice/v2.0/user"))


async def test_a_rally_that_hangs_in_the_middle_of_a_run_is_asked_for_little_and_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    sizes: list[int] = []

    def pass_time(seconds: float) -> None:
        nonlocal now
        now += seconds

    async def wait(seconds: float) -> None:
        pass_time(seconds)

    def hang(request: httpx2.Request) -> httpx2.Response:
        if "pagesize" not in request.url.params:
            return httpx2.Response(200, json={"QueryResult": {"Results": []}})
        sizes.append(int(request.url.params["pagesize"]))
        pass_time(min(150.0, its._budget.get_limit(SERVICE)))
        raise httpx2.ReadTimeout("nothing came")

    raw = {"name": "n", "properties": {"baseUrl": "http://rally.example", "apiKey": "k", "pageSize": 1750}}
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(hang)) as http:
        its = Session(http, Limiter(), validate_integration(raw).properties)
        await its.read(Request("/slm/webservice/v2.0/user"))
        monkeypatch.setattr("time.monotonic", lambda: now)
        monkeypatch.setattr("stamina._core._smart_sleep", wait)
        with pytest.raises(ServiceTimeoutError):
            await its.read_page("defect", lambda size: Request("/slm/webservice/v2.0/defect", {"pagesize": str(size)}))
    assert sizes == [1750, 175]
    assert now - 1000.0 <= 150 + 90
