"""Every answer of Accelerate becomes its data or exactly the right error."""

import pytest

from rally_accelerate import errors
from rally_accelerate.accelerate.responses import graphql_address, parse_response
from rally_accelerate.model.foreign_responses import Route

API = "https://accelerate.example/release-events-api/graphql"


@pytest.mark.parametrize(
    "given",
    [
        "https://accelerate.example",
        "accelerate.example/",
        "https://accelerate.example/release-events-api",
        "https://accelerate.example/release-events-api/",
        "https://accelerate.example/release-events-api/graphql",
        "https://Accelerate.example",
    ],
)
def test_addresses(given: str) -> None:
    assert graphql_address(given) == API


def test_a_path_in_front_is_kept() -> None:
    assert graphql_address("http://h:81/velocity") == "http://h:81/velocity/release-events-api/graphql"


@pytest.mark.parametrize("given", ["", "ftp://x", "https://"])
def test_wrong_addresses(given: str) -> None:
    with pytest.raises(errors.ConfigError):
        graphql_address(given)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b'\xef\xbb\xbf{"data": {"a": "b"}}', "b"),
        (rb'{"data": {"a": "b \ud83d"}}', "b \ufffd"),
        (b'{"data": {"a": "b\x0b\t"}}', "b\x0b\t"),
        (b'{"data": {"a": "b\xf6"}}', "b\ufffd"),
        ('{"data":\u00a0{"a": "b"}}'.encode(), "b"),
    ],
)
def test_answers_that_break_the_rules_of_json_are_read(content: bytes, text: str) -> None:
    assert parse_response(200, {}, content) == {"a": text}


@pytest.mark.parametrize("content", [b'"html"', b"[]", b"null", b"7", b"oops"])
def test_a_failed_server_may_answer_anything(content: bytes) -> None:
    with pytest.raises(errors.InternalServerError, match="HTTP 500"):
        parse_response(500, {}, content)


@pytest.mark.parametrize(
    ("status", "headers", "content", "kind", "said", "hint"),
    [
        (
            401,
            {"server": "tinyproxy/1.11"},
            b"<html>tinyproxy</html>",
            errors.AccessDeniedError,
            "proxy",
            "proxyPassword",
        ),
        (401, {}, b"<html>Use single sign-on</html>", errors.AccessDeniedError, "single sign-on", "Single"),
        (401, {}, b"Unauthorized", errors.AccessDeniedError, "access key", "ucvAccessKey"),
        (
            403,
            {},
            b"<html>Blocked by the web filter</html>",
            errors.AccessDeniedError,
            "filter on the way",
            "administrators",
        ),
        (407, {"proxy-authenticate": "NTLM"}, b"", errors.AccessDeniedError, "only offers NTLM", "Cntlm"),
        (
            302,
            {"location": "https://login.example/x?t=1"},
            b"",
            errors.AccessDeniedError,
            "at login.example",
            "accelerateUrl",
        ),
        (
            302,
            {"location": "https://other.example/"},
            b"",
            errors.UnexpectedResponseError,
            "other.example",
            "accelerateUrl",
        ),
        (
            301,
            {"location": "https://acc.example/"},
            b"",
            errors.UnexpectedResponseError,
            "on to https",
            "https://acc.example",
        ),
        (
            200,
            {},
            b"<html><title>Guest network</title></html>",
            errors.UnavailableError,
            "portal of a network",
            "Sign in",
        ),
        (503, {"server": "squid"}, b"<html></html>", errors.UnavailableError, "proxy gets no answer", "noProxy"),
        (
            400,
            {},
            b"<html>No required SSL certificate was sent</html>",
            errors.AccessDeniedError,
            "certificate",
            "clientKey",
        ),
    ],
)
def test_answers_of_others_are_named(
    status: int, headers: dict[str, str], content: bytes, kind: type[Exception], said: str, hint: str
) -> None:
    route = Route(service="Accelerate", setting="accelerateUrl", server="http://acc.example/release-events-api/graphql")
    with pytest.raises(errors.RallyAccelerateError) as caught:
        parse_response(status, headers, content, route=route)
    assert isinstance(caught.value, kind)
    assert said in str(caught.value)
    assert hint in caught.value.hint


