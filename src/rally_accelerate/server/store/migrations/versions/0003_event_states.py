"""Keep what is asked of the next run of an event."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    with op.batch_alter_table("integrations") as batch_op:
        batch_op.add_column(sa.Column("event_states", sa.JSON(), nullable=True))
