"""Responses that do not come from the service: from proxies, gateways, portals and sign-in pages. No I/O.

They come in place of the service's own answer, with any status, and explain nothing about its keys or its state. Each
is named for what it is, with who can change it. Of addresses only hosts are repeated: the rest may hold tokens.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from rally_accelerate.errors import AccessDeniedError, RallyAccelerateError, UnavailableError, UnexpectedResponseError

#: Login schemes of a proxy that take a user and a password as this program sends them.
_SPOKEN = "basic"
_SCHEMES = re.compile(r"(?i)\b(basic|digest|ntlm|negotiate|kerberos|bearer)\b")

#: What proxies and filters call themselves, in headers and on pages.
_PROXIES = (
    r"tinyproxy|squid|zscaler|blue ?coat|bluecoat|forcepoint|websense|netskope|mcafee|fortinet|fortigate|fortiguard|"
    r"palo alto|checkpoint|barracuda|sophos|cisco umbrella|ironport|privoxy|web ?gateway|umbrella"
)
_PROXY_PAGE = re.compile(rf"(?i)\bproxy\b|proxy (server|authentication)|{_PROXIES}")
_FILTER_PAGE = re.compile(
    rf"(?i){_PROXY_PAGE.pattern[4:]}|firewall|web ?filter|content filter|blocked (by|page|site)|has been blocked|"
    r"(access|acceptable use|internet|security) polic|url category|this (web ?)?site is blocked"
)
_PROXY_HEADERS = ("proxy-authenticate", "x-squid-error", "proxy-connection", "x-bluecoat-via")

_SIGN_ON = re.compile(
    r"(?i)single[ -]?sign[ -]?on|\bsso\b|saml|identity provider|\bidp\b|\bokta\b|\badfs\b|"
    r"ping ?(one|federate|identity)|login\.(microsoftonline|windows)|onelogin|federated (login|sign)"
)
_SIGN_IN_PAGE = re.compile(r"(?i)type=['\"]?password|j_username|sign in to|log in to|please (sign|log) in")
_SIGN_IN_ADDRESS = re.compile(
    r"(?i)login|log-in|signin|sign-in|logon|saml|sso\b|/sso|oauth|authorize|adfs|idp\b|okta|microsoftonline"
)
_PORTAL = re.compile(
    r"(?i)captive|guest (network|wi-?fi|access)|hotspot|wi-?fi (login|access)|accept (the )?terms|terms (of use|and)|"
    r"internet access|walled garden"
)

#: Alerts of TLS that speak of the client's certificate (RFC 8446, 6.2).
_CERTIFICATE_ALERT = re.compile(
    r"ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_(REVOKED|EXPIRED|UNKNOWN)|"
    r"UNKNOWN_CA|ACCESS_DENIED|NO_CERTIFICATE)"
)

_CERTIFICATE_PAGE = re.compile(
    r"(?i)no required ssl certificate|ssl certificate error|client certificate (is )?(required|needed)|"
    r"requires a (valid )?client certificate"
)

#: What web servers say to http on a port for https: nginx, Apache, Go, Tomcat.
_HTTPS_PAGE = re.compile(
    r"(?i)plain http request was sent to https port|speaking plain http to an ssl-enabled|"
    r"sent an http request to an https server|combination of host and port requires tls"
)

#: Pages of gateways that protect a server against attacks and robots: Cloudflare, Akamai, F5, Imperva, AWS.
_GUARD_PAGE = re.compile(
    r"(?i)just a moment\.\.\.|attention required! \| cloudflare|cf-(chl|error|browser)|checking your browser|"
    r"enable javascript and cookies to continue|access denied.*reference (#|&#35;)|errors\.edgesuite\.net|"
    r"requested url was rejected\. please consult|incapsula|imperva|request blocked.*cloudfront|captcha|"
    r"verify (that )?you are (a )?human|request is blocked.*azure|mod_security|web application firewall|"
    r"request could not be satisfied|sucuri|wordfence",
    re.DOTALL,
)

#: Servers that refuse requests by rules of their own, not of the service: AWS, Akamai.
_GUARDS = re.compile(r"(?i)awselb|akamaighost|imperva|sucuri")

#: Names by which the services call themselves when they ask for a login.
_OWN_REALMS = re.compile(r"(?i)rally|agile central|broadcom|\balm\b|accelerate|velocity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The way of a request to its service, as far as it explains responses; without credentials."""

    #: The service's name for sentences.
    service: str = "Rally"
    #: The setting that holds its address.
    setting: str = "baseUrl"
    #: Its configured address.
    server: str = ""
    #: The proxy's address; empty without a proxy.
    proxy: str = ""
    #: Where the proxy is given.
    proxy_setting: str = "proxyServer"
    #: Whether the request logs in with a key, not with a user and a password.
    key: bool = True
    #: Whether a client certificate is presented.
    certificate: bool = False

    @property
    def host(self) -> str:
        """The host's name of the service."""
        return urlsplit(self.server).hostname or self.service

    @property
    def proxy_name(self) -> str:
        """The proxy as sentences name it."""
        return f"the proxy {self.proxy}" if self.proxy else "a proxy on the way"

    @property
    def login_hint(self) -> str:
        """What to check about the proxy's login."""
        if not self.proxy:
            return (
                f"A proxy that is set nowhere takes the connections to {self.host}: enter its address as proxyServer, "
                "with proxyUsername and proxyPassword. Your network's administrators know them."
            )
        if self.proxy_setting != "proxyServer":
            return f"Check the user and password of the proxy in {self.proxy_setting}."
        return "Check proxyUsername and proxyPassword."


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A response, as far as it shows its origin."""

    request: str
    status: int
    #: Names in lower case, or a mapping that ignores case.
    headers: Mapping[str, str]
    #: The beginning of the body.
    text: str
    #: Whether it has marks that only the service itself leaves.
    is_from_service: bool = False

    @property
    def is_page(self) -> bool:
        """Whether it is HTML."""
        return self.text.lstrip().startswith("<")

    @property
    def title(self) -> str:
        """The title of the page in quotation marks, for messages; empty if it has no title."""
        match = re.search(r"(?is)<title[^>]*>(.*?)</title>", self.text)
        words = (
            " ".join("".join(character if character.isprintable() else " " for character in match[1]).split())
            if match
            else ""
        )
        return f' titled "{words[:80]}"' if words else ""

    def is_from_proxy(self) -> bool:
        """Return whether a proxy marks the response as its own."""
        if any(name in self.headers for name in _PROXY_HEADERS):
            return True
        headers = " ".join(self.headers.get(name) or "" for name in ("server", "www-authenticate"))
        if re.search(rf"(?i){_PROXIES}|\bproxy\b", headers):
            return True
        return not self.is_from_service and bool(_PROXY_PAGE.search(self.text))

    def mentions_sign_on(self) -> bool:
        """Return whether the response mentions single sign-on."""
        words = f"{self.text} {self.headers.get('www-authenticate') or ''} {self.headers.get('location') or ''}"
        return bool(_SIGN_ON.search(words))


def explain_login_refusal(reply: Reply, route: Route) -> RallyAccelerateError | None:
    """Explain a 401 that the service itself did not send; None if it can be the service's own."""
    if reply.is_from_proxy():
        return explain_proxy_login(reply.status, reply.headers, route)
    if reply.mentions_sign_on():
        how = "apiKey" if route.key else "user name and password"
        return AccessDeniedError(
            f"{route.service} requires single sign-on and does not accept this {how} ({reply.status}).",
            hint=get_sign_on_hint(route),
        )
    # The services refuse logins in words or with a page; JSON is an API gateway's.
    own = reply.is_from_service and not reply.text.lstrip().startswith("{")
    if not own and (error := _explain_gateway_login(reply, route)):
        return error
    if route.proxy and not reply.is_from_service:
        return AccessDeniedError(
            f"The login is refused ({reply.status}), by {route.proxy_name} or by {route.service}: nothing in the "
            f"answer shows that it is {route.service}'s.",
            hint=f"{route.login_hint} If the proxy's login is right, check the login to {route.service}; tinyproxy and "
            "others answer a wrong proxy password with 401.",
        )
    return None


