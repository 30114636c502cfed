"""How requests leave: login, cookies, proxies, certificates, and only ever as reads."""

import asyncio
import gzip
import re
import ssl
from base64 import b64decode
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
import stamina
import trustme

from rally_accelerate.errors import (
    AccessDeniedError,
    CertificateVerificationError,
    ConfigError,
    ServiceTimeoutError,
    TruncatedResponseError,
    UnexpectedResponseError,
    UnreachableError,
)
from rally_accelerate.model.progress import PEOPLE, TAGS, Walk, Window
from rally_accelerate.rally.client import RallyClient
from rally_accelerate.rally.limiter import LimiterPool
from rally_accelerate.rally.transport import WriteAttemptedError, make_client
from support.proxy import run_proxy
from support.rally_settings import KEY, Connect, properties
from support.request_recorder import RecordedRequest, Reply, run_recorder

PROJECT = (
    b'{"QueryResult": {"Errors": [], "Warnings": [], "TotalResultCount": 1, "PageSize": 2000, "Results": [{"ObjectID": 5,'
    b' "Name": "P", "State": "Open", "Workspace": {"_ref": "/workspace/7", "_refObjectName": "W"}}]}}'
)


def rally(asked: RecordedRequest) -> Reply:
    """As much of Rally as opening takes."""
    return Reply(body=PROJECT) if asked.target.split("?")[0].endswith("/project") else Reply()


async def test_the_key_wins_and_it_is_said_once(connect: Connect) -> None:
    async with run_recorder(rally) as server, connect(server.url, apiKey=KEY, username="ada", password="x") as client:
        scope = await client.open()
    assert all(asked.headers["zsessionid"] == KEY for asked in server.requests)
    assert not any("authorization" in asked.headers for asked in server.requests)
    assert sum("apiKey is used" in notice for notice in scope.notices) == 1


async def test_user_and_password_with_any_characters(connect: Connect) -> None:
    async with run_recorder(rally) as server, connect(server.url, username="ada@x", password="ä:%/@") as client:
        scope = await client.open()
    kind, encoded = server.requests[0].headers["authorization"].split()
    assert (kind, b64decode(encoded).decode()) == ("Basic", "ada@x:ä:%/@")
    assert scope.notices == ()


async def test_a_key_that_was_not_copied_alone_is_a_settings_error(connect: Connect) -> None:
    with pytest.raises(ConfigError) as caught:
        async with connect("http://127.0.0.1:9", apiKey="_abc\n_def"):
            pass
    assert caught.value.problems[0].path == "properties.apiKey"
    assert "_abc" not in str(caught.value)


async def test_who_asks_is_told(connect: Connect) -> None:
    async with run_recorder(rally) as server, connect(server.url) as client:
        await client.open()
    assert server.requests[0].headers["user-agent"].startswith("rally-accelerate/")
    assert server.requests[0].headers["x-rallyintegrationname"] == "rally-accelerate"


async def test_cookies_are_neither_kept_nor_sent(connect: Connect) -> None:
    def with_cookie(asked: RecordedRequest) -> Reply:
        return Reply(headers={"Set-Cookie": "JSESSIONID=sample; Path=/"}, body=rally(asked).body)

    async with run_recorder(with_cookie) as server, connect(server.url) as client:
        scope = await client.open()
        await client.count(scope, "defect")
        await client.count(scope, "defect")
    assert len(server.requests) == 3
    assert not any("cookie" in asked.headers for asked in server.requests)


# --- only reads ------------------------------------------------------------------------------------------------------


