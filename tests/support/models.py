"""Values of the model for tests."""

from datetime import UTC, datetime

from rally_accelerate.model.issue import Issue, SourceRevision

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def issue(number: int = 1, **more: object) -> Issue:
    return Issue(
        external_id=str(number),
        display_id=f"US{number}",
        name=f"Story {number}",
        status="Defined",
        url="https://rally.example",
        created=NOW,
        last_update=NOW,
        type="Story",
        revision=SourceRevision(NOW),
        **more,  # type: ignore[arg-type]
    )
