"""Certificates in a text: found whatever its line ends are, each once, in time that grows with the text only."""

import ssl
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import trustme

from rally_accelerate.config.model import Properties
from rally_accelerate.config.value_parsers import LARGEST_BUNDLE
from rally_accelerate.errors import ConfigError
from rally_accelerate.rally import transport
from rally_accelerate.rally.transport import tls_context

ONE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def block(content: Any, label: Any = "CERTIFICATE") -> str:
    return f"-----BEGIN {label}-----\n{content}\n-----END {label}-----\n"


@pytest.mark.parametrize(
    "text",
    [
        ONE,
        ONE.replace("\n", "\r\n"),
        ONE.replace("\n", " "),
        ONE.replace("\n", ""),
        f"An authority, größer\n{ONE}and nothing more",
        ONE * 3,
        block("AA\n\nAA"),
        block("KEY", "PRIVATE KEY") + ONE + block("P", "EC PARAMETERS"),
    ],
)
def test_what_is_around_certificates_does_not_count(text: str) -> None:
    assert transport.split_certificates(text) == [ONE]


def test_lines_get_the_usual_length() -> None:
    assert transport.split_certificates(block("A" * 130)) == [block(f"{'A' * 64}\n{'A' * 64}\nAA")]


def test_certificates_of_every_label_stay_in_their_order() -> None:
    blocks = [block("BB", "X509 CERTIFICATE"), block("AA"), block("CC", "TRUSTED CERTIFICATE")]
    assert transport.split_certificates("\n".join(blocks)) == blocks


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no certificate"),
        ("-----BEGIN nothing", "no certificate"),
        (block("KEY", "PRIVATE KEY"), "no certificate"),
        ("-----BEGIN CERTIFICATE-----\nAAAA", "incomplete"),
        ("-----END CERTIFICATE-----" + ONE, "incomplete"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n" + ONE, "incomplete"),
        (ONE + "-----BEGIN CERTIFICATE-----", "incomplete"),
        ("-----BEGIN CERTIFICATE-----\nAAAA-----END X509 CERTIFICATE-----", "incomplete"),
        (block("ä"), "Base64"),
    ],
)
def test_other_texts_are_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        transport.split_certificates(text)


def test_all_certificates_together_have_a_limit() -> None:
    each = len(block("A" * 10))
    fitting = [block(f"{number:010}") for number in range(transport.MAX_CHARACTERS // each)]
    assert transport.split_certificates("".join(fitting)) == fitting
    with pytest.raises(ValueError, match="1,000,000 characters"):
        transport.split_certificates("".join([*fitting, block("B" * 10)]))
    # Comments and repeated certificates are not counted.
    assert len(transport.split_certificates(("comment " * 100 + ONE) * 2000)) == 1


@pytest.mark.parametrize(
    "piece",
    [
        "-----BEGIN A-----x",
        "-----BEGIN A",
        "-----BEGIN ",
        "-----",
        "-----END A-----",
        "-----BEGIN {}-----x",
        "-----BEGIN A-----x-----END A-----",
    ],
)
def test_the_time_grows_with_the_text_only(piece: str) -> None:
    text = "".join(piece.format(number) for number in range(50_000))
    before = time.process_time()
    with pytest.raises(ValueError, match=r"no certificate|incomplete"):
        transport.split_certificates(text)
    # Takes 0.1 s; with a scan to the end for each piece, minutes.
    assert time.process_time() - before < 3


def properties(bundle: str) -> Properties:
    return Properties.model_validate({"apiKey": "sample-key", "caBundle": bundle})


async def test_a_text_of_several_lots_is_trusted_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_BATCH_SIZE", 2)
    authorities = [trustme.CA() for _ in range(3)]
    text = "".join(each.cert_pem.bytes().decode() for each in authorities)
    context = await tls_context(properties(text.replace("\n", " ")))
    trusted = context.get_ca_certs(binary_form=True)
    assert {ssl.PEM_cert_to_DER_cert(each.cert_pem.bytes().decode()) for each in authorities} <= set(trusted)


async def test_certificates_are_read_beside_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = transport.split_certificates
    threads = set[int]()

    def recorded(text: str) -> list[str]:
        threads.add(threading.get_ident())
        return read(text)

    monkeypatch.setattr(transport, "split_certificates", recorded)
    authority = trustme.CA().cert_pem
    authority.write_to_path(str(tmp_path / "ca.pem"))
    for bundle in (authority.bytes().decode(), str(tmp_path / "ca.pem")):
        await tls_context(properties(bundle))
    assert threads
    assert threading.get_ident() not in threads


@pytest.mark.parametrize(
    ("text", "told"),
    [("-----BEGIN A-----x" * 10, "incomplete block"), (ONE, "contains certificates that cannot be read")],
)
async def test_a_text_that_cannot_be_used_is_told(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        await tls_context(properties(text))
    assert caught.value.problems[0].path == "properties.caBundle"


def test_a_text_that_is_too_large_is_no_setting() -> None:
    assert len(properties("-" * LARGEST_BUNDLE).ca_bundle) == LARGEST_BUNDLE
    with pytest.raises(ValueError, match=r"has 1,000,001 characters, more than 1,000,000"):
        properties("-" * (LARGEST_BUNDLE + 1))
