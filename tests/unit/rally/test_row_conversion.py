"""A row becomes a record whatever is missing."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rally_accelerate.model.issue import SourceRevision
from rally_accelerate.rally.keyset_paging import to_records


def test_the_revision_is_date_and_version() -> None:
    row = {"FormattedID": "DE1", "LastUpdateDate": "2026-01-02T03:04:05.006Z", "VersionId": "12"}
    ((record,), notices) = to_records("defect", [(5, row)])
    assert record.revision == SourceRevision(datetime(2026, 1, 2, 3, 4, 5, 6000, tzinfo=UTC), 12)
    assert (record.object_id, record.key, notices) == (5, "DE1", ())


@pytest.mark.parametrize("row", [{}, {"LastUpdateDate": "never", "VersionId": "x"}, {"LastUpdateDate": None}])
def test_unreadable_dates_are_told_and_do_not_fail_the_row(row: Any) -> None:
    ((record,), (notice,)) = to_records("defect", [(5, row)])
    assert record.revision.version == 0
    assert "5" in notice


def test_the_creation_date_and_object_version_stand_in() -> None:
    row = {"CreationDate": "2026-01-02T03:04:05.006Z", "_objectVersion": "3"}
    ((record,), notices) = to_records("defect", [(5, row)])
    assert record.revision == SourceRevision(datetime(2026, 1, 2, 3, 4, 5, 6000, tzinfo=UTC), 3)
    assert notices == ()
