"""Resolve the lock files anew: versions with hashes, without any download address."""

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
RUN = ("host", "sandbox", "build")
DEV = (*RUN, "plugin", "image", "dev")


def resolve(output: Path, extras: tuple[str, ...], *, constraint: Path | None = None) -> None:
    """Write one lock file."""
    command = [sys.executable, "-m", "piptools", "compile", "--quiet", "--generate-hashes", "--strip-extras"]
    command += ["--allow-unsafe", "--no-header", "--no-annotate", "--upgrade"]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host"]
    for extra in extras:
        command += ["--extra", extra]
    if constraint is not None:
        command += ["--constraint", str(constraint)]
    subprocess.run([*command, "--output-file", str(output), "pyproject.toml"], check=True, cwd=ROOT)
    if re.search(r"https?://|file:/", output.read_text()):
        sys.exit(f"{output.name} holds a download address")


if __name__ == "__main__":
    resolve(HERE / "run.txt", RUN)
    resolve(HERE / "dev.txt", DEV, constraint=HERE / "run.txt")
    resolve(HERE / "plugin.txt", ("plugin",), constraint=HERE / "dev.txt")
    resolve(HERE / "docs.txt", ("docs",), constraint=HERE / "dev.txt")
    resolve(HERE / "image.txt", ("image", "plugin"), constraint=HERE / "dev.txt")
