"""What is being tried again, and why: told by whoever tries, to whoever looks on from outside."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Trouble:
    """A failure that is tried again."""

    message: str
    hint: str
    #: How often it has failed in a row.
    failures: int = 1


class Troubles:
    """The failures that are being tried again at this moment, of everything that belongs to one piece of work."""

    def __init__(self) -> None:
        self._now: dict[object, Trouble] = {}

    @property
    def worst(self) -> Trouble | None:
        """The one that has failed most often, or None while all goes well."""
        return max(self._now.values(), key=lambda trouble: trouble.failures, default=None)

    def failed(self, who: object, message: str, hint: str) -> None:
        """Note another failure of somebody who will try again."""
        before = self._now.get(who)
        self._now[who] = (
            replace(before, message=message, failures=before.failures + 1) if before else Trouble(message, hint)
        )

    def ended(self, who: object) -> None:
        """Forget somebody's failures: it went well, or was given up."""
        self._now.pop(who, None)


_watched: ContextVar[Troubles | None] = ContextVar("troubles", default=None)


@contextmanager
def watched() -> Iterator[Troubles]:
    """Look on: what is tried again inside, in tasks that begin there too, is told to the result."""
    troubles = Troubles()
    token = _watched.set(troubles)
    try:
        yield troubles
    finally:
        _watched.reset(token)


@contextmanager
def trying() -> Iterator[Callable[[str, str], None]]:
    """Try something several times; the result is called with message and hint after each failure but the last."""
    troubles, me = _watched.get(), object()
    if troubles is None:
        yield lambda *_: None
        return
    try:
        yield lambda message, hint: troubles.failed(me, message, hint)
    finally:
        troubles.ended(me)
