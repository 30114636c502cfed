"""The plug-in's container without a container: its file tree, its command, a user who owns nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from support.processes import TENANT, Finished, RunningHost, Simulator

ROOT = Path(__file__).parents[2]
LIBRARIES = ROOT / "build" / "libraries"
EVENT = "syncRallyDataEvent"

#: The platform runs images as whatever user it likes (accelerate-host.md 1.11).
NOBODY = 65_534

#: The interpreter that the tree was put together for, without the tests' own packages.
INTERPRETER = Path(sys.base_prefix) / "bin"


@dataclass(frozen=True)
class Container:
    """The file tree, and a working directory that the platform may have laid a key into."""

    tree: Path
    workdir: Path

    def lay(self, key: str) -> None:
        """Lay the key file into the working directory, as the platform does."""
        (self.workdir / "encryptKey").write_text(key)

    def run(self, *words: str, **more: str) -> Finished:
        """The literal command, to its end; with more in its environment."""
        how = self._how()
        how["env"] |= more
        done = subprocess.run(self._command(words), check=False, timeout=120, **how)
        return Finished(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def started(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """The literal command, while it runs; gone at the end."""
        how = self._how()
        how.pop("capture_output")
        with subprocess.Popen(self._command(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)

    def _command(self, words: tuple[str, ...]) -> list[str]:
        return ["node", "velocity-plugin.min.js", *words]

    def _how(self) -> dict[str, Any]:
        path = f"{self.tree / 'usr/local/bin'}:{INTERPRETER}:/usr/bin:/bin"
        return {"cwd": self.workdir, "env": {"PATH": path}, "capture_output": True, "text": True, **_as_nobody()}


@cache
def _as_nobody() -> dict[str, Any]:
    """How to run as a user who owns nothing; as oneself where that cannot be, or where nobody may read the interpreter."""
    user: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    try:
        done = subprocess.run([INTERPRETER / "python3", "-I", "-c", ""], check=False, capture_output=True, **user)
    except OSError:
        return {}
    return user if done.returncode == 0 else {}


@contextmanager
def assembled() -> Iterator[Path]:
    """The file tree of the image, where every user can read it and nobody but root write."""
    folder = Path(tempfile.mkdtemp(prefix="rally-accelerate-"))
    try:
        folder.chmod(0o755)
        command = [sys.executable, str(ROOT / "image" / "assemble.py"), str(folder / "tree")]
        # Installed by ``make test`` beforehand; without it, now.
        command += [str(LIBRARIES)] if LIBRARIES.exists() else []
        subprocess.run(command, check=True, capture_output=True)
        yield folder / "tree"
    finally:
        shutil.rmtree(folder)


@contextmanager
def working_in(tree: Path) -> Iterator[Container]:
    """A container of a tree; its working directory is nobody's to write either."""
    folder = Path(tempfile.mkdtemp(prefix="rally-accelerate-"))
    try:
        folder.chmod(0o755)
        shutil.copy(tree / "plugin" / "velocity-plugin.min.js", folder)
        yield Container(tree, folder)
    finally:
        shutil.rmtree(folder)


def encrypted(text: str, passphrase: str) -> str:
    """What the platform's own library makes of a text, made by OpenSSL (accelerate-host.md 1.4)."""
    command = ["openssl", "enc", "-aes-256-cbc", "-md", "md5", "-salt", "-a", "-A", "-pass", "env:PASSPHRASE"]
    environment = {**os.environ, "PASSPHRASE": passphrase}
    done = subprocess.run(command, input=text.encode(), env=environment, check=True, capture_output=True)
    return done.stdout.decode()


def added(target: RunningHost, **properties: Any) -> str:
    """A new integration of the host, switched off there: the container is to do its work."""
    given: dict[str, Any] = {"name": f"plugin-{os.urandom(4).hex()}", "displayName": "Rally", "type": "ucv-ext-rally"}
    given |= {"tenantId": TENANT, "enabled": False, "properties": {"apiKey": "not-used", **properties}}
    query = "mutation($input: AddIntegrationInput!) { addIntegration(input: $input) { _id } }"
    its_id: str = target.ask(query, input=given)["addIntegration"]["_id"]
    return its_id


def process_props(rally: Simulator, target: RunningHost, tracker_id: str, **given: Any) -> dict[str, Any]:
    """``processProps`` as the platform makes them.

    Args:
        rally: Where items come from.
        target: Where issues go.
        tracker_id: The integration.
        given: ``state``, ``properties`` and ``loggingLevel`` add to, or take the place of, what is usual.
    """
    state = {
        "lastRun": 0,
        "trackerId": tracker_id,
        "tenantId": TENANT,
        "apiServerUrl": f"{target.url}/release-events-api",
    }
    properties = {"baseUrl": rally.url, "apiKey": rally.key, "_userAccessKey": target.key}
    return {
        "state": {**state, **given.get("state", {})},
        "properties": {**properties, **given.get("properties", {})},
        "loggingLevel": given.get("loggingLevel", "INFO"),
    }


def event_words(props: dict[str, Any], *, passphrase: str = "") -> list[str]:
    """The words behind the script's name for a run of the event."""
    texts = [json.dumps(props), "{}"]
    if passphrase:
        texts = [encrypted(text, passphrase) for text in texts]
    return ["scheduledEvents", EVENT, *texts]


def basic(user: str, password: str) -> str:
    """What basic authentication makes of a login."""
    return b64encode(f"{user}:{password}".encode()).decode()
