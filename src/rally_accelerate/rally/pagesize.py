"""How many rows to ask for: less when the service struggles, slowly more when it does not; pure."""

from dataclasses import dataclass, replace

#: Below this, asking for less no longer helps.
SMALLEST = 10

#: Requests are cut at 4 to 5 minutes (rally-api-notes.md#limits): half of the shorter limit is a warning.
SLOW_SECONDS = 120.0
#: Only answers well within that let the size grow again.
QUICK_SECONDS = 30.0

#: The part of a page to ask for next when the last answer took so long that there is little time left.
SMALL_PART = 10

#: Larger bodies cost memory and tempt gateways to cut them.
LARGE_BYTES = 32_000_000

#: The size grows by a quarter of itself, so that a size that failed is not tried again at once.
GROWTH = 4


@dataclass(frozen=True, slots=True)
class PageSize:
    """A size that remembers its largest value."""

    largest: int
    current: int

    @classmethod
    def of(cls, largest: int) -> "PageSize":
        """The size to begin with."""
        return cls(largest, largest)

    @property
    def can_shrink(self) -> bool:
        """Whether a smaller size is left to try."""
        return self.current > min(SMALLEST, self.largest)

    def shrunk(self, *, by: int = 2) -> "PageSize":
        """Half, or another part, but not below the smallest useful size."""
        return replace(self, current=max(min(SMALLEST, self.largest), self.current // by))

    def after(self, *, seconds: float, size: int) -> "PageSize":
        """The size for the next page when this one came whole.

        Args:
            seconds: How long the answer took.
            size: The body's bytes, decompressed.
        """
        if seconds > SLOW_SECONDS or size > LARGE_BYTES:
            return self.shrunk()
        grown = self.current + max(1, self.current // GROWTH)
        if seconds > QUICK_SECONDS or size * grown > LARGE_BYTES * self.current:
            return self
        return replace(self, current=min(self.largest, grown))
