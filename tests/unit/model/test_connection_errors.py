"""Each cause of a failed connection is named with what helps against it, for both services."""

import socket
import ssl

import pytest

from rally_accelerate import errors
from rally_accelerate.accelerate.client import connection_error
from rally_accelerate.model.connection_errors import explain_connection_error
from rally_accelerate.model.foreign_responses import Route

RALLY = Route(server="https://rally.example/slm")


def certificate(code: int, text: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "verify failed")
    error.verify_code, error.verify_message = code, text
    return error


def handshake(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("code", "text", "hint"),
    [
        (10, "certificate has expired", "renew the certificate"),
        (9, "certificate is not yet valid", "this machine's clock"),
        (62, "Hostname mismatch, certificate is not valid for 'rally.example'.", "set baseUrl to a name"),
        (64, "IP address mismatch, certificate is not valid for '127.0.0.1'.", "set baseUrl to a name"),
        (18, "self-signed certificate", "Give this certificate as caBundle"),
        (19, "self-signed certificate in certificate chain", "authority that issued it"),
        (20, "unable to get local issuer certificate", "intermediate certificates"),
        (21, "unable to verify the first certificate", "intermediate certificates"),
        (26, "unsuitable certificate purpose", "issuing authority"),
    ],
)
def test_certificates(code: int, text: str, hint: str) -> None:
    found = explain_connection_error(certificate(code, text), RALLY)
    assert isinstance(found, errors.CertificateVerificationError)
    assert str(found) == f"The certificate of https://rally.example does not verify: {text.rstrip('.')}."
    assert hint in found.hint


@pytest.mark.parametrize(
    ("cause", "message", "hint"),
    [
        (handshake("WRONG_VERSION_NUMBER"), "https://rally.example answers without TLS.", "Write http:// in baseUrl"),
        (handshake("TLSV1_ALERT_PROTOCOL_VERSION"), "no version of TLS in common", "TLS 1.2 and 1.3"),
        (handshake("UNSUPPORTED_PROTOCOL"), "no version of TLS in common", "TLS 1.2 and 1.3"),
        (handshake("SSLV3_ALERT_HANDSHAKE_FAILURE"), "ends the TLS handshake", "clientCertificate"),
        (handshake("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "requires a client certificate", "clientCertificate"),
        (handshake("DECRYPT_ERROR"), "The TLS handshake failed: DECRYPT_ERROR.", "baseUrl"),
        (socket.gaierror(-2, "x"), "The name in https://rally.example cannot be resolved.", "spelling in baseUrl"),
        (ConnectionRefusedError(), "Nothing listens at https://rally.example (connection refused).", "port of baseUrl"),
        (ExceptionGroup("x", [OSError(101, "y"), ConnectionRefusedError()]), "Nothing listens at", "port of baseUrl"),
    ],
)
def test_causes_are_the_same_for_both_services(cause: Exception, message: str, hint: str) -> None:
    wrapped = OSError("All connection attempts failed")
    wrapped.__cause__ = cause
    found = explain_connection_error(wrapped, RALLY)
    assert found is not None
    assert message in str(found)
    assert hint in found.hint
    route = Route(service="Accelerate", setting="accelerateUrl", server="https://rally.example/release-events-api")
    other = connection_error(wrapped, server=route.server, route=route)
    assert (type(other), str(other)) == (type(found), str(found))
    assert hint.replace("baseUrl", "accelerateUrl") in other.hint


@pytest.mark.parametrize(
    ("cause", "message", "hint"),
    [
        (socket.gaierror(-2, "x"), "The name in the proxy's address http://p:1 cannot", "proxyServer"),
        (ConnectionRefusedError(), "Nothing listens at the proxy's address http://p:1 ", "proxyServer"),
    ],
)
def test_a_proxy_that_is_not_there_is_named(cause: Exception, message: str, hint: str) -> None:
    found = explain_connection_error(cause, Route(server="https://rally.example", proxy="http://p:1"))
    assert found is not None
    assert message in str(found)
    assert hint in found.hint


def test_a_proxy_without_tls_is_named() -> None:
    found = explain_connection_error(
        handshake("WRONG_VERSION_NUMBER"), Route(server="https://r.example", proxy="https://p:1")
    )
    assert found is not None
    assert str(found) == "The proxy https://p:1 or https://r.example answers without TLS."
    assert "write it in proxyServer" in found.hint


def test_other_causes_are_left_to_the_caller() -> None:
    assert explain_connection_error(OSError(101, "Network is unreachable"), RALLY) is None
