"""The ``fetch`` parameter (rally-api-notes.md#fetch)."""

from dataclasses import dataclass

from rally_sandbox.schema import Attribute, Type


@dataclass(frozen=True, slots=True)
class Fetch:
    """Which attributes of the row are wanted, and which of nested objects."""

    #: Names wanted at any depth.
    names: frozenset[str] = frozenset()
    #: ``fetch=true``: every attribute of the row, but of no nested object.
    everything: bool = False

    def of_row(self, kind: Type) -> list[Attribute]:
        """The attributes that a row of a type shows; unknown names are ignored in silence."""
        if self.everything:
            return list(kind.attributes.values())
        return self.of_nested(kind)

    def of_nested(self, kind: Type) -> list[Attribute]:
        """The attributes that a nested object shows; none means that it stays a stub."""
        if not self.names:
            return []
        return [attribute for name, attribute in kind.attributes.items() if name in self.names]


STUB = Fetch()
EVERYTHING = Fetch(everything=True)


def parse(text: str | None, *, default: Fetch = STUB) -> Fetch:
    """Read the parameter: absent, ``true``, ``false`` or a comma list of names.

    A ``:summary`` or ``[...]`` behind a name is dropped; summaries (rally-api-notes.md#fetch) are not simulated.
    """
    # A toolkit puts the whole list into quotes.
    value = (text or "").strip().strip('"')
    match value.lower():
        case "":
            return default
        case "true":
            return EVERYTHING
        case "false":
            return STUB
        case _:
            return Fetch(frozenset(_plain(name) for name in value.split(",")))


def _plain(name: str) -> str:
    return name.partition(":")[0].partition("[")[0].strip()
