"""An embedded server that is started on one database again and again."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from support.processes import RunningServer, start_command


@contextmanager
def serving(database: Path, *options: str) -> Iterator[RunningServer]:
    """Start ``serve`` on a database that may have been used before.

    The access key is printed at the first start only; it is kept in a file beside the database.
    """
    secrets = database.with_suffix(".secrets.json")
    with start_command("serve", "--port", "0", "--database", str(database), *options) as process:
        values: dict[str, str] = json.loads(secrets.read_text()) if secrets.exists() else {}
        assert process.stdout is not None
        assert process.stderr is not None
        while "host" not in values or "key" not in values:
            line = process.stdout.readline()
            assert line, f"the server ended before it printed its address: {process.stderr.read()}"
            name, _, value = line.partition(":")
            values[name.strip()] = value.rpartition(" / ")[2].split()[0] if value.split() else ""
        secrets.write_text(json.dumps({name: values[name] for name in ("key", "sign in") if name in values}))
        try:
            yield RunningServer(values["host"], values["key"], values.get("sign in", ""), process)
        finally:
            with suppress(ProcessLookupError):
                # A stalled process obeys SIGTERM only after it was continued.
                process.send_signal(signal.SIGCONT)
