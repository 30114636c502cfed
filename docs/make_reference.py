"""Write the reference pages from the code; with ``--check``, fail when they differ from it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from rally_accelerate.cli.main import commands
from rally_accelerate.config.model import Integration, Properties

REFERENCE = Path(__file__).parent / "reference"


def settings() -> str:
    """The settings page."""
    lines = [
        "# Settings",
        "",
        "An integration in the JSON file. Names of properties are understood in any case.",
        "",
        "## The integration",
        "",
        "| name | meaning |",
        "|---|---|",
    ]
    for name, field in Integration.model_fields.items():
        if field.description:
            lines.append(f"| `{field.alias or name}` | {_cell(field.description)} |")
    lines += [
        "",
        "## Its properties",
        "",
        "| name | label | type | default | meaning |",
        "|---|---|---|---|---|",
    ]
    for name, field in Properties.model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict):
            default = _default(field.get_default(call_default_factory=True))
            cells = (extra["label"], extra["kind"], default, field.description or "")
            lines.append(f"| `{field.alias or name}` | " + " | ".join(_cell(str(cell)) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def reference_of_commands() -> str:
    """The commands page."""
    lines = ["# Commands", ""]
    for name, command in _every(commands):
        path = f"rally-accelerate {name}".strip()
        with click.Context(command, info_name=path, max_content_width=100, terminal_width=100) as context:
            lines += [f"## {path}", "", "```text", command.get_help(context), "```", ""]
    return "\n".join(lines)


def _every(group: click.Group, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """A group and everything in it, by the words that call it."""
    yield name, group
    for word, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from _every(command, f"{name} {word}".strip())
        else:
            yield f"{name} {word}".strip(), command


def pages() -> dict[Path, str]:
    """Every page by its path."""
    return {REFERENCE / "settings.md": settings(), REFERENCE / "commands.md": reference_of_commands()}


def _default(value: object) -> str:
    if value in (None, "", (), {}):
        return ""
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    for page, text in pages().items():
        if "--check" in sys.argv:
            if not page.exists() or page.read_text() != text:
                sys.exit(f"{page.name} differs from the code; run: python docs/make_reference.py")
        else:
            page.write_text(text)
