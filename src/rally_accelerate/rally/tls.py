"""How the other side's certificate is verified, and which one is shown to it.

httpx2 verifies against the system's store: through ``truststore`` on Windows and macOS, on Linux from the
paths that OpenSSL was built with, or from ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``. The further authorities of
``caBundle`` come on top of it.
"""

import re
import ssl
from pathlib import Path

import httpx2

from rally_accelerate.config.model import Properties
from rally_accelerate.errors import ConfigError, Problem

#: What a PEM file's content has and a path has not.
_PEM = "-----BEGIN "

UNVERIFIED = (
    "verifyTls is false: certificates are not checked, anybody on the way to Rally can read the key or password. "
    "Give the authority's certificate as caBundle instead."
)


ACCELERATE_UNVERIFIED = (
    "verifyAccelerateTls is false: Accelerate's certificate is not checked, anybody on the way to it can read the "
    "access key. Give the authority's certificate as caBundle instead."
)


def tls_context(properties: Properties) -> ssl.SSLContext:
    """The settings for every TLS connection of one integration.

    Raises:
        ConfigError: A PEM file is missing, unreadable or not what it should be.
    """
    context = httpx2.create_ssl_context(verify=properties.verify_tls)
    if _PEM in properties.ca_bundle:
        try:
            # A text box of one line turns line ends into blanks.
            context.load_verify_locations(cadata=_with_line_ends(properties.ca_bundle))
        except (ssl.SSLError, ValueError):
            raise _problem("caBundle", "the certificates in it cannot be read; were they copied whole?") from None
    elif properties.ca_bundle:
        _readable(properties.ca_bundle, "caBundle")
        try:
            context.load_verify_locations(cafile=properties.ca_bundle)
        except (ssl.SSLError, OSError):
            raise _problem("caBundle", f"{properties.ca_bundle} holds no PEM certificate") from None
    if properties.client_certificate:
        _load_client_certificate(context, properties)
    elif properties.client_key:
        raise _problem("clientKey", "is given without clientCertificate")
    return context


def accelerate_context(properties: Properties, rally: ssl.SSLContext) -> ssl.SSLContext:
    """The same for connections to Accelerate, which may be trusted without verification by itself.

    Args:
        properties: The validated settings.
        rally: What ``tls_context`` made of them; it is shared where nothing differs, as it takes long to make.
    """
    if properties.verify_accelerate_tls or not properties.verify_tls:
        return rally
    return httpx2.create_ssl_context(verify=False)


def _with_line_ends(pem: str) -> str:
    def part(match: re.Match[str]) -> str:
        lines = [f"-----BEGIN {match[1]}-----", *match[2].split(), f"-----END {match[1]}-----", ""]
        return "\n".join(lines)

    return re.sub(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", part, pem, flags=re.DOTALL)


def _load_client_certificate(context: ssl.SSLContext, properties: Properties) -> None:
    _readable(properties.client_certificate, "clientCertificate")
    if properties.client_key:
        _readable(properties.client_key, "clientKey")
    password = properties.client_key_password.get_secret_value() if properties.client_key_password else ""
    try:
        # A key that wants a password would otherwise be asked for on the terminal, and wait there for ever.
        context.load_cert_chain(properties.client_certificate, properties.client_key or None, lambda: password)
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = str(error).lower()
        if "mismatch" in reason:
            raise _problem("clientKey", "does not belong to the client certificate") from None
        where = "clientKeyPassword" if "password" in reason or "decrypt" in reason else "clientCertificate"
        raise _problem(
            where,
            "the client certificate and its key cannot be read: check the PEM files and the key's password",
        ) from None


def _readable(path: str, name: str) -> None:
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as error:
        raise _problem(name, f"{path} cannot be read: {error.strerror or error}") from None


def _problem(name: str, text: str) -> ConfigError:
    problem = Problem(f"properties.{name}", text)
    return ConfigError(str(problem), problems=(problem,), hint=f"Correct {name}, or leave it out.")
