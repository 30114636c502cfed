"""Whatever is missing, cut or out of order: every change that is reported happened, and what is not is counted."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rally_accelerate.mapping.history_check import Verdict, check_history
from rally_accelerate.model.issue import SourceRevision
from rally_accelerate.rally import lookback
from rally_accelerate.rally.history_fields import Shape, TrackedFields
from rally_accelerate.rally.records import FieldChange, ItemHistory, Record, Revision, TimeboxValue, WorkItem
from rally_accelerate.rally.revision_changes import ProjectAt, RevisionReader, VersionAgreement
from rally_sandbox.clock import Clock
from rally_sandbox.lookback import Projection, iter_snapshots
from rally_sandbox.records import Change, Item
from rally_sandbox.world import World

BEGIN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FIELDS = TrackedFields.of()
TRACKED = {each.name: each.shape for each in FIELDS.fields}
EVERYTHING = Projection(
    None, frozenset(each.name for each in FIELDS.fields if each.shape in {Shape.CHOICE, Shape.FLOW_STATE})
)
STATES = ("Defined", "In-Progress", "Completed", "Accepted")
TEXTS = (
    "plain",
    "a [b], c",
    "x], SCHEDULE STATE changed from [Defined] to [Accepted",
    "“quoted” & <b>bold</b>",
    ":]",
    "",
)
#: A description that is shown whole, so that a change between two of them is cut.
LONG = 1980

#: One save: a field and a choice, and so many milliseconds to the next one.
edits = st.tuples(
    st.lists(
        st.tuples(
            st.sampled_from(
                (
                    *("ScheduleState", "ScheduleState", "Owner", "Iteration", "Project", "Tags+", "Tags-"),
                    *("Name", "Description", "Blocked", "BlockedReason", "PlanEstimate", "Expedite"),
                )
            ),
            st.integers(0, 5),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(
        ("edit", "edit", "edit", "edit", "delete", "restore", "rename user", "rename tag", "rename sprint")
    ),
    st.sampled_from((0, 1, 400, 5_000)),
)


class Delivery(NamedTuple):
    """What becomes of one revision or snapshot on its way."""

    arrives: bool
    #: How many milliseconds its time is off.
    jitter: int


deliveries = st.lists(
    st.builds(Delivery, st.sampled_from((True,) * 7 + (False,)), st.sampled_from((0, 0, -500, -10, 10, 500))),
    min_size=24,
    max_size=24,
)
intact = st.just([Delivery(True, 0)] * 24)


class Story:
    """One item, what happened to it, and every name that things had."""

    def __init__(self, steps: Sequence[Any], *, ties: bool = False) -> None:
        self.world = world = World.create(5, 10, clock=Clock.frozen(BEGIN))
        world.instants_repeat = ties
        company = world.company
        self.names: dict[int, set[str]] = defaultdict(set)
        for record in (*company.users, *company.tags):
            self.names[record.object_id].add(record.name)
        self.item: Item = world.create_item("story", Name="Story", Description="d" * LONG)
        for changes, what, pause in steps:
            self._step(changes, what)
            world.clock.advance(timedelta(milliseconds=pause))

    def _step(self, changes: Sequence[tuple[str, int]], what: str) -> None:
        world, its = self.world, self.item.object_id
        company = world.company
        match what:
            case "delete":
                world.delete(its)
            case "restore" if self.item.deleted:
                world.restore(its)
            case "rename user":
                self._rename(company.users[changes[0][1]])
            case "rename tag":
                self._rename(company.tags[changes[0][1]])
            case "rename sprint":
                self._rename(world.team(self.item).sprints[changes[0][1]])
            case _ if not self.item.deleted:
                for name, choice in changes if any(name == "Project" for name, _ in changes) else [(None, 0)]:
                    if name == "Project":
                        world.edit(its, {"Project": company.teams[choice % 4].project})
                fields = {name: self._value(name, choice) for name, choice in changes if name != "Project"}
                world.edit(its, fields, user=company.users[changes[0][1]])

    def _rename(self, record: Any) -> None:
        self.names[record.object_id].add(record.name)
        self.world.rename(record.type, record, f"{record.type} {self.world.new_id()}")
        self.names[record.object_id].add(record.name)

    def _value(self, name: str, choice: int) -> Any:  # noqa: PLR0911 - one table
        company = self.world.company
        match name:
            case "ScheduleState":
                return STATES[choice % 4]
            case "Owner":
                return company.users[choice] if choice else None
            case "Iteration":
                return self.world.team(self.item).sprints[choice] if choice else None
            case "Tags+" | "Tags-":
                return company.tags[choice]
            case "Blocked" | "Expedite":
                return choice % 2 == 1
            case "PlanEstimate":
                return float(choice)
            case "Description":
                return "d" * (LONG - choice)
            case _:
                return TEXTS[choice] or None if name == "BlockedReason" else TEXTS[choice] or "Story"

    def called(self, record: Any) -> set[str]:
        return self.names[record.object_id] | {record.name, record.first_name}

    def truth(self) -> list[tuple[Change, str, Any, Any]]:
        """Every change of a tracked field, with its values as the simulator keeps them."""
        found: list[tuple[Change, str, Any, Any]] = []
        tags = list(self.item.initial["Tags"])
        for change in self.item.changes:
            before = list(tags)
            for name, old, new in change.field_changes:
                if name == "Tags":
                    tags = [*tags, new] if old is None else [each for each in tags if each is not old]
                elif name == "FlowState":
                    # The state of the same name in another project reads the same.
                    if old.name != new.name:
                        found.append((change, name, old, new))
                elif name in TRACKED or name == "Recycled":
                    found.append((change, name, old, new))
            if before != tags:
                found.append((change, "Tags", before, tags))
        return found

    def means(self, told: Any, value: Any) -> bool:  # noqa: PLR0911 - one table
        """Whether a value of the past is a value of the simulator."""
        match value:
            case None:
                return told in (None, "", "false")
            case bool():
                return bool(told == str(value).lower())
            case float():
                return bool(told == f"{value:g}")
            case list():
                return len(told) == len(value) and all(any(each in self.called(tag) for tag in value) for each in told)
            case str():
                return bool(told == value)
            case _ if isinstance(told, TimeboxValue):
                return told.object_id in (None, value.object_id) and told.name in self.called(value)
            case _:
                return told in self.called(value)

    def record(self) -> Record:
        """The item as WSAPI answers it, as far as it matters here."""
        values = self.item.values
        row: dict[str, Any] = {name: values[name] for name in ("ScheduleState", "Name", "Blocked", "BlockedReason")}
        row |= {"Expedite": values["Expedite"], "PlanEstimate": values["PlanEstimate"]}
        for name in ("Owner", "Iteration", "Project", "FlowState"):
            record = values[name]
            its = {"DisplayName": record.name} if name == "Owner" and record else {}
            row[name] = record and {
                "ObjectID": record.object_id,
                "Name": record.name,
                "_refObjectName": record.name,
                **its,
            }
        row["Tags"] = {"_tagsNameArray": [{"Name": each.name} for each in values["Tags"]]}
        updated = datetime.fromtimestamp(self.item.updated / 1000, UTC)
        return Record(
            kind="hierarchicalrequirement",
            object_id=self.item.object_id,
            revision=SourceRevision(updated, self.item.version),
            fields=row,
        )

    def verdict(self, past: ItemHistory) -> Verdict:
        return check_history(WorkItem(record=self.record(), past=past)).verdict


def by_revisions(story: Story, ways: Sequence[Delivery], *, shuffled: bool, resolvable: bool) -> ItemHistory:
    """The past that revisions tell after their way."""
    delivered = [
        Revision(
            history_id=1,
            number=change.number,
            instant=datetime.fromtimestamp((change.at + way.jitter) / 1000, UTC),
            user=change.user.name,
            description=story.world.text(change),
            user_id=change.user.object_id,
        )
        for change, way in zip(story.item.changes, ways, strict=False)
        if way.arrives
    ]
    record, project = story.record(), story.item.values["Project"]

    def which(shape: Shape, name: str, place: ProjectAt, at: int) -> int | None:
        del at
        found = [
            each.object_id
            for each in story.world.company.records_of(shape.value)
            if each.name == name and each.values["Project"].name == place.name
        ]
        return found[0] if resolvable and len(found) == 1 else None

    return RevisionReader(FIELDS, which).read(
        delivered[::-1] if shuffled else delivered,
        project=ProjectAt(project.name, project.object_id),
        collections={"Tags": [each.name for each in story.item.values["Tags"]], "Milestones": []},
        present={
            name: str(record.fields[name] or "") if isinstance(record.fields[name], str) else _name(record.fields[name])
            for name in ("ScheduleState", "FlowState", "Owner")
        },
        texts=[story.item.values["Name"], story.item.values["BlockedReason"] or ""],
        newest=VersionAgreement().judge(
            delivered, updated_at=record.revision.updated_at, version=record.revision.version
        ),
    )


def _name(value: Any) -> str:
    return str(value["Name"]) if value else ""


def by_lookback(story: Story, ways: Sequence[Delivery]) -> ItemHistory:
    """The past that snapshots tell after their way."""
    every = list(iter_snapshots(story.world, story.item, EVERYTHING, until=2**60))
    delivered: list[Mapping[str, Any]] = [row for row, way in zip(every, ways, strict=False) if way.arrives]
    if not delivered:
        return ItemHistory(whole=False, up_to_date=False)
    reader = lookback.SnapshotReader(FIELDS)
    condensed = reader.summarize(delivered)

    def name_at(_: Shape, its_id: int, __: int) -> str:
        return str(story.world.company.by_id[its_id].name)

    return reader.to_history(condensed, name_at, up_to_date=True)


def check(story: Story, past: ItemHistory, ways: Sequence[Delivery]) -> None:
    """Hold a past against the truth."""
    left = story.truth()
    instants: dict[int, tuple[int, int]] = {}
    latest = 0
    for change, way in zip(story.item.changes, ways, strict=False):
        at = change.at + way.jitter
        latest = max(latest, at)
        instants[change.number] = (at, latest)

    def fits(told: FieldChange, happened: tuple[Change, str, Any, Any]) -> bool:
        change, name, old, new = happened
        first, last = instants[change.number]
        return (
            told.field == name
            and first <= told.at <= last
            and story.means(told.before, old)
            and story.means(told.after, new)
        )

    numbers: list[int] = []
    for told in past.changes:
        match = next((each for each in left if fits(told, each)), None)
        # Never the truth itself in a message: its text is that of the whole world, gigabytes.
        assert match is not None, f"{told} did not happen"
        left.remove(match)
        numbers.append(match[0].number)
    if story.verdict(past) is Verdict.COMPLETE:
        assert not [(change.number, name) for change, name, *_ in left]
        assert sorted(numbers) == numbers or any(way.jitter for way in ways)


def str_of(value: Any) -> str:
    """A value without all that it refers to."""
    return str([each.name for each in value]) if isinstance(value, list) else str(getattr(value, "name", value))


patient = settings(max_examples=80, deadline=None)
stories = st.lists(edits, min_size=1, max_size=8)


@patient
@given(
    steps=stories,
    ways=st.one_of(intact, deliveries),
    shuffled=st.booleans(),
    resolvable=st.booleans(),
    ties=st.booleans(),
)
def test_no_revision_tells_what_did_not_happen(
    steps: Any, ways: Sequence[Delivery], shuffled: bool, resolvable: bool, ties: bool
) -> None:
    story = Story(steps, ties=ties)
    if ties:
        # An item tells the instant of its newest save, and so not whether only one of several in it came.
        newest = len(story.item.changes) - 1
        assume(newest < len(ways))
        ways = [*ways[:newest], ways[newest]._replace(arrives=True), *ways[newest + 1 :]]
    check(story, by_revisions(story, ways, shuffled=shuffled, resolvable=resolvable), ways)


@patient
@given(steps=stories, ways=deliveries)
def test_no_snapshot_tells_what_did_not_happen(steps: Any, ways: Sequence[Delivery]) -> None:
    story = Story(steps)
    check(story, by_lookback(story, ways), [Delivery(way.arrives, 0) for way in ways])


@patient
@given(steps=stories, ways=st.one_of(intact, deliveries))
def test_both_sources_agree_wherever_both_are_complete(steps: Any, ways: Sequence[Delivery]) -> None:
    story = Story(steps)
    one, other = by_revisions(story, ways, shuffled=False, resolvable=True), by_lookback(story, intact_ways())
    if Verdict.COMPLETE is story.verdict(one) is story.verdict(other):
        assert [_plain(story, each) for each in one.changes] == [_plain(story, each) for each in other.changes]


def intact_ways() -> Sequence[Delivery]:
    return [Delivery(True, 0)] * 24


def _plain(story: Story, change: FieldChange) -> Mapping[str, Any]:
    """A change without what the sources tell differently by design: who deleted, names of timeboxes, and times."""

    def shown(value: Any) -> Any:
        if isinstance(value, tuple) and not isinstance(value, TimeboxValue):
            # Lookback tells today's names of labels, revisions those of the day.
            return sorted(
                map(str, (next((key for key, names in story.names.items() if each in names), each) for each in value))
            )
        return (
            next((key for key, names in story.names.items() if value.name in names), value.name)
            if isinstance(value, TimeboxValue)
            else value
        )

    return {"field": change.field, "before": shown(change.before), "after": shown(change.after)}


def test_whole_and_undisturbed_pasts_are_complete() -> None:
    steps = [([("ScheduleState", 1), ("Tags+", 2)], "edit", 400), ([("Iteration", 1), ("Owner", 2)], "edit", 400)]
    story = Story(steps)
    for past in (by_revisions(story, intact_ways(), shuffled=True, resolvable=True), by_lookback(story, intact_ways())):
        assert story.verdict(past) is Verdict.COMPLETE
        assert len(past.changes) >= 4
