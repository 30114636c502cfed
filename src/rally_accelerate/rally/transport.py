"""The thin edge to the network: connections, proxy, login headers, and the lock that lets only reads out.

Nothing is decided here about answers; failures before an answer become the product's errors, each with its
cause.
"""

import asyncio
import platform
import re
import ssl
import urllib.request
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import urlsplit

import httpx2

from rally_accelerate import __version__
from rally_accelerate.config.model import MOST_REQUESTS_IN_FLIGHT, Properties
from rally_accelerate.config.no_proxy import bypasses, proxy_server
from rally_accelerate.config.values import proxy_address
from rally_accelerate.errors import (
    AccessRefused,
    ConfigError,
    CutShort,
    Problem,
    TimedOut,
    Unavailable,
    Unreachable,
)
from rally_accelerate.model.foreign import Route, refused_certificate, refused_connection
from rally_accelerate.model.unconnected import causes, unconnected
from rally_accelerate.rally.tls import UNVERIFIED

CONNECT_SECONDS = 10.0

#: Lookback's query address is POSTed to, but only reads (rally-api-notes.md#lookback-requests).
_LOOKBACK = re.compile(rb"/analytics/v2\.0/service/rally/workspace/[0-9]+/artifact/snapshot/query(\.js)?")

#: Rally's own toolkits name themselves so (rally-api-notes.md#authentication).
_IDENTITY = {
    "User-Agent": f"rally-accelerate/{__version__}",
    "X-RallyIntegrationName": "rally-accelerate",
    "X-RallyIntegrationVendor": "The rally-accelerate authors",
    "X-RallyIntegrationVersion": __version__,
    "X-RallyIntegrationLibrary": f"httpx2/{httpx2.__version__}",
    "X-RallyIntegrationPlatform": f"Python {platform.python_version()}",
    "X-RallyIntegrationOS": platform.system(),
}


class WriteAttempted(RuntimeError):
    """Something tried to send a request that is not a read, or to another server. Nothing was sent."""


class OnlyReads(httpx2.AsyncBaseTransport):
    """The lowest layer: lets nothing out but reads of one server."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, *, base_url: str) -> None:
        self._inner = inner
        self._origin = httpx2.URL(base_url)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a read.

        Raises:
            WriteAttempted: It is none, or it would carry the login to another server.
        """
        url = request.url
        if (url.scheme, url.host, url.port) != (self._origin.scheme, self._origin.host, self._origin.port):
            raise WriteAttempted(f"{request.method} to {url.host}, which is not the configured server")
        below = url.raw_path.partition(b"?")[0].removeprefix(self._origin.raw_path.rstrip(b"/"))
        if request.method != "GET" and not (request.method == "POST" and _LOOKBACK.fullmatch(below)):
            raise WriteAttempted(f"{request.method} {below.decode('ascii', 'replace')}")
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def http_client(properties: Properties, context: ssl.SSLContext) -> httpx2.AsyncClient:
    """A client for one integration; nothing is sent yet.

    Args:
        properties: The validated settings.
        context: From ``tls_context``.

    Raises:
        ConfigError: The environment's proxy cannot be used.
    """
    inner = httpx2.AsyncHTTPTransport(
        verify=context,
        proxy=_proxy(properties, context),
        limits=httpx2.Limits(
            max_connections=MOST_REQUESTS_IN_FLIGHT,
            max_keepalive_connections=MOST_REQUESTS_IN_FLIGHT,
            keepalive_expiry=30.0,
        ),
    )
    return httpx2.AsyncClient(
        transport=OnlyReads(inner, base_url=properties.base_url),
        headers={**_IDENTITY, "Accept": "application/json", **_login(properties)},
        # Keys that come with session cookies are refused with "Invalid key" (rally-api-notes.md#authentication): a jar
        # whose policy allows no domain neither keeps nor sends any.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=httpx2.Timeout(
            properties.request_timeout_seconds,
            connect=min(CONNECT_SECONDS, properties.request_timeout_seconds),
            # Waiting for one of our own connections is no failure of the service.
            pool=None,
        ),
        follow_redirects=False,
        # Proxies of the environment are read below; .netrc and others are nobody's wish here.
        trust_env=False,
    )


def notices_of(properties: Properties) -> list[str]:
    """What every run says about how it connects."""
    notices = []
    if has_key(properties) and (properties.username or properties.password):
        notices.append("Both apiKey and username or password are given: the apiKey is used.")
    if not properties.verify_tls:
        notices.append(UNVERIFIED)
    return notices


def has_key(properties: Properties) -> bool:
    """Whether an API key is given; it wins over user and password (rally-api-notes.md#authentication)."""
    return bool(properties.api_key and properties.api_key.get_secret_value())


def _login(properties: Properties) -> dict[str, str]:
    if properties.api_key and has_key(properties):
        name, header = "apiKey", {"ZSESSIONID": properties.api_key.get_secret_value()}
    else:
        password = properties.password.get_secret_value() if properties.password else ""
        pair = f"{properties.username}:{password}".encode()
        name, header = "username", {"Authorization": f"Basic {b64encode(pair).decode()}"}
    if not all(value.isascii() and value.isprintable() for value in header.values()):
        problem = Problem(f"properties.{name}", "has characters that no key has; was it copied whole and alone?")
        raise ConfigError(str(problem), problems=(problem,))
    return header


