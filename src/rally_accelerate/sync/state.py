"""What is remembered between runs: in memory for tests and one-off runs, in an SQLite file for the command.

Progress and ledger are committed in one transaction, after the receipts (architecture.md, stop 8): a process that dies
between upload and commit sends the same issues once more, and none is lost.
"""

import fcntl
import hashlib
import json
import sqlite3
import zlib
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import orjson

from rally_accelerate.accelerate import payload
from rally_accelerate.config.lock_files import LockFile
from rally_accelerate.config.private_files import make_private_file, make_private_folder
from rally_accelerate.config.sqlite_files import refuse_foreign
from rally_accelerate.errors import StoreError
from rally_accelerate.model.issue import Issue, SourceRevision
from rally_accelerate.model.progress import REMOVED_MARK, Progress, Sent
from rally_accelerate.sync.progress_json import progress_from_json, progress_to_json

#: Raised when the tables change; a file of a newer program is refused rather than misread.
FORMAT = 2

#: Tables of every version.
OWN_TABLES = frozenset({"progress", "sent"})

#: A document that takes more bytes than this, compressed, is not kept; nor is any new one in a file of this size.
MOST_DOCUMENT_BYTES = 1_000_000
MOST_FILE_BYTES = 2_000_000_000

SENT_NOW = """
INSERT INTO sent (owner, item, revision, rules_version) VALUES (?, ?, ?, ?)
ON CONFLICT (owner, item) DO UPDATE SET revision = excluded.revision, rules_version = excluded.rules_version
"""
DOCUMENT_NOW = """
INSERT INTO documents (owner, item, content) VALUES (?, ?, ?)
ON CONFLICT (owner, item) DO UPDATE SET content = excluded.content
"""
WITHOUT_DOCUMENT = "DELETE FROM documents WHERE owner = ? AND item = ?"
PROGRESS_NOW = """
INSERT INTO progress (owner, value) VALUES (?, ?) ON CONFLICT (owner) DO UPDATE SET value = excluded.value
"""

#: How long a writer waits for another process's transaction.
BUSY_SECONDS = 30

#: So many digits of an integration's key choose its byte of the lock file.
LOCK_DIGITS = 12

#: SQLite allows 32,766 parameters in one statement since 3.32, 999 before.
KEYS_IN_A_QUERY = 900


