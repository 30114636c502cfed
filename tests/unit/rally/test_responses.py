"""Every answer becomes data or exactly the right error, with a hint that helps and nothing secret in it."""

import gzip
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rally_accelerate.errors import (
    AccessDeniedError,
    NotFoundError,
    PermanentError,
    RallyAccelerateError,
    RateLimitedError,
    RejectedError,
    RequestTooLargeError,
    ServiceTimeoutError,
    TransientError,
    TruncatedResponseError,
    UnavailableError,
    UnexpectedResponseError,
)
from rally_accelerate.model.foreign_responses import Route
from rally_accelerate.rally.responses import EXCERPT_LENGTH, excerpt, parse_response

ASKED = "/slm/webservice/v2.0/defect"
DATE = "Wed, 21 Oct 2026 07:28:00 GMT"
JETTY = b"<html><head><title>Error 401</title></head><body><h2>HTTP ERROR 401</h2>Reason: %s</body></html>"


def read(status: Any = 200, body: Any = b"", headers: Any = None, seconds: Any = None) -> Any:
    return parse_response(status, headers or {}, body, resource=ASKED, seconds=seconds)


def query_result(**members: Any) -> Any:
    return orjson.dumps(
        {"QueryResult": {"_rallyAPIMajor": "2", "Errors": [], "Warnings": [], "Results": [], **members}}
    )


HTML = b"<!DOCTYPE html><html><body>%s</body></html>"

