"""The kinds of work items by the names that people use."""

from rally_sandbox.columns import KINDS
from rally_sandbox.shapes import STORY

KIND_NAMES = {
    "story": STORY,
    "userstory": STORY,
    "feature": KINDS.index("PortfolioItem/Feature"),
    "initiative": KINDS.index("PortfolioItem/Initiative"),
} | {name.lower(): position for position, name in enumerate(KINDS)}


def kind_of(name: str) -> int:
    """The position in ``columns.KINDS`` of a kind by any of its names.

    Raises:
        KeyError: It is no kind of work item.
    """
    try:
        return KIND_NAMES[name.lower()]
    except KeyError:
        raise KeyError(f"{name!r} is no kind of work item; there are {', '.join(KINDS)}") from None