class MemoryState:
    """A state that ends with the process."""

    def __init__(self) -> None:
        self.progress = Progress()
        self.ledger: dict[str, Sent] = {}
        self.uploaded: dict[str, Issue] = {}

    async def load(self) -> Progress:
        """Return the progress of earlier runs."""
        return self.progress

    async def load_sent(self, external_ids: Sequence[str]) -> Mapping[str, Sent]:
        """Return the ledger entries of these items."""
        return {key: self.ledger[key] for key in external_ids if key in self.ledger}

    async def list_versions(self, ids: AbstractSet[int] | None = None) -> Mapping[str, str]:
        """Return the version of every uploaded item."""
        del ids
        return {key: sent.rules_version for key, sent in self.ledger.items()}

    async def documents(self, external_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return the last upload of each item."""
        return {key: payload.item_in(self.uploaded[key]) for key in external_ids if key in self.uploaded}

    async def comments(self, external_ids: Sequence[str]) -> Mapping[str, int]:
        """Return how many comments the last upload of each item had."""
        return {key: len(self.uploaded[key].comments) for key in external_ids if key in self.uploaded}

    async def commit(self, progress: Progress, sent: Mapping[str, Sent], uploaded: Sequence[Issue] = ()) -> None:
        """Remember all of it."""
        self.progress = progress
        self.ledger.update(sent)
        self.uploaded.update((issue.external_id, issue) for issue in uploaded)


class StateFile:
    """One SQLite file with the states of any number of integrations, each written by one process at a time.

    Args:
        path: The file; its folder is made if it is missing.
        read_only: Leaves no trace, and asks for no lock: a look beside a running service.

    Raises:
        StoreError: The file cannot be used.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._read_only = read_only
        self._lock: LockFile | None = None
        refuse_foreign(path, OWN_TABLES, what="a state file", option="--state", new=True)
        try:
            # Statements begin their transactions themselves; readers of one run share its connection and thread.
            if read_only:
                self._db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
                self._refuse_newer()
            else:
                make_private_folder(path.parent)
                # It holds names and texts that Rally shows to few; SQLite gives its other files the same rights.
                make_private_file(path)
                self._lock = LockFile(Path(f"{path}.lock"))
                self._db = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS)
                self._db.execute("PRAGMA synchronous=FULL")
                self._prepare()
        except (OSError, sqlite3.Error) as error:
            self._leave()
            raise StoreError(
                f"the state file {path} cannot be used: {error}",
                hint="Choose another file with --state, or correct the permissions of its folder.",
            ) from error
        except StoreError:
            self._leave()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()
        self._release()

    def of(self, owner: str) -> "FileState":
        """Return the state of one integration.

        Args:
            owner: What tells it from others: whatever, when changed, makes the remembered work meaningless.

        Raises:
            StoreError: Another run works on the same integration.
        """
        # A short key: it stands in every row of the ledger.
        key = hashlib.sha256(owner.encode()).hexdigest()[:16]
        self._hold(key)
        return FileState(self, key)

    def ask(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        """Return the rows of a query.

        Raises:
            StoreError: The file cannot be read.
        """
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(
                f"the state file {self.path} cannot be read: {error}",
                hint="Move the file away and run again. Nothing is duplicated in Accelerate.",
            ) from error

    def size(self) -> int:
        """Return how many bytes the file has."""
        ((pages,),), ((page_size,),) = self.ask("PRAGMA page_count"), self.ask("PRAGMA page_size")
        return int(pages) * int(page_size)

    def write(self, statements: Iterable[tuple[str, Iterable[Sequence[object]]]]) -> None:
        """Execute statements, each for many rows of values, all or none.

        Raises:
            StoreError: The file cannot be written; nothing was.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                for statement, rows in statements:
                    self._db.executemany(statement, rows)
                self._db.execute("COMMIT")
            except BaseException:
                # A full disk has rolled back already; a second one would hide the reason.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise StoreError(
                f"the state file {self.path} cannot be written: {error}",
                hint="Free space on its disk, or choose another file with --state. Nothing is lost.",
            ) from error

    def _refuse_newer(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > FORMAT:
            raise StoreError(
                f"the state file {self.path} was written by a newer version of rally-accelerate",
                hint="Update rally-accelerate, or choose another file with --state.",
            )

    def _prepare(self) -> None:
        self._refuse_newer()
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS progress (owner TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
        )
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS sent (owner TEXT NOT NULL, item TEXT NOT NULL, revision TEXT NOT NULL, "
            "rules_version TEXT NOT NULL, PRIMARY KEY (owner, item)) WITHOUT ROWID"
        )
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS documents (owner TEXT NOT NULL, item TEXT NOT NULL, content BLOB NOT NULL, "
            "PRIMARY KEY (owner, item)) WITHOUT ROWID"
        )
        self._db.execute(f"PRAGMA user_version = {FORMAT}")

    def _hold(self, key: str) -> None:
        if self._lock is None:
            return
        try:
            # One byte of the lock file for each integration. The operating system lets go of it with the process,
            # however that ends; the same process may ask again.
            fcntl.lockf(self._lock.file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, int(key[:LOCK_DIGITS], 16))
            while not self._lock.is_in_place():
                # A process that was refused has removed it; nothing can be locked in it yet.
                self._lock.close()
                self._lock = LockFile(Path(f"{self.path}.lock"))
                fcntl.lockf(self._lock.file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, int(key[:LOCK_DIGITS], 16))
        except OSError:
            raise StoreError(
                f"another process is syncing the same integration with the state file {self.path}",
                hint="Wait until it ends.",
            ) from None

    def _leave(self) -> None:
        """Release the lock file of a state file that is refused, and remove it unless another process uses it."""
        if self._lock is not None:
            with suppress(OSError):
                # All of it: fails as long as a process works on any integration.
                fcntl.lockf(self._lock.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._lock.remove_new()
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


class FileState:
    """The part of a state file that belongs to one integration."""

    def __init__(self, file: StateFile, key: str) -> None:
        self._file = file
        self._owner = key

    async def load(self) -> Progress:
        """Return the progress of earlier runs, or an empty one."""
        rows = self._file.ask("SELECT value FROM progress WHERE owner = ?", [self._owner])
        return progress_from_json(json.loads(rows[0][0])) if rows else Progress()

    async def load_sent(self, external_ids: Sequence[str]) -> Mapping[str, Sent]:
        """Return the ledger entries of these items."""
        entries: dict[str, Sent] = {}
        for start in range(0, len(external_ids), KEYS_IN_A_QUERY):
            keys = external_ids[start : start + KEYS_IN_A_QUERY]
            marks = ",".join("?" * len(keys))
            # The marks are our own question marks; every value is bound.
            query = f"SELECT item, revision, rules_version FROM sent WHERE owner = ? AND item IN ({marks})"  # noqa: S608
            for item, revision, rules_version in self._file.ask(query, [self._owner, *keys]):
                entries[item] = Sent(SourceRevision.parse(revision), rules_version)
        return entries

    async def list_versions(self, ids: AbstractSet[int] | None = None) -> Mapping[str, str]:
        """Return the version of every uploaded item."""
        del ids
        rows = self._file.ask("SELECT item, rules_version FROM sent WHERE owner = ?", [self._owner])
        return dict(rows)

    async def documents(self, external_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return the last upload of each item, where it is kept."""
        result: dict[str, Mapping[str, Any]] = {}
        if not self._file.ask("SELECT 1 FROM sqlite_master WHERE name = 'documents'"):
            # A file of an earlier version that is only read.
            return result
        for key in external_ids:
            query = "SELECT content FROM documents WHERE owner = ? AND item = ?"
            for (content,) in self._file.ask(query, [self._owner, key]):
                document = _decompress(content)
                if document is not None:
                    result[key] = document
        return result

    async def comments(self, external_ids: Sequence[str]) -> Mapping[str, int]:
        """Return how many comments the last upload of each item had, where it is kept."""
        counts = await self.documents(external_ids)
        return {key: len(document.get("comments") or ()) for key, document in counts.items()}

    async def commit(self, progress: Progress, sent: Mapping[str, Sent], uploaded: Sequence[Issue] = ()) -> None:
        """Remember all of it in one transaction."""
        room = self._file.size() < MOST_FILE_BYTES if uploaded else False
        packed = {issue.external_id: _compress(issue) if room else b"" for issue in uploaded}
        documents = {item: content for item, content in packed.items() if 0 < len(content) <= MOST_DOCUMENT_BYTES}
        # An older document must not be taken for the last one; of a removed item none is needed any more.
        dropped = [item for item in packed if item not in documents]
        dropped += [item for item, entry in sent.items() if entry.rules_version.endswith(REMOVED_MARK)]
        self._file.write(
            [
                (DOCUMENT_NOW, [(self._owner, item, content) for item, content in documents.items()]),
                (WITHOUT_DOCUMENT, [(self._owner, item) for item in dropped]),
                (
                    SENT_NOW,
                    [(self._owner, item, str(entry.revision), entry.rules_version) for item, entry in sent.items()],
                ),
                (
                    PROGRESS_NOW,
                    [(self._owner, json.dumps(progress_to_json(progress)))],
                ),
            ]
        )


def _compress(issue: Issue) -> bytes:
    """Return an upload as compressed JSON; the quickest level makes hardly more than the best."""
    return zlib.compress(payload.pack(issue).body, 1)


def _decompress(content: bytes) -> Mapping[str, Any] | None:
    """Return what ``_packed`` was made of; None when it is damaged."""
    try:
        document = orjson.loads(zlib.decompress(content))
    except (zlib.error, orjson.JSONDecodeError):
        return None
    return document if isinstance(document, dict) else None
