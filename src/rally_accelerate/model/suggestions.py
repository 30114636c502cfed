"""Names that look like an unknown one, for suggestions; pure.

Comparing takes longer than everything else that is done with an unknown name, so names that nobody would type are not
compared. Those who look through many unknown names explain the first ``MOST_EXPLAINED`` and count the rest.
"""

import difflib
from collections.abc import Iterable

from rally_accelerate.model.text_folding import fold

#: Of many names that are not known, so many are explained.
MOST_EXPLAINED = 20
#: Longer names are not compared.
LONGEST = 200
#: An unknown name is compared with so many others.
MOST_COMPARED = 10_000


def alike(wanted: str, names: Iterable[str], *, n: int = 3, cutoff: float = 0.6) -> list[str]:
    """Return the names most like the wanted one, best first.

    Args:
        wanted: What was written.
        names: What there is, in the same form.
        n: The largest number to return.
        cutoff: How alike a name must be, 0 to 1.
    """
    if not wanted or len(wanted) > LONGEST:
        return []
    compared = [name for name in names if len(name) <= LONGEST][:MOST_COMPARED]
    return difflib.get_close_matches(wanted, compared, n=n, cutoff=cutoff)


def suggestion(wanted: str, names: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return a remark in brackets with the names most like the wanted one; empty if none is.

    Args:
        wanted: The name as written; case, typography and repeated spaces do not count.
        names: What there is.
        cutoff: How alike a name must be, 0 to 1.
    """
    by_folded = {_folded(name): name for name in names}
    close = alike(_folded(wanted), by_folded, cutoff=cutoff)
    named = " or ".join(f'"{by_folded[each]}"' for each in close)
    return f" (did you mean {named}?)" if named else ""


def _folded(name: str) -> str:
    return " ".join(fold(name).split())


def shortened(name: str) -> str:
    """Return a name as messages show it."""
    return name if len(name) <= LONGEST else f"{name[:LONGEST]}…"
