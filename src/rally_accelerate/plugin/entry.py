"""Entry point of the plug-in container.

See accelerate-api-notes.md#commands and accelerate-api-notes.md#output-and-exit-codes.

``getManifest`` prints the manifest; ``scheduledEvents syncRallyDataEvent <processProps> <velocityProps>`` runs the
event. Imports are few: Accelerate starts a container only to read the manifest, and a signal can arrive while a sync is
still importing.
"""

import gc
import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from rally_accelerate.plugin.protocol import (
    DONE,
    EVENT,
    FAILED,
    GET_MANIFEST,
    OTHERS,
    SCHEDULED_EVENTS,
    SCRIPT,
    STOPPED,
    WORDS_OF_AN_EVENT,
)

MANIFEST = Path(__file__).with_name("manifest.json")


def node(arguments: Sequence[str]) -> int:
    """Run a command that the platform passes to a program called ``node``.

    Args:
        arguments: The script's name and what follows it.
    """
    _open_output()
    if not arguments or Path(arguments[0]).name != SCRIPT:
        return _report_usage_error(f"This image runs the Rally plug-in, not Node. The first argument must be {SCRIPT}.")
    return main(arguments[1:])


def main(words: Sequence[str]) -> int:
    """Run one command of the container and return its exit code.

    Args:
        words: The interface and what follows it.
    """
    signal.signal(signal.SIGTERM, _stop)
    _open_output()
    if words and words[0].lower() == GET_MANIFEST:
        return DONE if _print(MANIFEST.read_text(encoding="utf-8")) else FAILED
    if fault := _usage_error(words):
        return _report_usage_error(fault)
    try:
        # Nothing that is imported goes away: looking for what does takes a tenth of the time.
        gc.disable()
        from rally_accelerate.plugin.run import run_event  # noqa: PLC0415 - takes a good part of a second

        gc.freeze()
        gc.enable()
        # Rows by the hundred thousand are made and dropped all the time, and hold no cycles.
        gc.set_threshold(1_000_000, 20, 100)
        return run_event(words[2], words[3])
    except KeyboardInterrupt:
        _print_log_line("WARN", "stopped before the sync started")
        return STOPPED


def _usage_error(words: Sequence[str]) -> str:
    """Return what is wrong with the arguments, or an empty string."""
    form = f"scheduledEvents {EVENT} <processProps> <velocityProps>"
    if not words:
        return f"No command given. Use getManifest, or {form}."
    interface = words[0].lower()
    if interface in (command.lower() for command in OTHERS):
        return f"This plug-in does not support {words[0]}. Use getManifest, or {form}."
    if interface != SCHEDULED_EVENTS:
        return f"Unknown command {words[0]!r}. Use getManifest, or {form}."
    if len(words) > 1 and words[1] != EVENT:
        return f"Unknown event {words[1]!r}. The only event is {EVENT}."
    if len(words) < WORDS_OF_AN_EVENT:
        missing = ("The event", "processProps", "velocityProps")[len(words) - 1]
        return f"{missing} is missing. Use {form}."
    return ""


def _report_usage_error(text: str) -> int:
    _print_log_line("ERROR", text)
    return FAILED


def _print_log_line(level: str, text: str) -> None:
    # The same form as every other line, without importing what writes those.
    from datetime import UTC, datetime  # noqa: PLC0415

    moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    _print(f"[{moment}] [{level}] rally - {' '.join(text.split())}\n")


def _open_output() -> None:
    """Configure standard output so that every text can be printed, also if it is closed."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    elif sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for the rest of the process


def _print(text: str) -> bool:
    """Print a text and return whether it could be written."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        return False
    return True


def _stop(*_: object) -> None:
    raise KeyboardInterrupt
