"""The plug-in's log output: one line per fact in Accelerate's format, without secrets.

See accelerate-api-notes.md#output-and-exit-codes and accelerate-api-notes.md#secrets-in-logs.
"""

import logging
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

from rally_accelerate.config.redaction import Redactor
from rally_accelerate.errors import ConfigError, RallyAccelerateError
from rally_accelerate.observe.logs import LEVELS, QUIET

NAME = "rally"

if TYPE_CHECKING:
    _Handler = logging.StreamHandler[TextIO]
else:
    _Handler = logging.StreamHandler

#: What settings are called where the platform gives them (accelerate-api-notes.md#run-arguments).
_NAMES_HERE = {
    "properties.accelerateUrl": "state.apiServerUrl",
    "Check accelerateUrl": "Check the address that Accelerate gives (state.apiServerUrl)",
    "accelerateUrl": "the address that Accelerate gives (state.apiServerUrl)",
    "Check ucvAccessKey": "Edit and save the integration, so that it gets a new user access key, or check ucvAccessKey",
}
_NAMES = re.compile("|".join(map(re.escape, _NAMES_HERE)))

_WORDS = {logging.DEBUG: "DEBUG", logging.WARNING: "WARN", logging.CRITICAL: "FATAL"}


class HostFormatter(logging.Formatter):
    """``[time] [LEVEL] logger - text`` in one line, every secret masked."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one line; line ends within a message become separators."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        text = record.getMessage()
        if record.exc_info and record.levelno <= logging.DEBUG:
            text = f"{text} {self.formatException(record.exc_info)}"
        elif record.exc_info and record.exc_info[0] is not None:
            text = f"{text} ({record.exc_info[0].__name__})"
        text = " | ".join(line.strip() for line in self._redactor.redact(text).splitlines() if line.strip())
        return f"[{moment}] [{_WORDS.get(record.levelno, record.levelname)}] {NAME} - {text}"


class HostHandler(_Handler):
    """Prints lines; ignores a closed output."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Leave the line out: logging's own report of it would show the arguments, secrets among them."""


def set_up(level: str, secrets: Iterable[str]) -> None:
    """Send the log to the standard output, which is what the platform keeps of a run.

    Args:
        level: One of the host's level words, upper case.
        secrets: Whatever must not be shown.
    """
    handler = HostHandler(sys.stdout)
    handler.setFormatter(HostFormatter(Redactor(secrets)))
    root = logging.getLogger("rally_accelerate")
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    root.propagate = False
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def log_error(log: logging.Logger, error: RallyAccelerateError) -> None:
    """Log an error, its problems and its hint, one line each, without repetition."""
    texts = [str(error)]
    if isinstance(error, ConfigError):
        texts += map(str, error.problems)
    if error.hint:
        texts.append(f"What to do: {error.hint}")
    for text in dict.fromkeys(texts):
        log.error("%s", _NAMES.sub(lambda match: _NAMES_HERE[match[0]], text))