def _explain_gateway_login(reply: Reply, route: Route) -> AccessDeniedError | None:
    """Explain a 401 by its challenge, if the service would send another one."""
    challenge = reply.headers.get("www-authenticate") or ""
    schemes = [word.lower() for word in _SCHEMES.findall(challenge)]
    if schemes and {"negotiate", "ntlm", "kerberos"} >= set(schemes):
        return AccessDeniedError(
            f"A gateway in front of {route.service} requires a Windows login ({challenge.split()[0].rstrip(',')}, "
            f"{reply.status}), which this program cannot use: no key or password helps.",
            hint=f"Ask the operators of the gateway for an exception for this machine, or for an address of "
            f"{route.service} without it, and set {route.setting} to that.",
        )
    realm = re.search(r'(?i)realm="?([^",]+)', challenge)
    if realm is None and schemes == ["bearer"]:
        return AccessDeniedError(
            f"A gateway in front of {route.service} requires a token of its own (Bearer, {reply.status}).",
            hint=f"Ask the operators of the gateway for an exception for this machine, or for an address of "
            f"{route.service} without it, and set {route.setting} to that.",
        )
    if realm is None or _OWN_REALMS.search(realm[1]):
        return None
    name = "".join(word for word in realm[1] if word.isprintable()).strip()[:60]
    return AccessDeniedError(
        f'The login is refused ({reply.status}) by a server that calls itself "{name}".',
        hint=f"If that is a gateway in front of {route.service}, ask its operators to let this machine through, or for "
        f"an address without it. If it is {route.service}, check the key, or user name and password.",
    )


