"""Pure: the words of an issue, as they are indexed and as they are asked for.

What is indexed was made by this module: whoever changes it must have a migration index all issues anew.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

#: Characters of one text that are indexed: a pasted log file is not what anybody searches for.
LONGEST = 20_000

#: More words than this nobody types.
MOST = 20

#: What stands between words.
_BETWEEN = re.compile(r"[\W_]+")


def words_of(item: Mapping[str, Any]) -> str:
    """The words of an issue: its id, name, description, people, labels and comments.

    Args:
        item: An issue under the wire's names.
    """
    comments = [str(each.get("comment") or "") for each in item.get("comments") or ()]
    project = (item.get("project") or {}).get("name")
    said = (item["id"], item["name"], item.get("description"), item.get("owner"), project)
    texts = [str(text)[:LONGEST] for text in (*said, *(item.get("labels") or ()), *comments) if text]
    # Each word once: how often it is said does not matter.
    return " ".join(dict.fromkeys(split(" ".join(texts))))


def split(text: str) -> list[str]:
    """The words of a text, without regard to case and accents."""
    if not text.isascii():
        text = "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
    return [word for word in _BETWEEN.split(text.casefold()) if word]


def asked_words(text: str) -> list[str]:
    """The words that a search asks for."""
    return split(text)[:MOST]