async def test_every_verb_of_the_client_sends_reads_only(connect: Connect) -> None:
    async with run_recorder(rally) as server, connect(server.url) as client:
        scope = await client.open()
        pages = [page async for page in client.read_changes(scope, Walk(kind="defect", started_at=scope.now))]
        await client.history(scope, [record for page in pages for record in page.records])
        await client.find(scope, "DE1")
        await client.find_visible(scope)
        await client.read_recycle_bin(scope, scope.now)
        await client.find_moved(scope, [1])
        await client.recover_removed(scope, {1: scope.now}, commented=[1])
        await client.count(scope, "defect")
        await client.projects()
        await client.timeboxes(scope, "Iteration", since=scope.now, passed=Window())
        await client.find_departed(scope, "Iteration", [1])
        await client.names(scope, PEOPLE, [1], after=0)
        await client.names(scope, TAGS, [1], after=0)
        await client.types(scope.workspace.object_id)
        await client.values(scope, {"defect": ["State"]})
    public = {name for name in dir(client) if not name.startswith("_")}
    verbs = {
        "usage",
        "open",
        "open_early",
        "definitions",
        "add_fields",
        "read_changes",
        "find",
        "count_fitting",
        "history",
        "notices",
        "value_notices",
        "count",
    }
    verbs |= {
        "find_visible",
        "read_recycle_bin",
        "find_moved",
        "read_feed_time",
        "projects",
        "recover_removed",
        "timeboxes",
        "find_departed",
        "names",
        "types",
        "values",
    }
    assert public == verbs, "a new verb belongs into this test"
    # Lookback's question is too long for an address; it is the only thing that is not got.
    others = {asked.target for asked in server.requests if asked.method != "GET"}
    assert all(re.fullmatch(r"/analytics/.*/artifact/snapshot/query\.js", target) for target in others)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/slm/webservice/v2.0/defect/create"),
        ("PUT", "/slm/webservice/v2.0/defect/1"),
        ("DELETE", "/slm/webservice/v2.0/defect/1"),
        ("PATCH", "/slm/webservice/v2.0/defect/1"),
        ("HEAD", "/slm/webservice/v2.0/defect/1"),
        ("POST", "/slm/webservice/v2.0/batch"),
        (
            "POST",
            "/slm/webservice/v2.0/defect/create?x=/analytics/v2.0/service/rally/workspace/1/artifact/snapshot/query",
        ),
        ("POST", "/analytics/v2.0/service/rally/workspace/1/artifact/snapshot/query/../../create"),
        ("POST", "/analytics/v2.0/service/rally/workspace/x/artifact/snapshot/query"),
    ],
)
async def test_nothing_but_a_read_can_leave(method: Any, path: Any) -> None:
    async with run_recorder() as server, make_client(properties(server.url), ssl.create_default_context()) as http:
        with pytest.raises(WriteAttemptedError):
            await http.request(method, f"{server.url}{path}", content=b"{}")
        assert server.requests == []


@pytest.mark.parametrize("suffix", ["", ".js"])
async def test_lookbacks_query_address_may_be_posted_to(suffix: Any) -> None:
    path = f"/analytics/v2.0/service/rally/workspace/12/artifact/snapshot/query{suffix}"
    async with run_recorder() as server, make_client(properties(server.url), ssl.create_default_context()) as http:
        await http.post(f"{server.url}{path}", content=b"")
        assert [asked.method for asked in server.requests] == ["POST"]


async def test_the_login_never_goes_to_another_server() -> None:
    async with (
        run_recorder() as server,
        run_recorder() as other,
        make_client(properties(server.url), ssl.create_default_context()) as http,
    ):
        with pytest.raises(WriteAttemptedError):
            await http.get(other.url)
        assert other.requests == []


async def test_a_redirect_is_not_followed(connect: Connect) -> None:
    async with run_recorder() as other:
        async with (
            run_recorder(lambda _: Reply(302, {"Location": f"{other.url}/login"})) as server,
            connect(server.url) as client,
        ):
            with pytest.raises(AccessDeniedError, match="login page"):
                await client.open()
        assert other.requests == []


# --- proxies ---------------------------------------------------------------------------------------------------------

PASSWORDS = ["plain", "p@ss:w/rd%", "100% @:/?#[]ä &+", "%41"]


@pytest.mark.parametrize("password", PASSWORDS)
async def test_a_proxy_with_login_for_http(connect: Connect, password: Any) -> None:
    async with run_recorder(rally) as server, run_proxy(user="me@corp", password=password) as proxy:
        settings = {"proxyServer": f"127.0.0.1:{proxy.port}", "proxyUsername": "me@corp", "proxyPassword": password}
        async with connect(server.url, **settings) as client:
            await client.open()
    assert len(proxy.passed) == len(server.requests) == 1
    assert not any("proxy-authorization" in asked.headers for asked in server.requests)


@pytest.mark.parametrize("password", PASSWORDS)
async def test_a_proxy_with_login_for_https(connect: Connect, authority: Any, password: Any) -> None:
    async with run_recorder(rally, tls=authority.server) as server, run_proxy(user="me", password=password) as proxy:
        settings = {"proxyServer": f"http://127.0.0.1:{proxy.port}", "proxyUsername": "me", "proxyPassword": password}
        async with connect(server.url, caBundle=authority.bundle, **settings) as client:
            await client.open()
    assert proxy.passed[0].startswith("CONNECT localhost:")


async def test_a_wrong_proxy_login_is_told_as_such(connect: Connect, authority: Any) -> None:
    async with run_proxy(user="me", password="right") as proxy:
        settings = {"proxyServer": f"127.0.0.1:{proxy.port}", "proxyUsername": "me", "proxyPassword": "wrong"}
        async with run_recorder(rally) as server, connect(server.url, **settings) as client:
            with pytest.raises(AccessDeniedError, match="407") as caught:
                await client.open()
        assert "proxyUsername" in caught.value.hint
        async with run_recorder(rally, tls=authority.server) as server, connect(server.url, **settings) as client:
            with pytest.raises(AccessDeniedError, match="407"):
                await client.open()


