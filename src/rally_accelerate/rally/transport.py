"""HTTP transport: connections, TLS, proxy, login headers, and the check that only reads are sent.

Failures before a response become the product's errors, each with its cause; ``responses`` handles responses.
"""

import asyncio
import errno
import os
import platform
import re
import ssl
import stat
import threading
import urllib.request
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import urlsplit

import httpx2

from rally_accelerate import __version__
from rally_accelerate.config.model import MOST_REQUESTS_IN_FLIGHT, Properties
from rally_accelerate.config.no_proxy import bypasses_proxy, get_proxy_server
from rally_accelerate.config.value_parsers import build_proxy_address
from rally_accelerate.errors import (
    AccessDeniedError,
    ConfigError,
    Problem,
    ServiceTimeoutError,
    TruncatedResponseError,
    UnavailableError,
    UnreachableError,
)
from rally_accelerate.model.connection_errors import explain_connection_error, iterate_causes
from rally_accelerate.model.foreign_responses import Route, explain_certificate_refusal, explain_connect_refusal
from rally_accelerate.model.lenient_json import decode_text
from rally_accelerate.model.text_folding import normalize_typography

#: No bundle of certificates is larger; all public authorities together take 250 kB. OpenSSL's time for certificates of
#: one subject grows with the square of their number: a megabyte of the smallest ones takes about a second.
MAX_CHARACTERS = 1_000_000

#: What a PEM text has and a path has not.
BEGIN = "-----BEGIN "

# Possessive quantifiers and one marker per label: no character is scanned twice.
_MARKER = re.compile("-----(BEGIN|END) ([A-Z0-9 ]++)-----")
#: The labels that OpenSSL reads certificates from; keys and parameters between them are left out.
_LABELS = ("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE")
#: RFC 7468: the length of a line. OpenSSL refuses much longer ones.
_LINE = 64


def is_pem(text: str) -> bool:
    """Return whether a setting contains certificates instead of a path."""
    return BEGIN in text


def split_certificates(text: str) -> list[str]:
    """Return each certificate of a text once, as a PEM text with lines of the usual length.

    Line ends do not count: a text box of one line turns them into blanks. Text between certificates is left out.

    Raises:
        ValueError: No certificate exists, one is not complete, or all together are too large; the message is a sentence
            without a subject.
    """
    blocks = tuple(dict.fromkeys(_pem_blocks(text)))
    if not blocks:
        raise ValueError("holds no certificate in PEM form")
    if sum(map(len, blocks)) > MAX_CHARACTERS:
        raise ValueError(
            f"holds more than {MAX_CHARACTERS:,} characters of certificates; give only those that you need"
        )
    return list(blocks)


def _pem_blocks(text: str) -> Iterator[str]:
    begun: re.Match[str] | None = None
    for marker in _MARKER.finditer(text):
        kind, label = marker.groups()
        if (kind == "END") != (begun is not None and label == begun[2]):
            raise ValueError(f'holds an incomplete block: the line "{marker[0]}" has no counterpart')
        if kind == "BEGIN":
            begun = marker
            continue
        if begun is not None and label in _LABELS:
            content = "".join(normalize_typography(text[begun.end() : marker.start()]).split())
            if not content.isascii():
                raise ValueError("holds a certificate with characters that are none of Base64")
            lines = (content[at : at + _LINE] for at in range(0, len(content), _LINE))
            yield "\n".join((begun[0], *lines, marker[0], ""))
        begun = None
    if begun is not None:
        raise ValueError(f'holds an incomplete block: the line "{begun[0]}" has no counterpart')


#: Timeout in seconds for reading files of certificates and keys.
FILE_SECONDS = 10.0

#: Maximum size of a file of certificates, including comments.
MAX_FILE_BYTES = 5_000_000

#: Number of certificates per batch: between two batches, the thread lets others run.
_BATCH_SIZE = 10

#: One text for every reason: a person who can change settings must not learn which files there are.
_NOT_USABLE = {
    "caBundle": "cannot be used; give the certificates themselves in PEM form, or the path of a PEM file that the user "
    "who runs this program can read",
    "clientCertificate": "cannot be used; clientCertificate and clientKey must be PEM files that the user who runs "
    "this program can read and that belong together, and clientKeyPassword must be the key's password if it has one",
}

#: Threads that are blocked by files after the timeout, by paths.
_stuck: dict[tuple[str, ...], threading.Thread] = {}

UNVERIFIED = (
    "verifyTls is false: certificates are not checked, so anyone between here and Rally can read the key or password. "
    "Set caBundle to the authority's certificate instead."
)


