"""Entry point of ``python -m rally_sandbox``: the simulator as a process; prints one JSON line when it is ready."""

import argparse
import sys

import orjson

from rally_sandbox.auth import SANDBOX_API_KEY
from rally_sandbox.server import LOOPBACK, WORLDS, run
from rally_sandbox.world import MAX_ITEMS, MIN_ITEMS


def main() -> int:
    """Serve until SIGTERM or SIGINT; the exit code is 0."""
    parser = argparse.ArgumentParser(prog="python -m rally_sandbox", description="A simulated Rally with sample data.")
    parser.add_argument("--host", default=LOOPBACK, help="the address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="the port; 0 selects a free one (%(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="the same seed creates the same world (%(default)s)")
    parser.add_argument("--items", type=int, default=500, help="number of work items, 10 to 1,000,000 (%(default)s)")
    parser.add_argument("--world", choices=WORLDS, default="sample", help="kind of texts (%(default)s)")
    parser.add_argument("--live", action="store_true", help="keep changing items")
    parser.add_argument(
        "--every", type=float, default=5.0, metavar="SECONDS", help="time between two changes (%(default)s)"
    )
    parser.add_argument("--latency-ms", type=int, default=0, help="added latency per response (%(default)s)")
    arguments = parser.parse_args()
    if not MIN_ITEMS <= arguments.items <= MAX_ITEMS:
        parser.error(f"argument --items: must be {MIN_ITEMS:,} to {MAX_ITEMS:,}, not {arguments.items:,}")
    run(
        host=arguments.host,
        port=arguments.port,
        seed=arguments.seed,
        items=arguments.items,
        hostile_share=WORLDS[arguments.world],
        live=arguments.live,
        live_interval_seconds=arguments.every,
        latency_ms=arguments.latency_ms,
        on_ready=_print_ready,
    )
    return 0


def _print_ready(url: str) -> None:
    sys.stdout.write(orjson.dumps({"url": url, "apiKey": SANDBOX_API_KEY}).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
