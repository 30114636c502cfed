"""The sample company around the work items: workspaces, project trees, users, timeboxes, tags and states.

All records depend only on the seed and the end of the generated history, not on the number of items.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from rally_sandbox import sample_names
from rally_sandbox.clock import DAY, HOUR
from rally_sandbox.records import Group, Record, Values

#: Length of the generated history, and of the planned timeboxes in the future, in milliseconds.
PAST = 731 * DAY
FUTURE = 42 * DAY
SPRINT = 14 * DAY
QUARTER = 91 * DAY

#: Sample workspaces use UTC-6 all year: timeboxes begin and end at that zone's midnight
#: (rally-api-notes.md#dates).
MIDNIGHT = 6 * HOUR

USERS = 24
DISABLED_USER = 5
DELETED_USER = 6
LIMITED_USER = 20
PASSWORD = "sandbox"  # noqa: S105 - sample users of a simulator have no secrets
FIRST_ID = 100_000_000_003


@dataclass(frozen=True, slots=True, eq=False)
class Team:
    """A project with work items, its flow states and timeboxes."""

    project: Record
    workspace: Record
    #: Index into ``names.FLOWS``.
    flavor: int
    flow: Sequence[Record]
    #: Ascending by start, ``SPRINT`` long each, without gaps.
    sprints: list[Record]
    #: Ascending by start, ``QUARTER`` long each, without gaps.
    releases: list[Record]


@dataclass(slots=True, eq=False)
class Company:
    """The records of a subscription.

    ``teams`` are the projects with work items, at the positions that ``Columns.team`` refers to.
    """

    history_end: int
    subscription: Record
    workspaces: list[Record] = field(default_factory=list)
    teams: list[Team] = field(default_factory=list)
    users: list[Record] = field(default_factory=list)
    tags: list[Record] = field(default_factory=list)
    milestones: list[Record] = field(default_factory=list)
    feature_states: list[Record] = field(default_factory=list)
    #: Every record by lower-case type path, ascending by ObjectID.
    by_type: dict[str, list[Record]] = field(default_factory=dict)
    by_id: dict[int, Record] = field(default_factory=dict)

    def add(self, record: Record) -> Record:
        """Add a record to the indexes by type and id."""
        self.by_type.setdefault(record.type.lower(), []).append(record)
        self.by_id[record.object_id] = record
        return record

    def records_of(self, kind: str) -> Sequence[Record]:
        """Return the records of a lower-case type path."""
        return self.by_type.get(kind, ())


def create_company(seed: int, *, history_end: int, same_workspace_names: bool) -> Company:
    """Create the company of a seed whose generated history ends at ``history_end`` (milliseconds)."""
    return _CompanyBuilder(seed, history_end).build(same_workspace_names=same_workspace_names)


class _CompanyBuilder:
    def __init__(self, seed: int, history_end: int) -> None:
        self._random = Random(seed * 7919 + 11)
        self._ids = self._id_stream()
        # The first sprint and release start at midnight.
        self._origin = (history_end - PAST) // DAY * DAY + MIDNIGHT
        subscription = Record("Subscription", next(self._ids), {}, self._origin, "Sample Subscription")
        self._company = Company(history_end=history_end, subscription=subscription)
        self._seed = seed

    def _id_stream(self) -> Iterator[int]:
        number = FIRST_ID + self._random.randrange(1000) * 1_000
        while True:
            number += self._random.randrange(3, 40)
            yield number

    def _add_record(
        self, kind: str, name: str, workspace: Record | None, *, history: bool = True, **values: object
    ) -> Record:
        record = Record(kind, next(self._ids), {"Name": name, **values}, self._origin, name, workspace)
        if history:
            record.history_id = next(self._ids)
        return self._company.add(record)

    def build(self, *, same_workspace_names: bool) -> Company:
        company = self._company
        company.subscription.values.update(
            Name="Sample Subscription", SubscriptionID=100, SubscriptionType="Unlimited", ApiKeysEnabled=True
        )
        company.add(company.subscription)
        self._add_users()
        main = self._add_workspace("Sample Company")
        self._add_project_tree(main, "Sample Company Delivery", sample_names.AREAS, closed=sample_names.CLOSED_TEAM)
        archive = self._add_workspace("Sample Company Archive")
        self._add_project_tree(archive, "Archive", (("Old Teams", sample_names.ARCHIVE_TEAMS),), closed=None)
        if same_workspace_names:
            twin = self._add_workspace("Sample Company Archive")
            self._add_project_tree(twin, "Twin Archive", (("Twin Teams", sample_names.ARCHIVE_TEAMS),), closed=None)
        company.subscription.values["Workspaces"] = Group("Workspace", company.workspaces)
        self._resolve_references()
        return company

    def _add_users(self) -> None:
        for number in range(1, USERS + 1):
            mail = f"user{number:02d}@sandbox.example"
            display_name = f"Sample User {number:02d}"
            # Two users with one display name: texts of revisions cannot tell them apart
            # (rally-api-notes.md#ambiguous-texts).
            if number == USERS:
                display_name = f"Sample User {USERS - 1:02d}"
            user = self._add_record("User", display_name, None)
            user.values.update(
                UserName=mail,
                EmailAddress=mail,
                DisplayName=display_name,
                FirstName="Sample",
                LastName=f"User {number:02d}",
                Disabled=number in {DISABLED_USER, DELETED_USER},
                Deleted=number == DELETED_USER,
                Role="Developer" if number % 3 else "Tester",
                SubscriptionAdmin=False,
            )
            del user.values["Name"]
            self._company.users.append(user)

    def _add_workspace(self, name: str) -> Record:
        workspace = self._add_record("Workspace", name, None, State="Open", Description="", SchemaVersion="sample-1")
        workspace.workspace = workspace
        workspace.values["Owner"] = self._company.users[0]
        self._company.workspaces.append(workspace)
        workspace.values["WorkspaceConfiguration"] = self._add_record(
            "WorkspaceConfiguration", f"{name} configuration", workspace, history=False, **_CONFIGURATION
        )
        for order, state in enumerate(sample_names.SCHEDULE_STATES):
            self._add_record(
                "ScheduleState",
                state,
                workspace,
                history=False,
                OrderIndex=order,
                Enabled=True,
                Editable=state in {"Idea", "Released"},
                ShortName=state[0],
            )
        if workspace is self._company.workspaces[0]:
            self._add_labels(workspace)
        return workspace

    def _add_labels(self, workspace: Record) -> None:
        company = self._company
        company.tags = [
            self._add_record("Tag", name, workspace, history=False, Archived=False) for name in sample_names.TAGS
        ]
        for number, name in enumerate(sample_names.MILESTONES, start=1):
            milestone = self._add_record(
                "Milestone",
                name,
                workspace,
                FormattedID=f"MI{number}",
                DisplayColor="#105cab",
                TargetDate=company.history_end // DAY * DAY + MIDNIGHT + number * 20 * DAY,
                LastUpdateDate=self._origin,
            )
            company.milestones.append(milestone)
        company.feature_states = [
            self._add_record(
                "State",
                name,
                workspace,
                OrderIndex=order,
                Enabled=True,
                InProgressMarker=order == 1,
                AcceptedMarker=order == len(sample_names.FEATURE_STATES) - 1,
            )
            for order, name in enumerate(sample_names.FEATURE_STATES)
        ]

    def _add_project(self, name: str, workspace: Record, parent: Record | None, state: str = "Open") -> Record:
        return self._add_record(
            "Project",
            name,
            workspace,
            State=state,
            Parent=parent,
            Description=f"Sample project {name}".replace("<", "").replace("&", "and"),
            Owner=self._random.choice(self._company.users),
            LastUpdatedDate=self._origin,
        )

    def _add_project_tree(
        self, workspace: Record, root_name: str, areas: Sequence[tuple[str, Sequence[str]]], *, closed: str | None
    ) -> None:
        root = self._add_project(root_name, workspace, None)
        number = 0
        for area_name, team_names in areas:
            area = self._add_project(area_name, workspace, root)
            for name in team_names:
                self._add_team(self._add_project(name, workspace, area), number % len(sample_names.FLOWS))
                number += 1
        if closed is not None:
            self._add_team(self._add_project(closed, workspace, root, "Closed"), 0)

    def _add_team(self, project: Record, flavor: int) -> None:
        workspace = project.workspace
        assert workspace is not None  # every project is made in a workspace
        flow = [
            self._add_record(
                "FlowState",
                name,
                workspace,
                Project=project,
                OrderIndex=order,
                ScheduleStateMapping=state,
                WIPLimit=None,
            )
            for order, (name, state) in enumerate(sample_names.FLOWS[flavor])
        ]
        sprints = self._add_timeboxes("Iteration", project, SPRINT, _sprint_name, ("StartDate", "EndDate"))
        releases = self._add_timeboxes("Release", project, QUARTER, _release_name, ("ReleaseStartDate", "ReleaseDate"))
        self._company.teams.append(Team(project, workspace, flavor, flow, sprints, releases))

    def _add_timeboxes(
        self, kind: str, project: Record, length: int, name: Callable[[int], str], dates: tuple[str, str]
    ) -> list[Record]:
        timeboxes: list[Record] = []
        start, number = self._origin, 0
        while start < self._company.history_end + FUTURE:
            number += 1
            values: Values = {dates[0]: start, dates[1]: start + length - 1_000, "Project": project}
            values["State"] = self._timebox_state(kind, start, length)
            values["PlannedVelocity"] = float(self._random.randrange(20, 60))
            values["LastUpdateDate"] = self._origin
            timeboxes.append(self._add_record(kind, name(number), project.workspace, **values))
            start += length
        return timeboxes

    def _timebox_state(self, kind: str, start: int, length: int) -> str:
        if start + length <= self._company.history_end:
            return "Accepted"
        if start <= self._company.history_end:
            return "Committed" if kind == "Iteration" else "Active"
        return "Planning"

    def _resolve_references(self) -> None:
        """Set the references that need all records to exist."""
        company = self._company
        projects = company.records_of("project")
        for project in projects:
            children = [record for record in projects if record.values["Parent"] is project]
            project.values["Children"] = Group("Project", children)
        for team in company.teams:
            team.project.values["Iterations"] = Group("Iteration", team.sprints)
            team.project.values["Releases"] = Group("Release", team.releases)
        for number, milestone in enumerate(company.milestones):
            # The last milestone belongs to the workspace and has no project.
            of_project = number < len(company.milestones) - 1
            milestone.values["TargetProject"] = company.teams[number].project if of_project else None
        for workspace in company.workspaces:
            own = [record for record in projects if record.workspace is workspace]
            workspace.values["Projects"] = Group("Project", own)
            workspace.values["Children"] = Group(
                "Project", [record for record in own if record.values["Parent"] is None]
            )
        for user in company.users:
            user.values["UserProfile"] = self._add_record(
                "UserProfile",
                user.name,
                None,
                history=False,
                DefaultWorkspace=company.workspaces[0],
                DefaultProject=company.teams[0].project,
                TimeZone="America/Denver",
            )
            user.values["DefaultProject"] = company.teams[0].project


def _sprint_name(number: int) -> str:
    # All projects use the same names: only ids distinguish timeboxes (rally-api-notes.md#timeboxes).
    return f"Sprint {number:02d}" if number % 9 else f"Sprint {number:02d}, hardening [extra]"


def _release_name(number: int) -> str:
    return f"Sample Release {number}"


_CONFIGURATION = {
    "DateFormat": "MM/dd/yyyy",
    "DateTimeFormat": "MM/dd/yyyy hh:mm:ss a",
    "IterationEstimateUnitName": "Points",
    "ReleaseEstimateUnitName": "Points",
    "TaskUnitName": "Hours",
    "TimeZone": "America/Denver",
    "WorkDays": "Monday,Tuesday,Wednesday,Thursday,Friday",
    "PurgeRecycleBinAfterNumberOfDays": 30,
    "HierarchicalRequirementPrefix": "US",
    "DefectPrefix": "DE",
    "TaskPrefix": "TA",
    "TestCasePrefix": "TC",
    "DefectSuitePrefix": "DS",
    "DragDropRankingEnabled": True,
    "TimeTrackerEnabled": False,
    "BuildandChangesetEnabled": True,
    "ProjectLabelSingular": "Project",
    "ProjectLabelPlural": "Projects",
    "IterationLabelSingular": "Iteration",
    "IterationLabelPlural": "Iterations",
    "ReleaseLabelSingular": "Release",
    "ReleaseLabelPlural": "Releases",
}
