"""No form of a secret passes the redactor."""

import base64
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rally_accelerate.config.model import Integration
from rally_accelerate.config.redaction import RedactingFormatter, Redactor, list_secrets
from support.secret_forms import list_forms

SECRET = "p@ss:w/rd%'\"1"


#: Too short to be masked in pieces, so that each form has to be known as a whole.
SHORT = "ü\"p/'d<1"


@pytest.mark.parametrize(
    ("secret", "form"), [(secret, form) for secret in (SECRET, SHORT) for form in list_forms(secret)]
)
def test_forms(secret: str, form: str) -> None:
    shown = Redactor([secret]).redact(f"before {form} after")
    assert shown in {"before *** after", "before ***== after", "before ***= after"}


def test_half_a_character_does_not_break_it() -> None:
    assert Redactor(["half-\ud800-a-secret"]).redact("a half-\ud800-a-secret b") == "a *** b"


@given(st.text(min_size=4, max_size=30), st.text(), st.text())
def test_any_secret_anywhere(secret: str, before: str, after: str) -> None:
    if secret not in before + after and secret not in "***":
        shown = Redactor([secret]).redact(f"{before}{secret}{after}")
        assert secret not in shown or secret in before + "***" + after


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Basic dXNlcjp3b3Jk",
        "{'authorization': 'UserAccessKey 123-456-789'}",
        "ZSESSIONID: _abcdefgh",
        "GET https://user:w@ord@proxy.example:80/ failed",
        "Cookie: JSESSIONID=abcdef",
        "https://rally.example/x?key=abcdef&y=1",
    ],
)
def test_carriers_are_masked_even_when_the_secret_is_unknown(text: str) -> None:
    shown = Redactor([]).redact(text)
    for secret in ("dXNlcjp3b3Jk", "123-456-789", "_abcdefgh", "w@ord", "abcdef"):
        assert secret not in shown


def test_longer_secrets_are_masked_before_those_they_contain() -> None:
    assert Redactor(["abcd", "abcdefgh"]).redact("abcdefgh") == "***"


def test_tracebacks_are_masked_too() -> None:
    formatter = RedactingFormatter("%(message)s", redactor=Redactor([SECRET]))
    try:
        int(SECRET)
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, "", 0, "said %s", (SECRET,), (ValueError, error, error.__traceback__)
        )
    assert SECRET not in formatter.format(record)


def test_every_secret_of_an_integration_is_found() -> None:
    integration = Integration.model_validate(
        {
            "name": "sample",
            "properties": {
                "apiKey": "secret-1",
                "username": "u",
                "password": "secret-2",
                "ucvAccessKey": "secret-3",
                "proxyServer": "http://pu:secret-4@proxy.example:1",
                "proxyPassword": "secret-5",
                "clientKeyPassword": "secret-6",
            },
        }
    )
    found = list_secrets(integration)
    for number in range(1, 7):
        assert f"secret-{number}" in found
    assert "u:secret-2" in found


LONG = "_3f9Kc7aQe0LmZx81Vb?/+tRw"


@pytest.mark.parametrize("shift", range(3))
def test_a_secret_inside_something_encoded_is_masked(shift: int) -> None:
    encoded = base64.b64encode(b"u:" + b"x" * shift + LONG.encode() + b" and more").decode()
    for form in (encoded, encoded.translate(str.maketrans("+/", "-_"))):
        shown = Redactor([LONG]).redact(f"sent {form}.")
        assert form[6:24] not in shown
        assert shown.startswith("sent ")


@pytest.mark.parametrize(("start", "end"), [(0, 12), (5, 18), (12, 25), (0, 10)])
def test_a_piece_of_a_long_secret_is_masked(start: int, end: int) -> None:
    assert Redactor([LONG]).redact(f"cut: {LONG[start:end]}") == "cut: ***"
    assert Redactor([LONG]).redact(f"{LONG[start:end]}") == "***"


def test_basic_credentials_that_are_encoded_once_more_are_masked() -> None:
    inner = base64.b64encode(f"sample:{SECRET}".encode())
    shown = Redactor([f"sample:{SECRET}"]).redact(f"it said {base64.b64encode(b'Basic ' + inner).decode()} and went")
    assert "***" in shown
    assert base64.b64encode(inner).decode()[:12] not in shown
    assert shown.startswith("it said ")
    assert shown.endswith(" and went")


def test_a_short_secret_does_not_mask_words() -> None:
    assert Redactor(["password12"]).redact("username and password") == "username and password"
