"""How items become issues, as a value: what differs between integrations, and a version that changes with it."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, field, fields, replace
from typing import Any

from rally_accelerate.config.model import DEFAULT_KINDS, Integration, Properties
from rally_accelerate.config.queries import OTHERS, as_query
from rally_accelerate.config.values import as_json_value, as_kind, as_list, as_name_map
from rally_accelerate.errors import ConfigError, Problem
from rally_accelerate.mapping.attributes import AttributeDefinition
from rally_accelerate.mapping.compiled import CompiledRules, fields_needed, resolve
from rally_accelerate.mapping.customs import CustomField, choose
from rally_accelerate.mapping.fieldrules import FieldRules
from rally_accelerate.mapping.kinds import KINDS
from rally_accelerate.mapping.readrules import read_rules
from rally_accelerate.mapping.ruletypes import imported_faults, looked_up, type_faults, unusual_types, with_types
from rally_accelerate.rally.filters import faults as unparsable

#: Raised whenever the program itself maps differently, so that everything is mapped and uploaded again.
MAPPING_VERSION = 7

#: Raised whenever the program itself asks Rally for more: then what is kept of earlier runs is not enough.
READING_VERSION = 3

#: More than all versions of the plug-ins and servers together know.
MOST_PROPERTIES = 500

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
    #: Which history is asked for; another source may tell more or less.
    history_source: str = "auto"
    #: Fields that are carried along.
    custom: tuple[CustomField, ...] = ()
    #: The user's own rules.
    compiled: CompiledRules = field(default_factory=CompiledRules)

    @property
    def version(self) -> str:
        """A short text that is equal exactly when items are mapped equally."""
        own = {"compiled", "custom"}
        plain = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in own}
        custom = [astuple(each) for each in self.custom]
        text = json.dumps([MAPPING_VERSION, plain, custom, self.compiled.version], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def reads(self) -> frozenset[str]:
        """What these rules need of Rally: what was read for them serves every rules that need no more."""
        fetched = {f"{kind}.{name}" for kind in self.compiled.paths for name in fields_needed(self.compiled, kind)}
        custom = {f"custom {each.name} {each.past}" for each in self.custom}
        return frozenset({f"reading {READING_VERSION}", f"history {self.history_source}"} | fetched | custom)


def _keeps(properties: Properties) -> bool:
    return [word.lower() for word in properties.removed_status] == ["keep"]


def rules_of(properties: Properties) -> Rules:
    """The rules that an integration's properties ask for; the user's own are resolved with Rally's help later."""
    return Rules(
        web_url=properties.base_url,
        type_names=dict(properties.type_names),
        defect_status=properties.defect_status,
        removed_status=REMOVED if _keeps(properties) else properties.removed_status[0],
        newer_fields=properties.newer_fields,
        history_source=properties.history_source,
    )


def own_rules(properties: Properties) -> FieldRules:
    """The mapping rules of the user's own, read but not yet resolved.

    Raises:
        ConfigError: With every fault and its place.
    """
    rules, faults = _read(properties.field_mapping, properties.kinds, properties.type_names)
    if faults:
        raise ConfigError("; ".join(map(str, faults)), problems=faults)
    return rules


