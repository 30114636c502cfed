"""Progress as JSON, wherever it is kept: a file, a host's database, Accelerate itself."""

from collections.abc import Mapping
from datetime import datetime
from itertools import groupby
from typing import Any

from rally_accelerate.errors import StoreError
from rally_accelerate.model.progress import (
    Deferral,
    Empty,
    Lane,
    Learned,
    NameWatch,
    Progress,
    TimeboxWatch,
    Walk,
    Window,
)


def progress_to_json(progress: Progress) -> dict[str, Any]:
    """Convert the progress to JSON-ready values; instants are ISO texts with their offset."""
    return {
        "scope": progress.scope,
        "rulesVersion": progress.rules_version,
        "readWith": sorted(progress.read_with),
        # Hundreds of projects share a few cursors.
        "cursors": [
            {"kind": kind, "cursor": cursor.isoformat(), "projects": [lane.project for lane, _ in lanes]}
            for (kind, cursor), lanes in groupby(sorted(progress.cursors.items(), key=_order), key=_kind_and_cursor)
        ],
        "unfinished": [
            {
                "kind": walk.kind,
                "projects": list(walk.projects),
                "since": walk.window.since.isoformat() if walk.window.since else None,
                "until": walk.window.until.isoformat() if walk.window.until else None,
                "startedAt": walk.started_at.isoformat(),
                "after": walk.after,
                "covers": list(walk.covers),
                **({"field": walk.field, "carrying": list(walk.carrying)} if walk.carrying else {}),
                **({"only": list(walk.only)} if walk.only else {}),
            }
            for walk in progress.unfinished
        ],
        "owed": [{"kind": kind, "item": item} for kind, item in sorted(progress.owed)],
        "missing": [{"item": item, "at": at.isoformat()} for item, at in sorted(progress.missing.items())],
        "listedAt": progress.listed_at.isoformat() if progress.listed_at else None,
        "since": progress.since.isoformat() if progress.since else None,
        "deferred": {
            job: {
                "until": entry.until.isoformat(),
                "failures": entry.failures,
                "reason": entry.reason,
                "since": entry.since.isoformat() if entry.since else None,
            }
            for job, entry in progress.deferred.items()
        },
        "unmarked": [
            {"reason": reason, "items": [item for item, _ in items]}
            for reason, items in groupby(sorted(progress.unmarked.items(), key=_by_reason), key=_reason)
        ],
        "resynced": progress.resynced.isoformat() if progress.resynced else None,
        "learned": _metadata_to_json(progress.learned),
        "empty": {"key": progress.empty.key, "cause": progress.empty.cause} if progress.empty else None,
        "former": sorted(progress.former),
        "timeboxes": _watch_to_json(progress.timeboxes),
        "names": _names_to_json(progress.names),
    }


