"""Run the unit and contract tests on every supported Python that is installed; each in an environment of its own.

    python tests/support/pythons.py [PYTEST ARGUMENTS]

Interpreters are looked for as ``python3.N`` on the path and among those of pyenv. The environments are made from the
lock file in ``build/pythons`` and used again.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "pythons"
LOCK = ROOT / "requirements" / "dev.txt"

#: As the README says.
SUPPORTED = ("3.11", "3.12", "3.13")
TESTS = ("tests/unit", "tests/contract")

PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")


def find_interpreters() -> Iterator[tuple[str, Path]]:
    """Yield the supported versions that are installed, with an interpreter of each."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in SUPPORTED:
        on_path = shutil.which(f"python{version}")
        places = [*([Path(on_path)] if on_path else []), *sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)]
        # A shim of pyenv is on the path also where no such version is chosen.
        interpreter = next((place for place in places if _version_of(place) == version), None)
        if interpreter is not None:
            yield version, interpreter


def _version_of(interpreter: Path) -> str:
    command = [str(interpreter), "-c", "import sys; print('{}.{}'.format(*sys.version_info[:2]))"]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()


def create_environment(version: str, interpreter: Path) -> Path:
    """Make the environment of a version, unless it is there already; return its interpreter."""
    home = FOLDER / version
    python, stamp = home / "bin" / "python", home / "lock.sha256"
    locked = hashlib.sha256(LOCK.read_bytes() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != locked:
        sys.stdout.write(f"Python {version}: installing what the tests need, once\n")
        sys.stdout.flush()
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([str(interpreter), "-m", "venv", str(home)], check=True)
        subprocess.run([str(python), *PIP, "--require-hashes", "-r", str(LOCK)], check=True)
        subprocess.run([str(python), *PIP, "--no-build-isolation", "--no-index", "-e", str(ROOT)], check=True)
        subprocess.run([str(python), "image/assemble.py", "--libraries", str(libraries(version))], check=True, cwd=ROOT)
        stamp.write_text(locked)
    return python


def libraries(version: str) -> Path:
    """Return where the plug-in's libraries are installed for a version."""
    return FOLDER / f"{version}-plugin"


def main() -> None:
    """Run the tests; end with 1 when they fail on any version."""
    failed: list[str] = []
    tested: list[str] = []
    for version, interpreter in find_interpreters():
        python = create_environment(version, interpreter)
        arguments = sys.argv[1:] or ["-n", "auto", "--dist", "loadfile"]
        sys.stdout.write(f"Python {version}: {' '.join(TESTS)}\n")
        sys.stdout.flush()
        command = [str(python), "-m", "pytest", *TESTS, "-q", *arguments]
        more = {"PLUGIN_LIBRARIES": str(libraries(version))}
        done = subprocess.run(command, check=False, cwd=ROOT, env={**os.environ, **more})
        (failed if done.returncode else tested).append(version)
    missing = [version for version in SUPPORTED if version not in {*failed, *tested}]
    for what, versions in (("passed", tested), ("failed", failed), ("not installed here", missing)):
        if versions:
            sys.stdout.write(f"Python {', '.join(versions)}: {what}\n")
    sys.exit(1 if failed or not tested else 0)


if __name__ == "__main__":
    main()
