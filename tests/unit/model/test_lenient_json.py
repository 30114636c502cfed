"""JSON that does not keep to its rules is read as far as it makes sense, and every other text of it exactly."""

import codecs
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rally_accelerate.model.lenient_json import (
    REPLACEMENT,
    Decoded,
    JsonDecodeError,
    OversizedJsonError,
    decode_json,
    join_limited,
    parse_json,
)

NBSP = "\u00a0"

READ = [
    ("half an emoji", rb'{"a": "x \ud83d"}', {"a": f"x {REPLACEMENT}"}, [("a",)]),
    ("the other half", rb'{"a": "\ude00"}', {"a": REPLACEMENT}, [("a",)]),
    ("halves in the wrong order", rb'{"a": "\ude00\ud83d"}', {"a": REPLACEMENT * 2}, [("a",)]),
    ("a whole emoji beside a half one", rb'{"a": "\ud83d\ude00", "b": "\ud83d"}', {"a": "😀", "b": REPLACEMENT}, [("b",)]),
    ("raw control characters", b'{"a": "x\x00\x0b\ty\nz"}', {"a": "x\x00\x0b\ty\nz"}, [("a",)]),
    ("a byte of ISO 8859-1", b'{"a": "Bj\xf6rn"}', {"a": f"Bj{REPLACEMENT}rn"}, [("a",)]),
    ("half a character of UTF-8", b'{"a": "\xf0\x9f\x98"}', {"a": REPLACEMENT}, [("a",)]),
    ("CESU-8", b'{"a": "\xed\xa0\xbd\xed\xb8\x80", "b": "\xed\xa0\xbd"}', {"a": "😀", "b": REPLACEMENT * 3}, [("b",)]),
    ("a byte order mark", b'\xef\xbb\xbf{"a": 1}', {"a": 1}, []),
    ("UTF-16 with its mark", '{"a": "ö"}'.encode("utf-16"), {"a": "ö"}, []),
    ("UTF-16, big-endian", codecs.BOM_UTF16_BE + '{"a": "ö"}'.encode("utf-16-be"), {"a": "ö"}, []),
    ("UTF-16 without a mark", '{"a": "ö"}'.encode("utf-16-le"), {"a": "ö"}, []),
    ("UTF-32", '{"a": "ö"}'.encode("utf-32"), {"a": "ö"}, []),
    ("no-break spaces between values", f'{{{NBSP}"a":{NBSP}"b{NBSP}c"{NBSP}}}'.encode(), {"a": f"b{NBSP}c"}, []),
    ("other spaces", '\u2003{\u200b"a"\u3000:\ufeff1\u2028}'.encode(), {"a": 1}, []),
    ("a backslash that escapes nothing", rb'{"a": "C:\temp\query \u12"}', {"a": "C:\temp\\query \\u12"}, [("a",)]),
    ("an escaped backslash before the letter u", b'{"a": "\\\\u12\x0b"}', {"a": "\\u12\x0b"}, [("a",)]),
    ("names of members", rb'{"\ud83d": [{"b": "\ud83d"}]}', {REPLACEMENT: [{"b": REPLACEMENT}]}, [(), (REPLACEMENT, 0, "b")]),
    ("numbers too large", b"[%s, 1e999, -1e999, 18446744073709551616, 1.5]" % (b"9" * 5_000), [None, None, None, 2.0**64, 1.5], []),
    ("whole numbers of 64 bits", b"[-9223372036854775808, 18446744073709551615, NaN]", [-(2**63), 2**64 - 1, None], []),
    ("no number", b'{"a": NaN, "b": -Infinity}', {"a": None, "b": None}, []),
]  # fmt: skip


@pytest.mark.parametrize(("content", "data", "repaired"), [each[1:] for each in READ], ids=[each[0] for each in READ])
def test_what_breaks_the_rules_is_read(content: bytes, data: Any, repaired: Any) -> None:
    assert decode_json(content) == Decoded(data, tuple(repaired))
    # Whatever was read can be sent on.
    assert orjson.loads(orjson.dumps(data)) == data


