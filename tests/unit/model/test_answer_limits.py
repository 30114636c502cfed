"""Answers are bounded in unpacked bytes, wherever they come from: some kilobytes can become gigabytes."""

import tracemalloc
import zlib

import httpx2
import orjson
import pytest
from pydantic import SecretStr

from rally_accelerate.accelerate.client import AccelerateClient, Account, Connection
from rally_accelerate.config.load import validate_integration
from rally_accelerate.errors import UnexpectedResponseError
from rally_accelerate.rally.limiter import Limiter
from rally_accelerate.rally.session import Session
from rally_accelerate.rally.wsapi import Request

LIMIT = 1_000_000


def bomb(megabytes: int) -> bytes:
    """Spaces, which are white space in JSON, packed to a thousandth of their size."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    piece = b" " * 1_000_000
    return b"".join([*(packer.compress(piece) for _ in range(megabytes)), packer.flush()])


def answering(body: bytes, *, packed: bool = False) -> httpx2.MockTransport:
    headers = {"Content-Encoding": "gzip"} if packed else {}
    return httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, stream=httpx2.ByteStream(body)))


async def ask_rally(transport: httpx2.AsyncBaseTransport) -> object:
    raw = {"name": "n", "properties": {"baseUrl": "http://rally.example", "apiKey": "k", "answerMaxBytes": LIMIT}}
    async with httpx2.AsyncClient(transport=transport) as http:
        caller = Session(http, Limiter(), validate_integration(raw).properties)
        return (await caller.read(Request("/slm/webservice/v2.0/user"))).data


async def ask_accelerate(transport: httpx2.AsyncBaseTransport) -> object:
    account = Account(url="http://accelerate.example", key=SecretStr("k"), tenant_id="t", name="n")
    connection = Connection(answer_max_bytes=LIMIT, transport=transport)
    async with AccelerateClient(account, connection=connection) as client:
        return await client.ask("op", "query op { a }", {})


@pytest.mark.parametrize("ask", [ask_rally, ask_accelerate])
async def test_a_small_answer_that_unpacks_to_a_large_one_is_given_up_at_the_limit(ask: object) -> None:
    body = bomb(100)
    assert len(body) < 200_000
    tracemalloc.start()
    try:
        with pytest.raises(
            UnexpectedResponseError, match="1,000,000 bytes when it is unpacked, the limit of answerMaxBytes"
        ) as caught:
            await ask(answering(body, packed=True))  # type: ignore[operator]  # one of the two above
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "answerMaxBytes" in caught.value.hint
    assert peak < 10 * LIMIT


@pytest.mark.parametrize("ask", [ask_rally, ask_accelerate])
@pytest.mark.parametrize("value", [b'{"a":1}', b"[]"])
async def test_an_answer_of_too_many_tiny_values_is_given_up_before_it_is_read(ask: object, value: bytes) -> None:
    def body(size: int) -> bytes:
        return b'{"QueryResult":{"Results":[' + b",".join([value] * (size // (len(value) + 1))) + b']},"data":{}}'

    with pytest.raises(UnexpectedResponseError, match="need more than 8,000,000 bytes of memory, 8 times the limit"):
        await ask(answering(body(LIMIT // 2)))  # type: ignore[operator]  # one of the two above
    await ask(answering(body(LIMIT // 8)))  # type: ignore[operator]  # one of the two above


@pytest.mark.parametrize("ask", [ask_rally, ask_accelerate])
async def test_an_answer_of_exactly_the_limit_is_read(ask: object) -> None:
    inside = {"data": {"a": 1}, "QueryResult": {"Results": [], "Errors": []}}
    body = orjson.dumps(inside).ljust(LIMIT)
    assert await ask(answering(body))  # type: ignore[operator]  # one of the two above
    with pytest.raises(UnexpectedResponseError, match="answerMaxBytes"):
        await ask(answering(body + b" "))  # type: ignore[operator]  # one of the two above
