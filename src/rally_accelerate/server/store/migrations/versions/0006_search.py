"""Make issues searchable: short rows for lists, facts for queries, words for texts, and marks of what changed."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from rally_accelerate.server.store.issue_writer import extract_words, summarize
from rally_accelerate.server.store.sqlite import add_words

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

#: So many issues are read and written at once.
BATCH = 500

SORTED = (
    "last_update",
    "created",
    "display_id",
    "name",
    "status",
    "type",
    "priority",
    "owner",
    "project",
    "story_points",
    "status_since",
)


def upgrade() -> None:
    """Bring the tables forward."""
    op.rename_table("issues", "old_issues")
    op.rename_table("issue_history", "old_history")
    for name in (
        "ix_issues_last_update_tracker_id_external_id",
        "ix_issues_tenant_id_display_id",
        "ix_issues_tenant_id_project_key",
        "ix_issue_history_field_instant",
    ):
        op.drop_index(name)
    _make()
    connection = op.get_bind()
    for number, some in enumerate(_batches(connection)):
        _write(connection, number * BATCH + 1, some)
    op.drop_table("old_history")
    op.drop_table("old_issues")
    # Last: each of them is filled in one go.
    op.create_index("ix_issues_tracker_id_external_id", "issues", ["tracker_id", "external_id"], unique=True)
    op.create_index("ix_issues_tenant_id_display_id", "issues", ["tenant_id", "display_id"])
    op.create_index("ix_issues_tenant_id_external_id", "issues", ["tenant_id", "external_id"])
    op.create_index("ix_issues_tenant_id_last_update", "issues", ["tenant_id", "last_update"])
    op.create_index(
        "ix_issues_tenant_id_project_key_last_update", "issues", ["tenant_id", "project_key", "last_update"]
    )
    for name in ("mark", *SORTED):
        op.create_index(f"ix_issues_{name}", "issues", [name])


def _make() -> None:
    op.create_table(
        "issues",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("tracker_id", "external_id", "tenant_id", "source")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("display_id", "name", "status", "type")),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("priority", "owner", "creator")),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("project_key", "project")),
        sa.Column("story_points", sa.Float(), nullable=True),
        sa.Column("url", sa.Text(), nullable=False),
        *(sa.Column(name, sa.JSON(), nullable=False) for name in ("sprints", "releases", "labels")),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("created", "last_update", "status_since")),
        sa.Column("changes", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("uploaded", "mark")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_issues")),
    )
    op.create_table(
        "issue_contents",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_issue_contents")),
    )
    op.create_table(
        "issue_history",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("instant", sa.BigInteger(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("number", "position", name=op.f("pk_issue_history")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "marks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_marks")),
    )
    op.create_table(
        "fact_names",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fact_names")),
        sa.UniqueConstraint("name", name=op.f("uq_fact_names_name")),
    )
    op.create_table(
        "facts",
        sa.Column("name", sa.Integer(), nullable=False),
        sa.Column("folded", sa.Text(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("issue", sa.Integer(), nullable=False),
        sa.Column("number", sa.Float(), nullable=True),
        sa.Column("moment", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("name", "folded", "kind", "issue", name=op.f("pk_facts")),
        sqlite_with_rowid=False,
    )
    op.execute(
        "CREATE VIRTUAL TABLE issue_words "
        "USING fts5(words, content='', tokenize='ascii', detail=none, columnsize=0, prefix='2 3')"
    )
    op.execute("INSERT INTO marks (name, value) VALUES ('issues', 1)")


def _batches(connection: sa.Connection) -> Iterator[list[Any]]:
    old = sa.Table("old_issues", sa.MetaData(), autoload_with=connection)
    key = (old.c.tracker_id, old.c.external_id)
    last = ("", "")
    while True:
        query = sa.select(old).where(sa.tuple_(*key) > last).order_by(*key).limit(BATCH)
        some = list(connection.execute(query).all())
        if not some:
            return
        yield some
        last = (some[-1].tracker_id, some[-1].external_id)


def _write(connection: sa.Connection, first: int, some: list[Any]) -> None:
    known = sa.MetaData()
    issues, contents, history, old = (
        sa.Table(name, known, autoload_with=connection)
        for name in ("issues", "issue_contents", "issue_history", "old_history")
    )
    rows, bodies, changes, words = [], [], [], []
    for number, row in enumerate(some, first):
        its = (old.c.tracker_id == row.tracker_id) & (old.c.external_id == row.external_id)
        past = connection.execute(sa.select(old).where(its).order_by(old.c.position)).all()
        entries = [{"timestamp": entry.instant, "content": entry.content} for entry in past]
        kept = ("tracker_id", "external_id", "tenant_id", "source", "uploaded")
        rows.append(
            {"number": number, "mark": 1, **{name: getattr(row, name) for name in kept}}
            | summarize(row.content, entries)
        )
        bodies.append({"number": number, "content": row.content})
        changes += [
            {
                "number": number,
                "position": entry.position,
                "instant": entry.instant,
                "field": entry.field,
                "content": entry.content,
            }
            for entry in past
        ]
        words.append((number, extract_words(row.content)))
    connection.execute(sa.insert(issues), rows)
    connection.execute(sa.insert(contents), bodies)
    if changes:
        connection.execute(sa.insert(history), changes)
    add_words(connection, words)
