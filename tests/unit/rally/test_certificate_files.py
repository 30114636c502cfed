"""Files of certificates that block, are no files or cannot be read: one text for all, and the loop is never held up."""

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from rally_accelerate.config.model import Properties
from rally_accelerate.errors import ConfigError
from rally_accelerate.rally import transport
from rally_accelerate.rally.transport import tls_context
from support.waiting import until


def fifo(path: Path) -> None:
    os.mkfifo(path)


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(transport.MAX_FILE_BYTES + 1)


UNUSABLE: dict[str, Callable[[Path], object]] = {
    "missing": lambda _: None,
    "folder": lambda path: path.mkdir(),
    "named pipe": fifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "terminal": lambda path: path.symlink_to("/dev/tty"),
    "too large": huge,
    "no PEM": lambda path: path.write_bytes(b"no certificate"),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "empty": lambda path: path.touch(),
    "loop": lambda path: path.symlink_to(path),
}


async def refusal(**settings: str) -> str:
    with pytest.raises(ConfigError) as caught:
        await asyncio.wait_for(tls_context(Properties.model_validate({"apiKey": "sample-key", **settings})), 60)
    (problem,) = caught.value.problems
    return f"{problem.path} {problem.text}"


@pytest.mark.parametrize("name", ["caBundle", "clientCertificate"])
async def test_every_unusable_file_gets_the_same_text(tmp_path: Path, name: str) -> None:
    texts = set()
    for kind, make in UNUSABLE.items():
        make(tmp_path / kind)
        texts.add(await refusal(**{name: str(tmp_path / kind)}))
    (text,) = texts
    assert text.startswith(f"properties.{name} cannot be used")
    assert str(tmp_path) not in text


async def test_a_key_tells_no_more_than_its_certificate(tmp_path: Path) -> None:
    (tmp_path / "certificate").write_bytes(b"no certificate")
    texts = set()
    for kind, make in UNUSABLE.items():
        make(tmp_path / kind)
        settings = {"clientCertificate": str(tmp_path / "certificate"), "clientKey": str(tmp_path / kind)}
        texts.add(await refusal(**settings))
    assert len(texts) == 1


async def test_a_file_that_does_not_answer_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a network file system whose server is gone: opening the file never returns."""
    answered, opened, started = threading.Event(), os.open, list[str]()

    def hung(path: str, flags: int, *more: int) -> int:
        if path == str(tmp_path / "ca.pem"):
            started.append(path)
            answered.wait()
        return opened(path, flags, *more)

    monkeypatch.setattr(os, "open", hung)
    monkeypatch.setattr(transport, "FILE_SECONDS", 0.05)
    try:
        first = await refusal(caBundle=str(tmp_path / "ca.pem"))
        # The next run does not start another thread that would be stuck as well.
        assert await refusal(caBundle=str(tmp_path / "ca.pem")) == first
        await until(lambda: started)
        assert len(started) == 1
    finally:
        answered.set()
    for thread in threading.enumerate():
        if thread.name == "read caBundle":
            thread.join(60)
    assert await refusal(caBundle=str(tmp_path / "ca.pem")) == first
    assert len(await until(lambda: started[1:])) == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
async def test_certificates_are_read_whatever_an_editor_made_of_their_encoding(tmp_path: Path, encoding: str) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("client.example")
    indented = authority.cert_pem.bytes().decode().replace("\n", "\n\u00a0\u200b")
    (tmp_path / "ca.pem").write_bytes(indented.encode(encoding))
    (tmp_path / "client.pem").write_bytes(issued.cert_chain_pems[0].bytes().decode().encode(encoding))
    (tmp_path / "key.pem").write_bytes(issued.private_key_pem.bytes().decode().encode(encoding))
    settings = {
        "caBundle": str(tmp_path / "ca.pem"),
        "clientCertificate": str(tmp_path / "client.pem"),
        "clientKey": str(tmp_path / "key.pem"),
    }
    context = await tls_context(Properties.model_validate({"apiKey": "sample-key", "verifyTls": False, **settings}))
    assert context.get_ca_certs(binary_form=True)
