"""Similar names for unknown ones, as suggestions. No I/O.

Comparisons are slow, so unrealistically long names are not compared. Callers with many unknown names explain the first
``MAX_EXPLAINED`` and count the others.
"""

import difflib
from collections.abc import Iterable

from rally_accelerate.model.text_folding import fold

#: The maximum number of unknown names that are explained.
MAX_EXPLAINED = 20
#: Longer names are not compared.
MAX_NAME_LENGTH = 200
#: The maximum number of names to compare with.
MAX_COMPARED = 10_000


def find_similar(written: str, names: Iterable[str], *, n: int = 3, cutoff: float = 0.6) -> list[str]:
    """Return the most similar names, best first.

    Args:
        written: What was written.
        names: What there is, in the same form.
        n: The largest number to return.
        cutoff: How alike a name must be, 0 to 1.
    """
    if not written or len(written) > MAX_NAME_LENGTH:
        return []
    compared = [name for name in names if len(name) <= MAX_NAME_LENGTH][:MAX_COMPARED]
    return difflib.get_close_matches(written, compared, n=n, cutoff=cutoff)


def suggest_names(written: str, names: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return a parenthesized suggestion with the most similar names; empty if none is similar.

    Args:
        written: The name as written; case, typography and repeated spaces do not count.
        names: What there is.
        cutoff: How alike a name must be, 0 to 1.
    """
    by_folded = {_fold_spaces(name): name for name in names}
    close = find_similar(_fold_spaces(written), by_folded, cutoff=cutoff)
    named = " or ".join(f'"{by_folded[folded]}"' for folded in close)
    return f" (did you mean {named}?)" if named else ""


def _fold_spaces(name: str) -> str:
    return " ".join(fold(name).split())


def shorten(name: str) -> str:
    """Return a name shortened for messages."""
    return name if len(name) <= MAX_NAME_LENGTH else f"{name[:MAX_NAME_LENGTH]}…"
