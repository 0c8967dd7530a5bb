"""Files that survive being interrupted: locks that die with their process, atomic JSON, writes at an offset."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np


class DataError(ValueError):
    """Input that cannot be used or output that cannot be made; the message is one line meant for the user."""


class LockedError(DataError):
    """Another process holds the lock."""


def lock(path: Path) -> int:
    """Take the operating system's lock on a file made for it; returns the descriptor to give to `unlock`.

    Raises:
        LockedError: Another process holds it. A dead process holds nothing.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                with suppress(OSError):  # a full disk; the name of the owner is a courtesy
                    os.pwrite(descriptor, str(os.getpid()).encode().ljust(20), 0)
                return descriptor
        except BlockingIOError:
            owner = os.pread(descriptor, 20, 0).decode().strip() or "unknown"
            os.close(descriptor)
            raise LockedError(f"process {owner}") from None
        except FileNotFoundError:
            pass
        os.close(descriptor)  # its owner removed it between our open and our lock


def unlock(path: Path, descriptor: int) -> None:
    """Remove the lock file while it is still ours, then let go."""
    path.unlink(missing_ok=True)
    os.close(descriptor)


def write_at(descriptor: int, array: np.ndarray[Any, Any], offset: int) -> None:
    """Write all bytes of a C-contiguous array at an offset of an open file."""
    view = array.reshape(-1).view(np.uint8).data
    while view:
        done = os.pwrite(descriptor, view, offset)
        view, offset = view[done:], offset + done


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a JSON file by a new one that is on disk, in one step."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        DataError: Naming the file, when it is missing or something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: is not a JSON object")
    return content


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """Checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
