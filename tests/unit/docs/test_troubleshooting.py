"""The messages that the troubleshooting page quotes are those of the product."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "src" / "rally_accelerate"
PAGE = ROOT / "docs" / "how-to" / "troubleshooting.md"

QUOTED = re.findall(r"^> (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


@cache
def texts() -> str:
    """Return every text of the code and the templates, one in each line."""
    found = [path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.html") if "help" not in path.parts]
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
    return "\n".join(found)


def test_messages_are_quoted() -> None:
    assert len(QUOTED) > 20


@pytest.mark.parametrize("message", QUOTED)
def test_a_quoted_message_is_one_of_the_product(message: str) -> None:
    for part in message.split("…"):
        assert part.strip() in texts(), part
