"""Compare texts without regard to typography: no-break spaces, dashes, quotes, invisible and wide characters.

What queries look at is folded when it is stored (``model/text_folding.py``). Only issues that have such characters are
written again; the columns kept in memory are read again.
"""

import json
import re

import sqlalchemy as sa
from alembic import op

from rally_accelerate.dql.index_terms import build_facts
from rally_accelerate.model.text_folding import REPLACED
from rally_accelerate.server.store.issue_writer import add_facts

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

#: So many issues are read and written at once.
BATCH = 2_000


def upgrade() -> None:
    """Make the facts of the issues again whose texts fold otherwise now."""
    connection = op.get_bind()
    op.execute("DELETE FROM snapshots")
    contents = sa.table("issue_contents", sa.column("number", sa.Integer), sa.column("content", sa.JSON))
    text = sa.type_coerce(contents.c.content, sa.Text)
    # Also what JSON may have written as an escape.
    has_one = re.compile(f"[{re.escape(''.join(sorted(REPLACED)))}]|\\\\u").search
    query = sa.select(contents.c.number, text.label("text")).order_by(contents.c.number).limit(BATCH)
    concerned: list[int] = []
    last = 0
    while some := connection.execute(query.where(contents.c.number > last)).all():
        last = some[-1].number
        concerned += [row.number for row in some if has_one(row.text)]
    # At once: no index of these tables begins with the issue.
    for table in ("facts", "long_texts"):
        connection.exec_driver_sql(
            f"DELETE FROM {table} WHERE issue IN (SELECT value FROM json_each(?))",  # noqa: S608 - two names of ours
            (json.dumps(concerned),),
        )
    for start in range(0, len(concerned), BATCH):
        numbers = json.dumps(concerned[start : start + BATCH])
        among = sa.text("number IN (SELECT value FROM json_each(:numbers))").bindparams(numbers=numbers)
        rows = connection.execute(sa.select(contents.c.number, contents.c.content).where(among)).all()
        add_facts(connection, [(row.number, fact) for row in rows for fact in build_facts(row.content)])