def _proxy(properties: Properties, context: ssl.SSLContext) -> httpx2.Proxy | None:
    if server := proxy_server(properties, properties.base_url):
        password = properties.proxy_password.get_secret_value() if properties.proxy_password else ""
        address = proxy_address(server, username=properties.proxy_username, password=password)
    else:
        address = _environment_proxy(properties)
    if not address:
        return None
    try:
        proxy = httpx2.Proxy(address)
    except (ValueError, httpx2.InvalidURL):
        proxy = None
    if proxy is None or proxy.url.scheme not in {"http", "https"} or not proxy.url.host:
        problem = Problem(
            "properties.proxyServer",
            "is no http:// or https:// proxy address",
            "" if properties.proxy_server else "environment",
        )
        raise ConfigError(str(problem), problems=(problem,), hint="Give the proxy as http://host:port in proxyServer.")
    proxy.ssl_context = context if proxy.url.scheme == "https" else None
    return proxy


def _environment_proxy(properties: Properties) -> str:
    """The proxy that the machine's settings name for this server; ``NO_PROXY`` counts here only, ``noProxy`` always.

    The standard library reads them as every other program on the machine does.
    """
    if bypasses(properties.base_url, properties.no_proxy):
        return ""
    parts = urlsplit(properties.base_url)
    proxies = urllib.request.getproxies()
    address = proxies.get(parts.scheme) or proxies.get("all") or ""
    if not address or urllib.request.proxy_bypass(parts.netloc):
        return ""
    return address if "://" in address else f"http://{address}"


def way_of(properties: Properties) -> Route:
    """The way that the settings, and the environment, lay down."""
    server = _without_credentials(properties.base_url)
    route = Route(server=server, key=has_key(properties), certificate=bool(properties.client_certificate))
    if proxy := proxy_server(properties, properties.base_url):
        return replace(route, proxy=_without_credentials(proxy))
    proxy = _without_credentials(_environment_proxy(properties))
    return replace(route, proxy=proxy, given="the environment (HTTPS_PROXY)")


def _without_credentials(address: str) -> str:
    scheme, mark, rest = address.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}".rstrip("/") if mark else address.rpartition("@")[2]


@contextmanager
def translated(asked: str, *, seconds: float, way: Route, answered: Mapping[str, str] | None = None) -> Iterator[None]:
    """Turns the failures of the network, before or within an answer, into the product's errors.

    Args:
        asked: What was asked for, for the sentence.
        seconds: The read time-out, for the sentence.
        way: What was connected to, for the sentence.
        answered: The headers of the last answer that came, which may be a proxy's refusal to connect.
    """
    try:
        yield
    except httpx2.ConnectTimeout:
        raise Unreachable(
            f"No connection to {way.proxy or way.server} within {min(CONNECT_SECONDS, seconds):g} seconds."
        ) from None
    except httpx2.TimeoutException:
        raise TimedOut(f"No answer for {asked} within {seconds:g} seconds.") from None
    except httpx2.ProxyError as error:
        raise _proxy_failure(str(error), answered or {}, way) from None
    except httpx2.ConnectError as error:
        raise (unconnected(error, way) or Unreachable(f"No connection: {_said(error)}")) from None
    except httpx2.DecodingError:
        # A compressed body that ends early fails in its decompression.
        raise CutShort(f"The answer for {asked} could not be decompressed.") from None
    # An alert that comes after the handshake leaves the library as it is.
    except (
        httpx2.ReadError,
        httpx2.WriteError,
        httpx2.CloseError,
        httpx2.RemoteProtocolError,
        ssl.SSLError,
    ) as error:
        if refusal := _certificate_refused(error, way):
            raise refusal from None
        hint = ""
        if way.server.startswith("https") and not way.certificate and not answered:
            # Some servers end the connection without an alert.
            hint = (
                f"If {way.host} requires a client certificate, give it as clientCertificate and clientKey. If not, "
                "look for what ends connections on the way there, such as a firewall."
            )
        if way.proxy and not answered:
            hint = (
                f"Check that {way.given} names an HTTP proxy and its port: SOCKS proxies and services of other kinds "
                f"end connections so. If it does, look for what ends connections to {way.host}, such as a firewall."
            )
        elif way.server.startswith("http:") and not answered:
            hint = f"If the server takes https only, set baseUrl to {way.server.replace('http:', 'https:', 1)}."
        raise CutShort(f"The connection ended within the answer for {asked}: {_said(error)}", hint=hint) from None
    except httpx2.InvalidURL as error:
        problem = Problem("properties.baseUrl", f"cannot be used as an address: {_said(error)}")
        raise ConfigError(str(problem), problems=(problem,), hint="Correct baseUrl.") from None
    except httpx2.TransportError as error:
        raise Unreachable(f"The connection failed: {_said(error)}") from None


@asynccontextmanager
async def whole(asked: str, *, seconds: float) -> AsyncIterator[None]:
    """Give up what trickles: every piece of it is in time, and the whole never comes.

    Args:
        asked: What was asked for, for the sentence.
        seconds: After how long.

    Raises:
        TimedOut: It took longer.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise TimedOut(f"The answer for {asked} had not arrived whole within {seconds:g} seconds.") from None


def _proxy_failure(said: str, headers: Mapping[str, str], way: Route) -> AccessRefused | Unavailable | Unreachable:
    # The message of a refused tunnel is the proxy's status line.
    return refused_connection(said, headers, way) or Unreachable(
        f"{way.the_proxy[:1].upper()}{way.the_proxy[1:]} makes no connection to {way.host}: "
        f"{said[:100] or 'no reason given'}.",
        hint=f"Check {way.given}, and that the proxy may reach {way.host} and resolves its name.",
    )


def _certificate_refused(error: Exception, way: Route) -> AccessRefused | None:
    """The refusal of a server that wants another client certificate, or one at all; else None."""
    reasons = [str(cause.reason) for cause in causes(error) if isinstance(cause, ssl.SSLError)]
    return next((refusal for each in reasons if (refusal := refused_certificate(each, way))), None)


def _said(error: Exception) -> str:
    said = " ".join(str(error).split())[:150] or type(error).__name__
    return f"{said.rstrip('.')}."
