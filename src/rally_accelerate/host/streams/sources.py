"""The integrations of a value stream's file: what each entry asks for, held against the integrations that exist."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rally_accelerate.config.load import LEVEL_KEYS, MASKED, spelt, unexpanded, validated
from rally_accelerate.config.meant import means_plugin
from rally_accelerate.config.model import PLUGIN_ID
from rally_accelerate.config.problems import problems_of
from rally_accelerate.config.receivers import endangered
from rally_accelerate.errors import ConfigError, Problem
from rally_accelerate.host.store.integrations import StoredIntegration
from rally_accelerate.host.store.vault import MASK, strays
from rally_accelerate.host.streams.document import integrations_of, near
from rally_accelerate.mapping.rules import rule_problems
from rally_accelerate.model.folding import fold

#: What the host fills in anew in each download (accelerate-api-notes.md#integrations-in-the-file).
MADE = frozenset({"_id", "status", "startTime", "latest", "properties", "type", "tenant_id", "tenantId", "disabled"})


#: What stands for the API key in the sample of the Integrations page.
PLACEHOLDER = "YOUR-API-KEY"


@dataclass(frozen=True, slots=True)
class Write:
    """An integration that is to be added or changed."""

    name: str
    #: Empty for one that is to be added.
    id: str
    #: For one that is added in the form of the JSON file, for one that is changed by column; secrets are in clear.
    values: Mapping[str, Any]
    #: The names of what changes.
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sources:
    """What the integrations of a file come to."""

    #: What the value stream's document keeps of each: no settings of those that this host runs.
    entries: tuple[dict[str, Any], ...]
    writes: tuple[Write, ...]
    problems: tuple[Problem, ...]
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of the file, read."""

    path: str
    raw: Mapping[str, Any]
    name: str
    tenant_id: str
    type: str
    values: Mapping[str, Any]
    properties: dict[str, Any]

    @property
    def is_reference(self) -> bool:
        """Whether it only names an integration."""
        return self.raw.get("properties") is None

    @property
    def kept(self) -> dict[str, Any]:
        """What the document keeps of it: its name, and what the host does not fill in itself."""
        mine = {key: value for key, value in self.raw.items() if key not in MADE and key.lower() not in LEVEL_KEYS}
        return {**mine, "name": self.name}


def sources_of(
    document: Mapping[str, Any],
    *,
    tenant_id: str,
    known: Sequence[StoredIntegration],
    before: Mapping[str, Any] | None,
) -> Sources:
    """What the integrations of a checked document come to.

    Args:
        document: From a file.
        tenant_id: The value stream's, for entries without one.
        known: Every integration of the host.
        before: The document that is to be replaced, for what only it holds.
    """
    mine = {(each.tenant_id, each.name): each for each in known}
    by_id = {each.id: each for each in known}
    by_fold = {(each.tenant_id, fold(each.name)): each for each in known}
    former = {(entry["name"].strip(), entry.get("_id")) for _, entry in integrations_of(before or {})}
    # Integrations of other tools live in the document alone.
    by_key = {
        key: entry for _, entry in integrations_of(before or {}) for key in (entry["name"], entry.get("_id")) if key
    }
    others = {entry["name"]: entry for _, entry in integrations_of(before or {}) if "properties" in entry}
    entries: list[dict[str, Any]] = []
    writes: list[Write] = []
    problems: list[Problem] = []
    notices: list[str] = []
    for path, raw in integrations_of(document):
        values, properties, told = spelt(raw)
        entry = _Entry(
            path=path,
            raw=raw,
            name=raw["name"].strip(),
            tenant_id=str(values.get("tenant_id") or tenant_id),
            type=str(values.get("type") or ""),
            values=values,
            properties=properties,
        )
        stored = mine.get((entry.tenant_id, entry.name))
        if stored is None and entry.is_reference:
            stored = by_fold.get((entry.tenant_id, fold(entry.name)))
        if stored is None and entry.is_reference:
            # It was renamed since; a document that is restored names it as it was.
            stored = by_id.get(str(raw.get("_id") or ""))
        other = others.get(entry.name)
        try:
            if (stored is None and other is not None) or entry.type not in {"", PLUGIN_ID}:
                (kept, missing), write = _other(entry, other), None
                meant = f"; did you mean {PLUGIN_ID}?" if means_plugin(kept["type"]) else ""
                notices.append(
                    f"{path}: {entry.name} is of type {kept['type']}, which does not run here; it is kept in the file"
                    f"{meant}"
                )
                if missing:
                    text = _masked_text(missing)
                    notices.append(f"{path}: {text}; enter the real values where {entry.name} runs")
            elif stored is None and entry.is_reference and raw.get("_id") and (entry.name, raw["_id"]) in former:
                kept, write = {**entry.kept, "_id": raw["_id"]}, None
                notices.append(f"{path}: {entry.name} was removed; nothing comes from it any more")
            elif entry.is_reference:
                kept, write = _reference(entry, stored, names=[*(name for _, name in mine), *others])
            else:
                kept, write = _whole(entry, stored)
        except ConfigError as error:
            problems += error.problems
            continue
        beside, lacking = _beside(entry, kept, by_key)
        kept |= beside
        if lacking:
            notices.append(f"{path}: {_masked_text(lacking)}; enter the real values where {entry.name} runs")
        entries.append(kept)
        if "properties" not in kept:
            notices += [f"{path}: {text}" for text in told]
        writes += [write] if write else []
    return Sources(tuple(entries), tuple(writes), tuple(problems), tuple(notices))