async def test_no_proxy_counts_only_when_no_proxy_is_configured(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    async with run_recorder(rally) as server, run_proxy() as proxy:
        async with connect(server.url, proxyServer=f"127.0.0.1:{proxy.port}") as client:
            await client.open()
        assert len(proxy.passed) == 1, "the configured proxy was passed by"
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        async with connect(server.url) as client:
            await client.open()
        assert len(proxy.passed) == 1, "NO_PROXY was not honoured"
        monkeypatch.setenv("NO_PROXY", "elsewhere.example")
        async with connect(server.url) as client:
            await client.open()
        assert len(proxy.passed) == 2, "the environment's proxy was not used"
        assert len(server.requests) == 3


async def test_no_proxy_as_a_property_counts_for_every_proxy(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    async with run_recorder(rally) as server, run_proxy() as proxy:
        given = {"proxyServer": f"127.0.0.1:{proxy.port}"}
        async with connect(server.url, **given, noProxy="127.0.0.0/8") as client:
            await client.open()
        async with connect(server.url, **given, noProxy="localhost") as client:
            await client.open()
        assert len(proxy.passed) == 1
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        async with connect(server.url, noProxy="127.0.0.1") as client:
            await client.open()
        assert len(proxy.passed) == 1
        assert len(server.requests) == 3


async def test_a_proxy_of_a_kind_we_cannot_use_is_a_settings_error(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:9")
    with pytest.raises(ConfigError, match="proxyServer"):
        async with connect("http://rally.example"):
            pass


# --- certificates ----------------------------------------------------------------------------------------------------


class Authority:
    """A certificate authority of our own with a server's and a client's certificate."""

    def __init__(self, folder: Any) -> None:
        authority = trustme.CA()
        self.bundle = str(folder / "authority.pem")
        authority.cert_pem.write_to_path(self.bundle)
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("localhost").configure_cert(self.server)
        self.demanding = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("localhost").configure_cert(self.demanding)
        authority.configure_trust(self.demanding)
        self.demanding.verify_mode = ssl.CERT_REQUIRED
        self.client = str(folder / "client.pem")
        self.client_key = str(folder / "client.key")
        issued = authority.issue_cert("client@example.test")
        issued.cert_chain_pems[0].write_to_path(self.client)
        issued.private_key_pem.write_to_path(self.client_key)
        self.other_key = str(folder / "other.key")
        authority.issue_cert("other@example.test").private_key_pem.write_to_path(self.other_key)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: Any) -> Any:
    return Authority(tmp_path_factory.mktemp("tls"))


async def test_an_unknown_authority_is_not_trusted(connect: Connect, authority: Any) -> None:
    async with run_recorder(rally, tls=authority.server) as server, connect(server.url) as client:
        with pytest.raises(CertificateVerificationError, match="verify") as caught:
            await client.open()
        assert "caBundle" in caught.value.hint
        assert client.usage.retries == 0


async def test_an_authority_from_the_bundle_is_trusted(connect: Connect, authority: Any) -> None:
    async with (
        run_recorder(rally, tls=authority.server) as server,
        connect(server.url, caBundle=authority.bundle) as client,
    ):
        assert (await client.open()).notices == ()


async def test_the_name_in_the_certificate_counts(connect: Connect, authority: Any) -> None:
    async with run_recorder(rally, tls=authority.server) as server:
        url = server.url.replace("localhost", "127.0.0.1")
        async with connect(url, caBundle=authority.bundle) as client:
            with pytest.raises(CertificateVerificationError, match=r"127\.0\.0\.1"):
                await client.open()


async def test_without_verification_every_run_warns(connect: Connect, authority: Any) -> None:
    async with run_recorder(rally, tls=authority.server) as server, connect(server.url, verifyTls=False) as client:
        for _ in range(2):
            assert any("verifyTls is false" in notice for notice in (await client.open()).notices)


async def test_a_client_certificate(connect: Connect, authority: Any) -> None:
    async with run_recorder(rally, tls=authority.demanding) as server:
        settings = {"clientCertificate": authority.client, "clientKey": authority.client_key}
        async with connect(server.url, caBundle=authority.bundle, **settings) as client:
            await client.open()
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"caBundle": "/nowhere/ca.pem"}, "properties.caBundle"),
        ({"caBundle": "/etc/hostname"}, "properties.caBundle"),
        ({"caBundle": "/tmp"}, "properties.caBundle"),
        ({"clientCertificate": "/nowhere/client.pem"}, "properties.clientCertificate"),
        ({"clientKey": "/nowhere/client.key"}, "properties.clientKey"),
        ({"clientCertificate": "/etc/hostname"}, "properties.clientCertificate"),
    ],
)
async def test_certificate_files_that_cannot_be_used_are_settings_errors(
    connect: Connect, settings: Any, path: Any
) -> None:
    with pytest.raises(ConfigError) as caught:
        async with connect("https://localhost:9", **settings):
            pass
    assert caught.value.problems[0].path == path


