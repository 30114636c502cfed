"""Runs the migrations; called by ``database.upgrade`` only."""

import sqlalchemy as sa
from alembic import context

from rally_accelerate.server.store import sqlite
from rally_accelerate.server.store.tables import metadata

engine = sa.create_engine(context.config.attributes["url"])
# All or nothing: a migration that was stopped half-way must not leave tables that neither version knows.
sa.event.listen(engine, "connect", sqlite.disable_implicit_transactions)
sa.event.listen(engine, "begin", sqlite.begin)
with engine.connect().execution_options(writes=True) as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
