"""How items become issues, as a value: what differs between integrations, and a version that changes with it."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, field, fields, replace
from typing import Any

from rally_accelerate.config.model import DEFAULT_KINDS, Integration, Properties
from rally_accelerate.config.values import as_json_value, as_kind, as_list, as_name_map
from rally_accelerate.errors import ConfigError, Problem
from rally_accelerate.mapping.attributes import AttributeDefinition
from rally_accelerate.mapping.compiled import CompiledRules, fields_needed, resolve
from rally_accelerate.mapping.customs import CustomField, choose
from rally_accelerate.mapping.fieldrules import FieldRules
from rally_accelerate.mapping.readrules import read_rules
from rally_accelerate.mapping.ruletypes import type_faults

#: Raised whenever the program itself maps differently, so that everything is mapped and uploaded again.
MAPPING_VERSION = 5

#: Raised whenever the program itself asks Rally for more: then what is kept of earlier runs is not enough.
READING_VERSION = 2

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
    rules, faults = _read(properties.field_mapping, properties.types, properties.type_names)
    if faults:
        raise ConfigError("fieldMapping cannot be used", problems=faults)
    return rules


def rule_problems(settings: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Return everything that is wrong with the mapping rules of settings, without asking Rally.

    For forms and files: other settings may be wrong too, which is not reported here.

    Args:
        settings: The properties of an integration by the names of the JSON file.
    """
    kinds: Sequence[str] = DEFAULT_KINDS
    type_names: Mapping[str, str] = {}
    try:
        raw = as_json_value(settings.get("fieldMapping"))
    except ValueError:
        return ()
    with suppress(ValueError):
        kinds = [as_kind(str(each)) for each in as_list(settings.get("types"))] or DEFAULT_KINDS
    with suppress(ValueError):
        names = as_name_map(settings.get("typeNames"))
        type_names = {str(old): str(new) for old, new in names.items()} if isinstance(names, Mapping) else {}
    return _read(raw, kinds, type_names)[1]


def require_usable_rules(integrations: Iterable[Integration], *, origin: str) -> None:
    """Check the mapping rules of integrations that were read from a file.

    Raises:
        ConfigError: With every problem of every integration.
    """
    problems = [
        Problem(f"{each.name}: {problem.path}", problem.text, origin)
        for each in integrations
        for problem in _read(each.properties.field_mapping, each.properties.types, each.properties.type_names)[1]
    ]
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ConfigError(f"{origin}: the settings have {count}", problems=problems)


def _read(raw: Any, kinds: Sequence[str], type_names: Mapping[str, str]) -> tuple[FieldRules, tuple[Problem, ...]]:
    rules, faults = read_rules(raw)
    found = (*faults, *type_faults(rules, kinds=kinds, type_names=type_names))
    return rules, tuple(Problem(f"properties.{path}", text) for path, text in found)


def needs_definitions(properties: Properties) -> bool:
    """Whether the rules can only be completed with the workspace's own attribute definitions."""
    return bool(own_rules(properties)) or bool(properties.custom_fields)


def completed(
    rules: Rules, properties: Properties, definitions_by_type: Mapping[str, Sequence[AttributeDefinition]]
) -> Rules:
    """The rules with every label of the settings resolved.

    Raises:
        ConfigError: With every label that means nothing or too much.
    """
    return replace(
        rules,
        compiled=resolve(own_rules(properties), definitions_by_type),
        custom=choose(properties.custom_fields, definitions_by_type),
    )