async def test_a_key_of_another_certificate_is_a_settings_error(connect: Connect, authority: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        async with connect("https://localhost:9", clientCertificate=authority.client, clientKey=authority.other_key):
            pass
    assert caught.value.problems[0].path == "properties.clientCertificate"


# --- failures of the network -----------------------------------------------------------------------------------------


async def test_nobody_listens(connect: Connect) -> None:
    async with run_recorder() as server:
        url = server.url
    async with connect(url) as client:
        with pytest.raises(UnreachableError, match=f"Nothing listens at {url} .connection refused") as caught:
            await client.open()
    # No proxy is given: none is spoken of.
    assert "roxy" not in f"{caught.value} {caught.value.hint}"


async def test_nobody_listens_at_the_proxy(connect: Connect) -> None:
    async with run_recorder() as server:
        url = server.url
    proxy = url.replace("://", "://ada:planted-secret@")
    async with connect("https://rally.invalid", proxyServer=proxy) as client:
        with pytest.raises(UnreachableError, match=f"Nothing listens at the proxy's address {url} ") as caught:
            await client.open()
    assert "proxyServer" in caught.value.hint


async def test_a_name_that_does_not_resolve(connect: Connect) -> None:
    async with connect("https://rally.invalid") as client:
        with pytest.raises(UnreachableError, match=r"The name in https://rally\.invalid cannot be resolved") as caught:
            await client.open()
    assert "roxy" not in f"{caught.value} {caught.value.hint}"


async def test_https_to_an_http_port_says_so(connect: Connect) -> None:
    async with run_recorder() as server, connect(server.url.replace("http:", "https:")) as client:
        with pytest.raises(UnreachableError) as caught:
            await client.open()
    assert "scheme" in caught.value.hint


async def test_an_answer_without_tls_is_told_as_such(connect: Connect) -> None:
    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with connect(url, retrySeconds=0) as client:
            with pytest.raises(UnreachableError) as caught:
                await client.open()
    assert str(caught.value) == f"{url} answers without TLS."
    assert caught.value.hint.startswith("Write http:// in baseUrl if that is meant")


async def test_an_answer_that_ends_early(connect: Connect) -> None:
    async with run_recorder(lambda _: Reply(body=PROJECT, cut=40)) as server, connect(server.url) as client:
        with pytest.raises(TruncatedResponseError):
            await client.open()


async def test_no_answer_in_time(connect: Connect) -> None:
    # Long enough for a connection on a loaded machine, which has the same limit.
    async with (
        run_recorder(lambda _: Reply(headers={"Content-Length": "999"})) as server,
        connect(server.url, requestTimeoutSeconds=0.5) as client,
    ):
        with stamina.set_testing(True, attempts=2), pytest.raises(ServiceTimeoutError, match=r"0\.5 seconds"):
            await client.open()
        assert client.usage.retries == 1
        assert client.usage.requests == 2


async def test_answers_without_a_date_need_a_clock(connect: Connect) -> None:
    def undated(asked: RecordedRequest) -> Reply:
        return Reply(headers={"Date": "never"}, body=rally(asked).body)

    async with run_recorder(undated) as server:
        async with connect(server.url) as client:
            with pytest.raises(UnexpectedResponseError, match="Date"):
                await client.open()
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        async with RallyClient(properties(server.url), limiters=LimiterPool(), clock=lambda: moment) as client:
            scope = await client.open()
        assert scope.now == moment
        assert any("clock" in notice for notice in scope.notices)


async def test_bytes_are_counted_as_on_the_wire(connect: Connect) -> None:
    packed = gzip.compress(PROJECT + b" " * 10_000)
    async with (
        run_recorder(lambda _: Reply(headers={"Content-Encoding": "gzip"}, body=packed)) as server,
        connect(server.url) as client,
    ):
        await client.open()
        assert client.usage.bytes_received == len(packed)
        assert client.usage.requests == 1


def test_the_environment_does_not_leak_into_the_client() -> None:
    client = make_client(properties("http://127.0.0.1:9"), ssl.create_default_context())
    assert isinstance(client, httpx2.AsyncClient)
    assert not client.trust_env
    assert not client.follow_redirects
