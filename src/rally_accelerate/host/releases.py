"""The versions of the plug-in that there are, newest first; a test holds them against CHANGELOG.md."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Release:
    """One version."""

    version: str
    #: As in the changelog; empty while it is not released.
    date: str
    description: str


RELEASES = (
    Release(
        "0.1.0",
        "",
        "Stories, defects and every other type with their whole history; comments, relations, sprints and releases; "
        "mapping rules of your own; removals; a container that takes the place of ucv-ext-rally; this host.",
    ),
)
