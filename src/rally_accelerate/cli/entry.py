"""Where the process begins: ready for Ctrl-C and SIGTERM before anything large is imported."""

import signal
import sys


def main() -> None:
    """Run the command line."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        from rally_accelerate.cli import main as command_line  # noqa: PLC0415 - takes a good part of a second

        command_line.main()
    except KeyboardInterrupt:
        sys.exit(130)


def _interrupt(*_: object) -> None:
    """Let SIGTERM end a run as cleanly as Ctrl-C."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
