"""One short field of all issues, in memory: which issues have a value, and how many have each."""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import compress, count
from typing import TypeAlias

import orjson

from rally_accelerate.host.store.members import both
from rally_accelerate.model.folding import fold

#: Stands for numbers that no issue has.
NOTHING = 0

#: So many values have codes of one byte.
NARROW = 256

#: So many bytes are looked through in the time that one issue is counted in.
BYTES_FOR_ONE = 200

#: Of each issue, where its value stands among the values.
Codes: TypeAlias = "bytearray | array[int]"


class Column:
    """One field of all issues."""

    def __init__(self, values_of: Callable[[str], tuple[str, ...]], fold: Callable[[str], str]) -> None:
        self._values_of = values_of
        #: Values that fold alike are one.
        self._fold = fold
        #: By number of the issue; of single bytes as long as they suffice, which are looked through much faster.
        self.codes: Codes = bytearray()
        #: What a code stands for, as it is stored.
        self.held: list[str | None] = [None]
        #: The values in it; of those that fold alike only one.
        self._once: list[tuple[str, ...]] = [()]
        #: In which codes a folded value is.
        self._codes_of: dict[str, list[int]] = {}
        self._known: dict[str | None, int] = {}

    def extend(self, more: int) -> None:
        """Have room for more numbers."""
        self.codes.extend(bytes(more))

    def put(self, numbers: Sequence[int], held: Sequence[str | None]) -> None:
        """What issues have now; their numbers are below the length of the column."""
        self._learn(set(held) - self._known.keys())
        codes, code_of = self.codes, self._known
        for number, text in zip(numbers, held, strict=True):
            codes[number] = code_of[text]

    def kept(self, members: bytes) -> tuple[Sequence[str | None], Codes]:
        """What the codes of some issues stand for, from the first on, and their codes; nothing of other issues."""
        used = sorted(set(compress(self.codes, members)) - {NOTHING})
        place = dict(zip(used, count(NOTHING + 1), strict=False))
        codes = [place.get(code, NOTHING) for code in self.codes]
        held = [self.held[code] for code in used]
        return held, bytearray(codes) if len(held) < NARROW else array("I", codes)

    def restore(self, held: Sequence[str | None], codes: Codes) -> None:
        """Hold again what was kept."""
        self._learn(held)
        self.codes = codes

    def having(self, wanted: Iterable[str]) -> bytes:
        """The issues that have one of some values."""
        is_wanted = [False] * len(self.held)
        for value in wanted:
            for code in self._codes_of.get(self._fold(value), ()):
                is_wanted[code] = True
        return self.coded(is_wanted)

    def coded(self, wanted: Sequence[bool]) -> bytes:
        """The issues that have a wanted code: one for each of ``held``."""
        if isinstance(self.codes, bytearray):
            return bytes(self.codes.translate(bytes(wanted).ljust(NARROW, b"\0")))
        return bytes(map(wanted.__getitem__, self.codes))

    def counts(self, members: bytes) -> Counter[str]:
        """How many issues of a set have each value; as it is spelled most often."""
        spelled: dict[str, int] = {}
        for code, number in self._occurrences(members):
            for each in self._once[code]:
                spelled[each] = spelled.get(each, 0) + number
        found: Counter[str] = Counter()
        best: dict[str, str] = {}
        for each, number in spelled.items():
            folded = self._fold(each)
            found[folded] += number
            if number > spelled.get(best.get(folded, ""), 0):
                best[folded] = each
        return Counter({best[folded]: number for folded, number in found.items()})

    def _occurrences(self, members: bytes) -> Iterable[tuple[int, int]]:
        # All bytes are looked through once for each value, in the time in which so many issues are counted one by one.
        is_few = members.count(1) * BYTES_FOR_ONE < len(self.held) * len(members)
        if is_few or not isinstance(self.codes, bytearray):
            return Counter(compress(self.codes, members)).items()
        # What is not in the set becomes nothing.
        there = both(bytes(self.codes), members.replace(b"\1", b"\xff"))
        counted = ((code, there.count(code)) for code in range(NOTHING + 1, len(self.held)))
        return [(code, number) for code, number in counted if number]

    def _learn(self, held: Iterable[str | None]) -> None:
        for text in held:
            self._known[text] = len(self.held)
            self.held.append(text)
            once = {self._fold(each): each for each in (() if text is None else self._values_of(text))}
            self._once.append(tuple(once.values()))
            for folded in once:
                self._codes_of.setdefault(folded, []).append(self._known[text])
        if isinstance(self.codes, bytearray) and len(self.held) > NARROW:
            self.codes = array("I", list(self.codes))


def of_one() -> Column:
    """A column of texts."""
    return Column(lambda held: (held,) if held else (), str)


def of_several() -> Column:
    """A column of lists of names in JSON; names are one whatever their case, as they are in queries."""
    return Column(lambda held: tuple(orjson.loads(held)), fold)