ACCELERATE_UNVERIFIED = (
    "verifyAccelerateTls is false: Accelerate's certificate is not checked, so anyone between here and Accelerate can "
    "read the access key. Set caBundle to the authority's certificate instead."
)


async def tls_context(properties: Properties) -> ssl.SSLContext:
    """Return the settings for every TLS connection of one integration.

    Files and certificates are read in threads: a named pipe, a file of a server that does not answer, or a bundle with
    thousands of certificates must not stop everything else in this process.

    Raises:
        ConfigError: A PEM file cannot be used.
    """
    if properties.client_key and not properties.client_certificate:
        raise _problem("clientKey", "is given without clientCertificate")
    context = await asyncio.to_thread(httpx2.create_ssl_context, verify=properties.verify_tls)
    bundle = properties.ca_bundle
    if is_pem(bundle):
        try:
            await asyncio.to_thread(_trust, context, bundle)
        except ValueError as error:
            raise _problem("caBundle", f"{error}; copy complete certificates, with BEGIN and END lines") from None
        except ssl.SSLError:
            text = "contains certificates that cannot be read; copy them completely, including the BEGIN and END lines"
            raise _problem("caBundle", text) from None
    elif bundle:
        await _load_files("caBundle", (bundle,), partial(_load_bundle, context, bundle))
    if properties.client_certificate:
        paths = tuple(path for path in (properties.client_certificate, properties.client_key) if path)
        await _load_files("clientCertificate", paths, partial(_load_client_certificate, context, properties, paths))
    return context


def accelerate_context(properties: Properties, rally: ssl.SSLContext) -> ssl.SSLContext:
    """Return the TLS settings for connections to Accelerate, which can be exempt from verification.

    Args:
        properties: The validated settings.
        rally: The result of ``tls_context``; it is reused if the settings are equal, because it is slow to create.
    """
    if properties.verify_accelerate_tls or not properties.verify_tls:
        return rally
    return httpx2.create_ssl_context(verify=False)


def _trust(context: ssl.SSLContext, text: str) -> None:
    """Trust the certificate authorities of a PEM text.

    Raises:
        ValueError: No certificate exists, or too many.
        ssl.SSLError: One cannot be read.
    """
    blocks = split_certificates(text)
    for start in range(0, len(blocks), _BATCH_SIZE):
        context.load_verify_locations(cadata="".join(blocks[start : start + _BATCH_SIZE]))


def _load_bundle(context: ssl.SSLContext, path: str) -> None:
    # Comments in words are in many encodings; some editors store all of it in UTF-16.
    _trust(context, decode_text(_read_file(path)))


def _load_client_certificate(context: ssl.SSLContext, properties: Properties, paths: tuple[str, ...]) -> None:
    password = properties.client_key_password.get_secret_value() if properties.client_key_password else ""
    # Without this, OpenSSL would wait for the password of a key on the terminal.
    with ExitStack() as stack:
        certificate, *key = [stack.enter_context(_ascii_path(path)) for path in paths]
        context.load_cert_chain(certificate, key[0] if key else None, lambda: password)


@contextmanager
def _ascii_path(path: str) -> Iterator[str]:
    """Yield the path of a file as OpenSSL reads it: without a byte order mark, and not in UTF-16.

    Raises:
        OSError: It is no usable file.
    """
    content = _read_file(path)
    readable = decode_text(content).encode("ascii", errors="replace")
    # A private key must not be written to a disk: where there is no file in memory, it is read as it is.
    if readable == content or not hasattr(os, "memfd_create"):
        yield path
        return
    with os.fdopen(os.memfd_create("certificate", os.MFD_CLOEXEC), "wb") as file:
        file.write(readable)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"


def _read_file(path: str) -> bytes:
    """Read a regular file of a reasonable size.

    Raises:
        OSError: It is not a regular file, is too large, or cannot be read.
    """
    # Without O_NONBLOCK, opening a named pipe waits for its writer.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE_BYTES:
            raise OSError(errno.EINVAL, "not a regular file, or too large")
        return file.read(MAX_FILE_BYTES)


