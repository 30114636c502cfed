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

import pytest

from support.processes import TENANT, Finished, RunningServer, Simulator

ROOT = Path(__file__).parents[2]
#: Of the Python that runs the tests.
LIBRARIES = Path(os.environ.get("PLUGIN_LIBRARIES", ROOT / "build" / "libraries"))
EVENT = "syncRallyDataEvent"

#: The platform runs images as whatever user it likes, without a name or a home
#: (accelerate-api-notes.md#container-user).
UNKNOWN_USER = 54_321

#: Where the interpreter that the tree was put together for may lie, without the tests' own packages.
INTERPRETERS = (Path(sys.base_prefix) / "bin", Path("/usr/local/bin"), Path("/usr/bin"))

PASSPHRASE = "a passphrase with blanks and ümlauts"

#: For tests of what depends on the form of the arguments: the platform sends them plain or encrypted.
IN_EITHER_FORM = pytest.mark.parametrize("container", ["", PASSPHRASE], ids=["plain", "encrypted"], indirect=True)

#: A scheduled event's words: the interface, the event, its two arguments.
WORDS_OF_AN_EVENT = 4


@dataclass(frozen=True)
class Container:
    """The file tree, and a working directory that the platform may have laid a key into."""

    tree: Path
    workdir: Path
    #: With one, the key lies there, and the arguments of events are encrypted.
    passphrase: str = ""

    def write_key(self, key: str) -> None:
        """Lay the key file into the working directory, as the platform does."""
        (self.workdir / "encryptKey").write_text(key)

    def run(self, *words: str, **more: str) -> Finished:
        """The literal command, to its end; with more in its environment."""
        return self.call(*self.build_command(*words), **more)

    def call(self, *command: str, **more: str) -> Finished:
        """Any command, to its end; with more in its environment."""
        how = self._run_options()
        how["env"] |= more
        done = subprocess.run(command, check=False, timeout=120, **how)
        return Finished(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def start(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """The literal command, while it runs; gone at the end."""
        how = self._run_options()
        how.pop("capture_output")
        with subprocess.Popen(
            self.build_command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)

    def build_command(self, *words: str) -> list[str]:
        """The literal command, encrypted where the platform encrypts."""
        if self.passphrase and len(words) == WORDS_OF_AN_EVENT:
            words = (*words[:2], *(encrypt(text, self.passphrase) for text in words[2:]))
        return ["node", "velocity-plugin.min.js", *words]

    def _run_options(self) -> dict[str, Any]:
        interpreter, user = find_interpreter()
        path = f"{self.tree / 'usr/local/bin'}:{interpreter}:/usr/bin:/bin"
        return {"cwd": self.workdir, "env": {"PATH": path}, "capture_output": True, "text": True, **user}


@cache
def find_interpreter() -> tuple[Path, dict[str, Any]]:
    """An interpreter, and how to run it as a user who owns nothing; as oneself where that cannot be."""
    user: dict[str, Any] = {"user": UNKNOWN_USER, "group": UNKNOWN_USER, "extra_groups": []}
    version_command = ["python3", "-I", "-S", "-c", "import sys; print(sys.version_info[:2])"]
    for folder in INTERPRETERS:
        try:
            done = subprocess.run(
                [folder / version_command[0], *version_command[1:]], check=False, capture_output=True, text=True, **user
            )
        except OSError:
            continue
        # Compiled libraries fit one version.
        if done.stdout.strip() == str(sys.version_info[:2]):
            return folder, user
    return INTERPRETERS[0], {}


@contextmanager
def assemble_image() -> Iterator[Path]:
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
def open_container(tree: Path, *, passphrase: str = "") -> Iterator[Container]:
    """A container of a tree; its working directory is nobody's to write either.

    Args:
        tree: As ``assembled`` makes it.
        passphrase: With one, the platform encrypts.
    """
    folder = Path(tempfile.mkdtemp(prefix="rally-accelerate-"))
    try:
        folder.chmod(0o755)
        shutil.copy(tree / "plugin" / "velocity-plugin.min.js", folder)
        container = Container(tree, folder, passphrase)
        if passphrase:
            # Both texts are trimmed (accelerate-api-notes.md#encrypted-arguments).
            container.write_key(f"\n {passphrase} \n")
        yield container
    finally:
        shutil.rmtree(folder)


def encrypt(text: str, passphrase: str) -> str:
    """What the platform's own library makes of a text, made by OpenSSL.

    See accelerate-api-notes.md#encrypted-arguments.
    """
    command = ["openssl", "enc", "-aes-256-cbc", "-md", "md5", "-salt", "-a", "-A", "-pass", "env:PASSPHRASE"]
    environment = {**os.environ, "PASSPHRASE": passphrase}
    done = subprocess.run(command, input=text.encode(), env=environment, check=True, capture_output=True)
    return done.stdout.decode()


def add_integration(target: RunningServer, **properties: Any) -> str:
    """A new integration of the host, switched off there: the container is to do its work."""
    input_data: dict[str, Any] = {
        "name": f"plugin-{os.urandom(4).hex()}",
        "displayName": "Rally",
        "type": "ucv-ext-rally",
    }
    input_data |= {"tenantId": TENANT, "enabled": False, "properties": {"apiKey": "not-used", **properties}}
    query = "mutation($input: AddIntegrationInput!) { addIntegration(input: $input) { _id } }"
    integration_id: str = target.query(query, input=input_data)["addIntegration"]["_id"]
    return integration_id


def process_props(rally: Simulator, target: RunningServer, tracker_id: str, **overrides: Any) -> dict[str, Any]:
    """``processProps`` as the platform makes them.

    Args:
        rally: Where items come from.
        target: Where issues go.
        tracker_id: The integration.
        overrides: ``state``, ``properties`` and ``loggingLevel`` add to, or take the place of, what is usual.
    """
    state = {
        "lastRun": 0,
        "trackerId": tracker_id,
        "tenantId": TENANT,
        "apiServerUrl": f"{target.url}/release-events-api",
    }
    properties = {"baseUrl": rally.url, "apiKey": rally.key, "_userAccessKey": target.key}
    return {
        "state": {**state, **overrides.get("state", {})},
        "properties": {**properties, **overrides.get("properties", {})},
        "loggingLevel": overrides.get("loggingLevel", "INFO"),
    }


def build_event_arguments(props: dict[str, Any]) -> list[str]:
    """The words behind the script's name for a run of the event."""
    return ["scheduledEvents", EVENT, json.dumps(props), "{}"]


def encode_basic_credentials(user: str, password: str) -> str:
    """What basic authentication makes of a login."""
    return b64encode(f"{user}:{password}".encode()).decode()
