"""What a form sent, in both forms, within its limits."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.requests import Request

from rally_accelerate.errors import ConfigError
from rally_accelerate.server.web.forms import FILES, SMALL, Form, parse_form, read_form, read_large_form

Reader = Callable[[Request], Awaitable[Form]]


async def sent(content: bytes, kind: str, reader: Reader = parse_form) -> Form:
    async def receive() -> Any:
        return {"type": "http.request", "body": content, "more_body": False}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", kind.encode())]}
    return await reader(Request(scope, receive))


async def test_a_form_is_read_in_both_forms() -> None:
    plain = await sent(b"a=1&b=%C3%A4+x&a=2&c=", "application/x-www-form-urlencoded")
    assert (plain["a"], plain.all("a"), plain["b"], plain["c"], plain["d"]) == (
        "2",
        ["1", "2"],
        "ä x",
        "",
        "",
    )
    body = (
        b'--x-y\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
        b'--x-y\r\ncontent-disposition: form-data; name="f"; filename="a;b.json"\r\nContent-Type: text/x\r\n\r\n'
        b"{\r\n--x-z\r\n\x00}\r\n"
        b"--x-y--\r\nafter"
    )
    parts = await sent(body, 'multipart/form-data; boundary="x-y"')
    assert parts["a"] == "1"
    assert parts["f"] == ""
    assert parts.content("f") == b"{\r\n--x-z\r\n\x00}"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"x", "multipart/form-data"),
        (b"a=1&" * 3_000, "application/x-www-form-urlencoded"),
        (b"a" * (FILES.size + 1), "application/x-www-form-urlencoded"),
        (b"--b\r\n\r\n" * 3_000, "multipart/form-data; boundary=b"),
    ],
)
async def test_what_is_no_form_is_refused(content: bytes, kind: str) -> None:
    with pytest.raises(ConfigError):
        await sent(content, kind)
    assert await sent(content, kind, read_form) == {}


async def test_small_and_large_forms_have_limits_of_their_own() -> None:
    content, kind = b"a=" + b"x" * SMALL.size, "application/x-www-form-urlencoded"
    assert await sent(content, kind, read_form) == {}
    assert (await sent(content, kind, read_large_form))["a"] == "x" * SMALL.size


async def test_lines_of_a_text_end_as_ours_do_and_a_file_stays_as_it_is() -> None:
    assert (await sent(b"a=1%0D%0A2", "application/x-www-form-urlencoded"))["a"] == "1\n2"
    body = (
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n2\r\n'
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n1\r\n2\r\n--b--'
    )
    found = await sent(body, "multipart/form-data; boundary=b")
    assert (found["a"], found.content("f")) == ("1\n2", b"1\r\n2")
