"""The integrations that a map shows, and the effect of an import on them. No I/O.

A file that names no integration shows all of them, also later ones; one that names some shows only those.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rally_accelerate.server.store.integrations import StoredIntegration
from rally_accelerate.server.value_streams.document import integrations_of

#: So many integrations are named in a sentence.
MOST_NAMED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class MapEffect:
    """What an import does to the items that a map shows."""

    #: Sentences for people; empty when nothing is hidden.
    text: str = ""
    #: The integrations that the map shows now and would not show any more.
    hidden: tuple[str, ...] = ()


def shows_all(document: Mapping[str, Any]) -> bool:
    """Return whether a document lists no integration and so shows all of its tenant."""
    return not document.get("integrations")


def integration_entries(document: Mapping[str, Any], known: Sequence[StoredIntegration]) -> list[dict[str, Any]]:
    """Return the integration entries of a document; one entry per integration if it shows all.

    Args:
        document: As it is kept.
        known: The integrations of its tenant.
    """
    if not shows_all(document):
        return [dict(entry) for _, entry in integrations_of(document)]
    return [
        {"_id": integration.id, "name": integration.name}
        for integration in sorted(known, key=lambda integration: integration.name)
    ]


def means_all(before: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], known: Sequence[Any]) -> bool:
    """Return whether a file lists all integrations as a download of a document without a list does.

    Args:
        before: The document that is to be replaced.
        entries: The file's integrations as they would be kept.
        known: The integrations of the tenant.
    """
    ids = {str(entry.get("_id") or "") for entry in entries}
    plain = all(entry.keys() <= {"_id", "name"} for entry in entries)
    return shows_all(before) and bool(entries) and plain and ids == {integration.id for integration in known}


def with_others(
    document: Mapping[str, Any], before: Mapping[str, Any], known: Sequence[StoredIntegration]
) -> Mapping[str, Any]:
    """Add the integrations that the map shows now to a file.

    Args:
        document: From a file; it names some.
        before: The document that is to be replaced.
        known: The integrations of the tenant.
    """
    if shows_all(document):
        return document
    names = {str(entry.get("name") or "").strip() for _, entry in integrations_of(document)}
    others = [entry for entry in integration_entries(before, known) if entry["name"].strip() not in names]
    return {**document, "integrations": [*document["integrations"], *others]}


def map_effect(
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any],
    *,
    known: Sequence[StoredIntegration],
    counts: Mapping[str, int],
) -> MapEffect:
    """Describe the effect of an import on the items of a map.

    Args:
        before: The document that is to be replaced; None for a new value stream.
        after: The document that would be kept; integrations that are to be added have no id yet.
        known: The integrations of the tenant.
        counts: How many issues of the tenant each tracker has.
    """
    if shows_all(after):
        return MapEffect()
    names = {integration.id: integration.name for integration in known}
    now = _trackers(before or {}) or {*counts, *names}
    then = _trackers(after)
    total, remaining = (sum(counts.get(tracker, 0) for tracker in some) for some in (now, now & then))
    visible = sum(counts.get(tracker, 0) for tracker in then)
    hidden = tuple(sorted(names[tracker] for tracker in now - then if tracker in names))
    if before is None:
        # What is chosen for a new map hides nothing; that it would be empty is worth telling.
        hidden = ()
        if visible or not total:
            return MapEffect()
    elif remaining == total and not hidden:
        later = "Integrations added later won't appear on the map." if shows_all(before) else ""
        return MapEffect(text=later)
    label = _list([str(entry["name"]).strip() for _, entry in integrations_of(after)])
    of = f"{visible:,} of {max(total, visible):,} {'item' if max(total, visible) == 1 else 'items'}"
    return MapEffect(text=f"The map will show only {label}: {of}.", hidden=hidden)


def _trackers(document: Mapping[str, Any]) -> set[str]:
    return {str(entry["_id"]) for _, entry in integrations_of(document) if entry.get("_id")}


def _list(names: Sequence[str]) -> str:
    items = list(names[:MOST_NAMED]) + ([f"{len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else [])
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
