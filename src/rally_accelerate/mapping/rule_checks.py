"""Checks of the type names in settings, and the resolution of the types that rules name.

Without Rally, only names that cannot be right are refused: a portfolio level has a name that its workspace gave it.
With the workspace's own names, every name is looked up.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import replace
from itertools import islice

from rally_accelerate.config.value_parsers import KIND_ALIASES, as_kind
from rally_accelerate.mapping.item_types import ANY, KINDS, PORTFOLIO, build_item_type, fold_type_name
from rally_accelerate.mapping.rule_parser import FieldRules
from rally_accelerate.model.suggestions import MAX_EXPLAINED, suggest_names

#: Names as people write them; Rally's own artifact types, and the usual levels of the portfolio
#: (rally-api-notes.md#type-names).
USUAL_TYPE_NAMES = (
    *(kind.name.replace(" ", "") for kind in KINDS.values()),
    "Feature",
    "Initiative",
    "Theme",
    "PortfolioItem",
)

#: Every type that a rule may name although it is not imported: it is then reported in a notice of the run.
_KNOWN = frozenset({*KIND_ALIASES, *KIND_ALIASES.values(), *KINDS, "objective", "milestone", ANY, PORTFOLIO})

#: The similarity above which a name that can be a portfolio level is reported as misspelled.
_MISSPELLED = 0.8

#: The place of a name in the settings, and what is wrong with it.
Fault = tuple[str, str]

#: More types than any workspace has; each unknown one is compared with the known ones.
MAX_TYPES = 500


def find_type_faults(rules: FieldRules, *, kinds: Sequence[str], type_names: Mapping[str, str]) -> Iterator[Fault]:
    """Yield the place of each rule or new name whose type does not exist, with the problem.

    Args:
        rules: Without faults.
        kinds: The imported types, by wire name if it is known.
        type_names: The setting ``typeNames``: names that replace Rally's.
    """
    renamed = [name for name in type_names.values() if name.strip()]
    imported = {name for kind in kinds for name in build_item_type(kind).names}
    known = _KNOWN | imported
    levels = any(kind not in KINDS for kind in kinds)
    # Of names that differ in case only, the last one is suggested.
    usual = [*(kind for kind in sorted(imported) if "/" not in kind), *USUAL_TYPE_NAMES]
    named = {*known, *map(as_kind, renamed)}
    keys = {word: key for entry in rules.entries for key, word in zip(entry.types, entry.words, strict=True)}
    for path, names in (("fieldMapping", keys), ("types", kinds), ("typeNames", type_names)):
        if len(names) > MAX_TYPES:
            yield path, _describe_excess(names)
            return

    def check_types() -> Iterator[Fault]:
        faults = {
            word: _check_type_name(word, key, named, [*usual, *renamed], levels=levels) for word, key in keys.items()
        }
        for entry in rules.entries:
            yield from ((f"{entry.path}.type", faults[word]) for word in entry.words if faults[word])
        for written in type_names:
            if fault := _check_type_name(written, fold_type_name(written), known, usual, levels=levels):
                yield "typeNames", fault

    yield from islice(check_types(), MAX_EXPLAINED)


def find_import_faults(types: Sequence[str]) -> Iterator[Fault]:
    """Yield the problems of the names of types to import that can be detected without Rally."""
    if len(types) > MAX_TYPES:
        yield "types", _describe_excess(types)
        return

    def check_types() -> Iterator[Fault]:
        for written in types:
            key = fold_type_name(written)
            if key == ANY or not key:
                yield "types", f'"{written}" is no type; leave types empty for stories and defects'
            elif fault := _check_type_name(written, key, _KNOWN, USUAL_TYPE_NAMES, levels=True):
                yield "types", fault

    yield from islice(check_types(), MAX_EXPLAINED)


def _describe_excess(names: Sized) -> str:
    return f"names {len(names):,} types; there are at most {MAX_TYPES}"


def _check_type_name(
    written: str, key: str, known: frozenset[str] | set[str], suggested: Sequence[str], *, levels: bool
) -> str:
    """Return the problem of a type name; empty for a valid name."""
    if key in known or key.startswith(f"{PORTFOLIO}/"):
        return ""
    others = [name for name in suggested if as_kind(name) != key]
    # A level's name may well be like that of another level: only Rally's own names count here.
    if levels and not suggest_names(
        written, [name for name in USUAL_TYPE_NAMES if as_kind(name) != key], cutoff=_MISSPELLED
    ):
        return ""
    near = suggest_names(written, others)
    more = near or f"; there are {', '.join(USUAL_TYPE_NAMES)} and PortfolioItem/<level>"
    level = f"; a portfolio level of this name is written PortfolioItem/{written}" if levels else ""
    return f'"{written}" is no type of work item that Rally has or that these settings name{more}{level}'


def find_custom_types(rules: FieldRules, type_names: Mapping[str, str]) -> tuple[str, ...]:
    """Return the type names, in rules and ``typeNames``, that only the workspace's own definitions explain."""
    new = {as_kind(name) for name in type_names.values()}
    written = [word for entry in rules.entries for word in entry.words if as_kind(word) not in new]
    return tuple(dict.fromkeys(word for word in (*written, *type_names) if as_kind(word) not in {ANY, PORTFOLIO}))


def resolve_type_names(words: Sequence[str], kind_of: Callable[[str], str]) -> tuple[dict[str, str], tuple[Fault, ...]]:
    """Return the wire name of each type name, and the problems of names that match no type.

    Args:
        words: From ``find_custom_types``.
        kind_of: Gives the wire name; raises ValueError with a sentence.
    """
    resolved: dict[str, str] = {}
    faults: list[Fault] = []
    for word in words:
        try:
            resolved[word] = kind_of(word)
        except ValueError as error:
            faults.append((word, str(error)))
    return resolved, tuple(faults)


def replace_types(rules: FieldRules, kinds: Mapping[str, str]) -> FieldRules:
    """Return rules whose types are wire names.

    Args:
        rules: Without faults.
        kinds: Wire names by name as written; other names are unchanged.
    """
    return FieldRules(
        tuple(
            replace(
                entry,
                types=tuple(kinds.get(word, key) for word, key in zip(entry.words, entry.types, strict=True)),
            )
            for entry in rules.entries
        )
    )
