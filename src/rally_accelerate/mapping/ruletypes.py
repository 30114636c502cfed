"""Which types a user's rules can name, and what is wrong with a name that none of them has."""

from collections.abc import Iterator, Mapping, Sequence

from rally_accelerate.config.values import KIND_ALIASES, as_kind
from rally_accelerate.mapping.fieldrules import FieldRules
from rally_accelerate.mapping.itemtypes import ANY, PORTFOLIO, item_type
from rally_accelerate.mapping.kinds import KINDS
from rally_accelerate.mapping.targets import near_matches

#: Names as people write them; Rally's own artifact types, and the usual levels of the portfolio (rally-api.md 1.1).
USUAL = (*(kind.name.replace(" ", "") for kind in KINDS.values()), "Feature", "Initiative", "Theme", "PortfolioItem")

#: Every type that a rule may name although it is not imported: it is then reported in a notice of the run.
_KNOWN = frozenset({*KIND_ALIASES, *KIND_ALIASES.values(), *KINDS, "objective", "milestone", ANY, PORTFOLIO})


def type_faults(rules: FieldRules, *, kinds: Sequence[str], type_names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the place of every rule whose type does not exist, and what is wrong with it.

    A level of the portfolio has a name that its workspace gave it. Such a name is accepted when all levels are
    imported, unless it looks like a misspelled one, and always in the form ``PortfolioItem/Name``.

    Args:
        rules: Without faults.
        kinds: The types that are imported, by wire name.
        type_names: The setting ``typeNames``: names that replace Rally's.
    """
    renamed = [name for pair in type_names.items() for name in pair if name.strip()]
    imported = {name for kind in kinds for name in item_type(kind).names}
    known = _KNOWN | imported | {as_kind(name.replace(" ", "")) for name in renamed}
    # Of names that differ in case only, the last one is suggested.
    shown = [*(kind for kind in sorted(imported) if "/" not in kind), *renamed, *USUAL]
    for entry in rules.entries:
        for key, written in zip(entry.types, entry.written.split(", "), strict=False):
            if key in known or key.startswith(f"{PORTFOLIO}/"):
                continue
            near = near_matches(written, [name for name in shown if as_kind(name) != as_kind(written)])
            if near or PORTFOLIO not in kinds:
                more = near or f"; there are {', '.join(USUAL)} and PortfolioItem/<level>"
                yield f"{entry.path}.type", f'"{written}" is no type that these settings import or that Rally has{more}'