def progress_from_json(data: Mapping[str, Any]) -> Progress:
    """Read back what ``progress_to_json`` wrote.

    Raises:
        StoreError: The values are none that this program writes.
    """
    try:
        return Progress(
            scope=data.get("scope", ""),
            rules_version=data.get("rulesVersion", ""),
            read_with=frozenset(data.get("readWith", ())),
            cursors={
                Lane(row["kind"], project): datetime.fromisoformat(row["cursor"])
                for row in data.get("cursors", ())
                # Earlier versions wrote a row for each project.
                for project in row.get("projects", [row.get("project")])
            },
            unfinished=tuple(
                Walk(
                    kind=row["kind"],
                    projects=tuple(row["projects"]),
                    window=Window(_instant(row["since"]), _instant(row.get("until"))),
                    started_at=datetime.fromisoformat(row["startedAt"]),
                    after=row["after"],
                    covers=tuple(row.get("covers", ())),
                    # Earlier versions resent the items of timeboxes alone.
                    carrying=tuple(row.get("carrying", row.get("timeboxes", ()))),
                    field=row.get("field", ""),
                    only=tuple(row.get("only", ())),
                )
                for row in data.get("unfinished", ())
            ),
            owed=frozenset((row["kind"], row["item"]) for row in data.get("owed", ())),
            missing={row["item"]: datetime.fromisoformat(row["at"]) for row in data.get("missing", ())},
            listed_at=_instant(data.get("listedAt")),
            since=_instant(data.get("since")),
            deferred={
                job: Deferral(
                    until=datetime.fromisoformat(row["until"]),
                    failures=row["failures"],
                    reason=row["reason"],
                    since=_instant(row.get("since")),
                )
                for job, row in data.get("deferred", {}).items()
            },
            unmarked={item: row["reason"] for row in data.get("unmarked", ()) for item in row["items"]},
            resynced=_instant(data.get("resynced")),
            learned=_metadata_from_json(data.get("learned")),
            empty=Empty(empty["key"], empty["cause"]) if (empty := data.get("empty")) else None,
            former=frozenset(data.get("former", ())),
            timeboxes=_watch_from_json(data.get("timeboxes")),
            names=_names_from_json(data.get("names")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            "the stored progress cannot be read",
            hint="Move the state file away and run again. Nothing is duplicated in Accelerate.",
        ) from error


def _watch_to_json(watch: TimeboxWatch | None) -> dict[str, Any] | None:
    if watch is None:
        return None
    seen = {str(its_id): digest for its_id, digest in watch.seen.items()}
    return {"until": {name: instant.isoformat() for name, instant in watch.until.items()}, "seen": seen}


def _watch_from_json(data: Mapping[str, Any] | None) -> TimeboxWatch | None:
    if not data:
        return None
    return TimeboxWatch(
        until={name: datetime.fromisoformat(instant) for name, instant in data["until"].items()},
        seen={int(its_id): digest for its_id, digest in data["seen"].items()},
    )


def _names_to_json(watch: NameWatch | None) -> dict[str, Any] | None:
    if watch is None:
        return None
    return {
        "seen": {kind: {str(its_id): digest for its_id, digest in its.items()} for kind, its in watch.seen.items()},
        "places": {kind: sorted(places) for kind, places in watch.places.items()},
        "compared": {kind: instant.isoformat() for kind, instant in watch.compared.items()},
        "after": dict(watch.after),
    }


def _names_from_json(data: Mapping[str, Any] | None) -> NameWatch | None:
    if not data:
        return None
    return NameWatch(
        seen={kind: {int(its_id): digest for its_id, digest in its.items()} for kind, its in data["seen"].items()},
        places={kind: frozenset((its, field) for its, field in places) for kind, places in data["places"].items()},
        compared={kind: datetime.fromisoformat(instant) for kind, instant in data["compared"].items()},
        after=dict(data["after"]),
    )


def _metadata_to_json(learned: Learned | None) -> dict[str, Any] | None:
    if learned is None:
        return None
    return {
        "key": learned.key,
        "at": learned.at.isoformat(),
        "definitions": learned.definitions,
        "types": learned.types,
    }


def _metadata_from_json(data: Mapping[str, Any] | None) -> Learned | None:
    if not data:
        return None
    return Learned(
        key=data["key"],
        at=datetime.fromisoformat(data["at"]),
        definitions={
            kind: tuple(
                (element, display, its_type, custom, target) for element, display, its_type, custom, target in its
            )
            for kind, its in data["definitions"].items()
        },
        types=data.get("types") or {},
    )


def _kind_and_cursor(entry: tuple[Lane, datetime]) -> tuple[str, datetime]:
    lane, cursor = entry
    return lane.kind, cursor


def _order(entry: tuple[Lane, datetime]) -> tuple[str, datetime, int]:
    lane, cursor = entry
    return lane.kind, cursor, lane.project


def _reason(entry: tuple[int, str]) -> str:
    return entry[1]


def _by_reason(entry: tuple[int, str]) -> tuple[str, int]:
    item, reason = entry
    return reason, item


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
