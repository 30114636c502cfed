"""Keep a run's log line by line while it continues, and which run wrote an issue."""

import re

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (DEBUG|INFO|WARNING|ERROR|CRITICAL) +(.*)", re.DOTALL)


def upgrade() -> None:
    """Bring the tables forward; logs that are there become lines."""
    lines = op.create_table(
        "execution_lines",
        sa.Column("execution_id", sa.String(length=24), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("instant", sa.BigInteger(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name=op.f("fk_execution_lines_execution_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("execution_id", "position", name=op.f("pk_execution_lines")),
    )
    executions = sa.table(
        "executions", sa.column("id", sa.Text), sa.column("started", sa.BigInteger), sa.column("log", sa.Text)
    )
    connection = op.get_bind()
    # One run at a time: all logs together may be large.
    for its_id, started in connection.execute(sa.select(executions.c.id, executions.c.started)).all():
        log = connection.execute(sa.select(executions.c.log).where(executions.c.id == its_id)).scalar_one()
        rows: list[dict[str, object]] = []
        for line in log.splitlines():
            found = _LINE.fullmatch(line)
            level, text = (found[1], found[2]) if found else ("INFO", line)
            place = {"execution_id": its_id, "position": len(rows) + 1, "instant": started}
            rows.append({**place, "level": level, "text": text})
        if rows:
            connection.execute(sa.insert(lines), rows)
    with op.batch_alter_table("executions") as batch_op:
        batch_op.drop_column("log")
        batch_op.create_index(batch_op.f("ix_executions_started"), ["started"])
    with op.batch_alter_table("issues") as batch_op:
        batch_op.add_column(sa.Column("execution_id", sa.String(length=24), nullable=True))
