"""How the other side's certificate is verified, and which one is shown to it.

httpx2 verifies against the system's store: through ``truststore`` on Windows and macOS, on Linux from the
paths that OpenSSL was built with, or from ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``. The further authorities of
``caBundle`` come on top of it.
"""

import asyncio
import errno
import os
import ssl
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

import httpx2

from rally_accelerate.config.model import Properties
from rally_accelerate.errors import ConfigError, Problem
from rally_accelerate.model.decoding import decode_text
from rally_accelerate.rally import pem

#: For how many seconds the files of certificates and keys are waited for.
FILE_SECONDS = 10.0

#: No file of certificates is larger, not even one that describes each of them in words.
MOST_BYTES = 5_000_000

#: So many certificates are read at once: between two lots, the thread that reads them lets others run.
_AT_ONCE = 10

#: One text for every reason: a person who can change settings must not learn which files there are.
_NOT_USABLE = {
    "caBundle": "cannot be used; give the certificates themselves in PEM form, or the path of a PEM file that the user "
    "who runs this program can read",
    "clientCertificate": "cannot be used; clientCertificate and clientKey must be PEM files that the user who runs "
    "this program can read and that belong together, and clientKeyPassword must be the key's password if it has one",
}

#: Threads that were given up while they waited for files, by their paths.
_stuck: dict[tuple[str, ...], threading.Thread] = {}

UNVERIFIED = (
    "verifyTls is false: certificates are not checked, anybody on the way to Rally can read the key or password. "
    "Give the authority's certificate as caBundle instead."
)


ACCELERATE_UNVERIFIED = (
    "verifyAccelerateTls is false: Accelerate's certificate is not checked, anybody on the way to it can read the "
    "access key. Give the authority's certificate as caBundle instead."
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
    if pem.is_pem(bundle):
        try:
            await asyncio.to_thread(_trust, context, bundle)
        except ValueError as error:
            raise _problem("caBundle", f"{error}; copy the certificates whole, with BEGIN and END lines") from None
        except ssl.SSLError:
            text = "the certificates in it cannot be read; copy them whole, with their BEGIN and END lines"
            raise _problem("caBundle", text) from None
    elif bundle:
        await _load_files("caBundle", (bundle,), partial(_load_bundle, context, bundle))
    if properties.client_certificate:
        paths = tuple(path for path in (properties.client_certificate, properties.client_key) if path)
        await _load_files("clientCertificate", paths, partial(_load_client_certificate, context, properties, paths))
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


def _trust(context: ssl.SSLContext, text: str) -> None:
    """Trust the authorities of a PEM text.

    Raises:
        ValueError: There is none, or too many.
        ssl.SSLError: One cannot be read.
    """
    found = pem.certificates(text)
    for start in range(0, len(found), _AT_ONCE):
        context.load_verify_locations(cadata="".join(found[start : start + _AT_ONCE]))


def _load_bundle(context: ssl.SSLContext, path: str) -> None:
    # Comments in words are in many encodings; some editors store all of it in UTF-16.
    _trust(context, decode_text(_content(path)))


def _load_client_certificate(context: ssl.SSLContext, properties: Properties, paths: tuple[str, ...]) -> None:
    password = properties.client_key_password.get_secret_value() if properties.client_key_password else ""
    # A key that wants a password would otherwise be asked for on the terminal, and wait there for ever.
    with ExitStack() as stack:
        certificate, *key = [stack.enter_context(_in_ascii(path)) for path in paths]
        context.load_cert_chain(certificate, key[0] if key else None, lambda: password)


@contextmanager
def _in_ascii(path: str) -> Iterator[str]:
    """Yield the path of a file as OpenSSL reads it: without a byte order mark, and not in UTF-16.

    Raises:
        OSError: It is no usable file.
    """
    content = _content(path)
    readable = decode_text(content).encode("ascii", errors="replace")
    # A private key must not be written to a disk: where there is no file in memory, it is read as it is.
    if readable == content or not hasattr(os, "memfd_create"):
        yield path
        return
    with os.fdopen(os.memfd_create("certificate", os.MFD_CLOEXEC), "wb") as file:
        file.write(readable)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"


def _content(path: str) -> bytes:
    """Return the content of a regular file of a reasonable size.

    Raises:
        OSError: It is none, or cannot be read.
    """
    # Without O_NONBLOCK, opening a named pipe waits for its writer.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
            raise OSError(errno.EINVAL, "not a regular file, or too large")
        return file.read(MOST_BYTES)


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
