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
        "2026-11-29",
        "Syncs stories, defects and other types with their full history, comments, relations, sprints and releases. "
        "Custom mapping rules, removal detection, a drop-in replacement for the ucv-ext-rally image, and this server.",
    ),
)
