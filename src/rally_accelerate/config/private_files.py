"""Files and folders that only their owner can read, and files that a crash leaves either old or new."""

import os
from contextlib import suppress
from pathlib import Path

OWNER_ONLY = 0o600
FOLDER_OF_OWNER_ONLY = 0o700
_OTHERS = 0o007


def make_private_folder(folder: Path) -> None:
    """Create a folder and its missing parents, readable by their owner only; existing ones stay as they are.

    Raises:
        OSError: The folder cannot be created.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        # ``parents=True`` would give the parents the default mode.
        each.mkdir(FOLDER_OF_OWNER_ONLY, exist_ok=True)


def make_private_file(path: Path) -> None:
    """Create an empty file that only its owner can read; an existing one is closed to other users, not to its group.

    Raises:
        OSError: The file cannot be created.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY))
    except FileExistsError:
        mode = path.stat().st_mode
        if mode & _OTHERS:
            # The file of another user cannot be changed, and is that user's concern.
            with suppress(PermissionError):
                path.chmod(mode & 0o7770)


def replace_private_file(path: Path, content: bytes) -> None:
    """Replace a file in one step: after a crash it is the old one or the new one, whole and on the disk.

    Raises:
        OSError: The file cannot be written; the old one is still there.
    """
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "wb") as written:
        written.write(content)
        written.flush()
        os.fsync(written.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        # The name is on the disk only when the folder is.
        os.fsync(folder)
    finally:
        os.close(folder)
