"""Logging setup: redacted output with Accelerate's level names."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import IO

from rally_accelerate.config.redaction import RedactingFormatter, Redactor

#: The host's level words (accelerate-api-notes.md#logging-levels) as the standard library's numbers.
LEVELS = {
    "ALL": logging.DEBUG,
    "TRACE": logging.DEBUG,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "ERROR": logging.ERROR,
    "FATAL": logging.CRITICAL,
    "OFF": logging.CRITICAL + 1,
}

#: Other people's loggers: they print addresses and headers, and tell again what our own lines tell.
QUIET = ("httpx2", "httpcore2", "stamina", "asyncio", "uvicorn", "aiosqlite", "alembic")


_context: ContextVar[str] = ContextVar("whose", default="")


@contextmanager
def log_context(name: str) -> Iterator[None]:
    """Prefix the lines of the process log with a name, such as the running integration."""
    token = _context.set(name)
    try:
        yield
    finally:
        _context.reset(token)


def _add_context(record: logging.LogRecord) -> bool:
    # Beside the message, not in it: a run's own log needs no name.
    name = _context.get()
    is_named = not name or record.getMessage().startswith(f"{name}: ")
    record.whose = "" if is_named else f"{name}: "
    return True


def set_up(level: str, *, redactor: Redactor, stream: IO[str]) -> logging.Handler:
    """Send the product's log to a stream, without secrets.

    Args:
        level: One of the host's level words.
        redactor: Knows the secrets of everything that will run.
        stream: Where the lines go.

    Returns:
        The handler, for the door to remove when it ends.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        RedactingFormatter("%(asctime)s %(levelname)-7s %(whose)s%(message)s", "%H:%M:%S", redactor=redactor)
    )
    handler.addFilter(_add_context)
    # On the handler, not only on the logger: the host keeps more of a run's log than it shows here.
    handler.setLevel(LEVELS[level])
    root = logging.getLogger("rally_accelerate")
    root.setLevel(LEVELS[level])
    root.addHandler(handler)
    root.propagate = False
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return handler