def explain_proxy_login(status: int, headers: Mapping[str, str], route: Route) -> AccessDeniedError:
    """Explain that a proxy refuses the login, by the schemes that it offers."""
    challenge = headers.get("proxy-authenticate") or ""
    if status == 401:  # noqa: PLR2004 - proxies that answer with this status often ask as servers do
        challenge = challenge or headers.get("www-authenticate") or ""
    offered = [word.lower() for word in _SCHEMES.findall(challenge)]
    if offered and _SPOKEN not in offered:
        names = {"ntlm": "NTLM", "negotiate": "Negotiate", "kerberos": "Kerberos"}
        listed = " and ".join(dict.fromkeys(names.get(word, word.capitalize()) for word in offered))
        return AccessDeniedError(
            f"{_capitalize(route.proxy_name)} only offers {listed} logins ({status}), which this program cannot use: "
            "no password helps.",
            hint="Ask your network's administrators for an exception for this machine or for "
            f"{route.host}, or for a proxy with Basic login; or run a local proxy that signs in for you, such as Px or "
            "Cntlm, and enter its address as proxyServer.",
        )
    return AccessDeniedError(
        f"{_capitalize(route.proxy_name)} requires a login, or does not accept the one it got ({status}).",
        hint=route.login_hint,
    )


def explain_connect_refusal(
    status_line: str, headers: Mapping[str, str], route: Route
) -> AccessDeniedError | UnavailableError | None:
    """Explain why a proxy opens no connection; None if the refusal is temporary.

    Args:
        status_line: The status line of its answer to CONNECT, from the status on.
        headers: Its headers, names in lower case.
        route: The way.
    """
    match = re.match(r"(\d{3})\b", status_line)
    status = int(match[1]) if match else 0
    if status in {401, 407}:
        return explain_proxy_login(status, headers, route)
    if 300 <= status < 400 or status == 511:  # noqa: PLR2004 - redirects, and the status of portals (RFC 6585)
        host = _get_host(headers.get("location") or "")
        where = f" at {host or 'another address'}" if status < 400 else ""  # noqa: PLR2004 - a redirect
        return UnavailableError(
            f"{_capitalize(route.proxy_name)} refers to a sign-in page{where} ({status}) instead of connecting to "
            f"{route.service}.",
            hint=f"Sign in to the portal of your network{f' ({host})' if host else ''} on this machine, or "
            f"ask your network's administrators to let this machine reach {route.host} without it.",
        )
    if status in {408, 425, 429} or not 400 <= status < 500:  # noqa: PLR2004 - the class of refusals
        return None
    if status == 403:  # noqa: PLR2004 - Forbidden
        return AccessDeniedError(
            f"{_capitalize(route.proxy_name)} does not allow connections to {route.service} (403).",
            hint=f"Ask your network's administrators to allow {route.host} on the proxy.",
        )
    return AccessDeniedError(
        f"{_capitalize(route.proxy_name)} does not open connections to {route.service} ({status_line[:60].strip()}).",
        hint=f"Check that {route.proxy_setting} names a proxy, and its port; ask whether it allows CONNECT to "
        f"{route.host}.",
    )


