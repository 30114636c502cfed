"""What is kept of a progress when the scope or the rules change, and which walks follow from it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from rally_accelerate.model.progress import ALL_PROJECTS, Lane, Learned, Progress, Walk, Window
from rally_accelerate.rally.records import Project, Scope, Workspace
from rally_accelerate.sync import plan

T0 = datetime(2026, 3, 1, tzinfo=UTC)
T1 = T0 + timedelta(minutes=5)
OVERLAP = timedelta(minutes=2)
STORY, DEFECT = "hierarchicalrequirement", "defect"


def scope(*projects: int, visible: tuple[int, ...] = (), query: str = "", kinds: tuple[str, ...] = (STORY,)) -> Scope:
    """Return a scope at the later instant."""
    return Scope(
        workspace=Workspace(object_id=9, name="W"),
        projects=tuple(Project(object_id=each, name=f"P{each}") for each in projects),
        kinds=kinds,
        query=query,
        now=T1,
        visible=frozenset(visible),
    )


def progress(its_scope: Scope, **more: object) -> Progress:
    """Return a progress with everything that may have to be kept."""
    values: dict[str, object] = {
        "scope": its_scope.signature,
        "rules_version": "r",
        "owed": frozenset({(STORY, 5)}),
        "missing": {3: T0},
        "listed_at": T0,
        "learned": Learned(key="k", at=T0),
        **more,
    }
    return Progress(**values)  # type: ignore[arg-type]


def test_other_rules_in_the_same_scope_keep_what_is_known_about_items() -> None:
    before = progress(scope())
    after = plan.valid_progress(before, scope(), rules_version="other", reads=frozenset({"A"}))
    assert after == Progress(
        scope=before.scope,
        rules_version="other",
        read_with=frozenset({"A"}),
        owed=before.owed,
        missing=before.missing,
        listed_at=T0,
        learned=before.learned,
    )


def test_another_scope_keeps_only_what_was_learned_about_the_service() -> None:
    before = progress(scope())
    other = scope(query='(Name = "x")')
    after = plan.valid_progress(before, other, rules_version="r", reads=frozenset({"A"}))
    assert after == Progress(
        scope=other.signature, rules_version="r", read_with=frozenset({"A"}), learned=before.learned
    )


def test_a_first_walk_begins_at_the_date_that_is_wanted_and_a_later_one_at_the_cursor() -> None:
    whole = scope(visible=(1, 2))
    began = replace(plan.valid_progress(Progress(), whole, rules_version="r"), since=T0)
    (first,) = plan.walks(began, whole, overlap=OVERLAP)
    assert (first.window, first.covers, first.started_at) == (Window(T0), (1, 2), T1)
    after = plan.finish(began, first)
    (later,) = plan.walks(after, whole, overlap=OVERLAP)
    assert (later.window, later.covers) == (Window(T1 - OVERLAP), ())


def test_walks_of_single_projects_cover_only_them() -> None:
    (walk,) = plan.walks(plan.valid_progress(Progress(), scope(1), rules_version="r"), scope(1), overlap=OVERLAP)
    assert (walk.projects, walk.covers) == ((1,), ())
    visible = scope(1, visible=(1, 2))
    (walk,) = plan.walks(plan.valid_progress(Progress(), visible, rules_version="r"), visible, overlap=OVERLAP)
    assert (walk.projects, walk.covers) == ((1,), ())


def test_what_is_owed_is_asked_for_at_the_clock_of_the_service() -> None:
    before = plan.valid_progress(progress(scope()), scope(), rules_version="r")
    owed = [walk for walk in plan.walks(before, scope(), overlap=OVERLAP) if walk.only]
    assert [(walk.kind, walk.only, walk.started_at) for walk in owed] == [(STORY, (5,), T1)]


def test_walks_over_a_window_say_nothing_about_cursors() -> None:
    window = Window(T0, T1)
    whole = plan.walks_over(scope(visible=(1, 2), kinds=(STORY, DEFECT)), window)
    assert whole == tuple(
        Walk(kind=kind, projects=(), window=window, started_at=T1, aside=True) for kind in (STORY, DEFECT)
    )
    eight = range(1, 9)
    assert [walk.projects for walk in plan.walks_over(scope(*eight), window)] == [tuple(eight)]
    unbounded = plan.walks_over(scope(*eight), Window(None, T1))
    assert [walk.projects for walk in unbounded] == [(1, 2), (3, 4), (5, 6), (7, 8)]
    (walk, *_) = unbounded
    assert plan.advance(progress(scope()), walk, after=5) == progress(scope())


def test_a_walk_of_owed_items_is_not_resumed() -> None:
    before = progress(scope())
    assert plan.advance(before, Walk(kind=STORY, only=(5,), started_at=T1), after=5) == before


def test_a_walk_that_advances_replaces_itself_and_no_other() -> None:
    one, other = Walk(kind=STORY, started_at=T0), Walk(kind=DEFECT, started_at=T0)
    before = progress(scope(), unfinished=(one, other))
    after = plan.advance(before, one, after=7)
    assert after.unfinished == (other, replace(one, after=7))
    assert plan.finish(after, one).unfinished == (other,)


def test_projects_of_a_whole_workspace_are_walked_by_themselves_only_after_it() -> None:
    whole = scope(visible=(1,))
    only_project = Progress(scope=whole.signature, rules_version="r", cursors={Lane(STORY, 1): T0})
    assert [walk.projects for walk in plan.walks(only_project, whole, overlap=OVERLAP)] == [()]
    only_whole = replace(only_project, cursors={Lane(STORY, ALL_PROJECTS): T0})
    assert {walk.projects for walk in plan.walks(only_whole, whole, overlap=OVERLAP)} == {(), (1,)}


def test_items_that_carry_timeboxes_are_walked_in_parts_of_a_bounded_address() -> None:
    boxes = tuple(range(1, 2 * plan.MOST_CARRIED_IN_A_WALK + 2))
    walks = plan.walks_carrying(scope(kinds=(STORY, DEFECT)), "Iteration", boxes, since=T0)
    assert [walk.kind for walk in walks] == [STORY] * 3 + [DEFECT] * 3
    assert {(walk.field, walk.window, walk.started_at, walk.only) for walk in walks} == {
        ("Iteration", Window(T0), T1, ())
    }
    for kind in (STORY, DEFECT):
        parts = [walk.carrying for walk in walks if walk.kind == kind]
        assert [len(part) for part in parts] == [plan.MOST_CARRIED_IN_A_WALK] * 2 + [1]
        assert tuple(box for part in parts for box in part) == boxes


def test_items_that_left_timeboxes_are_asked_for_by_their_ids_once() -> None:
    boxes = tuple(range(1, plan.MOST_CARRIED_IN_A_WALK + 2))
    walks = plan.walks_carrying(scope(kinds=(STORY, DEFECT)), "Release", boxes, since=None, removed={9, 7})
    asked = [(walk.kind, walk.only, walk.carrying) for walk in walks if walk.only]
    first = boxes[: plan.MOST_CARRIED_IN_A_WALK]
    assert asked == [(STORY, (7, 9), first), (DEFECT, (7, 9), first)]
    assert len([walk for walk in walks if not walk.only]) == 4
    assert {walk.window for walk in walks} == {Window(None)}


def test_kinds_that_carry_no_timebox_are_not_asked_for_any() -> None:
    kinds = ("portfolioitem/feature", "testcase", STORY)
    of = {
        field: [walk.kind for walk in plan.walks_carrying(scope(kinds=kinds), field, (1,), since=None, removed=(5,))]
        for field in ("Iteration", "Release", "Other")
    }
    assert of == {
        "Iteration": [STORY, STORY],
        "Release": ["portfolioitem/feature", STORY] * 2,
        "Other": [*kinds, *kinds],
    }


def test_walks_over_timeboxes_are_resumed_each_for_itself() -> None:
    one, other = plan.walks_carrying(scope(), "Iteration", (1,), since=None, removed=(5,))
    both = plan.advance(plan.advance(progress(scope()), one, after=3), other, after=4)
    assert both.unfinished == (replace(one, after=3), replace(other, after=4))
    assert plan.finish(both, one).unfinished == (replace(other, after=4),)
    (release,) = plan.walks_carrying(scope(), "Release", (1,), since=None)
    (second,) = plan.walks_carrying(scope(), "Iteration", (2,), since=None)
    assert len({plan.identity(each) for each in (one, other, release, second)}) == 4


def test_an_unfinished_walk_of_a_kind_that_is_no_longer_read_is_forgotten() -> None:
    walks = plan.walks_carrying(scope(kinds=(STORY, DEFECT)), "Iteration", (1,), since=None)
    before = progress(scope(), unfinished=walks)
    assert plan.valid_progress(before, scope(), rules_version="r").unfinished == walks[:1]


def test_projects_that_left_the_scope_are_remembered_until_they_come_back() -> None:
    all_three = scope(1, 2, 3)
    read = plan.valid_progress(Progress(), all_three, rules_version="r")
    assert read.former == frozenset()
    first, second, third = plan.walks(read, all_three, overlap=OVERLAP)
    # Of the third one only a part was read.
    read = plan.advance(plan.finish(plan.finish(read, first), second), third, after=5)
    fewer = plan.valid_progress(read, scope(1), rules_version="r")
    assert fewer.former == {2, 3}
    for rules in ("r", "other"):
        later = plan.valid_progress(fewer, scope(1), rules_version=rules)
        assert later.former == {2, 3}
        assert plan.valid_progress(later, scope(1, 2), rules_version=rules).former == {3}
    other = plan.valid_progress(fewer, scope(3, query='(Name = "x")'), rules_version="r")
    assert other.former == {1, 2}


def test_a_whole_workspace_is_no_project_that_could_be_left() -> None:
    whole = scope(visible=(1, 2))
    (walk,) = plan.walks(plan.valid_progress(Progress(), whole, rules_version="r"), whole, overlap=OVERLAP)
    read = plan.finish(plan.valid_progress(Progress(), whole, rules_version="r"), walk)
    assert plan.valid_progress(read, whole, rules_version="r").former == frozenset()
    assert plan.valid_progress(read, scope(1), rules_version="r").former == {2}