def _reference(
    entry: _Entry, stored: StoredIntegration | None, *, names: list[str]
) -> tuple[dict[str, Any], Write | None]:
    if stored is None:
        text = f"there is no integration {entry.name!r}{near(entry.name, names)}"
        if entry.type:
            text = f"{text.partition(';')[0]}; give its properties to add it"
        elif not names:
            text = f"{text.partition(';')[0]}; add it on the Integrations page first, or give its type and properties"
        raise _wrong(f"{entry.path}.name", text)
    asked = {key: entry.values[key] for key in ("disabled", "loggingLevel") if key in entry.values}
    candidate = {**stored.raw, **asked}
    integration = validated(candidate, path=f"{entry.path}.") if candidate != stored.raw else None
    changes: dict[str, Any] = {}
    if integration is not None and integration.disabled != stored.disabled:
        changes["disabled"] = integration.disabled
    if integration is not None and integration.logging_level != stored.logging_level:
        changes["logging_level"] = integration.logging_level
    return {**entry.kept, "_id": stored.id}, _change(stored, changes)


def _whole(entry: _Entry, stored: StoredIntegration | None) -> tuple[dict[str, Any], Write | None]:
    known = stored.properties if stored else {}
    problems = list(_unusable(entry, known))
    given = {name: MASK if _is_masked(value) else value for name, value in entry.properties.items()}
    clear = {name: known.get(name) if value == MASK else value for name, value in given.items()}
    problems += [
        Problem(
            f"{entry.path}.properties.{one.secret}",
            f"is masked and must be entered again, because the change of {one.because} lets another party read it",
        )
        for one in endangered(known, clear)
        if given.get(one.secret) == MASK and known.get(one.secret)
    ]
    raw = {**entry.values, "name": entry.name, "type": entry.type or PLUGIN_ID, "tenant_id": entry.tenant_id}
    try:
        integration = validated({**raw, "properties": clear}, path=f"{entry.path}.")
    except ConfigError as error:
        said, told = {problem.path for problem in problems}, {problem.text for problem in error.problems}
        # The model stops at its first faults; whoever corrects a file wants to know them all.
        further = [
            Problem(f"{entry.path}.{field}", text)
            for field, texts in problems_of({**raw, "properties": clear}).items()
            for text in texts
            if text not in told
        ]
        problems += [problem for problem in (*error.problems, *further) if problem.path not in said]
    problems += [Problem(f"{entry.path}.{each.path}", each.text) for each in rule_problems(clear)]
    if problems:
        raise ConfigError("", problems=problems)
    raw |= {"loggingLevel": integration.logging_level, "disabled": integration.disabled, "properties": clear}
    if stored is None:
        return entry.kept, Write(entry.name, "", raw)
    changes: dict[str, Any] = {}
    if clear != dict(known):
        changes["properties"] = clear
    if "loggingLevel" in entry.values and integration.logging_level != stored.logging_level:
        changes["logging_level"] = integration.logging_level
    if "disabled" in entry.values and integration.disabled != stored.disabled:
        changes["disabled"] = integration.disabled
    return {**entry.kept, "_id": stored.id}, _change(stored, changes)