CASES = [
    (401, JETTY % b"Full authentication is required to access this resource", {}, AccessDeniedError, "apiKey"),
    (401, b"An Authentication object was not found in the SecurityContext", {}, AccessDeniedError, "proxy"),
    (401, b"Error 401 The username or password you entered is incorrect.", {}, AccessDeniedError, "single sign-on"),
    (401, b"", {}, AccessDeniedError, "apiKey"),
    (
        403,
        (
            b"Your IP address, 192.0.2.7, is not within the allowed range that your subscription administrator has "
            b"configured."
        ),
        {},
        AccessDeniedError,
        "administrator",
    ),
    (403, b"Forbidden", {}, AccessDeniedError, "viewer"),
    (
        302,
        b"",
        {"location": "https://login.corp.example/saml?SAMLRequest=secretstuff"},
        AccessDeniedError,
        "Single sign-on",
    ),
    (302, b"", {"location": "https://rally2.example/slm/webservice/v2.0/defect"}, UnexpectedResponseError, "baseUrl"),
    (301, b"", {}, UnexpectedResponseError, "baseUrl"),
    (200, HTML % b"<form><input type='password' name='p'></form>", {}, AccessDeniedError, "Single sign-on"),
    (200, HTML % b"<form><input name=SAMLRequest></form>", {}, AccessDeniedError, "Single sign-on"),
    (200, HTML % b"Rally is down for scheduled maintenance", {}, UnavailableError, "Wait"),
    (200, HTML % b"Welcome to the guest network", {}, UnavailableError, "portal"),
    (200, b"\xef\xbb\xbf  <html>", {}, UnavailableError, "portal"),
    (404, HTML % b"Not found", {}, NotFoundError, "baseUrl"),
    (405, b"", {}, RejectedError, "baseUrl"),
    (400, query_result(Errors=['Could not parse: Unknown operator "~"']), {}, RejectedError, "query"),
    (407, b"", {}, AccessDeniedError, "proxyUsername"),
    (408, b"", {}, ServiceTimeoutError, "page size"),
    (409, b"", {}, UnavailableError, ""),
    (413, b"", {}, RequestTooLargeError, "query"),
    (414, b"", {}, RequestTooLargeError, "query"),
    (429, b"", {}, RateLimitedError, "maxRequestsInFlight"),
    (500, HTML % b"An unexpected error occurred", {}, UnavailableError, "support"),
    (502, HTML % b"Bad gateway", {}, ServiceTimeoutError, "page size"),
    (503, HTML % b"Maintenance", {}, UnavailableError, "Wait"),
    (504, b"", {}, ServiceTimeoutError, "page size"),
    (524, HTML % b"A timeout occurred", {}, ServiceTimeoutError, "page size"),
    (520, b"", {}, UnavailableError, "support"),
    (200, b'{"QueryResult": {"Results": [{"ObjectID": 1', {}, TruncatedResponseError, "proxy or gateway"),
    (200, b"", {}, TruncatedResponseError, "proxy or gateway"),
    # Without the time, which would give the test another name in each process that collects it.
    (200, gzip.compress(query_result(), mtime=0), {}, UnexpectedResponseError, "Content-Encoding"),
    (200, query_result(), {"content-length": "999999"}, TruncatedResponseError, "proxy or gateway"),
    (
        403,
        b"<html><head><title>Just a moment...</title></head></html>",
        {"cf-mitigated": "challenge"},
        AccessDeniedError,
        "Ask its operators",
    ),
    (
        403,
        HTML % b"Access Denied You don't have permission. Reference #18.2d",
        {},
        AccessDeniedError,
        "Ask its operators",
    ),
    (403, HTML % b"No.", {}, AccessDeniedError, "If Rally has no such page"),
    (401, b"", {"www-authenticate": "Negotiate, NTLM"}, AccessDeniedError, "operators of the gateway"),
    (
        401,
        b"",
        {"www-authenticate": 'Basic realm="Corporate Gateway"'},
        AccessDeniedError,
        "a gateway in front of Rally",
    ),
    (
        401,
        b'{"error": "x"}',
        {"www-authenticate": 'Bearer realm="api"'},
        AccessDeniedError,
        "a gateway in front of Rally",
    ),
    (401, b"", {"www-authenticate": 'Basic realm="Rally ALM"'}, AccessDeniedError, "API Keys page"),
    (
        401,
        HTML % b"Full authentication is required to access this resource",
        {"www-authenticate": 'Basic realm="Protected"'},
        AccessDeniedError,
        "compare baseUrl",
    ),
    (400, HTML % b"The plain HTTP request was sent to HTTPS port", {}, UnexpectedResponseError, "https://"),
    (400, b"Client sent an HTTP request to an HTTPS server.\n", {}, UnexpectedResponseError, "https://"),
    (511, HTML % b"Sign in", {}, UnavailableError, "portal"),
    (522, HTML % b"Connection timed out", {}, UnavailableError, "the next run continues"),
    (451, b"not allowed", {}, RejectedError, "If it is not Rally"),
    (200, b"hello", {}, UnexpectedResponseError, "portal"),
    (200, b"[]", {}, UnexpectedResponseError, "portal"),
    (200, b'{"hello": "world"}', {}, UnexpectedResponseError, "portal"),
    (
        200,
        b'{"OperationResult": {"Errors": ["Cannot find object to read"], "Warnings": []}}',
        {},
        NotFoundError,
        "deleted",
    ),
    (200, b'{"OperationResult": {"Errors": [], "Warnings": []}}', {}, UnexpectedResponseError, ""),
    (
        200,
        query_result(Errors=["Could not parse: Could not find attribute 'Foo' on type Defect"]),
        {},
        RejectedError,
        "c_",
    ),
    (
        200,
        query_result(Errors=['Could not find the attribute "Foo" on type "Defect" in the query segment "(Foo)"']),
        {},
        RejectedError,
        "c_",
    ),
    (
        200,
        query_result(Errors=['Could not parse: Error parsing expression -- expected ")" but saw "AND" instead.']),
        {},
        RejectedError,
        "exactly two",
    ),
    (200, query_result(Errors=["Not authorized to perform action: Invalid key"]), {}, AccessDeniedError, "cookies"),
    (200, query_result(Errors=['Requested type name "foo" is unknown.']), {}, NotFoundError, "types"),
    (200, query_result(Errors=["Server Error: Unauthorized for projects: 1,2"]), {}, AccessDeniedError, "viewer"),
    (200, query_result(Errors=["ConcurrencyConflictException"]), {}, UnavailableError, ""),
    (200, query_result(Errors=["Something new"]), {}, RejectedError, "query"),
    (200, b'{"QueryResult": {"Results": []}, "Errors": ["Something beside"]}', {}, RejectedError, "query"),
    (200, b'{"Errors": ["Cannot find object to read"]}', {}, NotFoundError, "deleted"),
    (200, b'{"Defect": {"ObjectID": 1, "Errors": ["Cannot find object to read"]}}', {}, NotFoundError, "deleted"),
]


