"""Keep what lists of issues show beside their content, and a mark that rises with every change."""

import sqlalchemy as sa
from alembic import op

from rally_accelerate.host.store.summary import summary

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

#: So many issues are read and filled in at once.
BATCH = 500


def upgrade() -> None:
    """Bring the tables forward."""
    with op.batch_alter_table("issues") as batch_op:
        for column in (
            sa.Column("priority", sa.Text(), nullable=True),
            sa.Column("creator", sa.Text(), nullable=True),
            sa.Column("project", sa.Text(), nullable=True),
            sa.Column("url", sa.Text(), nullable=True),
            sa.Column("sprints", sa.JSON(), nullable=True),
            sa.Column("releases", sa.JSON(), nullable=True),
            sa.Column("labels", sa.JSON(), nullable=True),
            sa.Column("created", sa.BigInteger(), nullable=True),
            sa.Column("status_since", sa.BigInteger(), nullable=True),
            sa.Column("changes", sa.Integer(), nullable=True),
        ):
            batch_op.add_column(column)
    op.create_table(
        "marks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_marks")),
    )
    _fill(op.get_bind())


def _fill(connection: sa.Connection) -> None:
    known = sa.MetaData()
    issues = sa.Table("issues", known, autoload_with=connection)
    history = sa.Table("issue_history", known, autoload_with=connection)
    key = sa.tuple_(issues.c.tracker_id, issues.c.external_id)
    last = ("", "")
    while True:
        query = sa.select(issues.c.tracker_id, issues.c.external_id, issues.c.content).where(key > last)
        some = connection.execute(query.order_by(issues.c.tracker_id, issues.c.external_id).limit(BATCH)).all()
        if not some:
            return
        for row in some:
            its = (history.c.tracker_id == row.tracker_id) & (history.c.external_id == row.external_id)
            past = connection.execute(sa.select(history.c.instant, history.c.content).where(its)).all()
            entries = [{"timestamp": entry.instant, "content": entry.content} for entry in past]
            where = (issues.c.tracker_id == row.tracker_id) & (issues.c.external_id == row.external_id)
            connection.execute(sa.update(issues).where(where).values(summary(row.content, entries)))
        last = (some[-1].tracker_id, some[-1].external_id)
