"""What the Dockerfile promises, as far as it can be seen without an engine: the tests run the tree that it copies."""

import re
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
