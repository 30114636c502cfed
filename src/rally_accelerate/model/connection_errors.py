"""Why no connection was made, from the causes of the HTTP library's error; pure.

The library's own texts are OpenSSL's and the operating system's; each cause is named with what can be done about it.
"""

import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from rally_accelerate.errors import CertificateVerificationError, RallyAccelerateError, UnreachableError
from rally_accelerate.model.foreign_responses import Route, refused_certificate

#: What TLS says of an answer that is none of its own.
_NO_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"}

#: What it says when the two sides have no version in common.
_VERSIONS = {
    "TLSV1_ALERT_PROTOCOL_VERSION",
    "UNSUPPORTED_PROTOCOL",
    "NO_PROTOCOLS_AVAILABLE",
    "VERSION_TOO_LOW",
    "WRONG_SSL_VERSION",
}

#: Results of OpenSSL's verification (X509_V_ERR_…).
_NOT_YET_VALID, _EXPIRED, _SELF_SIGNED = 9, 10, 18
_UNKNOWN_ISSUER = {2, 19, 20, 21}
_OTHER_NAMES = {62, 64}


# A table of causes and errors reads better than one exit.
def unconnected(error: BaseException, route: Route) -> RallyAccelerateError | None:
    """Return the explanation of a failure to connect; None when its causes are not known.

    Args:
        error: What the HTTP library raised.
        route: The way.
    """
    for cause in causes(error):
        match cause:
            case ssl.SSLCertVerificationError():
                return unverified(cause, route)
            case ssl.SSLError() if refusal := refused_certificate(str(cause.reason), route):
                return refusal
            case ssl.SSLError():
                return _no_handshake(cause, route)
            # By its name: importing socket is input and output, which this package has none of.
            case OSError() if type(cause).__name__ == "gaierror":
                return UnreachableError(
                    f"The name in {_connected(route)} cannot be resolved.",
                    hint=f"Check its spelling in {_setting(route)}, and this machine's name resolution (DNS).",
                )
            case ConnectionRefusedError():
                return UnreachableError(
                    f"Nothing listens at {_connected(route)} (connection refused).",
                    hint=f"Check host and port of {_setting(route)}, and the firewall.",
                )
    return None


def unverified(error: ssl.SSLCertVerificationError, route: Route) -> CertificateVerificationError:
    """Explain why a certificate is not trusted, and what helps: another authority does not make an expired one valid.

    Args:
        error: From the handshake.
        route: The way.
    """
    said = (error.verify_message or str(error.reason)).rstrip(".")
    message = f"The certificate of {_origin(route)} does not verify: {said}."
    match error.verify_code:
        case code if code == _EXPIRED:
            hint = (
                f"Ask the operator of {route.host} to renew the certificate, and check this machine's clock. caBundle "
                "does not help."
            )
        case code if code == _NOT_YET_VALID:
            hint = (
                f"Check this machine's clock. If it is right, the certificate of {route.host} begins in the future: "
                "ask its operator."
            )
        case code if code in _OTHER_NAMES:
            hint = (
                f"The certificate is for other names than {route.host}: set {route.setting} to a name that it is for, "
                "or ask the operator of the server. caBundle does not help."
            )
        case code if code == _SELF_SIGNED:
            hint = "Give this certificate as caBundle, after checking with the operator that it is the server's own."
        case code if code in _UNKNOWN_ISSUER:
            hint = (
                "Give the certificate of the authority that issued it as caBundle, with intermediate certificates that "
                "the server does not send. If a proxy of your network looks into TLS, that is the proxy's authority."
            )
        case _:
            hint = "Give the issuing authority's certificate as caBundle."
    return CertificateVerificationError(message, hint=hint)


def _no_handshake(error: ssl.SSLError, route: Route) -> UnreachableError:
    reason = str(error.reason or error)
    if reason in _NO_TLS:
        if route.proxy.startswith("https"):
            return UnreachableError(
                f"The proxy {route.proxy} or {_origin(route)} answers without TLS.",
                hint=f"Most proxies are reached with http://: write it in {route.given}. Else check the port of "
                f"{route.setting}.",
            )
        return UnreachableError(
            f"{_origin(route)} answers without TLS.",
            hint=f"Write http:// in {route.setting} if that is meant; else check its port.",
        )
    if reason in _VERSIONS:
        return UnreachableError(
            f"{_origin(route)} and this program have no version of TLS in common ({reason}).",
            hint=f"This program uses TLS 1.2 and 1.3: ask the operator of {route.host}, or of a gateway in front of "
            "it, to enable one of them.",
        )
    if "HANDSHAKE_FAILURE" in reason and not route.certificate:
        return UnreachableError(
            f"{_origin(route)} ends the TLS handshake ({reason}), as servers do that require a client certificate.",
            hint="If it requires one, give it as clientCertificate and clientKey. If not, it has no TLS "
            f"version or cipher in common with this program: ask the operator of {route.host}.",
        )
    settings = f"{route.setting} and of the proxy in {route.given}" if route.proxy else route.setting
    return UnreachableError(
        f"The TLS handshake failed: {reason}.",
        hint=f"Check scheme and port of {settings}, and whether a clientCertificate is wanted.",
    )


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and everything that led to it; of several attempts to connect, each."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop(0)
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting.append(each.__cause__ or each.__context__)
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions


def _origin(route: Route) -> str:
    parts = urlsplit(route.server)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else route.server or route.service


def _connected(route: Route) -> str:
    return f"the proxy's address {route.proxy}" if route.proxy else _origin(route)


def _setting(route: Route) -> str:
    return route.given if route.proxy else route.setting
