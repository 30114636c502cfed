"""The entry point: handles Ctrl-C and SIGTERM before large imports."""

import gc
import signal
import sys


def main() -> None:
    """Run the command line."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        # Nothing that is imported goes away: looking for what does takes a tenth of the time.
        gc.disable()
        from rally_accelerate.cli import main as command_line  # noqa: PLC0415 - takes a good part of a second

        # Rows by the ten thousand are made and dropped all the time, and hold no cycles; what was imported stays.
        gc.freeze()
        gc.enable()
        gc.set_threshold(50_000, 20, 100)
        command_line.main()
    except KeyboardInterrupt:
        sys.exit(130)


def _interrupt(*_: object) -> None:
    """Let SIGTERM end a run as cleanly as Ctrl-C."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
