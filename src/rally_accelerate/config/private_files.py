"""Private files and folders, and files that are replaced atomically."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

OWNER_ONLY = 0o600
FOLDER_OF_OWNER_ONLY = 0o700
_OTHERS = 0o007
_NO_FILE = "it is not a regular file"


def make_private_folder(folder: Path) -> None:
    """Create a folder and its missing parents, readable by their owner only; existing ones are unchanged.

    Raises:
        OSError: The folder cannot be created.
    """
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    for parent in reversed(missing):
        # ``parents=True`` would give the parents the default mode.
        parent.mkdir(FOLDER_OF_OWNER_ONLY, exist_ok=True)


def make_private_file(path: Path) -> bool:
    """Create an empty file that only its owner can read; an existing one is closed to other users, not to its group.

    Returns:
        Whether the file was missing.

    Raises:
        OSError: The file cannot be created, or what is there is no regular file: opening a named pipe could wait
            for ever.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY))
    except FileExistsError:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, _NO_FILE) from None
        close_to_others(path)
        return False
    return True


def close_to_others(path: Path) -> bool:
    """Revoke the rights of users who are neither owner nor in the group; return whether they had any."""
    with suppress(OSError):
        # The file of another user, or on a read-only disk, cannot be changed, and is that user's concern.
        mode = path.stat().st_mode
        if mode & _OTHERS:
            path.chmod(mode & 0o7770)
            return True
    return False


def read_small_file(path: Path, limit: int) -> bytes:
    """Read a regular file without ever waiting for it to be written.

    Args:
        path: The file, or a link to it.
        limit: The most bytes it may have.

    Raises:
        OSError: It cannot be read, is no regular file (a named pipe, a device) or is larger.
    """
    # Without O_NONBLOCK, opening a named pipe waits for its writer.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, _NO_FILE)
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it has more than {limit} bytes")
    return content


def replace_private_file(path: Path, content: bytes) -> None:
    """Replace a file in one step: after a crash it is the old one or the new one, whole and on the disk.

    A link stays a link: what it leads to is replaced.

    Raises:
        OSError: The file cannot be written; the old one is still there.
    """
    path = path.resolve()
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
