"""Writes files that survive an interruption: locks, JSON files replaced in one step, bytes at an offset."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

MAX_JSON_BYTES = 1 << 24
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP)
"""What a file system without locks says, such as Lustre without `flock` or NFS without its lock service."""


class DataError(ValueError):
    """An input that cannot be used or an output that cannot be written; the message is one line for the user."""


class LockedError(DataError):
    """A lock that another process holds."""


def one_line(error: BaseException) -> str:
    """Return the message of an error of another library as one line, or the name of its kind if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def take_lock(path: Path) -> FileLock:
    """Take the operating system's lock on `path`, a file made for it. A process that dies frees its locks.

    Raises:
        LockedError: Another process holds the lock.
        DataError: The file system has no locks.
    """
    lock = FileLock(path, timeout=0, fallback_to_soft=False)  # a mark in its place would outlive a dead process
    try:
        lock.acquire()
    except Timeout:
        raise LockedError(f"{path}: another process holds this lock") from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        hint = "mount it with locks (Lustre with `flock`), or take another folder"
        raise DataError(f"{path}: the file system has no locks; {hint}") from error
    return lock


def release_lock(lock: FileLock) -> None:
    """Release a lock and remove its file, which filelock would leave behind."""
    Path(lock.lock_file).unlink(missing_ok=True)  # first, so that no process can lock a file about to be removed
    lock.release()


def write_at(descriptor: int, array: np.ndarray[Any, Any], offset: int) -> None:
    """Write all bytes of a C-contiguous array at an offset of an open file."""
    view = array.reshape(-1).view(np.uint8).data
    while view:
        done = os.pwrite(descriptor, view, offset)
        view, offset = view[done:], offset + done


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file that replaces the old one in one step, when its bytes are safely on disk."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises:
        DataError: The file is missing or holds something else; the message names it.
    """
    try:
        if (size := path.stat().st_size) > MAX_JSON_BYTES:
            raise DataError(f"{path}: is {size} bytes long, at most {MAX_JSON_BYTES} are read")
        content = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(content, ensure_ascii=False).encode()  # too deep, or half a surrogate pair, which cannot be printed
    except DataError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: is not a JSON object")
    return content


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable, such as after a rename in it, where the file system can do so."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """Return the SHA-256 checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
