"""Explanations of failed connections, from the causes of the HTTP library's error. No I/O.

The library's own texts are OpenSSL's and the operating system's; each cause is named with what can be done about it.
"""

import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from rally_accelerate.errors import CertificateVerificationError, RallyAccelerateError, UnreachableError
from rally_accelerate.model.foreign_responses import Route, explain_certificate_refusal

#: TLS errors for a response without TLS.
_NO_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"}

#: TLS errors for peers without a common version.
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
def explain_connection_error(error: BaseException, route: Route) -> RallyAccelerateError | None:
    """Explain a failure to connect; return None if its causes are not known.

    Args:
        error: What the HTTP library raised.
        route: The way.
    """
    for cause in iterate_causes(error):
        match cause:
            case ssl.SSLCertVerificationError():
                return explain_certificate_error(cause, route)
            case ssl.SSLError() if refusal := explain_certificate_refusal(str(cause.reason), route):
                return refusal
            case ssl.SSLError():
                return _explain_handshake_error(cause, route)
            # By its name: importing socket is input and output, which this package has none of.
            case OSError() if type(cause).__name__ == "gaierror":
                return UnreachableError(
                    f"The name in {_describe_target(route)} cannot be resolved.",
                    hint=f"Check its spelling in {_get_setting(route)}, and this machine's name resolution (DNS).",
                )
            case ConnectionRefusedError():
                return UnreachableError(
                    f"Nothing listens at {_describe_target(route)} (connection refused).",
                    hint=f"Check host and port of {_get_setting(route)}, and the firewall.",
                )
    return None


def explain_certificate_error(error: ssl.SSLCertVerificationError, route: Route) -> CertificateVerificationError:
    """Explain why a certificate is not trusted, and what to do about that cause.

    Args:
        error: From the handshake.
        route: The way.
    """
    reason = (error.verify_message or str(error.reason)).rstrip(".")
    message = f"The certificate of {_get_origin(route)} does not verify: {reason}."
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


def _explain_handshake_error(error: ssl.SSLError, route: Route) -> UnreachableError:
    reason = str(error.reason or error)
    if reason in _NO_TLS:
        if route.proxy.startswith("https"):
            return UnreachableError(
                f"The proxy {route.proxy} or {_get_origin(route)} answers without TLS.",
                hint=f"Most proxies are reached with http://: write it in {route.proxy_setting}. Else check the port "
                f"of {route.setting}.",
            )
        return UnreachableError(
            f"{_get_origin(route)} answers without TLS.",
            hint=f"Write http:// in {route.setting} if that is meant; else check its port.",
        )
    if reason in _VERSIONS:
        return UnreachableError(
            f"{_get_origin(route)} and this program have no version of TLS in common ({reason}).",
            hint=f"This program uses TLS 1.2 and 1.3: ask the operator of {route.host}, or of a gateway in front of "
            "it, to enable one of them.",
        )
    if "HANDSHAKE_FAILURE" in reason and not route.certificate:
        return UnreachableError(
            f"{_get_origin(route)} ends the TLS handshake ({reason}), as servers do that require a client certificate.",
            hint="If it requires one, give it as clientCertificate and clientKey. If not, it has no TLS "
            f"version or cipher in common with this program: ask the operator of {route.host}.",
        )
    settings = f"{route.setting} and of the proxy in {route.proxy_setting}" if route.proxy else route.setting
    return UnreachableError(
        f"The TLS handshake failed: {reason}.",
        hint=f"Check scheme and port of {settings}, and whether a clientCertificate is wanted.",
    )


def iterate_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and all its causes, and the errors of groups."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        cause = waiting.pop(0)
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting.append(cause.__cause__ or cause.__context__)
        if isinstance(cause, BaseExceptionGroup):
            waiting += cause.exceptions


def _get_origin(route: Route) -> str:
    parts = urlsplit(route.server)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else route.server or route.service


def _describe_target(route: Route) -> str:
    return f"the proxy's address {route.proxy}" if route.proxy else _get_origin(route)


def _get_setting(route: Route) -> str:
    return route.proxy_setting if route.proxy else route.setting
