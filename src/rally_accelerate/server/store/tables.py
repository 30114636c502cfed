"""The tables. Instants are epoch milliseconds (UTC): they sort, compare and index alike on every database.

The history has a separate table with one row per change: metrics and queries read changes of many issues, and an index
finds a row where JSON would have to be parsed completely.
"""

import secrets
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    event,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: Words without a text of their own: what was indexed can be made again from the issue (``store/words.py``). Texts come
#: split into folded words, so the simplest tokenizer does; without positions the index is a third of the size.
CREATE_WORDS = (
    "CREATE VIRTUAL TABLE issue_words "
    "USING fts5(words, content='', tokenize='ascii', detail=none, columnsize=0, prefix='2 3')"
)

#: What pages of issues are sorted by.
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

integrations = Table(
    "integrations",
    metadata,
    Column("id", String(24), primary_key=True),
    Column("tenant_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("logging_level", Text, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("show_hidden", Boolean, nullable=False),
    # Secure properties are encrypted inside.
    Column("properties", JSON, nullable=False),
    # What a plug-in asked to keep (``updateIntegrationState``).
    Column("state", JSON),
    # What is asked of the next run of each event, by its name: ``deltaTime`` and the like
    # (accelerate-api-notes.md#resync).
    Column("event_states", JSON),
    # The connector's own memory between runs.
    Column("progress", JSON),
    Column("created", BigInteger, nullable=False),
    Index(None, "tenant_id", "name", unique=True),
)

executions = Table(
    "executions",
    metadata,
    Column("id", String(24), primary_key=True),
    Column("integration_id", String(24), ForeignKey(integrations.c.id, ondelete="CASCADE"), nullable=False),
    Column("job_name", Text, nullable=False),
    Column("started", BigInteger, nullable=False),
    # Null while the run continues.
    Column("completed", BigInteger),
    # complete, partial, failed or interrupted; null while the run continues.
    Column("outcome", Text),
    Column("report", JSON),
    Index(None, "integration_id", "started"),
    Index(None, "started"),
)

issues = Table(
    "issues",
    metadata,
    # Short, so that everything that points to an issue is. Equal ones are sorted by it.
    Column("number", Integer, primary_key=True, autoincrement=False),
    # An issue is there once for each tracker, whatever is uploaded how often.
    Column("tracker_id", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("tenant_id", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("display_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("priority", Text),
    Column("owner", Text),
    Column("creator", Text),
    Column("project_key", Text),
    # Its name.
    Column("project", Text),
    Column("story_points", Float),
    Column("url", Text, nullable=False),
    # Names, as lists.
    Column("sprints", JSON, nullable=False),
    Column("releases", JSON, nullable=False),
    Column("labels", JSON, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("last_update", BigInteger, nullable=False),
    # When it came into its status, and how many changes its history has.
    Column("status_since", BigInteger, nullable=False),
    Column("changes", Integer, nullable=False),
    Column("uploaded", BigInteger, nullable=False),
    # Which run wrote it last, where it was one of this server's own. No reference: old runs are let go.
    Column("execution_id", String(24)),
    # The mark (``marks``) of the upload that wrote it last.
    Column("mark", BigInteger, nullable=False),
    Index(None, "tracker_id", "external_id", unique=True),
    Index(None, "tenant_id", "display_id"),
    Index(None, "tenant_id", "last_update"),
    Index(None, "tenant_id", "project_key", "last_update"),
    Index(None, "tenant_id", "external_id"),
    Index(None, "mark"),
    # One for each order in which pages are shown.
    *(Index(None, name) for name in SORTED),
)

issue_contents = Table(
    "issue_contents",
    metadata,
    # The input object as it came, without its history: apart from what lists show, which is read much more often.
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("content", JSON, nullable=False),
)

issue_history = Table(
    "issue_history",
    metadata,
    Column("number", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("instant", BigInteger, nullable=False),
    Column("field", Text, nullable=False),
    Column("content", JSON, nullable=False),
    PrimaryKeyConstraint("number", "position"),
    # The changes of an issue lie together on the disk.
    sqlite_with_rowid=False,
)

sent = Table(
    "sent",
    metadata,
    Column("integration_id", String(24), ForeignKey(integrations.c.id, ondelete="CASCADE"), nullable=False),
    Column("external_id", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("rules_version", Text, nullable=False),
    PrimaryKeyConstraint("integration_id", "external_id"),
)

originals = Table(
    "originals",
    metadata,
    Column("integration_id", String(24), ForeignKey(integrations.c.id, ondelete="CASCADE"), nullable=False),
    Column("external_id", Text, nullable=False),
    # A work item as it was read (``rally/records.py``), for other mapping rules.
    Column("content", LargeBinary, nullable=False),
    PrimaryKeyConstraint("integration_id", "external_id"),
)

users = Table(
    "users",
    metadata,
    Column("id", String(24), primary_key=True),
    Column("name", Text, nullable=False),
    # The name without regard to case: no one may take another's in other letters.
    Column("folded", Text, nullable=False, unique=True),
    # viewer, editor or admin.
    Column("role", Text, nullable=False),
    # ``passwords.hashed``.
    Column("password", Text, nullable=False),
    # Another user knows the password, so its owner must choose a new one.
    Column("temporary", Boolean, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("last_seen", BigInteger),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(24), primary_key=True),
    # SHA-256 of the cookie's value.
    Column("digest", String(64), nullable=False, unique=True),
    Column("user_id", String(24), ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    # From where, and with which program, for the list of one's own sessions.
    Column("address", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Index(None, "user_id"),
)

access_keys = Table(
    "access_keys",
    metadata,
    Column("id", String(24), primary_key=True),
    Column("name", Text, nullable=False),
    # SHA-256 of the key: a random key of 122 bits cannot be guessed from it, salted or not.
    Column("digest", String(64), nullable=False, unique=True),
    Column("created", BigInteger, nullable=False),
    Column("last_used", BigInteger),
    # Null for the server's own keys: the first one, and those of earlier versions.
    Column("user_id", String(24), ForeignKey(users.c.id, ondelete="CASCADE")),
    Index(None, "user_id"),
)

audit = Table(
    "audit",
    metadata,
    # Rising: entries are told in the order in which they were made, whatever the clock does.
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("instant", BigInteger, nullable=False),
    # No reference: what a user did stays when the user is gone.
    Column("actor_id", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("object_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("detail", JSON, nullable=False),
)

value_streams = Table(
    "value_streams",
    metadata,
    Column("id", String(24), primary_key=True),
    Column("pipeline_id", String(24), nullable=False, unique=True),
    Column("tenant_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    # The name without regard to case: two value streams that people would confuse cannot be.
    Column("folded_name", Text, nullable=False),
    # ``{id, name}`` as it was given (``createValueStream``).
    Column("team", JSON),
    # The version that is valid; a change names the one that it was made from.
    Column("version", Integer, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("last_update", BigInteger, nullable=False),
    Index(None, "tenant_id", "folded_name", unique=True),
)

value_stream_versions = Table(
    "value_stream_versions",
    metadata,
    Column("stream_id", String(24), ForeignKey(value_streams.c.id, ondelete="CASCADE"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("instant", BigInteger, nullable=False),
    # No reference: who made a version stays known when the user is gone.
    Column("actor_id", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("why", Text, nullable=False),
    # Settings of integrations that only the document holds are encrypted inside.
    Column("document", JSON, nullable=False),
    PrimaryKeyConstraint("stream_id", "version"),
)

marks = Table(
    "marks",
    metadata,
    Column("name", Text, primary_key=True),
    # Rises with every change of what it names.
    Column("value", BigInteger, nullable=False),
)

fact_names = Table(
    "fact_names",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
)

facts = Table(
    "facts",
    metadata,
    # What queries may ask of an issue (``dql/index_terms.py``), in the order in which they ask.
    Column("name", Integer, nullable=False),
    Column("folded", Text, nullable=False),
    Column("kind", Integer, nullable=False),
    Column("issue", Integer, nullable=False),
    Column("number", Float),
    Column("moment", Float),
    PrimaryKeyConstraint("name", "folded", "kind", "issue"),
    sqlite_with_rowid=False,
)

snapshots = Table(
    "snapshots",
    metadata,
    # What memory holds of the database, as bytes that may be thrown away (``store/snapshots.py``).
    Column("name", Text, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

long_texts = Table(
    "long_texts",
    metadata,
    # Texts of issues that are too long for ``facts``, folded; those of a name lie together, to be read one by one.
    Column("name", Integer, nullable=False),
    Column("issue", Integer, nullable=False),
    # Tells several texts of one name apart (``store/uploads.py``).
    Column("part", BigInteger, nullable=False),
    Column("folded", Text, nullable=False),
    PrimaryKeyConstraint("name", "issue", "part"),
    sqlite_with_rowid=False,
)

execution_lines = Table(
    "execution_lines",
    metadata,
    Column("execution_id", String(24), ForeignKey(executions.c.id, ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("instant", BigInteger, nullable=False),
    # DEBUG, INFO, WARNING, ERROR or CRITICAL.
    Column("level", Text, nullable=False),
    Column("text", Text, nullable=False),
    PrimaryKeyConstraint("execution_id", "position"),
)


def _make_words(_: MetaData, connection: Connection, **__: Any) -> None:
    connection.exec_driver_sql(CREATE_WORDS)


# Made with the tables wherever they are made.
event.listen(metadata, "after_create", _make_words)


def to_ms(moment: datetime) -> int:
    """Return an instant as the store keeps it: whole epoch milliseconds."""
    return round(moment.timestamp() * 1000)


def from_ms(value: int) -> datetime:
    """Return an instant as the rest of the program knows it: aware UTC."""
    return datetime.fromtimestamp(value / 1000, UTC)


def make_id() -> str:
    """Return an id in the form of the vendor's: 24 hexadecimal digits."""
    return secrets.token_hex(12)
