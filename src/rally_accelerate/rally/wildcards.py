"""Patterns with ``*`` and ``?``, matched in one pass over the text, whatever the pattern is; pure.

A backtracking engine takes exponential time for ``*?*?*?#``. Here every place of the pattern that the characters so
far can have reached is one bit of a number (Baeza-Yates and Gonnet's shift-and algorithm).
"""

from collections.abc import Sequence


class Wildcards:
    """A compiled pattern: ``*`` stands for any characters, ``?`` for one, everything else for itself.

    Args:
        pattern: The pattern; there is no escape character.
        longest: Longer texts are not matched: a pattern that needs more characters is not compiled.
    """

    def __init__(self, pattern: str, *, longest: int) -> None:
        #: The number of characters that the pattern needs at least.
        self._length = len(pattern) - pattern.count("*")
        #: By character, the places from which it leads to the next one.
        self._steps: dict[str, int] = {}
        #: The places from which any character leads to the next one.
        self._any = 0
        #: The places that any number of characters stay at.
        self._stays = 0
        if self._length > longest:
            return
        place = 1
        for char in pattern:
            if char == "*":
                self._stays |= place
                continue
            if char == "?":
                self._any |= place
            else:
                self._steps[char] = self._steps.get(char, 0) | place
            place <<= 1

    def match(self, text: str) -> bool:
        """Return whether the pattern stands for the whole text."""
        if len(text) < self._length:
            return False
        places = 1
        for char in text:
            places = (places & (self._steps.get(char, 0) | self._any)) << 1 | places & self._stays
            if not places:
                return False
        return bool(places >> self._length & 1)


def matching(pattern: str, texts: Sequence[str]) -> list[int]:
    """Return the positions of the texts that a pattern stands for."""
    wildcards = Wildcards(pattern, longest=max(map(len, texts), default=0))
    return [position for position, text in enumerate(texts) if wildcards.match(text)]