HTML = b"<html><title>Login</title></html>"


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        (401, b"", errors.AccessDeniedError),
        (403, HTML, errors.AccessDeniedError),
        (404, HTML, errors.NotFoundError),
        (407, b"", errors.AccessDeniedError),
        (408, b"", errors.ServiceTimeoutError),
        (413, b"", errors.RequestTooLargeError),
        (429, b"", errors.RateLimitedError),
        (500, b"oops", errors.InternalServerError),
        (502, HTML, errors.UnavailableError),
        (503, HTML, errors.UnavailableError),
        (504, HTML, errors.ServiceTimeoutError),
        (200, HTML, errors.UnexpectedResponseError),
        (302, b"", errors.UnexpectedResponseError),
        (200, b'{"data": {"uploadIss', errors.TruncatedResponseError),
        (200, b"[]", errors.UnexpectedResponseError),
        (200, b"{}", errors.UnexpectedResponseError),
        (200, b'{"errors": [{"message": "Field is not defined"}]}', errors.RejectedError),
        (400, b'{"errors": [{"message": "Variable $data got invalid value"}]}', errors.RejectedError),
        (
            200,
            b'{"errors": [{"message": "x", "extensions": {"code": "UNAUTHENTICATED"}}]}',
            errors.AccessDeniedError,
        ),
        (200, b'{"errors": [{"message": "Not authorized"}]}', errors.AccessDeniedError),
        (200, b'{"errors": [{"message": "issue named permission denied is bad"}]}', errors.RejectedError),
        (500, b'{"errors": [{"message": "resolver failed"}]}', errors.RejectedError),
    ],
)
def test_faults(status: int, content: bytes, expected: type[Exception]) -> None:
    with pytest.raises(errors.RallyAccelerateError) as caught:
        parse_response(status, {}, content)
    assert type(caught.value) is expected


def test_data() -> None:
    assert parse_response(200, {}, b'{"data": {"a": 1}}') == {"a": 1}


@pytest.mark.parametrize(("header", "expected"), [("3", 3.0), ("-1", 0.0), ("soon", None), ("", None)])
def test_retry_after(header: str, expected: float | None) -> None:
    with pytest.raises(errors.RateLimitedError) as caught:
        parse_response(429, {"retry-after": header}, b"")
    assert caught.value.retry_after == expected


def test_long_messages_are_shortened() -> None:
    content = b'{"errors": [{"message": "' + b"x" * 5000 + b'"}]}'
    with pytest.raises(errors.RejectedError) as caught:
        parse_response(200, {}, content)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("status", "content", "said"),
    [
        (204, b"", "HTTP 204.* is empty"),
        (200, b" \n", "HTTP 200.* is empty"),
        (200, b'{"data": null}', "no data and no error"),
        (200, b'{"data": null, "errors": []}', "no data and no error"),
    ],
)
def test_an_answer_without_content_is_named(status: int, content: bytes, said: str) -> None:
    with pytest.raises(errors.UnexpectedResponseError, match=said):
        parse_response(status, {}, content)


@pytest.mark.parametrize("extensions", ['"x"', "[1]", "7", '{"code": []}', '{"code": {"a": 1}}'])
def test_extensions_of_another_form_are_ignored(extensions: str) -> None:
    content = f'{{"errors": [{{"message": "the reason", "extensions": {extensions}}}]}}'.encode()
    with pytest.raises(errors.RejectedError, match="the reason"):
        parse_response(200, {}, content)


def test_a_refused_key_at_an_address_with_a_path_may_be_a_wrong_address() -> None:
    route = Route(service="Accelerate", setting="accelerateUrl", server=graphql_address("https://h/integrations"))
    with pytest.raises(errors.AccessDeniedError) as caught:
        parse_response(401, {}, b"", route=route)
    assert caught.value.hint.endswith("give the server's address without /integrations.")
