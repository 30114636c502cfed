"""How often somebody may guess: failures are free a few times, then each doubles the wait."""

from collections import OrderedDict
from dataclasses import dataclass

from rally_accelerate.host.store.users import folded

#: How many failures cost nothing: of one name from one address, of one name from anywhere, from one address at all.
#: The wider ones are larger, so that nobody locks a colleague out from elsewhere.
FREE = {"both": 5, "name": 40, "address": 40}

FIRST_WAIT, LONGEST_WAIT = 2.0, 900.0

#: A failure is forgotten after a day without another.
FORGOTTEN = 86_400.0

#: So many names and addresses are remembered; beyond, the oldest is forgotten.
MOST = 10_000


@dataclass(slots=True)
class _Failures:
    count: int
    latest: float


class Attempts:
    """The failed attempts of one process. Instants are seconds of any clock that only rises."""

    def __init__(self) -> None:
        self._failures: OrderedDict[tuple[str, str, str], _Failures] = OrderedDict()

    def wait(self, name: str, address: str, *, now: float) -> float:
        """How many seconds are left until the next attempt is heard; 0 when it is."""
        return max(self._wait(key, now) for key in _keys(name, address))

    def failed(self, name: str, address: str, *, now: float) -> int:
        """Note an attempt before its password is looked at, so that many at once are counted too.

        Returns:
            How many of this name from this address have failed in a row, with this one.
        """
        for key in _keys(name, address):
            found = self._failures.pop(key, None)
            if found is None or now - found.latest > FORGOTTEN:
                found = _Failures(0, now)
            found.count += 1
            found.latest = now
            self._failures[key] = found
        while len(self._failures) > MOST:
            self._failures.popitem(last=False)
        return self._failures[_keys(name, address)[0]].count

    def succeeded(self, name: str, address: str) -> None:
        """Take back the attempt that was noted: it was no failure."""
        both, *wider = _keys(name, address)
        self._failures.pop(both, None)
        for key in wider:
            if found := self._failures.get(key):
                found.count -= 1

    def _wait(self, key: tuple[str, str, str], now: float) -> float:
        found = self._failures.get(key)
        if found is None or found.count < FREE[key[0]]:
            return 0.0
        waits = min(FIRST_WAIT * 2.0 ** min(found.count - FREE[key[0]], 20), LONGEST_WAIT)
        return max(0.0, found.latest + waits - now)


def _keys(name: str, address: str) -> list[tuple[str, str, str]]:
    # As names are looked up: every spelling that signs the same user in is a guess at the same password.
    name = folded(name)[:100]
    return [("both", name, address), ("name", name, ""), ("address", "", address)]
