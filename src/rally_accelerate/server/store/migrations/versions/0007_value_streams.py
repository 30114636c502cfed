"""Keep value streams with every version of them."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    op.create_table(
        "value_streams",
        sa.Column("id", sa.String(length=24), nullable=False),
        sa.Column("pipeline_id", sa.String(length=24), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("folded_name", sa.Text(), nullable=False),
        sa.Column("team", sa.JSON(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("last_update", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_value_streams")),
        sa.UniqueConstraint("pipeline_id", name=op.f("uq_value_streams_pipeline_id")),
    )
    op.create_index(
        op.f("ix_value_streams_tenant_id_folded_name"), "value_streams", ["tenant_id", "folded_name"], unique=True
    )
    op.create_table(
        "value_stream_versions",
        sa.Column("stream_id", sa.String(length=24), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("instant", sa.BigInteger(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["stream_id"], ["value_streams.id"], name=op.f("fk_value_stream_versions_stream_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("stream_id", "version", name=op.f("pk_value_stream_versions")),
    )
