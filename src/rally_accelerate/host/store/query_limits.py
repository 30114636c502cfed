"""What one query can cost the server.

Most comparisons are answered by an index. Some, such as those on histories, must be evaluated for every issue: each
takes a thread, and time from everyone else. So a query of a viewer can have only some of them, and its evaluation ends
after a number of issues and a time.
"""

import time

from rally_accelerate.dql import sql
from rally_accelerate.dql.parse import parse
from rally_accelerate.dql.tree import Query, leaves
from rally_accelerate.errors import QueryError, QueryTooSlow
from rally_accelerate.host.store.answers import NUMBERS

#: Comparisons in one query that must be evaluated for every issue.
MOST_SLOW = 20

#: Evaluations for one query: its slow comparisons times the issues that each is evaluated for.
MOST_EVALUATIONS = 400_000

#: The time for the evaluation of one query, without the time that it waits for its turn.
SECONDS = 30.0

HINT = "Use fewer comparisons with histories and other fields that have no index, or narrow the query by other fields."


def parse_limited(text: str) -> Query:
    """Parse the query of a viewer.

    Raises:
        QueryError: It cannot be read, or has too many comparisons that must be evaluated for every issue.
    """
    query = parse(text)
    slow = [leaf for leaf in leaves(query) if sql.is_slow(leaf, NUMBERS)]
    if len(slow) > MOST_SLOW:
        first = slow[MOST_SLOW]
        raise QueryError(
            f"the query has {len(slow)} comparisons that must be evaluated for every issue, such as those with "
            f"histories; at most {MOST_SLOW} are allowed",
            line=first.line,
            column=first.column,
        )
    return query


class Budget:
    """What is left for the evaluation of one query."""

    def __init__(self, *, seconds: float, evaluations: int) -> None:
        self._left = evaluations
        self._ends = time.monotonic() + seconds

    def spend(self, evaluations: int) -> None:
        """Take some evaluations from the budget before they are made.

        Raises:
            QueryTooSlow: So much is not left.
        """
        self._left -= evaluations
        if self._left < 0:
            text = f"the query needs more than {MOST_EVALUATIONS:,} evaluations of single issues"
            raise QueryTooSlow(text, hint=HINT)
        if time.monotonic() > self._ends:
            raise out_of_time()


def out_of_time() -> QueryTooSlow:
    """Return the error of a query whose time is over."""
    return QueryTooSlow(f"the query was stopped after {SECONDS:.0f} seconds", hint=HINT)
