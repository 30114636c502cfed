"""The mapping rules of a run: fields are known by the workspace's own definitions, which are read once a day.

A quiet run asks for news and nothing else. So what the definitions said about the fields that the settings name is
remembered with the progress; everything else of the definitions is let go.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from rally_accelerate.config.model import Properties
from rally_accelerate.mapping.attributes import AttributeDefinition
from rally_accelerate.mapping.compiled import fields_needed
from rally_accelerate.mapping.customs import past_of
from rally_accelerate.mapping.rules import Rules, completed, needs_definitions, rules_of, types_named
from rally_accelerate.model.progress import Learned
from rally_accelerate.rally.client import RallyClient
from rally_accelerate.rally.pastfields import PastField
from rally_accelerate.rally.records import Scope
from rally_accelerate.sync.ports import State

log = logging.getLogger(__name__)

#: A field that was relabelled, made or hidden is noticed after so long.
LEARNED_FOR = timedelta(days=1)


async def rules_for(source: RallyClient, properties: Properties, state: State) -> Rules:
    """The rules of a run, with what is remembered; what is learned is remembered before the run begins.

    Args:
        source: Connected.
        properties: The validated settings.
        state: Of the integration.

    Raises:
        ConfigError: With every label that means nothing or too much.
    """
    progress = await state.load()
    rules, learned = await rules_from(source, properties, progress.learned)
    if learned != progress.learned:
        await state.commit(replace(progress, learned=learned), {})
    return rules


async def rules_from(
    source: RallyClient, properties: Properties, learned: Learned | None = None
) -> tuple[Rules, Learned | None]:
    """The rules, and what is known of the workspace's definitions by now.

    Args:
        source: Connected; it carries the fields that the rules need from now on.
        properties: The validated settings.
        learned: What an earlier run knew; None asks Rally.

    Raises:
        ConfigError: With every label that means nothing or too much.
    """
    rules = rules_of(properties)
    if not needs_definitions(properties):
        return rules, learned
    scope = await source.open_early()
    key = _key(properties, scope)
    if learned is None or learned.key != key or abs(scope.now - learned.at) > LEARNED_FOR:
        learned = None
        read = await source.definitions(scope)
        types = types_named(properties, (await source.types(scope.workspace.object_id)).kind)
        definitions = {
            kind: [
                AttributeDefinition(each.element_name, each.display_name, each.attribute_type, each.custom, each.target)
                for each in attributes
            ]
            for kind, attributes in read.items()
        }
    else:
        types = learned.types
        definitions = {kind: [AttributeDefinition(*each) for each in its] for kind, its in learned.definitions.items()}
    # In a thread: thousands of labels may be looked up among the fields of every type.
    rules = await asyncio.to_thread(completed, rules, properties, definitions, types)
    carried = [each.name for each in rules.custom]
    source.carry(
        {kind: (*fields_needed(rules.compiled, kind), *carried) for kind in scope.kinds},
        [past for each in rules.custom if (past := each.past) is not None],
        rests=_mapped(rules),
    )
    for notice in rules.compiled.notices:
        log.warning("%s", notice)
    return rules, learned or Learned(key=key, at=scope.now, definitions=_used(rules, definitions), types=types)


def _mapped(rules: Rules) -> list[PastField]:
    """Return the fields that rules read, as far as what is left of a removed item can tell them."""
    every = [past_of(path) for paths in rules.compiled.paths.values() for path in paths.values()]
    return list({field.name: field for field in every if field is not None}.values())


def _key(properties: Properties, scope: Scope) -> str:
    named = [
        scope.workspace.object_id,
        scope.kinds,
        properties.field_mapping,
        properties.custom_fields,
        properties.type_names,
    ]
    return hashlib.sha256(json.dumps(named, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _used(
    rules: Rules, definitions: Mapping[str, Sequence[AttributeDefinition]]
) -> Mapping[str, tuple[tuple[str, str, str, bool, str], ...]]:
    """The definitions that labels of the settings led to: with them alone every label leads to the same place again."""
    custom = {each.name for each in rules.custom}
    found = {}
    for kind, every in definitions.items():
        names = custom | {path.names[0] for path in rules.compiled.paths.get(kind, {}).values()}
        found[kind] = tuple(
            (each.element_name, each.display_name, each.attribute_type, each.custom, each.target)
            for each in every
            if each.element_name in names
        )
    return found
