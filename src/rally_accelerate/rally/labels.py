"""What revision texts call a type's fields: the display names of its workspace's own definitions.

A text carries the label of its day (rally-api-notes.md#revision-texts), so that a relabelled field has two: the one
that Rally gives it, and the one that the workspace gives it today. One in between is not known, and its changes
are lost to revisions.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

from rally_accelerate.errors import AccessRefused, NotFound, Rejected
from rally_accelerate.rally.calls import Caller
from rally_accelerate.rally.definitions import Attribute, attributes_of, types_of
from rally_accelerate.rally.pastfields import PastFields
from rally_accelerate.rally.typenames import TypeNames

logger = logging.getLogger(__name__)


class Labels:
    """The tracked fields of each type with their labels; each type's definitions are asked for once.

    Args:
        caller: Asks Rally.
        workspace: The workspace's ObjectID.
        fields: What is tracked.
    """

    def __init__(self, caller: Caller, *, workspace: int, fields: PastFields) -> None:
        self._caller = caller
        self._workspace = workspace
        self._fields = fields
        self._known: dict[str, PastFields] = {}
        self._types: TypeNames | None = None

    async def of(self, kind: str) -> PastFields:
        """The fields as a kind's revisions call them; by Rally's own labels where definitions cannot be read."""
        if kind not in self._known:
            try:
                if self._types is None:
                    self._types = await types_of(self._caller, workspace=self._workspace)
                attributes = await attributes_of(
                    self._caller, workspace=self._workspace, types=self._types, kinds=[kind]
                )
                self._known[kind] = labelled(self._fields, attributes[kind])
            except (AccessRefused, NotFound, Rejected) as error:
                logger.info("the fields' display names cannot be read, Rally's own are used: %s", error)
                self._known[kind] = self._fields
        return self._known[kind]


def labelled(fields: PastFields, attributes: Sequence[Attribute]) -> PastFields:
    """The fields with today's labels besides those that they have by themselves.

    Args:
        fields: What is tracked.
        attributes: One type's definitions.
    """
    today = {each.element_name: each.display_name.strip().upper() for each in attributes if each.display_name.strip()}
    tracked = {each.name for each in fields.fields}
    # A label that another field bears today tells of that one. Only fields of the workspace's own take labels away:
    # Rally's own ones mirror each other, as Feature does PortfolioItem (rally-api-notes.md#portfolio-levels).
    taken = {today[each.element_name] for each in attributes if each.custom and each.element_name in today}
    taken |= {today[name] for name in tracked & today.keys()}
    return PastFields(
        tuple(
            replace(each, labels=tuple(dict.fromkeys((*own, *(label for label in each.labels if label not in taken)))))
            for each in fields.fields
            for own in [(today[each.name],) if each.name in today else ()]
        )
    )
