"""Bring what the suite needs beside Python packages; say loudly which parts are skipped without it."""

import os
import shutil
import subprocess
import sys

#: Program, Debian package, and what is skipped without it.
OPTIONAL = (
    ("chromium", "chromium", "the browser tests are skipped: there is no Chromium on this machine"),
    ("nginx", "nginx-light", "the tests behind nginx are skipped: it is not installed"),
    ("caddy", "caddy", "the tests behind Caddy are skipped: it is not installed"),
    ("strace", "strace", "the test of power cuts is skipped: strace is not installed"),
)


#: Debian installs servers where not everybody has them on the path.
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"


def ensure_installed(program: str, package: str) -> bool:
    """Whether a program is here, or could be installed from the system's own packages."""
    if shutil.which(program, path=PATH) is None and shutil.which("apt-get") is not None and os.geteuid() == 0:
        sys.stdout.write(f"installing {package}, once\n")
        sys.stdout.flush()
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for arguments in (["update"], ["install", "--yes", "--no-install-recommends", package]):
            # Whether it worked is seen by looking for the program, not by what the installer says.
            subprocess.run(["apt-get", *arguments], env=environment, check=False, capture_output=True)
    return shutil.which(program, path=PATH) is not None


if __name__ == "__main__":
    for needed, debian_package, sentence in OPTIONAL:
        if not ensure_installed(needed, debian_package):
            sys.stdout.write(f"NOTE: {sentence} (Debian: apt-get install {debian_package})\n")
