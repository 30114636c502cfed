"""What is said at one end of the pipe arrives at the other as it was said, and an end that is gone is noticed."""

import asyncio
import socket

import pytest

from rally_accelerate.server.upload_worker import READY, REQUEST, RESPONSE, Pipe


async def both() -> tuple[Pipe, Pipe]:
    here, there = socket.socketpair()
    return await Pipe.connect(here), await Pipe.connect(there)


async def test_words_their_values_and_what_comes_along_arrive_in_order() -> None:
    here, there = await both()
    content = bytes(range(256)) * 20_000
    sending = asyncio.create_task(here.send(REQUEST, {"way": "graphql", "actor": None}, content))
    assert await there.receive() == (REQUEST, {"way": "graphql", "actor": None}, content)
    await sending
    await there.send(READY)
    await there.send(RESPONSE, {"log": [["a", 30, "b"]]}, b"{}")
    assert await here.receive() == (READY, {}, b"")
    assert await here.receive() == (RESPONSE, {"log": [["a", 30, "b"]]}, b"{}")
    here.close()
    there.close()


async def test_an_end_that_is_gone_is_noticed_also_in_the_middle_of_a_word() -> None:
    here, there = socket.socketpair()
    end = await Pipe.connect(here)
    there.sendall(b"\0\0\0\x07")
    there.close()
    with pytest.raises(EOFError):
        await end.receive()
    end.close()
