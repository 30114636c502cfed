"""What the Dockerfile promises, as far as it can be seen without an engine: the tests run the tree that it copies."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from support.container import ROOT

LINES = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
STAGES = [number for number, line in enumerate(LINES) if line.startswith("FROM ")]
FINAL = LINES[STAGES[-1] :]


def test_everything_that_is_copied_is_there_and_let_in() -> None:
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for line in LINES[: STAGES[-1]]:
        if line.startswith("COPY "):
            *sources, _ = line.split()[1:]
            for source in sources:
                assert (ROOT / source).exists(), source
                assert any(Path(source) == Path(each) or Path(each) in Path(source).parents for each in let_in), source


def test_the_tree_is_made_by_the_script_that_the_tests_run() -> None:
    assert "RUN python image/assemble.py /rootfs" in LINES
    assert "COPY --from=build /rootfs /" in FINAL


def test_the_command_is_the_platforms_and_the_user_nobody_in_particular(tree: Path) -> None:
    assert not [line for line in FINAL if line.startswith("ENTRYPOINT")]
    (user,) = [line for line in FINAL if line.startswith("USER ")]
    assert int(re.split("[ :]", user)[1]) > 0
    (workdir,) = [line.split()[1] for line in FINAL if line.startswith("WORKDIR ")]
    assert (tree / workdir.lstrip("/") / "velocity-plugin.min.js").exists()


def test_everything_is_installed_by_its_hash() -> None:
    installs = [line for line in LINES if "pip install" in line]
    assert installs
    assert all("--require-hashes" in line for line in installs)
    for name in ("plugin.txt", "image.txt"):
        text = (ROOT / "requirements" / name).read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text


def test_what_a_run_imports_of_the_standard_library_is_compiled_beforehand(tree: Path, tmp_path: Path) -> None:
    """The base image holds no bytecode and nothing can be written: without this each cycle takes twice as long."""
    (line,) = [line for line in FINAL if "compileall" in line]
    assert FINAL.index(line) < FINAL.index(next(each for each in FINAL if each.startswith("USER ")))
    standard = Path(sysconfig.get_path("stdlib"))
    program = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); import asyncio, rally_accelerate.plugin.run as run;"
        "from cryptography.hazmat.primitives import ciphers;"
        "print(json.dumps([m.__file__ for m in list(sys.modules.values()) if getattr(m, '__file__', None)]))"
    )
    asked = [sys.executable, "-I", "-S", "-B", "-c", program, str(tree / "opt/rally-accelerate/lib")]
    found = json.loads(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)
    imported = [Path(each) for each in found if Path(each).is_relative_to(standard) and each.endswith(".py")]
    assert len(imported) > 100
    # The command as it stands, on a copy of what is imported, laid out as in the image.
    copy = tmp_path / "lib" / "python3"
    for each in imported:
        there = copy / each.relative_to(standard)
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(each, there)
    words = shlex.split(re.sub(r'"\$\(.*\)"', shlex.quote(str(copy)), line.removeprefix("RUN ")))
    assert words[0] == "python"
    subprocess.run([sys.executable, *words[1:]], check=True)
    for each in imported:
        there = copy / each.relative_to(standard)
        assert list((there.parent / "__pycache__").glob(f"{there.stem}.*.pyc")), each


def test_nothing_is_built_from_source() -> None:
    """The slim base has no compiler, and each processor's wheels are pinned by hash."""
    assert all("--only-binary :all:" in line for line in LINES if "pip install" in line)
    text = (ROOT / "image" / "assemble.py").read_text()
    assert '"--require-hashes", "--only-binary", ":all:"' in text