async def _load_files(name: str, paths: tuple[str, ...], load: Callable[[], None]) -> None:
    """Load files in a daemon thread, which cannot keep the process from ending.

    A thread that waits for a file cannot be ended: while one is stuck, no other one is started for the same files.

    Raises:
        ConfigError: They cannot be used, or not within ``FILE_SECONDS``.
    """
    loop = asyncio.get_running_loop()
    loaded: asyncio.Future[bool] = loop.create_future()

    def finish(good: bool) -> None:  # noqa: FBT001 - a callback of the loop
        if not loaded.done():
            loaded.set_result(good)

    def work() -> None:
        try:
            load()
            good = True
        # An embedded zero byte or text that is not ASCII is a ValueError.
        except (ssl.SSLError, OSError, ValueError):
            good = False
        with suppress(RuntimeError):
            # Nothing waits any more when the loop is closed.
            loop.call_soon_threadsafe(finish, good)

    # The same file in another spelling is the same one.
    paths = tuple(os.path.normpath(path) for path in paths)  # noqa: ASYNC240 - it looks at no file
    stuck = _stuck.get(paths)
    if stuck is not None and stuck.is_alive():
        raise _problem(name, _NOT_USABLE[name])
    thread = threading.Thread(target=work, name=f"read {name}", daemon=True)
    thread.start()
    try:
        good = await asyncio.wait_for(loaded, FILE_SECONDS)
    except TimeoutError:
        good = False
        _stuck[paths] = thread
    if not good:
        raise _problem(name, _NOT_USABLE[name])


def _problem(name: str, text: str) -> ConfigError:
    problem = Problem(f"properties.{name}", text)
    return ConfigError(str(problem), problems=(problem,), hint=f"Correct {name}, or leave it out.")


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


class WriteAttemptedError(RuntimeError):
    """A request that is not a read, or to another server, was blocked. Nothing was sent."""


class ReadOnlyTransport(httpx2.AsyncBaseTransport):
    """Transport that sends only reads to one server."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, *, base_url: str) -> None:
        self._inner = inner
        self._origin = httpx2.URL(base_url)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a read.

        Raises:
            WriteAttemptedError: The request is not a read, or would send the login to another server.
        """
        url = request.url
        if (url.scheme, url.host, url.port) != (self._origin.scheme, self._origin.host, self._origin.port):
            raise WriteAttemptedError(f"{request.method} to {url.host}, which is not the configured server")
        below = url.raw_path.partition(b"?")[0].removeprefix(self._origin.raw_path.rstrip(b"/"))
        if request.method != "GET" and not (request.method == "POST" and _LOOKBACK.fullmatch(below)):
            raise WriteAttemptedError(f"{request.method} {below.decode('ascii', 'replace')}")
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def make_client(properties: Properties, context: ssl.SSLContext) -> httpx2.AsyncClient:
    """Create the HTTP client of one integration; nothing is sent yet.

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
        transport=ReadOnlyTransport(inner, base_url=properties.base_url),
        headers={**_IDENTITY, "Accept": "application/json", **_login_headers(properties)},
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
        # Proxies of the environment are read below; .netrc and others must not be used.
        trust_env=False,
    )


def connection_notices(properties: Properties) -> list[str]:
    """Return the notices about the connection that every run logs."""
    notices = []
    if has_key(properties) and (properties.username or properties.password):
        notices.append("Both apiKey and username or password are set; the apiKey is used.")
    if not properties.verify_tls:
        notices.append(UNVERIFIED)
    return notices


def has_key(properties: Properties) -> bool:
    """Return whether an API key is set; it has priority over user and password (rally-api-notes.md#authentication)."""
    return bool(properties.api_key and properties.api_key.get_secret_value())


def _login_headers(properties: Properties) -> dict[str, str]:
    if properties.api_key and has_key(properties):
        name, header = "apiKey", {"ZSESSIONID": properties.api_key.get_secret_value()}
    else:
        password = properties.password.get_secret_value() if properties.password else ""
        pair = f"{properties.username}:{password}".encode()
        name, header = "username", {"Authorization": f"Basic {b64encode(pair).decode()}"}
    if not all(value.isascii() and value.isprintable() for value in header.values()):
        problem = Problem(f"properties.{name}", "has characters that no key has; copy the key completely")
        raise ConfigError(str(problem), problems=(problem,))
    return header


def _proxy(properties: Properties, context: ssl.SSLContext) -> httpx2.Proxy | None:
    if server := get_proxy_server(properties, properties.base_url):
        password = properties.proxy_password.get_secret_value() if properties.proxy_password else ""
        address = build_proxy_address(server, username=properties.proxy_username, password=password)
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
    """Return the proxy that the environment sets for this server; ``NO_PROXY`` applies only here, ``noProxy`` always.

    The standard library reads them as every other program on the machine does.
    """
    if bypasses_proxy(properties.base_url, properties.no_proxy):
        return ""
    parts = urlsplit(properties.base_url)
    proxies = urllib.request.getproxies()
    address = proxies.get(parts.scheme) or proxies.get("all") or ""
    if not address or urllib.request.proxy_bypass(parts.netloc):
        return ""
    return address if "://" in address else f"http://{address}"


def make_route(properties: Properties) -> Route:
    """Return the route to Rally according to the settings and the environment."""
    server = _without_credentials(properties.base_url)
    route = Route(server=server, key=has_key(properties), certificate=bool(properties.client_certificate))
    if proxy := get_proxy_server(properties, properties.base_url):
        return replace(route, proxy=_without_credentials(proxy))
    proxy = _without_credentials(_environment_proxy(properties))
    return replace(route, proxy=proxy, proxy_setting="the environment (HTTPS_PROXY)")


def _without_credentials(address: str) -> str:
    scheme, mark, rest = address.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}".rstrip("/") if mark else address.rpartition("@")[2]


