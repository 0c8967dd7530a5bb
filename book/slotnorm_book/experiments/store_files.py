"""The files of a run store, in a local folder or at an address that fsspec can read.

Only what is not found is absent. Whatever else prevents reading, such as a permission or a server that does not answer,
is an error that names the address.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import fsspec
from fsspec import AbstractFileSystem

UNFINISHED_ADDRESS = re.compile(r"[A-Za-z][\w.+-]+:(?!//+[^/])")


class RunError(RuntimeError):
    """A run in a store that cannot be used. The message names the file. The other runs of the store are not affected.

    Example:
        >>> from slotnorm_book.experiments.recipes import recipe
        >>> from slotnorm_book.experiments.run_store import RunStore
        >>> try:
        ...     RunStore("memory://none").get(recipe("clevr-6-7", "smoke").runs()[0])
        ... except RunError as error:
        ...     print(str(error)[:45])
        memory://none: has no run weighted_mean-seed0
    """


class UnreadableError(RunError):
    """A place that cannot be read now; what is there may be intact."""


class StoreFiles:
    """Reads the files of a store.

    Args:
        root: a folder or an fsspec address.

    Raises:
        RunError: ``root`` is a file, the root of a file system, or an address that fsspec cannot read here.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = _check_root(root)
        self._filesystem, self.base = _open_filesystem(self.root)
        self.local = Path(self.base) if "file" in _list_protocols(self._filesystem) else None
        if not self.base.strip("/") or (self.local and os.path.abspath(self.local) == self.local.anchor):
            raise RunError(f"{root}: is the root of a file system; a run store is a folder in it")
        if self.local and os.path.exists(self.local) and not os.path.isdir(self.local):
            raise RunError(f"{self.root}: is a file; a run store is a folder")

    def address(self, place: str) -> str:
        """Return the whole address of a file or folder, whose ``place`` is relative to the root."""
        path = f"{self.base}/{place}".rstrip("/")
        return path if self.local else str(self._filesystem.unstrip_protocol(path))

    def read(self, place: str) -> bytes | None:
        """Return the content of a file, or ``None`` if there is no such file.

        Raises:
            RunError: it is a folder.
            UnreadableError: it cannot be read.
        """
        try:
            return bytes(self._filesystem.cat_file(f"{self.base}/{place}"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except IsADirectoryError:
            raise RunError(f"{self.address(place)}: is a folder; it should be a file") from None
        except Exception as error:
            raise self._unreadable(place, error) from None

    def list_names(self, place: str = "") -> list[str]:
        """List the names in a folder; there are none if there is no such folder.

        Raises:
            UnreadableError: it cannot be read.
        """
        try:
            entries = self._filesystem.ls(f"{self.base}/{place}".rstrip("/"), detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except Exception as error:
            raise self._unreadable(place, error) from None
        return [str(entry).rstrip("/").rpartition("/")[2] for entry in entries]

    def _unreadable(self, place: str, error: Exception) -> UnreadableError:
        if isinstance(error, PermissionError):
            return UnreadableError(f"{self.address(place)}: may not be read; its owner can permit it")
        return UnreadableError(f"{self.address(place)}: cannot be read: {_describe(error)}")


def _check_root(root: object) -> str:
    """Return the root without the slashes at its end.

    Raises:
        RunError: it is nothing, the root of a file system, or would be taken for another place than it says.
    """
    if not isinstance(root, str | Path) or not str(root).strip():
        raise RunError(f"a run store must be a folder or an address, got {root!r}")
    text = str(root)
    if not text.strip().strip("/"):
        raise RunError(f"{text}: is the root of a file system; a run store is a folder in it")
    if "::" in text or "\0" in text:
        raise RunError(f"{text!r}: is no run store: chained addresses, which have ::, and zero bytes cannot be used")
    if UNFINISHED_ADDRESS.match(text):
        raise RunError(f"{text}: is no run store: an address is PROTOCOL://PLACE; a folder of that name is ./{text}")
    return text.rstrip("/")


def _open_filesystem(root: str) -> tuple[AbstractFileSystem, str]:
    try:
        filesystem, base = fsspec.url_to_fs(root)
    except ImportError as error:
        reason = f"it needs a package that is not installed: {_describe(error)}"
    except ValueError as error:
        reason = _describe(error)
    except Exception as error:
        raise UnreadableError(f"{root}: cannot be read: {_describe(error)}") from None
    else:
        return filesystem, str(base).rstrip("/")
    raise RunError(f"{root}: neither a folder nor an address that can be read here: {reason}") from None


def _describe(error: Exception) -> str:
    """Return the error's kind and message in one line."""
    message = " ".join(str(error).split())
    return message if isinstance(error, ImportError | ValueError) else f"{type(error).__name__}: {message}".rstrip(": ")


def _list_protocols(filesystem: AbstractFileSystem) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)
