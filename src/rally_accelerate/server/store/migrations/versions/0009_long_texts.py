"""Have long texts stand beside the facts, so that a description is found by a part of it without reading all issues.

The facts are written by today's code (``facts`` and ``add_facts``), as 0006 does with words and short rows, and not by
a copy of what it was then: they hold nothing but what the issues say, and must be what the queries of the program that
starts expect. Where that code comes to need tables that are not there yet, this migration leaves the facts to a later
one.
"""

import logging

import sqlalchemy as sa
from alembic import op

from rally_accelerate.dql.index_terms import build_facts
from rally_accelerate.server.store.issue_writer import add_facts

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

log = logging.getLogger(__name__)

#: From this number of issues on, the start-up prints why it takes a while.
MANY = 10_000

#: So many issues are read and written at once.
BATCH = 5_000


def upgrade() -> None:
    """Bring the tables forward; what queries ask of issues is written again, as its rules changed."""
    op.create_table(
        "long_texts",
        sa.Column("name", sa.Integer(), nullable=False),
        sa.Column("issue", sa.Integer(), nullable=False),
        sa.Column("part", sa.BigInteger(), nullable=False),
        sa.Column("folded", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", "issue", "part", name=op.f("pk_long_texts")),
        sqlite_with_rowid=False,
    )
    op.execute("DELETE FROM facts")
    connection = op.get_bind()
    count = connection.exec_driver_sql("SELECT count(*) FROM issue_contents").scalar_one()
    if count > MANY:
        log.info("the database is brought up to date, once: of %s issues about 1,000 a second", f"{count:,}")
    contents = sa.table("issue_contents", sa.column("number", sa.Integer), sa.column("content", sa.JSON))
    query = sa.select(contents).order_by(contents.c.number).limit(BATCH)
    last = 0
    while some := connection.execute(query.where(contents.c.number > last)).all():
        add_facts(connection, [(row.number, fact) for row in some for fact in build_facts(row.content)])
        last = some[-1].number