@contextmanager
def translate_errors(
    resource: str, *, seconds: float, route: Route, answered: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Translate network failures, before or during a response, into the product's errors.

    Args:
        resource: The requested path, for the message.
        seconds: The read timeout, for the message.
        route: The route to the server, for the message.
        answered: The headers of the last response, which can be a proxy's refusal to connect.
    """
    try:
        yield
    except httpx2.ConnectTimeout:
        raise UnreachableError(
            f"No connection to {route.proxy or route.server} within {min(CONNECT_SECONDS, seconds):g} seconds."
        ) from None
    except httpx2.TimeoutException:
        raise ServiceTimeoutError(f"No answer for {resource} within {seconds:g} seconds.") from None
    except httpx2.ProxyError as error:
        raise _proxy_error(str(error), answered or {}, route) from None
    except httpx2.ConnectError as error:
        raise (
            explain_connection_error(error, route) or UnreachableError(f"No connection: {_describe(error)}")
        ) from None
    except httpx2.DecodingError:
        # A compressed body that ends early fails in its decompression.
        raise TruncatedResponseError(f"The answer for {resource} could not be decompressed.") from None
    # An alert that comes after the handshake leaves the library as it is.
    except (
        httpx2.ReadError,
        httpx2.WriteError,
        httpx2.CloseError,
        httpx2.RemoteProtocolError,
        ssl.SSLError,
    ) as error:
        if refusal := _certificate_error(error, route):
            raise refusal from None
        hint = ""
        if route.server.startswith("https") and not route.certificate and not answered:
            # Some servers end the connection without an alert.
            hint = (
                f"If {route.host} requires a client certificate, give it as clientCertificate and clientKey. If not, "
                "look for what ends connections on the way there, such as a firewall."
            )
        if route.proxy and not answered:
            hint = (
                f"Check that {route.proxy_setting} names an HTTP proxy and its port: SOCKS proxies and services of "
                f"other kinds end connections so. If it does, look for what ends connections to {route.host}, such as "
                "a firewall."
            )
        elif route.server.startswith("http:") and not answered:
            hint = f"If the server takes https only, set baseUrl to {route.server.replace('http:', 'https:', 1)}."
        raise TruncatedResponseError(
            f"The connection ended within the answer for {resource}: {_describe(error)}", hint=hint
        ) from None
    except httpx2.InvalidURL as error:
        problem = Problem("properties.baseUrl", f"cannot be used as an address: {_describe(error)}")
        raise ConfigError(str(problem), problems=(problem,), hint="Correct baseUrl.") from None
    except httpx2.TransportError as error:
        raise UnreachableError(f"The connection failed: {_describe(error)}") from None


@asynccontextmanager
async def limit_duration(resource: str, *, seconds: float) -> AsyncIterator[None]:
    """Limit the total time of a response whose parts arrive in time but which never ends.

    Args:
        resource: The requested path, for the message.
        seconds: The limit.

    Raises:
        ServiceTimeoutError: It took longer.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise ServiceTimeoutError(f"The response for {resource} was not complete after {seconds:g} seconds.") from None


def _proxy_error(
    message: str, headers: Mapping[str, str], route: Route
) -> AccessDeniedError | UnavailableError | UnreachableError:
    # The message of a refused tunnel is the proxy's status line.
    return explain_connect_refusal(message, headers, route) or UnreachableError(
        f"{route.proxy_name[:1].upper()}{route.proxy_name[1:]} makes no connection to {route.host}: "
        f"{message[:100] or 'no reason given'}.",
        hint=f"Check {route.proxy_setting}, and that the proxy may reach {route.host} and resolves its name.",
    )


def _certificate_error(error: Exception, route: Route) -> AccessDeniedError | None:
    """Return the error of a server that requires another client certificate, or any; None for other errors."""
    reasons = [str(cause.reason) for cause in iterate_causes(error) if isinstance(cause, ssl.SSLError)]
    return next((refusal for reason in reasons if (refusal := explain_certificate_refusal(reason, route))), None)


def _describe(error: Exception) -> str:
    message = " ".join(str(error).split())[:150] or type(error).__name__
    return f"{message.rstrip('.')}."
