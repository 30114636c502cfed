"""The documentation says what the code says."""

import re
from pathlib import Path

import pytest

from make_reference import pages
from rally_accelerate import __version__
from rally_accelerate.cli.main import commands
from rally_sandbox.faults import FAULTS

ROOT = Path(__file__).parents[3]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "bench").glob("*.md")])


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_reference_pages_are_those_of_the_code(page: Path) -> None:
    assert page.read_text() == pages()[page], "run: python tools/make_reference.py"


@pytest.mark.parametrize("name", commands.commands)
def test_every_command_is_explained(name: str) -> None:
    command = commands.commands[name]
    assert command.help
    for parameter in command.params:
        assert parameter.param_type_name == "argument" or getattr(parameter, "help", None), parameter.name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_the_changelog_knows_the_version_or_what_is_unreleased() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert f"## [{__version__}]" in text or "## [Unreleased]" in text


def test_the_architecture_names_every_package_and_only_existing_files() -> None:
    package = ROOT / "src/rally_accelerate"
    text = (ROOT / "docs/explanation/architecture.md").read_text()
    named = re.findall(r"`((?:[a-z]+/)+[a-z_]+\.py)`", text)
    assert named
    for name in named:
        assert (package / name).exists(), name
    packages = [folder.name for folder in package.iterdir() if (folder / "__init__.py").exists()]
    assert [name for name in packages if f"| `{name}/` |" not in text] == []


def test_the_simulators_page_names_every_fault() -> None:
    page = (ROOT / "docs" / "how-to" / "use-the-simulator.md").read_text(encoding="utf-8")
    for name, meaning in FAULTS.items():
        assert f"| `{name}` | {meaning} |" in page