def explain_certificate_refusal(reason: str, route: Route) -> AccessDeniedError | None:
    """Explain that a server requires a (different) client certificate; None for other TLS failures.

    Args:
        reason: What OpenSSL calls it.
        route: The way.
    """
    if not _CERTIFICATE_ALERT.search(reason):
        return None
    alert = reason.lower().replace("_", " ")
    server = urlsplit(route.server).netloc or route.service
    if not route.certificate:
        return AccessDeniedError(
            f"{server} requires a client certificate, and none is given ({alert}).",
            hint="Give the certificate and its key as clientCertificate and clientKey; the operator of the server "
            "issues them.",
        )
    return AccessDeniedError(
        f"{server} does not accept the client certificate ({alert}).",
        hint="Check that clientCertificate is the one that the operator of the server issued, that it has not expired, "
        "and that its file holds the intermediate certificates too.",
    )


def explain_certificate_page(reply: Reply, route: Route) -> AccessDeniedError | None:
    """Explain a page that asks for a client certificate, as nginx and IIS send it with 400 or 403; None for others."""
    if reply.is_from_service or not _CERTIFICATE_PAGE.search(reply.text):
        return None
    return explain_certificate_refusal(
        "ALERT_BAD_CERTIFICATE" if route.certificate else "ALERT_CERTIFICATE_REQUIRED", route
    )


def explain_https_only(reply: Reply, route: Route) -> UnexpectedResponseError | None:
    """Explain that a port takes https only; None for any other answer."""
    if reply.is_from_service or not _HTTPS_PAGE.search(reply.text):
        return None
    server = urlsplit(route.server).netloc or route.host
    return UnexpectedResponseError(
        f"{server} takes https only, and {route.setting} begins with http ({reply.status}).",
        hint=f"Set {route.setting} to https://{server}.",
    )


def explain_portal(reply: Reply, route: Route) -> UnavailableError:
    """Explain that a network requires signing in (RFC 6585, 511)."""
    page = f", with a page{reply.title}" if reply.is_page else ""
    return UnavailableError(
        f"The sign-in portal of a network answers in {route.service}'s place ({reply.status}){page}.",
        hint=_get_portal_hint(route),
    )


def explain_block(reply: Reply, route: Route) -> RallyAccelerateError | None:
    """Explain a refusal by a proxy, firewall or filter; None if it can be the service's own."""
    guard = "cf-mitigated" in reply.headers or _GUARDS.search(reply.headers.get("server") or "")
    if not reply.is_from_service and (guard or _GUARD_PAGE.search(reply.text)):
        return AccessDeniedError(
            f"A gateway in front of {route.service} takes this program for a robot or an attack ({reply.status}) and "
            f"answers with a page of its own{reply.title}.",
            hint=f"Ask its operators to let this machine's requests to {route.host} through: your network's "
            f"administrators if it is theirs, else the support of {route.service}.",
        )
    named = reply.is_from_proxy() or (not reply.is_from_service and _FILTER_PAGE.search(reply.text))
    if not named and not (route.proxy and reply.is_page and not reply.is_from_service):
        return None
    who = route.proxy_name if route.proxy else "a proxy, firewall or filter on the way"
    return AccessDeniedError(
        f"{_capitalize(who)} blocks the request for {reply.request} ({reply.status}) with a page of its own"
        f"{reply.title}.",
        hint=f"Ask your network's administrators to allow {route.host}. {_get_proxy_hint(route)}",
    )