@pytest.mark.parametrize(("status", "body", "headers", "kind", "hint"), CASES)
def test_each_failure_is_its_own_error_with_its_own_hint(
    status: Any, body: Any, headers: Any, kind: Any, hint: Any
) -> None:
    with pytest.raises(RallyAccelerateError) as caught:
        read(status, body, headers)
    assert type(caught.value) is kind
    assert hint in caught.value.hint
    assert caught.value.message
    assert "secretstuff" not in caught.value.message


def test_refused_addresses_are_named() -> None:
    with pytest.raises(AccessDeniedError, match=r"192\.0\.2\.7"):
        read(*CASES[4][:2])


def test_a_query_result_is_data() -> None:
    answer = read(200, query_result(TotalResultCount=3, Warnings=["old", "old", "new"]), {"date": DATE})
    assert answer.data["TotalResultCount"] == 3
    assert answer.warnings == ("old", "new")
    assert answer.date == datetime(2026, 10, 21, 7, 28, tzinfo=UTC)


def test_a_single_object_is_data_whatever_its_wrapper_is_called() -> None:
    assert read(200, b'{"Gr\xc3\xb6\xc3\x9fe": {"_ref": "/x/1", "ObjectID": 1}, "Warnings": []}').data["ObjectID"] == 1


def test_lookback_has_no_wrapper() -> None:
    assert read(200, b'{"_rallyAPIMajor": "2", "Errors": [], "Results": [], "HasMore": false}').data["HasMore"] is False