@pytest.mark.parametrize(
    ("content", "ended"),
    [
        (b"", True),
        (b'{"a": "x', True),
        (b'{"a": "x\\', True),
        (b'{"a": "x\\u12', True),
        (b'{"a": tr', True),
        (b'{"a": 12', True),
        (b'{"a": 1.', True),
        (b'{"a": 1,', True),
        (b'{"a": "\x0b", "b": [', True),
        (b"\xef\xbb\xbf[1, 2", True),
        (b'{"a": 1 "b": 2}', False),
        (b'{"a": "x" y"}', False),
        (b"Forbidden", False),
        (b"[" * 100_000, False),
    ],
)
def test_what_ends_too_early_is_told_from_what_is_no_json(content: bytes, ended: bool) -> None:
    with pytest.raises(JsonDecodeError) as caught:
        decode_json(content)
    assert caught.value.is_truncated is ended


def test_a_number_that_a_person_wrote_is_not_lost() -> None:
    with pytest.raises(JsonDecodeError, match="a number that is too long") as caught:
        decode_json(b"9" * 5_000, keep_numbers=True)
    assert not caught.value.is_truncated
    with pytest.raises(JsonDecodeError, match="a number that is too long"):
        parse_json("9" * 5_000)


def test_a_fault_has_its_place_in_the_text_as_it_came() -> None:
    with pytest.raises(JsonDecodeError) as caught:
        parse_json('{"a": "C:\\q \\w",\n "b": "\x0b", ,}')
    assert (caught.value.line, caught.value.column) == (2, 12)


def test_members_of_an_object_can_be_looked_at() -> None:
    seen: list[list[tuple[str, Any]]] = []

    def noted(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen.append(pairs)
        return dict(pairs)

    parse_json(f'{NBSP}{{"a": 1, "a": 2}}', pairs=noted)
    assert seen == [[("a", 1), ("a", 2)]]


@given(st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
), st.sampled_from(["\u00a0", "\u2003", "\u3000", "\x0b"]))  # fmt: skip
def test_a_lenient_reading_of_right_json_is_the_strict_one(value: Any, space: str) -> None:
    content = orjson.dumps(value)
    spaced = f"{space}{content.decode()}{space}".encode()
    found = decode_json(spaced)
    assert orjson.loads(content) == decode_json(content).data
    if not any(mark in content.decode() for mark in (REPLACEMENT, "\ufdd0")):
        assert found == Decoded(orjson.loads(content))


@given(st.binary(max_size=60).map(lambda raw: raw.replace(b'"', b"'")))
def test_any_bytes_in_one_text_leave_all_others_alone(raw: bytes) -> None:
    if raw.endswith(b"\\"):
        raw += b" "
    content = b'{"Results": [{"a": "before"}, {"a": "%b"}, {"a": "after"}]}' % raw
    found = decode_json(content).data["Results"]
    assert [found[0], found[2]] == [{"a": "before"}, {"a": "after"}]
    assert isinstance(found[1]["a"], str)
    orjson.dumps(found)


async def test_a_document_is_joined_up_to_its_limit() -> None:
    async def parts() -> Any:
        yield b"12"
        yield b"345"

    assert await join_limited(parts(), most=5) == b"12345"
    with pytest.raises(OversizedJsonError) as refused:
        await join_limited(parts(), most=4)
    # The error, which may be kept for long, keeps nothing of the document.
    assert refused.traceback[-1].locals["chunks"] == []


@pytest.mark.parametrize(
    ("text", "reason", "column"),
    [
        ('{"a": 1, }', "Expecting property name enclosed in double quotes", 10),
        ("[1,]", "Expecting value", 4),
        ("[1,\u00a0]", "Expecting value", 5),
    ],
)
def test_a_comma_too_much_is_the_same_error_on_every_python(text: str, reason: str, column: int) -> None:
    with pytest.raises(JsonDecodeError) as refused:
        parse_json(text)
    assert (refused.value.reason, refused.value.column) == (reason, column)