def explain_redirect(reply: Reply, route: Route) -> RallyAccelerateError:
    """Explain a redirect; none is followed, because that would send the login to another server."""
    location = reply.headers.get("location") or ""
    host = _get_host(location)
    parts = urlsplit(location if host else "")
    if not location:
        return UnexpectedResponseError(
            f"The server redirects the request for {reply.request} without an address ({reply.status}).",
            hint=f"Check {route.setting}: a gateway, or a server of another kind, answers in {route.service}'s place.",
        )
    where = host or "another page of the same server"
    if _PORTAL.search(location) and not _SIGN_ON.search(location):
        return UnavailableError(
            f"The sign-in portal of a network answers in {route.service}'s place, at {where} ({reply.status}).",
            hint=_get_portal_hint(route),
        )
    if _SIGN_IN_ADDRESS.search(location):
        return AccessDeniedError(
            f"{route.service} sends the request to a login page "
            f"{'at ' + host if host else 'of the same server'} ({reply.status}).",
            hint=get_sign_on_hint(route) if route.service == "Rally" else _get_portal_hint(route),
        )
    own = urlsplit(route.server)
    if host and host == own.hostname and (parts.scheme, own.scheme) == ("https", "http"):
        return UnexpectedResponseError(
            f"{host} sends http requests on to https ({reply.status}).",
            hint=f"Set {route.setting} to https://{host}.",
        )
    if host and host != own.hostname:
        return UnexpectedResponseError(
            f"The server sends the request for {reply.request} on to {host} ({reply.status}).",
            hint=f"If {host} is {route.service}, set {route.setting} to https://{host}. If not, a portal, proxy or "
            "gateway of your network answers: sign in to it on this machine, or ask its administrators to let this "
            f"machine reach {route.host} directly.",
        )
    return UnexpectedResponseError(
        f"The server sends the request for {reply.request} on to another page of its own ({reply.status}).",
        hint=f"Check {route.setting}: it must be the address of {route.service} alone, with https:// unless the server "
        "has no TLS.",
    )


def explain_page(reply: Reply, route: Route) -> RallyAccelerateError | None:
    """Explain an HTML page with a successful status by its origin; None for other pages."""
    if "FindProxyForURL" in reply.text:
        return AccessDeniedError(
            f"{_capitalize(route.proxy_name)} is no proxy: it sends a PAC file (automatic configuration).",
            hint=f"Open the file in a browser and give the proxy that it names for {route.host} as "
            f"{route.proxy_setting}.",
        )
    if reply.is_from_proxy() or _FILTER_PAGE.search(reply.text):
        return AccessDeniedError(
            f"{_capitalize(route.proxy_name)} or a filter answers in {route.service}'s place, with a page"
            f"{reply.title}.",
            hint=f"Ask your network's administrators to let this machine reach {route.host}. {_get_proxy_hint(route)}",
        )
    if _PORTAL.search(reply.text) and not _SIGN_ON.search(reply.text):
        return UnavailableError(
            f"The sign-in portal of a network answers in {route.service}'s place, with a page{reply.title}.",
            hint=_get_portal_hint(route),
        )
    if _SIGN_ON.search(reply.text) or _SIGN_IN_PAGE.search(reply.text):
        return AccessDeniedError(
            f"A login page{reply.title} came instead of data.",
            hint=get_sign_on_hint(route) if route.service == "Rally" else _get_portal_hint(route),
        )
    return None


def capture_headers(headers: dict[str, str]) -> Callable[[str, Any], Awaitable[None]]:
    """Return a trace function for the HTTP library that stores the headers of the last response in lower case."""

    async def listen(event: str, info: Any) -> None:
        if event.endswith("receive_response_headers.complete"):
            headers.clear()
            for name, value in info["return_value"][3]:
                key = name.decode("latin-1").lower()
                headers[key] = ", ".join(filter(None, (headers.get(key), value.decode("latin-1"))))

    return listen


def _get_host(location: str) -> str:
    """Return the host of an address; empty when it has none or is malformed."""
    try:
        return urlsplit(location).hostname or ""
    except ValueError:
        return ""


def get_sign_on_hint(route: Route) -> str:
    """Return what to do when single sign-on blocks the login (rally-api-notes.md#authentication)."""
    others = f"and check that no portal or gateway of your network is in front of {route.service}."
    if not route.key:
        return (
            "Single sign-on is in the way: use an apiKey instead of username and password, or have a subscription "
            f"administrator put the user on the exception list of single sign-on; {others}"
        )
    return (
        f"Single sign-on is in the way, which an apiKey of {route.service} passes: check that {route.setting} is "
        f"{route.service}'s own address and not that of a sign-on page, that the apiKey is complete and was made on "
        "this server; or have a subscription administrator put the user on the exception list of single sign-on; "
        f"{others}"
    )


def _get_portal_hint(route: Route) -> str:
    return (
        f"Sign in to the portal of your network on this machine, or ask its administrators to let this machine reach "
        f"{route.host} without it; and check {route.setting}."
    )


def _get_proxy_hint(route: Route) -> str:
    return route.login_hint if route.proxy else f"If a proxy has to be used for {route.host}, enter it as proxyServer."


def _capitalize(text: str) -> str:
    return text[:1].upper() + text[1:]
