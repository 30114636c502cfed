"""The wheel carries the documentation site, which Git ignores."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_wheel_has_the_built_site_and_nothing_else_that_git_ignores(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path)
    for package in ("rally_accelerate", "rally_sandbox"):
        (tmp_path / "src" / package).mkdir(parents=True)
        shutil.copy(ROOT / "src" / package / "__init__.py", tmp_path / "src" / package)
    site = tmp_path / "src/rally_accelerate/server/help"
    (site / "reference").mkdir(parents=True)
    (site / "index.html").touch()
    (site / "reference/settings.html").touch()
    (tmp_path / "src/rally_accelerate/server/left.sqlite").touch()
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"], cwd=tmp_path, check=True, capture_output=True
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if "dist-info" not in name}
    assert names == {
        "rally_accelerate/__init__.py",
        "rally_accelerate/server/help/index.html",
        "rally_accelerate/server/help/reference/settings.html",
        "rally_sandbox/__init__.py",
    }