def _change(stored: StoredIntegration, changes: Mapping[str, Any]) -> Write | None:
    if not changes:
        return None
    names = [name for name in changes if name != "properties"]
    after = changes.get("properties")
    if after is not None:
        both = {**stored.properties, **after}
        names += [name for name in both if stored.properties.get(name) != after.get(name)]
    words = {"logging_level": "loggingLevel"}
    return Write(stored.name, stored.id, changes, tuple(words.get(name, name) for name in names))


def _other(entry: _Entry, before: Mapping[str, Any] | None) -> tuple[dict[str, Any], list[str]]:
    """An integration of another tool, and the names of its settings that are masked and unknown.

    It is kept as it came. A masked secret is what it was before; an unknown one is missing, which stops nothing
    here.
    """
    before = before or {}
    if entry.is_reference and before:
        return {**before, **entry.raw}, []
    known = before.get("properties") or {} if entry.type in {"", before.get("type")} else {}
    given = (entry.raw["properties"] or {}) if not entry.is_reference else {}
    clear = {name: _unmasked(value, known.get(name)) for name, value in given.items()}
    missing = [name for name, value in given.items() if _lacks(value, known.get(name))]
    kept = {key: value for key, value in entry.raw.items() if key not in {"status", "latest", "startTime"}}
    return {**kept, "name": entry.name, "type": entry.type or before["type"], "properties": clear}, missing


def _beside(
    entry: _Entry, kept: Mapping[str, Any], former: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], list[str]]:
    """Return the unknown keys next to the settings, with what is known in place of masks, and the names that lack it.

    Args:
        entry: Of the file.
        kept: What the document is to keep of it.
        former: The entries of the document that is to be replaced, by name and by ID.
    """
    before = former.get(entry.name) or former.get(str(kept.get("_id") or "")) or {}
    known = before if entry.type in {"", before.get("type", PLUGIN_ID)} else {}
    given = {name: value for name, value in strays(entry.raw).items() if name in kept}
    lacking = [name for name, value in given.items() if _lacks(value, known.get(name))]
    return {name: _unmasked(value, known.get(name)) for name, value in given.items()}, lacking


def _masked_text(names: Sequence[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} masked in the file and kept as missing"


def _unmasked(value: Any, known: Any) -> Any:
    """A setting with what is known of it in place of what is masked in it; null where nothing is."""
    match value:
        case str() if _is_masked(value):
            return known
        case dict():
            former = known if isinstance(known, Mapping) else {}
            return {name: _unmasked(inner, former.get(name)) for name, inner in value.items()}
        case list():
            former_list = known if isinstance(known, list) and len(known) == len(value) else [None] * len(value)
            return [_unmasked(inner, former) for inner, former in zip(value, former_list, strict=True)]
        case _:
            return value


def _lacks(value: Any, known: Any) -> bool:
    """Return whether a setting holds a mask for an unknown value."""
    match value:
        case str():
            return _is_masked(value) and known is None
        case dict():
            former = known if isinstance(known, Mapping) else {}
            return any(_lacks(inner, former.get(name)) for name, inner in value.items())
        case list():
            same = isinstance(known, list) and len(known) == len(value)
            return any(_lacks(inner, known[place] if same else None) for place, inner in enumerate(value))
        case _:
            return False


def _unusable(entry: _Entry, known: Mapping[str, Any]) -> Iterator[Problem]:
    for name, value in entry.properties.items():
        path = f"{entry.path}.properties.{name}"
        if _is_masked(value) and not known.get(name):
            yield Problem(path, "is masked as in a download, and nothing is stored that it stands for; enter it")
        elif value == PLACEHOLDER:
            yield Problem(path, "is still the sample's; put in the API key that you made in Rally")
        elif variable := unexpanded(value):
            text = f"asks for ${{{variable}}}: variables are only read by the command line; enter the value"
            yield Problem(path, text)


def _is_masked(value: Any) -> bool:
    return isinstance(value, str) and MASKED.match(value) is not None


def _wrong(path: str, text: str) -> ConfigError:
    return ConfigError("", problems=[Problem(path, text)])
