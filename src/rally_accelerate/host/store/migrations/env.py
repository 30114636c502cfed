"""Runs the migrations; called by ``database.upgrade`` only."""

import sqlalchemy as sa
from alembic import context

from rally_accelerate.host.store.tables import metadata

engine = sa.create_engine(context.config.attributes["url"])
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
