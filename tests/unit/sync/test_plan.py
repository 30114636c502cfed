"""What a run asks for, decided without asking anybody."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from rally_accelerate.model.progress import Lane, Progress, Walk, Window
from rally_accelerate.rally.records import Project, Scope, Workspace
from rally_accelerate.sync import plan
from rally_accelerate.sync.progress_json import progress_from_json, progress_to_json

T0 = datetime(2026, 3, 1, tzinfo=UTC)
T1 = T0 + timedelta(minutes=5)
OVERLAP = timedelta(minutes=10)
STORY, DEFECT = "hierarchicalrequirement", "defect"


def scope(projects: int = 0, *, kinds: tuple[str, ...] = (STORY, DEFECT), query: str = "") -> Scope:
    return Scope(
        workspace=Workspace(object_id=1, name="W"),
        projects=tuple(Project(object_id=number, name=f"P{number}") for number in range(1, projects + 1)),
        kinds=kinds,
        query=query,
        now=T1,
    )


def walks(progress: Progress, its_scope: Scope) -> tuple[Walk, ...]:
    return plan.walks(plan.valid_progress(progress, its_scope, rules_version="r"), its_scope, overlap=OVERLAP)


def done(its_scope: Scope, at: datetime = T0) -> Progress:
    cursors = dict.fromkeys(plan.lanes_of(its_scope), at)
    return Progress(scope=its_scope.signature, rules_version="r", cursors=cursors)


def test_a_first_sync_of_the_whole_workspace_is_one_walk_per_kind() -> None:
    assert [(walk.kind, walk.projects, walk.window.since) for walk in walks(Progress(), scope())] == [
        (STORY, (), None),
        (DEFECT, (), None),
    ]


def test_a_first_sync_of_few_projects_walks_them_side_by_side() -> None:
    found = walks(Progress(), scope(3, kinds=(STORY,)))
    assert [walk.projects for walk in found] == [(1,), (2,), (3,)]


@given(st.integers(min_value=1, max_value=500))
def test_first_walks_cover_every_project_once_and_addresses_stay_short(projects: int) -> None:
    found = walks(Progress(), scope(projects, kinds=(STORY,)))
    covered = [project for walk in found for project in walk.projects]
    assert sorted(covered) == list(range(1, projects + 1))
    assert all(len(walk.projects) <= plan.MOST_PROJECTS_IN_A_WALK for walk in found)


def test_a_quiet_cycle_asks_once_per_kind_whatever_the_number_of_projects() -> None:
    its_scope = scope(40)
    found = walks(done(its_scope), its_scope)
    assert len(found) == 2
    assert {walk.window.since for walk in found} == {T0 - OVERLAP}


def test_a_project_that_comes_later_is_read_whole_beside_the_others_changes() -> None:
    found = walks(done(scope(2, kinds=(STORY,))), scope(3, kinds=(STORY,)))
    assert {(walk.projects, walk.window.since) for walk in found} == {((1, 2), T0 - OVERLAP), ((3,), None)}


def whole(*visible: int) -> Scope:
    return replace(scope(kinds=(STORY,)), visible=frozenset(visible))


def finished(progress: Progress, its_scope: Scope) -> Progress:
    progress = plan.valid_progress(progress, its_scope, rules_version="r")
    for walk in plan.walks(progress, its_scope, overlap=OVERLAP):
        progress = plan.finish(progress, walk)
    return progress


def test_in_a_whole_workspace_a_project_that_comes_into_sight_is_read_whole_once() -> None:
    after_first = finished(Progress(), whole(1, 2))
    assert [walk.projects for walk in walks(after_first, whole(1, 2))] == [()]
    found = walks(after_first, whole(1, 2, 3))
    assert {(walk.projects, walk.window.since) for walk in found} == {((), T1 - OVERLAP), ((3,), None)}
    after_second = finished(after_first, whole(1, 2, 3))
    assert [walk.projects for walk in walks(after_second, whole(1, 2, 3))] == [()]


def test_in_a_whole_workspace_a_project_that_was_out_of_sight_for_a_run_is_read_whole_again() -> None:
    without = finished(finished(Progress(), whole(1, 2)), whole(1))
    assert ((2,), None) in {(walk.projects, walk.window.since) for walk in walks(without, whole(1, 2))}


def test_a_project_that_was_out_of_sight_in_the_middle_of_a_first_walk_is_read_whole_after_it() -> None:
    began = plan.valid_progress(Progress(), whole(1, 2), rules_version="r")
    (walk,) = plan.walks(began, whole(1, 2), overlap=OVERLAP)
    halfway = progress_from_json(progress_to_json(plan.advance(began, walk, after=50)))
    without = plan.valid_progress(halfway, whole(1), rules_version="r")
    back = plan.valid_progress(without, whole(1, 2), rules_version="r")
    (rest,) = plan.walks(back, whole(1, 2), overlap=OVERLAP)
    assert rest.after == 50
    assert {each.projects for each in walks(plan.finish(back, rest), whole(1, 2))} == {(), (2,)}


def test_what_was_reached_is_where_the_slowest_lane_stands() -> None:
    its_scope = scope(2, kinds=(STORY,))
    assert plan.read_until(done(its_scope), its_scope) == T0
    # Nothing of a new project is held yet, so there is nothing in it to miss.
    assert plan.read_until(done(scope(1, kinds=(STORY,))), its_scope) == T0
    assert plan.read_until(Progress(), its_scope) is None
    later = replace(done(its_scope), cursors={Lane(STORY, 1): T1, Lane(STORY, 2): T0})
    assert plan.read_until(later, its_scope) == T0


def test_in_a_whole_workspace_projects_that_were_read_once_hold_nothing_back() -> None:
    progress = replace(
        finished(Progress(), whole(1, 2)), cursors={Lane(STORY): T1, Lane(STORY, 1): T0, Lane(STORY, 2): T0}
    )
    assert plan.read_until(progress, whole(1, 2)) == T1


def test_a_project_that_left_is_read_whole_when_it_comes_back() -> None:
    without = plan.valid_progress(done(scope(2, kinds=(STORY,))), scope(1, kinds=(STORY,)), rules_version="r")
    assert Lane(STORY, 2) not in without.cursors
    assert ((2,), None) in {(walk.projects, walk.window.since) for walk in walks(without, scope(2, kinds=(STORY,)))}


def test_another_filter_or_other_rules_begin_anew_but_keep_what_is_owed_in_this_scope() -> None:
    its_scope = scope()
    before = replace(done(its_scope), owed=frozenset({(STORY, 5)}))
    assert plan.valid_progress(before, scope(query="(Owner = null)"), rules_version="r").cursors == {}
    renewed = plan.valid_progress(before, its_scope, rules_version="other")
    assert (renewed.cursors, renewed.owed) == ({}, before.owed)


def test_an_unfinished_walk_goes_on_where_it_stood_and_nobody_else_walks_its_lanes() -> None:
    its_scope = scope(kinds=(STORY,))
    began = Walk(kind=STORY, started_at=T0)
    progress = plan.advance(plan.valid_progress(Progress(), its_scope, rules_version="r"), began, after=77)
    (walk,) = walks(progress, its_scope)
    assert (walk.after, walk.started_at) == (77, T0)
    finished = plan.finish(progress, walk)
    assert (finished.unfinished, finished.cursors) == ((), {Lane(STORY): T0})


def test_what_is_owed_is_asked_for_by_id_in_the_first_round_only() -> None:
    its_scope = scope(kinds=(STORY,))
    progress = replace(done(its_scope), owed=frozenset({(STORY, 9), (STORY, 4), (DEFECT, 1)}))
    valid = plan.valid_progress(progress, its_scope, rules_version="r")
    assert [walk.only for walk in plan.walks(valid, its_scope, overlap=OVERLAP)] == [(), (4, 9)]
    assert [walk.only for walk in plan.walks(valid, its_scope, overlap=OVERLAP, without=frozenset())] == [()]
    assert plan.finish(valid, Walk(kind=STORY, only=(4, 9), started_at=T1)).cursors == valid.cursors


lanes = st.builds(Lane, st.sampled_from([STORY, DEFECT]), st.integers(0, 5))
instants = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - made aware by the strategy
some_walks = st.builds(
    Walk,
    kind=st.sampled_from([STORY, DEFECT]),
    projects=st.lists(st.integers(1, 9), max_size=3).map(tuple),
    window=st.builds(Window, st.none() | instants),
    started_at=instants,
    after=st.integers(0, 10**12),
)


@given(
    st.builds(
        Progress,
        scope=st.text(),
        rules_version=st.text(),
        cursors=st.dictionaries(lanes, instants, max_size=4),
        unfinished=st.lists(some_walks, max_size=3).map(tuple),
        owed=st.frozensets(st.tuples(st.sampled_from([STORY, DEFECT]), st.integers(1, 99)), max_size=4),
    )
)
def test_progress_survives_being_written_down(progress: Progress) -> None:
    assert progress_from_json(progress_to_json(progress)) == progress
