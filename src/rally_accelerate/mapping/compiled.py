"""Rules made ready for a workspace: every label is resolved, or one error tells of all that cannot be."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rally_accelerate.errors import ConfigError, Problem
from rally_accelerate.mapping.attributes import AttributeDefinition, Path, find, near
from rally_accelerate.mapping.fieldrules import Entry, FieldRules
from rally_accelerate.mapping.itemtypes import PORTFOLIO, Closeness, ItemType, item_type
from rally_accelerate.mapping.kinds import kind_of
from rally_accelerate.mapping.matchers import Conditions
from rally_accelerate.model.likeness import MOST_EXPLAINED, suggestion

#: Paths by kind and label.
Paths = Mapping[str, Mapping[str, Path]]


@dataclass(frozen=True, slots=True)
class CompiledRules:
    """Rules with what their labels mean in each kind; empty ones change nothing."""

    rules: FieldRules = field(default_factory=FieldRules)
    #: By wire name, lower case, then by label as written. A kind without the field has no path.
    paths: Paths = field(default_factory=dict)
    #: Sentences worth telling: entries for types that are not read.
    notices: tuple[str, ...] = ()
    #: Entries by type, remembered: every field of every item asks for them, and types are few.
    _entries: dict[ItemType, tuple[Entry, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def version(self) -> str:
        """A short text that is equal exactly when the same rules mean the same fields; order counts."""
        entries = [
            [
                entry.types,
                list(entry.sources.items()),
                [
                    [target, [[each.value, [_canonical(m) for m in each.matchers]] for each in standards]]
                    for target, standards in entry.values.items()
                ],
            ]
            for entry in self.rules.entries
        ]
        paths = {
            kind: {label: [path.names, path.attribute_type] for label, path in found.items()}
            for kind, found in self.paths.items()
        }
        return hashlib.sha256(json.dumps([entries, paths], sort_keys=True).encode()).hexdigest()[:16]

    def entries_for(self, its: ItemType) -> tuple[Entry, ...]:
        """The entries that speak of a type: the closest first, equals in order of appearance."""
        found = self._entries.get(its)
        if found is None:
            close = [(its.closeness(entry.types), entry) for entry in self.rules.entries]
            ranks = sorted(Closeness, reverse=True)
            found = tuple(entry for wanted in ranks for rank, entry in close if rank is wanted)
            self._entries[its] = found
        return found

    def path(self, its: ItemType, label: str) -> Path | None:
        """Where a label leads on an item of this type; None when the type has no such field."""
        return next((self.paths[kind][label] for kind in its.kinds if label in self.paths.get(kind, ())), None)

    def source(self, its: ItemType, target: str) -> tuple[Path, str] | None:
        """The Rally field that a target is read from, and the place of the rule; None leaves it as it is."""
        for entry in self.entries_for(its):
            path = self.path(its, entry.sources[target]) if target in entry.sources else None
            if path is not None:
                return path, f"{entry.path}.fieldMapping.{target}"
        return None


def resolve(rules: FieldRules, definitions_by_type: Mapping[str, Sequence[AttributeDefinition]]) -> CompiledRules:
    """Rules with every label resolved.

    An entry for one type needs all its fields there. An entry for several, such as ``*``, needs each field in one of
    them at least, and leaves the types without it alone.

    Args:
        rules: Rules without faults.
        definitions_by_type: The attributes of every type that is read, by wire name, lower case.

    Raises:
        ConfigError: Unknown or ambiguous labels, all of them at once, each label once for each type.
    """
    types = {kind: item_type(kind) for kind in definitions_by_type}
    paths: dict[str, dict[str, Path]] = {kind: {} for kind in types}
    problems: dict[str, Problem] = {}
    notices: list[str] = []
    for entry in rules.entries:
        meant = [kind for kind, its in types.items() if _may_speak_of(entry, its)]
        if not meant:
            names = {name for its in types.values() for name in its.names}
            close = suggestion(entry.written, sorted(names)) if len(notices) < MOST_EXPLAINED else ""
            notices.append(f'{entry.path} speaks of the type "{entry.written}", which is not imported{close}.')
        for place, label in _labels(entry):
            found = False
            faults: list[str] = []
            for kind in meant:
                try:
                    path = find(label, definitions_by_type[kind])
                except ValueError as error:
                    faults.append(f"{_shown(kind)}: {error}")
                    continue
                if path is not None:
                    paths[kind][label] = path
                    found = True
            if meant and not found and not faults:
                every = [each for kind in meant for each in definitions_by_type[kind]]
                close = near(label, every) if len(problems) < MOST_EXPLAINED else ""
                faults.append(f'no field of {" or ".join(map(_shown, meant))} is called "{label}"{close}')
            for fault in faults:
                problems.setdefault(fault, Problem(f"properties.{place}", fault))
    if problems:
        every_problem = tuple(problems.values())
        raise ConfigError(
            "; ".join(str(problem) for problem in every_problem),
            problems=every_problem,
            hint="Correct fieldMapping: Rally's fields go by their display name or by their name, as in c_RiskLevel.",
        )
    return CompiledRules(rules, paths, tuple(notices))


def labels_of(entry: Entry) -> Iterator[str]:
    """Yield every label of an entry, in the order in which it is written."""
    return (label for _, label in _labels(entry))


def fields_needed(compiled: CompiledRules, kind: str) -> tuple[str, ...]:
    """The element names to fetch for a kind, sorted.

    A name in ``fetch`` applies at every depth, so what stands behind a dot is a name like any other
    (rally-api-notes.md#fetch).
    """
    family = kind.startswith(PORTFOLIO)
    wanted = {
        each
        for each in compiled.paths
        # The portfolio may be asked for as a whole while its levels are resolved one by one, or the reverse.
        if each == kind or (family and (each == PORTFOLIO or (kind == PORTFOLIO and each.startswith(PORTFOLIO))))
    }
    return tuple(sorted({name for each in wanted for path in compiled.paths[each].values() for name in path.names}))


def _may_speak_of(entry: Entry, its: ItemType) -> bool:
    # All levels asked for by one word: which of them an entry means is seen on the rows.
    whole = its.kinds == (PORTFOLIO,) and any(each.startswith(f"{PORTFOLIO}/") for each in entry.types)
    return whole or its.closeness(entry.types) is not None


def _shown(kind: str) -> str:
    return kind_of(kind, {}).name


def _labels(entry: Entry) -> Iterator[tuple[str, str]]:
    """Every label of an entry with its place."""
    for target, label in entry.sources.items():
        yield f"{entry.path}.fieldMapping.{target}", label
    for standards in entry.values.values():
        for standard in standards:
            for position, matcher in enumerate(standard.matchers):
                if isinstance(matcher, Conditions):
                    for label, _ in matcher.tests:
                        yield f"{standard.place(position)}.{label}", label


def _canonical(matcher: object) -> object:
    # The way back to JSON: a text, or an object for conditions.
    if isinstance(matcher, Conditions):
        return [[label, [each.written for each in any_of]] for label, any_of in matcher.tests]
    return getattr(matcher, "written", "")
