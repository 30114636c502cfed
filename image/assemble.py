"""Put the file tree of the plug-in's image together; the same for a Dockerfile's build stage and for a plain folder.

    python image/assemble.py FOLDER                 the whole tree
    python image/assemble.py FOLDER LIBRARIES       the same, with libraries that were installed before
    python image/assemble.py --libraries LIBRARIES  only these

Installs what ``requirements/plugin.txt`` pins, and the project itself, by their hashes; writes the list of contents
(SBOM) beside them. Nothing outside the folder is changed.
"""

import compileall
import json
import os
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
PINNED = ROOT / "requirements" / "plugin.txt"

#: Of no use at run time; a fifth of the size.
LEFT_OUT = (
    "bin",
    "rally_sandbox",
    "*/tests",
    "rally_accelerate/server",
    "rally_accelerate/cli",
    "rally_accelerate/dql",
)


def assemble(folder: Path, libraries: Path | None = None) -> None:
    """Make the tree.

    Args:
        folder: Where it goes; made anew.
        libraries: What ``install`` made earlier; None installs it now.
    """
    if folder.exists():
        shutil.rmtree(folder)
    home = folder / "opt" / "rally-accelerate"
    library = home / "lib"
    home.mkdir(parents=True)
    if libraries is None:
        install(library)
    else:
        shutil.copytree(libraries, library)
    _pip(library, "--no-build-isolation", "--no-index", str(ROOT))
    # Checked by content, not by time: copies of the tree keep them valid, and a read-only system needs them.
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(str(library), quiet=2, invalidation_mode=mode, stripdir=str(folder), prependdir="/")
    (ours,) = library.glob("rally_accelerate-*.dist-info")
    # It names the folder that the image was built in; equal sources have equal trees.
    (ours / "direct_url.json").unlink(missing_ok=True)
    (home / "sbom.json").write_text(contents(ours.name.removesuffix(".dist-info").partition("-")[2]))
    programs = folder / "usr" / "local" / "bin"
    programs.mkdir(parents=True)
    shutil.copy(HERE / "node", programs / "node")
    (programs / "node").chmod(0o755)
    (folder / "plugin").mkdir()
    shutil.copy(HERE / "velocity-plugin.min.js", folder / "plugin")
    readable(folder)


def install(library: Path) -> None:
    """Install what is pinned.

    Args:
        library: Where it goes; made anew.
    """
    if library.exists():
        shutil.rmtree(library)
    # The slim image has no compiler: what has no wheel for its Python and processor is told at once.
    _pip(library, "--require-hashes", "--only-binary", ":all:", "-r", str(PINNED))


def _pip(library: Path, *what: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-compile", "--root-user-action", "ignore", "--target", str(library)]
    subprocess.run([*command, *what], check=True)
    for pattern in LEFT_OUT:
        for found in library.glob(pattern):
            shutil.rmtree(found)


def contents(version: str) -> str:
    """The list of contents in CycloneDX's form, without the instant of its making: equal trees have equal lists.

    Args:
        version: The project's own, which the tool does not find, as it stands in the source.
    """
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", "--output-reproducible", "--of", "JSON"]
    command += ["--pyproject", str(ROOT / "pyproject.toml"), "--mc-type", "application", str(PINNED)]
    made = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    listed = json.loads(made)
    listed["metadata"]["component"]["version"] = version
    return json.dumps(listed, indent=2) + "\n"


def readable(folder: Path) -> None:
    """Let every user read the tree, and nobody but its owner write it: the platform chooses the user."""
    for path in (folder, *folder.rglob("*")):
        executable = path.is_dir() or os.access(path, os.X_OK)
        path.chmod(0o755 if executable else 0o644)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--libraries", its_libraries]:
            install(Path(its_libraries).resolve())
        case [its_folder]:
            assemble(Path(its_folder).resolve())
        case [its_folder, its_libraries]:
            assemble(Path(its_folder).resolve(), Path(its_libraries).resolve())
        case _:
            sys.exit(__doc__)
