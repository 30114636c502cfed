"""Lock files next to a database, whose locks show which processes use it."""

import os
from pathlib import Path
from typing import IO

from rally_accelerate.config.private_files import make_private_file


class LockFile:
    """An open lock file.

    Args:
        path: The file; created if it is missing.

    Raises:
        OSError: The file cannot be created, or is no regular file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_new = make_private_file(path)
        self.file: IO[str] = path.open("a")

    def is_in_place(self) -> bool:
        """Return whether other processes open the same file.

        A file that was removed between opening and locking excludes no other process.
        """
        try:
            status = self._path.stat()
        except OSError:
            return False
        return os.path.samestat(status, os.fstat(self.file.fileno()))

    def remove_new(self) -> None:
        """Remove the file if this object created it, so that a refusal leaves nothing behind.

        Call it only while no other process holds a lock on the file.
        """
        if self._is_new and self.is_in_place():
            self._path.unlink()

    def close(self) -> None:
        """Close the file, which releases its locks."""
        self.file.close()
