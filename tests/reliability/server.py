"""An embedded server that is started on one database again and again."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from support.processes import RunningHost, started


@contextmanager
def serving(database: Path, *options: str) -> Iterator[RunningHost]:
    """Start ``serve`` on a database that may have been used before.

    The access key is printed at the first start only; it is kept in a file beside the database.
    """
    secrets = database.with_suffix(".secrets.json")
    with started("serve", "--port", "0", "--database", str(database), *options) as process:
        told: dict[str, str] = json.loads(secrets.read_text()) if secrets.exists() else {}
        assert process.stdout is not None
        assert process.stderr is not None
        while "host" not in told or "key" not in told:
            line = process.stdout.readline()
            assert line, f"the server ended before it printed its address: {process.stderr.read()}"
            name, _, value = line.partition(":")
            told[name.strip()] = value.rpartition(" / ")[2].split()[0] if value.split() else ""
        secrets.write_text(json.dumps({name: told[name] for name in ("key", "sign in") if name in told}))
        try:
            yield RunningHost(told["host"], told["key"], told.get("sign in", ""), process)
        finally:
            with suppress(ProcessLookupError):
                # A stalled process obeys SIGTERM only after it was continued.
                process.send_signal(signal.SIGCONT)