def test_a_compressed_body_is_not_measured_by_its_length() -> None:
    assert read(200, query_result(), {"content-length": "999999", "content-encoding": "gzip"}).data["Results"] == []


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("7", None, 7.0),
        ("0", None, 0.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", DATE, 30.0),
        ("Wed, 21 Oct 2026 07:00:00 GMT", DATE, 0.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", None, None),
        ("soon", DATE, None),
        ("-5", DATE, None),
        (None, DATE, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_how_long_the_service_asks_to_wait(status: Any, value: Any, date: Any, seconds: Any) -> None:
    headers = {name: text for name, text in (("retry-after", value), ("date", date)) if text}
    with pytest.raises(TransientError) as caught:
        read(status, b"", headers)
    assert caught.value.retry_after == seconds


def test_a_gateway_that_fails_at_once_does_not_mean_that_we_ask_for_too_much() -> None:
    with pytest.raises(UnavailableError):
        read(502, b"", seconds=0.2)
    with pytest.raises(ServiceTimeoutError):
        read(502, b"", seconds=240.0)


def test_keys_and_long_texts_never_reach_a_message() -> None:
    key = "_abcdefghij0123456789abcdefghij"
    body = HTML % f"<script>var x</script>Bad key {key} ?key=sesame <b>{'z' * 5000}</b>".encode()
    with pytest.raises(UnavailableError) as caught:
        read(500, body)
    assert key not in caught.value.message
    assert "sesame" not in caught.value.message
    assert "var x" not in caught.value.message
    assert len(caught.value.message) < EXCERPT_LENGTH + 200


def test_an_excerpt_cannot_rewrite_a_terminal() -> None:
    assert excerpt("a\x1b[2Jb\u202ec\n\td") == "a [2Jb c d"


@given(
    st.integers(100, 599),
    st.binary(max_size=200),
    st.dictionaries(
        st.sampled_from(["retry-after", "date", "location", "content-length", "content-encoding"]), st.text(max_size=40)
    ),
)
def test_no_answer_whatever_escapes_the_tree_of_errors(status: Any, body: Any, headers: Any) -> None:
    with suppress(TransientError, PermanentError):
        read(status, body, headers)


@pytest.mark.parametrize("kind", ["foo", "portfolioitem/epos", "portfolioitem/größe"])
def test_a_type_that_the_workspace_lacks_is_told_as_such(kind: str) -> None:
    with pytest.raises(NotFoundError, match=f'no type "{kind}"') as caught:
        parse_response(404, {}, b"", resource=f"/slm/webservice/v2.0/{kind}")
    assert "types" in caught.value.hint


@pytest.mark.parametrize("path", ["defect", "project", "hierarchicalrequirement", "Defect/12/Tags", ""])
def test_a_wrong_address_is_not_told_as_a_wrong_type(path: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        parse_response(404, {}, b"", resource=f"/slm/webservice/v2.0/{path}")
    assert "baseUrl" in caught.value.hint


BY_STATE = [
    (401, b"Your subscription is inactive. Please contact your administrator.", "subscription activated"),
    (403, HTML % b"Your subscription has been disabled", "subscription activated"),
    (401, HTML % b"Your account has been disabled or locked.", "enable or unlock this user"),
    (403, b"This user is not active", "enable or unlock this user"),
    (401, HTML % b"Error 401 Your password has expired", "choose a new password"),
    (200, orjson.dumps({"OperationResult": {"Errors": ["Subscription is disabled"]}}), "subscription activated"),
    (200, query_result(Errors=["User account is locked"]), "enable or unlock this user"),
]


@pytest.mark.parametrize(("status", "body", "hint"), BY_STATE)
def test_states_of_subscriptions_and_users_are_named(status: int, body: bytes, hint: str) -> None:
    with pytest.raises(AccessDeniedError) as caught:
        parse_response(status, {}, body, resource="/slm/webservice/v2.0/project", route=Route())
    assert hint in caught.value.hint
    assert any(word in str(caught.value).lower() for word in ("subscription", "account", "user", "password"))


FOREIGN = [
    (401, {"www-authenticate": 'Bearer authorization_uri="https://x.example/t"'}, b"", "requires a token of its own"),
    (401, {"www-authenticate": 'Bearer uri="https://login.windows.net/t"'}, b"", "requires single sign-on"),
    (302, {"location": "/slm/login.op"}, b"", "to a login page of the same server (302)"),
    (302, {"location": "http://captive.hotel.example/login?x"}, b"", "portal of a network answers"),
    (307, {}, b"", "without an address (307)"),
    (302, {"location": "/other"}, b"", "on to another page of its own (302)"),
    (403, {"server": "awselb/2.0"}, HTML % b"<h1>403 Forbidden</h1>", "takes this program for a robot"),
    (403, {}, HTML % b"The request is blocked. 0abc Azure Front Door", "takes this program for a robot"),
    (406, {}, HTML % b"This error was generated by Mod_Security.", "takes this program for a robot"),
    (403, {}, HTML % b"The request could not be satisfied. Request blocked.", "takes this program for a robot"),
    (200, {}, b"function FindProxyForURL(u,h){return 'x';}", "sends a PAC file"),
    (200, {}, HTML % b"<input type='password'> Please upgrade your browser", "A login page"),
    (423, {}, b"<html><title>Locked</title></html>", '(423), with a page titled "Locked"'),
]


@pytest.mark.parametrize(("status", "headers", "body", "said"), FOREIGN)
def test_answers_of_others_are_named(status: int, headers: dict[str, str], body: bytes, said: str) -> None:
    with pytest.raises(RallyAccelerateError) as caught:
        parse_response(
            status, headers, body, resource="/slm/webservice/v2.0/project", route=Route(server="https://r.example")
        )
    assert said in str(caught.value)


@pytest.mark.parametrize("key", [True, False])
def test_hints_fit_the_login_that_is_used(key: bool) -> None:
    saml = {"location": "https://idp.example/saml"}
    with pytest.raises(AccessDeniedError) as caught:
        parse_response(302, saml, b"", resource="x", route=Route(key=key))
    assert ("use an apiKey instead of" in caught.value.hint) is not key
    assert "exception list" in caught.value.hint
    wrong = b"Error 401 The username or password you entered is incorrect."
    with pytest.raises(AccessDeniedError) as caught:
        parse_response(401, {}, wrong, resource="x", route=Route(key=key))
    assert ("API key" in str(caught.value)) is key
