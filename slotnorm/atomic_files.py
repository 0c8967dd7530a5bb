"""Writes files completely or not at all, even when the power fails."""

from __future__ import annotations

import errno
import os
from pathlib import Path

SUFFIX = ".tmp"
"""Ends the names of unfinished files: that of the file, the number of the process that writes it, and this."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file completely or not at all; it is on disk when this returns.

    Raises:
        OSError: for example on a full disk; the message names the file, and what was at ``path`` stays as it was. If
            only the folder cannot be written to disk, the file is new already.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}{SUFFIX}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)
    _remove_unfinished(path)
    sync_folder(path.parent)


def _remove_unfinished(path: Path) -> None:
    """Remove what processes that were killed have left of this file; POSIX only."""
    if os.name != "posix":
        return
    for entry in path.parent.iterdir():
        number = entry.name.removeprefix(f"{path.name}.").removesuffix(SUFFIX)
        if entry.name == f"{path.name}.{number}{SUFFIX}" and number.isdecimal() and not _is_alive(int(number)):
            entry.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # another user's, or the number of no process
        return True
    return True


def sync_folder(folder: Path) -> None:
    """Write a folder's entries to disk, so that a power failure does not undo a rename in it; POSIX only.

    Some file systems cannot do it for folders; that is no error.
    """
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
