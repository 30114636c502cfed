"""Fields to fetch for each kind: exactly those that mapping needs.

A name in ``fetch`` applies at every depth and costs the server a lookup for each nested object that has it, so the
lists are short: a reference that is not mapped is not fetched, because Rally would expand it in every row.
 Unknown names are ignored, so one list serves a family of kinds (rally-api-notes.md#fetch).
"""

from collections.abc import Iterable

from rally_accelerate.rally.records import PERSON_FIELDS

#: Fields that identify a record, and the reference to its revisions.
_IDENTITY = ("ObjectID", "FormattedID", "VersionId", "CreationDate", "LastUpdateDate", "RevisionHistory")
#: Descriptive fields. Tags include their names (rally-api-notes.md#collections).
_TEXTS = ("Name", "Description", "Owner", "CreatedBy", "Project", "Tags", "Milestones", "Discussion")
#: Status fields. A portfolio item's State is a reference and includes its Name.
_STATUS = (
    "ScheduleState",
    "State",
    "FlowState",
    "FlowStateChangedDate",
    "Blocked",
    "BlockedReason",
    "Ready",
    "Expedite",
)
#: A schedulable item's time: the dates inside Iteration and Release are named here too, as names go to any
#: depth.
_SCHEDULE = (
    "PlanEstimate",
    "Package",
    "AcceptedDate",
    "InProgressDate",
    "Iteration",
    "StartDate",
    "EndDate",
    "Release",
    "ReleaseStartDate",
    "ReleaseDate",
    "Theme",
)
#: What names a person is chosen from; only users have attributes of these names.
_PEOPLE = PERSON_FIELDS
_DEFECT = ("Priority", "Severity", "Environment", "Resolution", "SubmittedBy", "OpenedDate", "ClosedDate")
#: Ordinal is that of the type definition: 0 is the lowest level (rally-api-notes.md#portfolio-levels).
_PORTFOLIO = ("PortfolioItemType", "PortfolioItemTypeName", "Ordinal", "InvestmentCategory")
_TEST_CASE = ("Priority", "LastVerdict", "LastRun")

_COMMON = (*_IDENTITY, *_TEXTS, *_STATUS, *_PEOPLE)

#: What a revision consists of; the user comes as a stub with the name in it (rally-api-notes.md#reading-revisions).
REVISION_FIELDS = ("ObjectID", "RevisionNumber", "CreationDate", "User", "Description", "RevisionHistory")

#: What project and workspace resolution needs.
PROJECT_FIELDS = ("ObjectID", "Name", "State", "Parent", "Workspace")
WORKSPACE_FIELDS = ("ObjectID", "Name", "State")


def build_fetch(kind: str, more: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the names of the fields to fetch for a kind, without repeats.

    Args:
        kind: The wire name, lower case.
        more: Further fields that custom rules need.
    """
    names: tuple[str, ...]
    if kind.startswith("portfolioitem"):
        # Only the lowest level has a release (rally-api-notes.md#portfolio-levels).
        names = (*_COMMON, *_PORTFOLIO, "Release", "ReleaseStartDate", "ReleaseDate", "Theme")
    elif kind == "testcase":
        names = (*_COMMON, *_TEST_CASE)
    elif kind == "hierarchicalrequirement":
        names = (*_COMMON, *_SCHEDULE)
    else:
        # Defects, tasks, suites, and whatever kind comes: the union, unknown names cost nothing.
        names = (*_COMMON, *_SCHEDULE, *_DEFECT)
    return tuple(dict.fromkeys((*names, *more)))
