"""From texts to trees, and from mistakes to their places."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rally_accelerate.dql.ast import EVERYTHING, And, Comparison, Not, Operator, Or, Query, Value
from rally_accelerate.dql.parser import MAX_DEPTH, MAX_LENGTH, parse
from rally_accelerate.errors import QueryError

#: As public files of value streams have them (accelerate-api-notes.md#value-stream-queries).
EXAMPLES = [
    'issue.status = "In Progress"',
    'issue.owner = "John Doe"',
    "issue.status != Done",
    "issue.type=Defects",
    "issue.id=SAMPL000000012",
    "issue.project.name=Classic",
    'issue.rawIssue.customer="Customer A"',
    "issue.businessValue > 0",
    'issue.url = "https://rally.example/#/detail/userstory/1"',
    "pr.number > 5",
    "pr.status=open",
    "pr.labels!='PendingReview'",
    "issue.status='In Review' AND pr.status=open",
    "(issue.status='In Progress' OR pr.status=open) AND issue.type=Story",
    "build.status=success AND deployment.env!=DEV",
    "deployment.env = 'QA' and deployment.env != 'PROD' and pr.status = 'completed'",
    "build.endTime < 1d",
    "pr.assignees.count != 0",
]


@pytest.mark.parametrize("text", EXAMPLES)
def test_public_examples_are_read(text: str) -> None:
    assert parse(text) != EVERYTHING


def comparison(path: str, operator: Operator, *values: Value) -> Comparison:
    item, *rest = path.split(".")
    return Comparison(item, tuple(rest), operator, values)


def bare(query: Query) -> Query:
    """The tree without places."""
    match query:
        case Comparison(item, path, operator, values):
            return Comparison(item, path, operator, values)
        case Not(operand):
            return Not(bare(operand))
        case And(operands):
            return And(tuple(map(bare, operands)))
        case Or(operands):
            return Or(tuple(map(bare, operands)))


A, B, C = (comparison("issue.status", Operator.EQUAL, Value(letter)) for letter in "abc")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", EVERYTHING),
        (" \n ", EVERYTHING),
        ("issue.status=a", A),
        ("ISSUE.status=a", A),
        ("not issue.status=a", Not(A)),
        ("NOT NOT issue.status=a", Not(Not(A))),
        ("issue.status=a and issue.status=b or issue.status=c", Or((And((A, B)), C))),
        ("issue.status=a or issue.status=b and issue.status=c", Or((A, And((B, C))))),
        ("(issue.status=a or issue.status=b) and issue.status=c", And((Or((A, B)), C))),
        ("issue.status in (a, 'b')", comparison("issue.status", Operator.AMONG, Value("a"), Value("b"))),
        ("issue.status NOT IN (a)", Not(comparison("issue.status", Operator.AMONG, Value("a")))),
        ("issue.labels contains x", comparison("issue.labels", Operator.CONTAINS, Value("x"))),
        ("issue.status=android", comparison("issue.status", Operator.EQUAL, Value("android"))),
        (r"issue.status='it\'s'", comparison("issue.status", Operator.EQUAL, Value("it's"))),
        ("issue.storyPoints>=2.5", comparison("issue.storyPoints", Operator.AT_LEAST, Value("2.5", number=2.5))),
        ("issue.created<2w", comparison("issue.created", Operator.LESS, Value("2w", age=timedelta(weeks=2)))),
        ("issue.rawIssue.x<'2w'", comparison("issue.rawIssue.x", Operator.LESS, Value("2w"))),
        (
            "issue.created>2026-01-31",
            comparison("issue.created", Operator.MORE, Value("2026-01-31", instant=datetime(2026, 1, 31, tzinfo=UTC))),
        ),
    ],
)
def test_trees(text: str, tree: Query) -> None:
    assert bare(parse(text)) == tree


@pytest.mark.parametrize(
    ("text", "line", "column", "word"),
    [
        ("issue.status", 1, 13, "ends too early"),
        ("issue.status =", 1, 15, "ends too early"),
        ("issue.status = a b", 1, 18, "'b' does not belong here"),
        ("issue.status = a and", 1, 21, "ends too early"),
        ("issue.status = 'a", 1, 16, "a quote that is not closed"),
        ("(issue.status = a", 1, 18, "ends too early"),
        ("issue.status = a)", 1, 17, "')' does not belong here"),
        ("issue.status = a\nand isue.type = b", 2, 5, "did you mean issue?"),
        ("status = a", 1, 1, "did you mean issue.status?"),
        ("issue = a", 1, 1, "names no field"),
        ("issue..x = a", 1, 1, "names no field"),
        ("issue.status in ()", 1, 18, "does not belong here"),
        ("issue.status == a", 1, 15, "use one =, not =="),
        ("issue.status = In Progress", 1, 19, "put 'In Progress' in quotes"),
        ("issue.status = Ready to  Test and issue.x = 1", 1, 22, "put 'Ready to  Test' in quotes"),
        ("issue.status in (Done, In Review)", 1, 27, "put 'In Review' in quotes"),
        ("(issue.status contains In Review)", 1, 27, "put 'In Review' in quotes"),
        ("issue.status = Not in order", 1, 20, "put 'Not in order' in quotes"),
        ("= a", 1, 1, "does not belong here"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, line: int, column: int, word: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text)
    error = caught.value
    assert (error.line, error.column) == (line, column), error
    assert word in str(error)


def test_what_would_have_been_right_is_told_in_words() -> None:
    with pytest.raises(QueryError) as caught:
        parse("issue.status")
    assert set(caught.value.expected) == {"one of = != < <= > >=", "IN", "CONTAINS", "NOT"}

    with pytest.raises(QueryError) as caught:
        parse("issue.status =")
    assert caught.value.expected == ("a value, in quotes where it holds spaces",)


@pytest.mark.parametrize("text", ["issue.status = Done issue.x = 1", "issue.status = 'In' Progress", "issue.a = b (c"])
def test_no_quotes_are_advised_where_others_are_missing(text: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text)
    assert "put" not in str(caught.value)
    assert caught.value.expected


@pytest.mark.parametrize(
    "text",
    ["(" * 5000 + "issue.x=1" + ")" * 5000, "not " * 2000 + "issue.x=1", "x" * (MAX_LENGTH + 1)],
)
def test_hostile_texts_are_refused(text: str) -> None:
    with pytest.raises(QueryError):
        parse(text)


def test_honest_depth_is_read() -> None:
    deep = "(" * MAX_DEPTH + "issue.x=1" + ")" * MAX_DEPTH
    assert bare(parse(deep)) == comparison("issue.x", Operator.EQUAL, Value("1", number=1.0))


@given(st.text(alphabet="isue.xa =!<>()'\"\\,andorti n1d-\n", max_size=60))
def test_any_text_is_a_query_or_a_mistake(text: str) -> None:
    fault = None
    try:
        parse(text)
    except QueryError as error:
        fault = error
    assert fault is None or 1 <= fault.line <= text.count("\n") + 1
