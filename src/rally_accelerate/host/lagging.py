"""Pure: whether a history already tells how an issue came into its status.

Rally's Lookback lags behind: an issue is uploaded with its newest status and a history that ends before the change to
it. The next run completes it; until then the change is missing, and whoever counts from the history must know.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rally_accelerate.host.changes import changes_of, instant_of
from rally_accelerate.host.past import plain


@dataclass(frozen=True, slots=True)
class LastStatus:
    """The last change of status that a history tells."""

    #: Milliseconds since 1970.
    at: int
    #: What it led to; several where one instant has several changes, as their order is not sure in every tool.
    led_to: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Late:
    """A change of status that a history does not tell yet."""

    #: When it had happened at the latest, in milliseconds since 1970.
    at: int
    #: The status that the history ends with, and the present one.
    before: str
    after: str


def last_status(history: Iterable[Any]) -> LastStatus | None:
    """The last change of status that a history tells; None where it tells none."""
    latest: int | None = None
    led_to: list[Any] = []
    for entry in history:
        # What is read of JSON is nothing but dictionaries, which are told from the rest at a fraction of the price.
        content = entry.get("content") if isinstance(entry, dict) else None
        if not isinstance(content, dict) or str(content.get("field") or "").lower() != "status":
            continue
        at = instant_of(entry.get("timestamp"))
        if at is None:
            continue
        if latest is None or at > latest:
            latest, led_to = at, []
        if at == latest:
            led_to.append(content.get("to"))
    return None if latest is None else LastStatus(latest, tuple(led_to))


def late_after(last: LastStatus | None, issue: Mapping[str, Any], history: Sequence[Any]) -> Late | None:
    """The change of status that is missing behind the last one, or None.

    Assumed: it happened between the last change that is known and the last update, which is taken for its instant as
    the latest that is possible. A history without a status, or whose last change does not say what it led to, says
    nothing against the issue's status. Neither does one that reaches the last update: nothing is to come there, and the
    statuses differ for another reason, such as a rule that makes one out of other fields.

    Args:
        last: ``last_status`` of the history.
        issue: An issue under the wire's names, instants in milliseconds since 1970.
        history: Its history.
    """
    if last is None or issue.get("status") in last.led_to:
        # So it is nearly always, and every upload asks.
        return None
    updated, status = instant_of(issue.get("lastUpdate")), _text(issue.get("status"))
    if updated is None or not status:
        return None
    ends = [_text(each) for each in last.led_to]
    # Queries do not tell statuses apart by the case of letters either (dql/matches.py).
    if not all(ends) or status.casefold() in {each.casefold() for each in ends}:
        return None
    # What stands beside each change, and texts that could not be read, do not say that the status was as it was.
    newest = max(change.at for change in changes_of({"history": history}) if not change.says_nothing)
    return None if newest >= updated else Late(updated, ends[-1], status)


def late_status(issue: Mapping[str, Any]) -> Late | None:
    """The change of status that the history of an issue does not tell yet, or None."""
    history = issue.get("history") or ()
    return late_after(last_status(history), issue, history)


def _text(value: Any) -> str:
    return ", ".join(plain(value)).strip()