def rule_problems(settings: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Return everything that is wrong with the types, filters and mapping rules of settings, without asking Rally.

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
        types = [str(each) for each in listed] if isinstance(listed, tuple) else ()
    with suppress(ValueError):
        names = as_name_map(settings.get("typeNames"))
        type_names = {str(old): str(new) for old, new in names.items()} if isinstance(names, Mapping) else {}
    queries: str | Mapping[str, str] = ""
    with suppress(ValueError):
        queries = as_query(settings.get("query"))
    kinds = [as_kind(each) for each in types] or DEFAULT_KINDS
    found = (*_numerous(settings), *_imported(types), *_filtered(queries), *_read(raw, kinds, type_names)[1])
    return tuple(dict.fromkeys(found))


def _numerous(settings: Mapping[str, Any]) -> tuple[Problem, ...]:
    # All properties are kept and read with each look at the integration, also those that are not known.
    if len(settings) <= MOST_PROPERTIES:
        return ()
    return (Problem("properties", f"has {len(settings):,} names; there are at most {MOST_PROPERTIES}"),)


def require_usable_rules(integrations: Iterable[Integration], *, origin: str) -> None:
    """Check the mapping rules of integrations that were read from a file.

    Raises:
        ConfigError: With every problem of every integration.
    """
    problems = [
        Problem(f"{each.name}: {problem.path}", problem.text, origin)
        for each in integrations
        for problem in (
            *_imported(each.properties.types),
            *_filtered(each.properties.query),
            *_read(each.properties.field_mapping, each.properties.kinds, each.properties.type_names)[1],
        )
    ]
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ConfigError(f"{origin}: the settings have {count}", problems=problems)


def _read(raw: Any, kinds: Sequence[str], type_names: Mapping[str, str]) -> tuple[FieldRules, tuple[Problem, ...]]:
    rules, faults = read_rules(raw)
    found = (*faults, *type_faults(rules, kinds=kinds, type_names=type_names))
    return rules, tuple(Problem(f"properties.{path}", text) for path, text in found)


def _imported(types: Sequence[str]) -> tuple[Problem, ...]:
    return tuple(Problem(f"properties.{path}", text) for path, text in imported_faults(types))


def _filtered(queries: str | Mapping[str, str]) -> tuple[Problem, ...]:
    names = [] if isinstance(queries, str) else [name for name in queries if name != OTHERS]
    texts = [
        *(f"{name}: {text}" if name else text for name, text in unparsable(queries)),
        *(text for _, text in imported_faults(names)),
    ]
    return tuple(Problem("properties.query", text) for text in texts)


def needs_definitions(properties: Properties) -> bool:
    """Whether the rules can only be completed with the workspace's own definitions of types and attributes."""
    own = own_rules(properties)
    # A new name for one of Rally's own types is understood without them.
    named = any(as_kind(each) not in KINDS for each in unusual_types(FieldRules(), properties.type_names))
    return bool(own) or bool(properties.custom_fields) or named


def types_named(properties: Properties, kind_of: Callable[[str], str]) -> Mapping[str, str]:
    """The wire names of the types that mapping rules and new names speak of, by name as written.

    Args:
        properties: The validated settings.
        kind_of: Gives the wire name of a name; raises ValueError with a sentence.

    Raises:
        ConfigError: With every name that means no type of work item.
    """
    own = own_rules(properties)
    found, faults = looked_up(unusual_types(own, properties.type_names), kind_of)
    if faults:
        places = {word: f"{entry.path}.type" for entry in reversed(own.entries) for word in entry.words}
        problems = [Problem(f"properties.{places.get(word, 'typeNames')}", text) for word, text in faults]
        raise ConfigError("; ".join(map(str, problems)), problems=problems)
    return found


def completed(
    rules: Rules,
    properties: Properties,
    definitions_by_type: Mapping[str, Sequence[AttributeDefinition]],
    kinds: Mapping[str, str] | None = None,
) -> Rules:
    """The rules with every label and type of the settings resolved.

    Args:
        rules: From ``rules_of``.
        properties: The validated settings.
        definitions_by_type: The attributes of every type that is read, by wire name.
        kinds: From ``types_named``; None leaves the names of types as they are written.

    Raises:
        ConfigError: With every label that means nothing or too much.
    """
    named = kinds or {}
    return replace(
        rules,
        type_names={**rules.type_names, **{named[old]: new for old, new in rules.type_names.items() if old in named}},
        compiled=resolve(with_types(own_rules(properties), named), definitions_by_type),
        custom=choose(properties.custom_fields, definitions_by_type),
    )
