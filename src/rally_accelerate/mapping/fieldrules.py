"""The users' own rules as values.

The shape is that of the sibling plug-in for Jira, so that rules can be carried over::

    [{"type": "*" | type,
      "fieldMapping": {target: Rally field label},
      "valueMapping": {target: {standard value: [value | "/regex/" | {Rally field label: value or list}]}}}]

``readrules`` makes these from settings; nothing here knows the fields of a workspace, ``compiled`` resolves labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rally_accelerate.mapping.matchers import Conditions, Matcher, Pattern


@dataclass(frozen=True, slots=True)
class Standard:
    """One standard value and all that becomes it."""

    value: str
    #: ``fieldMapping[0].valueMapping.status.Done``.
    path: str
    matchers: tuple[Matcher, ...]
    #: Whether the values were a list: then a single one is told by its position.
    listed: bool = True

    def place(self, position: int) -> str:
        """Where the matcher at a position stands in the settings."""
        return f"{self.path}[{position}]" if self.listed else self.path


@dataclass(frozen=True, slots=True)
class Entry:
    """One element of the list: the rules for one type, or for every one."""

    path: str
    #: Folded names; ``*`` is every type.
    types: tuple[str, ...]
    #: What was written as the type, for messages.
    written: str
    #: Labels by target, in order of appearance.
    sources: Mapping[str, str] = field(default_factory=dict)
    #: Standard values by target, in order of appearance.
    values: Mapping[str, tuple[Standard, ...]] = field(default_factory=dict)
    #: The types as written, in the order of ``types``.
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldRules:
    """All rules, in order of appearance."""

    entries: tuple[Entry, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.entries)

    @property
    def searches(self) -> bool:
        """Whether there is a regular expression among them: long texts can take it seconds."""
        matchers = (
            matcher
            for entry in self.entries
            for standards in entry.values.values()
            for standard in standards
            for matcher in standard.matchers
        )
        return any(
            isinstance(single, Pattern)
            for matcher in matchers
            for single in (
                [each for _, any_of in matcher.tests for each in any_of]
                if isinstance(matcher, Conditions)
                else [matcher]
            )
        )
