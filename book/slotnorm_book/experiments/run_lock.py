"""The lock on a run, and who holds it."""

from __future__ import annotations

import os
import platform
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from errno import ENOLCK, ENOSYS, ENOTSUP
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from slotnorm_book.experiments.store_files import RunError

NO_LOCKS = (ENOSYS, ENOLCK, ENOTSUP)
"""What a file system without locks says, such as Lustre without ``flock`` or NFS without its lock service."""


class BusyError(RuntimeError):
    """Another process is working on this run. The message says which one, where it is known.

    Example:
        >>> issubclass(BusyError, RuntimeError)
        True
    """


class RunLock(AbstractContextManager["RunLock"]):
    """The operating system's lock on a run, taken at once; a process that dies frees it.

    Args:
        folder: of the lock, in which its holder is noted for those who find it taken.
        name: of the run.

    Raises:
        BusyError: another process holds it.
        RunError: the file system has no locks, so that two processes could work on one run.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._lock = FileLock(folder / f"{name}.lock", timeout=0, fallback_to_soft=False)
        self._holder = folder / f"{name}.holder"
        try:
            self._lock.acquire()
        except Timeout:
            raise BusyError(f"{name}: {self._describe_holder()} is working on this run in {folder.parent}") from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            hint = "mount it with locks (Lustre with `flock`), or take another folder as the store"
            raise RunError(f"{folder.parent}: the file system has no locks; {hint}") from error
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with suppress(OSError):  # a note only: without it the lock holds as well
            self._holder.write_text(f"process {os.getpid()} on {platform.node()}, since {now}", encoding="utf-8")

    def release(self) -> None:
        """Free the run."""
        with suppress(OSError):
            self._holder.unlink(missing_ok=True)
        self._lock.release()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _describe_holder(self) -> str:
        try:
            note = self._holder.read_text(encoding="utf-8")[:200]
        except (OSError, ValueError):
            note = ""
        return f"another process ({note})" if note.isprintable() and note else "another process"
