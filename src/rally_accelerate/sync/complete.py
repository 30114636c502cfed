"""Complete documents for the issues of removed items: from what is known here, or not at all.

An upload replaces an issue whole, and Accelerate returns neither history, comments, raw issue nor relations
(accelerate-api-notes.md#reading-issues-back). So the last upload is taken where it is kept. Otherwise those four come
from Rally, and everything else from Accelerate. Where one of them cannot be had, the issue stays as it is.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rally_accelerate.accelerate.payload import item_in
from rally_accelerate.accelerate.platform import instant
from rally_accelerate.accelerate.retire import READ_BACK, READ_BACK_LISTS, completed
from rally_accelerate.mapping.compiled import labels_of
from rally_accelerate.mapping.customs import past_of
from rally_accelerate.mapping.rules import Rules
from rally_accelerate.mapping.targets import EXTENDED
from rally_accelerate.model.issue import Issue
from rally_accelerate.model.report import Skipped
from rally_accelerate.rally.records import Scope, WorkItem
from rally_accelerate.rally.remains import Remains
from rally_accelerate.sync.ports import Sink, Source, State

NO_COMMENTS = "their comments cannot be read any more"
NOT_RETURNED = "Accelerate does not return all fields of an issue"
OWN_RULES = "fieldMapping fills fields from Rally that cannot be read any more"

#: Targets of rules whose values come back from Accelerate.
_RETURNED = frozenset({"name", "description", "status", "type", "normalizedType", "priority", "storyPoints", "labels"})
_RETURNED_TOO = frozenset({"sprints", "epic"})


@dataclass(slots=True)
class Documents:
    """What became of a request for complete documents."""

    #: By ObjectID.
    complete: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    #: When an item was deleted, where Rally's history tells.
    deleted_at: dict[int, datetime] = field(default_factory=dict)
    #: Why there is no document.
    incomplete: dict[int, str] = field(default_factory=dict)
    #: Items whose history has not come as far yet: a later run will know.
    later: set[int] = field(default_factory=set)
    #: Items whose issues Accelerate does not hold.
    absent: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completer:
    """Makes complete documents in one run."""

    source: Source
    sink: Sink
    state: State
    rules: Rules
    scope: Scope
    #: Maps an item as the run does.
    mapped: Callable[[WorkItem], Issue | Skipped]
    #: ObjectIDs of projects that left the scope: there may be issues in them.
    former: Collection[int] = ()

    async def documents(self, removed: Mapping[int, datetime]) -> Documents:
        """Return what is known of the issues of some removed items.

        Args:
            removed: When each was seen to be removed, by ObjectID.

        Raises:
            RallyAccelerateError: Rally or Accelerate cannot be asked.
        """
        found = Documents()
        kept = await self.state.documents([str(item) for item in removed])
        found.complete.update((int(key), document) for key, document in kept.items())
        lacking = {item: at for item, at in removed.items() if item not in found.complete}
        if not lacking:
            return found
        projects = project_keys(self.scope, self.former)
        held = await self.sink.read_back([str(item) for item in lacking], projects=projects)
        found.absent.update(item for item in lacking if str(item) not in held)
        lacking = {item: at for item, at in lacking.items() if str(item) in held}
        counts = await self.state.comments([str(item) for item in lacking])
        commented = {int(key) for key, count in counts.items() if count}
        unknown = {item for item in lacking if str(item) not in counts}
        # A history is complete when it reaches to what was uploaded last: the removal itself is known already.
        needed = {item: min(at, instant(held[str(item)].get("lastUpdate")) or at) for item, at in lacking.items()}
        remains = await self.source.remains(self.scope, needed, commented=commented | unknown)
        for item in lacking:
            self._put_together(
                item, remains.get(item, Remains()), held[str(item)], comments=counts.get(str(item)), found=found
            )
        return found

    def _put_together(
        self, item: int, its: Remains, held: Mapping[str, Any], *, comments: int | None, found: Documents
    ) -> None:
        if its.item is None:
            if its.reason:
                found.incomplete[item] = its.reason
            else:
                found.later.add(item)
            return
        if not its.lists_comments and self._reads_more():
            # Snapshots alone do not tell what these rules read.
            found.incomplete[item] = OWN_RULES
            return
        issue = self.mapped(its.item)
        if isinstance(issue, Skipped):
            found.incomplete[item] = issue.reason
        elif not {*READ_BACK, *READ_BACK_LISTS} <= held.keys():
            found.incomplete[item] = NOT_RETURNED
        elif not (its.lists_comments or "comments" in held) and (comments is None or len(issue.comments) < comments):
            found.incomplete[item] = NO_COMMENTS
        else:
            found.complete[item] = completed(item_in(issue), held)
            if its.deleted_at is not None:
                found.deleted_at[item] = its.deleted_at

    def _reads_more(self) -> bool:
        """Return whether rules fill what Accelerate does not return from what snapshots do not tell."""
        compiled = self.rules.compiled
        for entry in compiled.rules.entries:
            beyond = {*entry.sources, *entry.values} - _RETURNED - _RETURNED_TOO
            if any(target.startswith(EXTENDED) or self.rules.newer_fields for target in beyond):
                labels = set(labels_of(entry))
                read = [path for paths in compiled.paths.values() for label, path in paths.items() if label in labels]
                if any(past_of(path) is None for path in read):
                    return True
        return False


def project_keys(scope: Scope, former: Collection[int] = ()) -> list[str]:
    """Return the keys under which Accelerate may hold issues of a scope, as ``mapping.issue`` makes them.

    Args:
        scope: What is read.
        former: ObjectIDs of projects that left the scope.
    """
    projects = {project.object_id for project in (*scope.projects, *scope.closed)} | scope.visible | set(former)
    return [str(each) for each in sorted(projects)]
