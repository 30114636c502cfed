"""The mapping rules of an integration, and a version that changes when items are mapped differently."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, field, fields, replace
from typing import Any

from rally_accelerate.config.item_queries import OTHERS, as_query
from rally_accelerate.config.model import DEFAULT_KINDS, Integration, Properties
from rally_accelerate.config.value_parsers import as_json_value, as_kind, as_list, as_name_map
from rally_accelerate.errors import ConfigError, Problem
from rally_accelerate.mapping.attributes import AttributeDefinition, FieldPath, find_path, suggest_fields
from rally_accelerate.mapping.item_types import KINDS, PORTFOLIO, Closeness, ItemType, build_item_type, get_kind
from rally_accelerate.mapping.rule_checks import (
    find_custom_types,
    find_import_faults,
    find_type_faults,
    replace_types,
    resolve_type_names,
)
from rally_accelerate.mapping.rule_parser import Conditions, Entry, FieldRules, parse_rules
from rally_accelerate.model.suggestions import MAX_EXPLAINED, suggest_names
from rally_accelerate.rally.history_fields import Shape, TrackedField, label_of
from rally_accelerate.rally.item_filters import find_errors as unparsable

#: Paths by kind and label.
Paths = Mapping[str, Mapping[str, FieldPath]]


@dataclass(frozen=True, slots=True)
class CompiledRules:
    """Rules with their labels resolved for each type; empty rules change nothing."""

    rules: FieldRules = field(default_factory=FieldRules)
    #: By wire name, lower case, then by label as written. A kind without the field has no path.
    paths: Paths = field(default_factory=dict)
    #: Sentences worth telling: entries for types that are not read.
    notices: tuple[str, ...] = ()
    #: A cache of entries by type, because every field of every item needs them.
    _entries: dict[ItemType, tuple[Entry, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def version(self) -> str:
        """A short text that is equal exactly when the same rules mean the same fields; order counts."""
        entries = [
            [
                entry.types,
                list(entry.sources.items()),
                [
                    [
                        target,
                        [[standard.value, [_to_canonical(m) for m in standard.matchers]] for standard in standards],
                    ]
                    for target, standards in entry.values.items()
                ],
            ]
            for entry in self.rules.entries
        ]
        paths = {
            kind: {label: [path.names, path.attribute_type] for label, path in by_label.items()}
            for kind, by_label in self.paths.items()
        }
        return hashlib.sha256(json.dumps([entries, paths], sort_keys=True).encode()).hexdigest()[:16]

    def find_entries(self, item_type: ItemType) -> tuple[Entry, ...]:
        """Return the entries for a type: the most specific first, then in order of appearance."""
        entries = self._entries.get(item_type)
        if entries is None:
            close = [(item_type.match_types(entry.types), entry) for entry in self.rules.entries]
            ranks = sorted(Closeness, reverse=True)
            entries = tuple(entry for closeness in ranks for rank, entry in close if rank is closeness)
            self._entries[item_type] = entries
        return entries

    def find_path(self, item_type: ItemType, label: str) -> FieldPath | None:
        """Return the field of a label on items of this type; None if the type has no such field."""
        return next((self.paths[kind][label] for kind in item_type.kinds if label in self.paths.get(kind, ())), None)

    def find_source(self, item_type: ItemType, target: str) -> tuple[FieldPath, str] | None:
        """Return the Rally field that a target is read from, and the place of the rule; None without a rule."""
        for entry in self.find_entries(item_type):
            path = self.find_path(item_type, entry.sources[target]) if target in entry.sources else None
            if path is not None:
                return path, f"{entry.path}.fieldMapping.{target}"
        return None


def resolve_rules(rules: FieldRules, definitions_by_type: Mapping[str, Sequence[AttributeDefinition]]) -> CompiledRules:
    """Resolve every label of the rules.

    An entry for one type needs all its fields there. An entry for several, such as ``*``, needs each field in one of
    them at least, and leaves the types without it alone.

    Args:
        rules: Rules without faults.
        definitions_by_type: The attributes of every type that is read, by wire name, lower case.

    Raises:
        ConfigError: Unknown or ambiguous labels, all of them at once, each label once for each type.
    """
    types = {kind: build_item_type(kind) for kind in definitions_by_type}
    paths: dict[str, dict[str, FieldPath]] = {kind: {} for kind in types}
    problems: dict[str, Problem] = {}
    notices: list[str] = []
    for entry in rules.entries:
        matching = [kind for kind, item_type in types.items() if _can_apply_to(entry, item_type)]
        if not matching:
            names = {name for item_type in types.values() for name in item_type.names}
            close = suggest_names(entry.written, sorted(names)) if len(notices) < MAX_EXPLAINED else ""
            notices.append(f'{entry.path} applies to the type "{entry.written}", which is not imported{close}.')
        for place, label in _iterate_labels(entry):
            is_resolved = False
            faults: list[str] = []
            for kind in matching:
                try:
                    path = find_path(label, definitions_by_type[kind])
                except ValueError as error:
                    faults.append(f"{_get_type_name(kind)}: {error}")
                    continue
                if path is not None:
                    paths[kind][label] = path
                    is_resolved = True
            if matching and not is_resolved and not faults:
                every = [definition for kind in matching for definition in definitions_by_type[kind]]
                close = suggest_fields(label, every) if len(problems) < MAX_EXPLAINED else ""
                faults.append(f'no field of {" or ".join(map(_get_type_name, matching))} is called "{label}"{close}')
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


def list_labels(entry: Entry) -> Iterator[str]:
    """Yield every label of an entry, in the order in which it is written."""
    return (label for _, label in _iterate_labels(entry))


def list_needed_fields(compiled: CompiledRules, kind: str) -> tuple[str, ...]:
    """Return the element names to fetch for a type, sorted.

    A name in ``fetch`` applies at every depth, so what stands behind a dot is a name like any other
    (rally-api-notes.md#fetch).
    """
    family = kind.startswith(PORTFOLIO)
    kinds = {
        path_kind
        for path_kind in compiled.paths
        # The portfolio can be requested as one type while its levels are resolved one by one, or vice versa.
        if path_kind == kind
        or (family and (path_kind == PORTFOLIO or (kind == PORTFOLIO and path_kind.startswith(PORTFOLIO))))
    }
    return tuple(
        sorted({name for path_kind in kinds for path in compiled.paths[path_kind].values() for name in path.names})
    )


def _can_apply_to(entry: Entry, item_type: ItemType) -> bool:
    # All levels were requested as one type: the rows show which of them an entry applies to.
    is_portfolio = item_type.kinds == (PORTFOLIO,) and any(
        type_name.startswith(f"{PORTFOLIO}/") for type_name in entry.types
    )
    return is_portfolio or item_type.match_types(entry.types) is not None


def _get_type_name(kind: str) -> str:
    return get_kind(kind, {}).name


def _iterate_labels(entry: Entry) -> Iterator[tuple[str, str]]:
    """Yield every label of an entry with its place."""
    for target, label in entry.sources.items():
        yield f"{entry.path}.fieldMapping.{target}", label
    for standards in entry.values.values():
        for standard in standards:
            for position, matcher in enumerate(standard.matchers):
                if isinstance(matcher, Conditions):
                    for label, _ in matcher.tests:
                        yield f"{standard.get_path(position)}.{label}", label


def _to_canonical(matcher: object) -> object:
    # The way back to JSON: a text, or an object for conditions.
    if isinstance(matcher, Conditions):
        return [[label, [alternative.written for alternative in any_of]] for label, any_of in matcher.tests]
    return getattr(matcher, "written", "")


#: How the values of an attribute type read in the past (rally-api-notes.md#type-definitions,
#: rally-api-notes.md#custom-fields).
_SHAPES = {
    "BOOLEAN": Shape.FLAG,
    "INTEGER": Shape.NUMBER,
    "DECIMAL": Shape.NUMBER,
    "QUANTITY": Shape.NUMBER,
    "RATING": Shape.CHOICE,
    "STATE": Shape.CHOICE,
    "STRING": Shape.CHOICE,
    "TEXT": Shape.TEXT,
    "DATE": Shape.DATE,
}

#: How references read, by what they refer to; everything else is taken for a work item.
_REFERENCES = {
    "User": Shape.PERSON,
    "Project": Shape.PROJECT,
    "Iteration": Shape.ITERATION,
    "Release": Shape.RELEASE,
}


@dataclass(frozen=True, slots=True)
class CustomField:
    """One field that is carried along."""

    #: The element name, for example ``c_RiskLevel``.
    name: str
    display_name: str
    attribute_type: str
    #: The element name of what a reference refers to.
    target: str = ""

    @property
    def history_field(self) -> TrackedField | None:
        """The tracked field for its history; None for types without a history: collections and web links."""
        is_reference = self.attribute_type == "OBJECT" and self.target
        shape = _REFERENCES.get(self.target, Shape.ITEM) if is_reference else _SHAPES.get(self.attribute_type)
        if shape is None:
            return None
        # The name is made of the first label, which may have been another (rally-api-notes.md#custom-fields).
        labels = dict.fromkeys((self.display_name.upper(), label_of(self.name)))
        return TrackedField(self.name, shape, tuple(labels))


def get_history_field(path: FieldPath) -> TrackedField | None:
    """Return the tracked field for the history of a path; None if it has none or belongs to another item."""
    if len(path.names) != 1:
        return None
    return CustomField(path.names[0], path.display_name, path.attribute_type, path.target).history_field


def resolve_custom_fields(
    labels: Sequence[str], definitions_by_type: Mapping[str, Sequence[AttributeDefinition]]
) -> tuple[CustomField, ...]:
    """Return the fields for a list of labels.

    Args:
        labels: Display names or element names.
        definitions_by_type: The attributes of every type that is read.

    Raises:
        ConfigError: Unknown or ambiguous labels, all of them at once.
    """
    chosen: dict[str, CustomField] = {}
    problems: list[Problem] = []
    for label in labels:
        is_resolved = False
        try:
            for definitions in definitions_by_type.values():
                path = find_path(label, definitions)
                if path is not None and len(path.names) == 1:
                    is_resolved = True
                    field_values = (path.names[0], path.display_name, path.attribute_type, path.target)
                    chosen[path.names[0]] = CustomField(*field_values)
        except ValueError as error:
            problems.append(Problem("properties.customFields", str(error)))
            continue
        if not is_resolved:
            every = [definition for definitions in definitions_by_type.values() for definition in definitions]
            close = suggest_fields(label, every) if len(problems) < MAX_EXPLAINED else ""
            problems.append(Problem("properties.customFields", f'no field is called "{label}"{close}'))
    if problems:
        raise ConfigError("; ".join(map(str, problems)), problems=problems)
    return tuple(chosen.values())


#: Raise it whenever the program maps differently, so that everything is mapped and uploaded again.
MAPPING_VERSION = 7

#: Raise it whenever the program requests more from Rally: then the stored data of earlier runs is not enough.
READING_VERSION = 3

#: More than all versions of the plug-ins and servers together know.
MAX_PROPERTIES = 500

#: What the time in the recycle bin is called in a history unless a setting says otherwise.
REMOVED = "Deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The mapping rules of one integration."""

    #: The Rally server that people open in the browser, without a trailing slash.
    web_url: str
    #: Names that replace our type names.
    type_names: Mapping[str, str] = field(default_factory=dict)
    #: ``ScheduleState`` or ``State``.
    defect_status: str = "ScheduleState"
    #: The status that a deleted item has while it is in the recycle bin.
    removed_status: str = REMOVED
    #: Whether the server takes the newer fields.
    newer_fields: bool = False
    #: The source of histories; another source can have more or fewer changes.
    history_source: str = "auto"
    #: Fields that are carried along.
    custom: tuple[CustomField, ...] = ()
    #: The user's own rules.
    compiled: CompiledRules = field(default_factory=CompiledRules)

    @property
    def version(self) -> str:
        """A short text that is equal exactly when items are mapped equally."""
        own = {"compiled", "custom"}
        plain = {
            rule_field.name: getattr(self, rule_field.name) for rule_field in fields(self) if rule_field.name not in own
        }
        custom = [astuple(custom_field) for custom_field in self.custom]
        text = json.dumps([MAPPING_VERSION, plain, custom, self.compiled.version], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def needed_data(self) -> frozenset[str]:
        """What these rules need of Rally: what was read for them serves every rules that need no more."""
        fetched = {f"{kind}.{name}" for kind in self.compiled.paths for name in list_needed_fields(self.compiled, kind)}
        custom = {f"custom {custom_field.name} {custom_field.history_field}" for custom_field in self.custom}
        return frozenset({f"reading {READING_VERSION}", f"history {self.history_source}"} | fetched | custom)


def _keeps_status(properties: Properties) -> bool:
    return [word.lower() for word in properties.removed_status] == ["keep"]


def build_rules(properties: Properties) -> Rules:
    """Return the rules for an integration's properties; custom rules are resolved later, with data from Rally."""
    return Rules(
        web_url=properties.base_url,
        type_names=dict(properties.type_names),
        defect_status=properties.defect_status,
        removed_status=REMOVED if _keeps_status(properties) else properties.removed_status[0],
        newer_fields=properties.newer_fields,
        history_source=properties.history_source,
    )


def parse_custom_rules(properties: Properties) -> FieldRules:
    """Parse the custom mapping rules without resolving their labels.

    Raises:
        ConfigError: With every fault and its place.
    """
    rules, faults = _parse_rules(properties.field_mapping, properties.kinds, properties.type_names)
    if faults:
        raise ConfigError("; ".join(map(str, faults)), problems=faults)
    return rules


def find_rule_problems(settings: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Return all problems of the types, filters and mapping rules of settings, without requests to Rally.

    For forms and files: other settings may be wrong too, which is not reported here.

    Args:
        settings: The properties of an integration by the names of the JSON file.
    """
    types: Sequence[str] = ()
    type_names: Mapping[str, str] = {}
    raw: Any = None
    with suppress(ValueError):
        raw = as_json_value(settings.get("fieldMapping"))
    with suppress(ValueError):
        listed = as_list(settings.get("types"))
        types = [str(type_name) for type_name in listed] if isinstance(listed, tuple) else ()
    with suppress(ValueError):
        names = as_name_map(settings.get("typeNames"))
        type_names = {str(old): str(new) for old, new in names.items()} if isinstance(names, Mapping) else {}
    queries: str | Mapping[str, str] = ""
    with suppress(ValueError):
        queries = as_query(settings.get("query"))
    kinds = [as_kind(type_name) for type_name in types] or DEFAULT_KINDS
    problems = (
        *_check_property_count(settings),
        *_check_types(types),
        *_check_queries(queries),
        *_parse_rules(raw, kinds, type_names)[1],
    )
    return tuple(dict.fromkeys(problems))


def _check_property_count(settings: Mapping[str, Any]) -> tuple[Problem, ...]:
    # All properties are stored and read whenever the integration is read, including unknown ones.
    if len(settings) <= MAX_PROPERTIES:
        return ()
    return (Problem("properties", f"has {len(settings):,} names; there are at most {MAX_PROPERTIES}"),)


def require_usable_rules(integrations: Iterable[Integration], *, origin: str) -> None:
    """Check the mapping rules of integrations that were read from a file.

    Raises:
        ConfigError: With every problem of every integration.
    """
    problems = [
        Problem(f"{integration.name}: {problem.path}", problem.text, origin)
        for integration in integrations
        for problem in (
            *_check_types(integration.properties.types),
            *_check_queries(integration.properties.query),
            *_parse_rules(
                integration.properties.field_mapping, integration.properties.kinds, integration.properties.type_names
            )[1],
        )
    ]
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ConfigError(f"{origin}: the settings have {count}", problems=problems)


def _parse_rules(
    raw: Any, kinds: Sequence[str], type_names: Mapping[str, str]
) -> tuple[FieldRules, tuple[Problem, ...]]:
    rules, faults = parse_rules(raw)
    all_faults = (*faults, *find_type_faults(rules, kinds=kinds, type_names=type_names))
    return rules, tuple(Problem(f"properties.{path}", text) for path, text in all_faults)


def _check_types(types: Sequence[str]) -> tuple[Problem, ...]:
    return tuple(Problem(f"properties.{path}", text) for path, text in find_import_faults(types))


def _check_queries(queries: str | Mapping[str, str]) -> tuple[Problem, ...]:
    names = [] if isinstance(queries, str) else [name for name in queries if name != OTHERS]
    texts = [
        *(f"{name}: {text}" if name else text for name, text in unparsable(queries)),
        *(text for _, text in find_import_faults(names)),
    ]
    return tuple(Problem("properties.query", text) for text in texts)


def needs_definitions(properties: Properties) -> bool:
    """Return whether completing the rules requires the workspace's own definitions of types and attributes."""
    own = parse_custom_rules(properties)
    # A new name for one of Rally's own types is understood without them.
    named = any(as_kind(type_name) not in KINDS for type_name in find_custom_types(FieldRules(), properties.type_names))
    return bool(own) or bool(properties.custom_fields) or named


def resolve_rule_types(properties: Properties, kind_of: Callable[[str], str]) -> Mapping[str, str]:
    """Return the wire names of the types in mapping rules and new names, by name as written.

    Args:
        properties: The validated settings.
        kind_of: Gives the wire name of a name; raises ValueError with a sentence.

    Raises:
        ConfigError: With every name that means no type of work item.
    """
    own = parse_custom_rules(properties)
    resolved, faults = resolve_type_names(find_custom_types(own, properties.type_names), kind_of)
    if faults:
        places = {word: f"{entry.path}.type" for entry in reversed(own.entries) for word in entry.words}
        problems = [Problem(f"properties.{places.get(word, 'typeNames')}", text) for word, text in faults]
        raise ConfigError("; ".join(map(str, problems)), problems=problems)
    return resolved


def complete_rules(
    rules: Rules,
    properties: Properties,
    definitions_by_type: Mapping[str, Sequence[AttributeDefinition]],
    kinds: Mapping[str, str] | None = None,
) -> Rules:
    """Resolve every label and type of the settings.

    Args:
        rules: From ``build_rules``.
        properties: The validated settings.
        definitions_by_type: The attributes of every type that is read, by wire name.
        kinds: From ``resolve_rule_types``; None keeps the names of types as written.

    Raises:
        ConfigError: With every unknown or ambiguous label.
    """
    named = kinds or {}
    return replace(
        rules,
        type_names={**rules.type_names, **{named[old]: new for old, new in rules.type_names.items() if old in named}},
        compiled=resolve_rules(replace_types(parse_custom_rules(properties), named), definitions_by_type),
        custom=resolve_custom_fields(properties.custom_fields, definitions_by_type),
    )
