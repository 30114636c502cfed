"""Read-only checks whether an SQLite file belongs to this program."""

import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from rally_accelerate.errors import StoreError


def refuse_foreign(path: Path, tables: Collection[str], *, what: str, option: str, new: bool = False) -> None:
    """Check that a file has the tables of this program; the file is only read.

    Args:
        path: The file; what is not there is not foreign.
        tables: Those that every version of this program makes.
        what: What the file should be, for the sentence, for example "a database of the embedded server".
        option: The option that names the file.
        new: Whether a file without any tables will do, as tables are made next. Not if it has a version or an
            application ID: another program has set it and will make its tables later.

    Raises:
        StoreError: It is no SQLite file, or belongs to another program.
    """
    if not path.exists():
        return
    if not path.is_file() and not path.is_dir():
        # SQLite would wait for the writer of a named pipe.
        raise StoreError(f"{path} is not {what}: it is not a regular file", hint=f"Check {option}.")
    try:
        existing, marks = _read_content(path)
    except (OSError, sqlite3.Error) as error:
        if isinstance(error, sqlite3.DatabaseError) and "not a database" in str(error):
            raise StoreError(
                f"{path} is not {what}: it is no SQLite file; nothing was changed",
                hint=f"Check {option}; if the file was right before, it is damaged: restore your last backup.",
            ) from None
        # Damaged, locked or not readable: reported in detail when it is opened.
        return
    if existing.issuperset(tables) or (new and not existing and not marks):
        return
    has = f"it has the tables {', '.join(sorted(existing)[:5])}" if existing else f"it has {marks or 'no tables'}"
    more = f" and {len(existing) - 5} more" if len(existing) > 5 else ""  # noqa: PLR2004 - those that are named
    raise StoreError(
        f"{path} is not {what}: {has}{more}; nothing was changed",
        hint=f"Check {option}: the file belongs to another program.",
    )


def _read_content(path: Path) -> tuple[frozenset[str], str]:
    """Return the names of the tables, and in words what marks the file as a program's own."""
    address = path.absolute().as_uri()
    # A write-ahead log that was not written back may hold the tables; without one, SQLite needs no files of its own.
    mode = "mode=ro" if Path(f"{path}-wal").exists() else "mode=ro&immutable=1"
    with closing(sqlite3.connect(f"{address}?{mode}", uri=True)) as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        marks = {
            "user_version": connection.execute("PRAGMA user_version").fetchone()[0],
            "application_id": connection.execute("PRAGMA application_id").fetchone()[0],
        }
    return (
        frozenset(name for (name,) in rows if not name.startswith("sqlite_")),
        " and ".join(f"{name} {value}" for name, value in marks.items() if value),
    )
