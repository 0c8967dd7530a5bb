"""Writes prepared splits, folders of `.npy` files and a manifest, so that each is either whole or absent.

    SPLIT/manifest.json   format version, name, source, license, generator and its arguments, count, arrays, digest
    SPLIT/<array>.npy     one file per array, items first

Names that readers know, for N scenes of H x W pixels with up to M objects; row 0 of an object table is the background:

| array | dtype, shape | content |
| --- | --- | --- |
| `image` | uint8 (N, H, W, 3) | RGB |
| `segmentation` | uint8 (N, H, W) | label k is object k, 0 the background |
| `num_objects` | int64 (N,) | objects in the scene, without the background |
| `scene_id` | int64 (N,) | number of the scene in its source, such as its record number |
| `shape`, `size`, `material`, `color` | uint8 (N, 1 + M) | class numbers from 1, 0 for none |
| `x`, `y`, `z`, `visibility` | float32 (N, 1 + M) | centre in world units; `visibility` is zero for an absent object |
| `features` | float16 (N, patches, D) | a frozen backbone's patch tokens |

Other arrays may be added freely, under names that are plain identifiers.

An unfinished split is kept in `SPLIT.partial/`, whose progress file counts the items that are safely on disk; after an
interruption or a damaged record the same call resumes from there. A complete split that lost an array is made again
beside what is left of it, and replaced when the new one is complete.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from data_tools.writing import durable
from data_tools.writing.durable import DataError
from data_tools.writing.manifest import MANIFEST, describe_request, is_whole, was_made_by, write_manifest
from data_tools.writing.npy_files import ArraySpec, NpyFiles

if TYPE_CHECKING:
    from filelock import FileLock

    from slotnorm.data.manifest import Manifest

PROGRESS = "progress.json"
REPLACED = "replaced"
"""Name of the folder, inside the new split, of the damaged one that it replaces, until that is removed."""

JSON = None | bool | int | float | str | list[Any] | dict[str, Any]

__all__ = [
    "JSON",
    "ArraySpec",
    "DataError",
    "SplitWriteError",
    "SplitInUseError",
    "SplitWriter",
    "verify",
]


class SplitWriteError(DataError):
    """A prepared split that cannot be written, or a written one that is damaged."""


class SplitInUseError(SplitWriteError):
    """A prepared split that another process is writing."""


class SplitWriter:
    """A writer of a prepared split, item by item, which can resume and holds a lock.

    Entering it as a context takes the lock and finds the point to resume from; `append` makes items durable; `finish`
    computes checksums and renames `OUT.partial` to `OUT`. Leaving without `finish` keeps the partial folder for the
    next run of the same call, whatever the error was; it is removed if nothing was written.

    Args:
        out: Folder of the split, or a link to it, also one that does not exist yet. If it holds the complete split of
            the same request, it is left as it is.
        name: Name of the split, e.g. "clevr_with_masks/train".
        source: Source of the content: an address or the module that renders it.
        license: License of the content.
        generator: Program and arguments that determine the content. A partial folder is continued, and a complete one
            used again, only if name, source, license, generator, arrays and count are the same.
        arrays: Arrays of the split by name.
        count: Number of items, or None if it is not known before `finish`.

    Raises:
        DataError: The name of an array is no plain identifier.

    >>> import tempfile
    >>> out = Path(tempfile.mkdtemp()) / "toy"
    >>> about = {"name": "toy", "source": "here", "license": "CC0-1.0", "generator": {"seed": 0}}
    >>> with SplitWriter(out, **about, arrays={"scene_id": ArraySpec("int64", ())}, count=3) as writer:
    ...     writer.append(scene_id=np.arange(writer.written, 3))
    ...     folder = writer.finish()
    >>> np.load(folder / "scene_id.npy").tolist()
    [0, 1, 2]
    """

    def __init__(
        self,
        out: Path,
        *,
        name: str,
        source: str,
        license: str,
        generator: Mapping[str, JSON],
        arrays: Mapping[str, ArraySpec],
        count: int | None,
    ) -> None:
        self.out = Path(os.path.realpath(out))
        self.partial = self.out.with_name(self.out.name + ".partial")
        self.arrays = dict(arrays)
        self.count = count
        #: Number of items that are durable, after which to resume: 0 in a new folder, the count in a complete one.
        self.written = 0
        #: Whether `out` already holds this split, so that there is nothing to append.
        self.complete = False
        about = {"name": name, "source": source, "license": license}
        self._request = describe_request(about, generator, self.arrays, count)
        self._files: NpyFiles | None = None
        self._lock: FileLock | None = None
        self._made_parent = False

    def __enter__(self) -> Self:
        try:
            self._made_parent = not self.out.parent.exists()
            self.out.parent.mkdir(parents=True, exist_ok=True)
            self._lock = durable.take_lock(self.partial.with_name(self.partial.name + ".lock"))
            self._find_resume_point()
        except durable.LockedError:
            raise SplitInUseError(
                f"{self.partial} is being written by another process: wait for it or choose another folder"
            ) from None
        except OSError as error:
            self._release()
            raise SplitWriteError(f"{self.out}: cannot be written: {error}") from error
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_files()  # first: NFS keeps a removed file that is open, and its folder is then not empty
        if error is not None and self.written == 0:
            shutil.rmtree(self.partial, ignore_errors=True)  # the error that led here is the one to tell
        self._release()

    def append(self, **arrays: np.ndarray[Any, Any]) -> None:
        """Write the next items of every array and make them durable.

        Args:
            arrays: The next n items of every array of the split, with the declared dtype and shape (n, *item).

        Raises:
            ValueError: Arrays, shapes or dtypes differ from those declared, or there are more items than `count`.
            SplitWriteError: The disk is full or fails. Items that were durable before stay so.
        """
        if self._files is None or self.complete:
            raise ValueError(f"{self.out}: nothing to append to: the split is complete or its writer is not entered")
        n = self._check_items(arrays)
        try:
            self._files.write(arrays, at=self.written)
            self._save_progress(self.written + n)
        except OSError as error:
            raise self._failure(error) from error
        self.written += n

    def finish(self) -> Path:
        """Write checksums and manifest, rename the partial folder to `out`, and return it.

        Raises:
            ValueError: Fewer items were written than declared.
            SplitWriteError: The disk is full or fails.
        """
        if self.complete:
            return self.out
        if self._files is None or (self.count is not None and self.written != self.count):
            raise ValueError(f"{self.out}: {self.written} of {self.count} items written: append the others first")
        try:
            self._files.seal(self.written)
            write_manifest(self.partial, self._request, self.arrays, self.written)
            self._publish()
        except OSError as error:
            raise self._failure(error) from error
        return self.out

    def _find_resume_point(self) -> None:
        if self.out.exists() and not (self.out.is_dir() and not any(self.out.iterdir())):
            self._reuse(self.out)
            if self.complete:
                shutil.rmtree(self.out / REPLACED, ignore_errors=True)
                return
        if os.path.ismount(self.out):
            raise SplitWriteError(f"{self.out} is a mount point, which no folder can replace: name a folder in it")
        if (self.partial / MANIFEST).exists():
            self._reuse(self.partial)
            if self.complete:
                self._publish()
                return
            shutil.rmtree(self.partial)
        if self.partial.exists() and any(path.suffix != ".tmp" for path in self.partial.iterdir()):
            self._resume()
        else:
            self._check_space()
            self._begin()

    def _begin(self) -> None:
        try:
            self.partial.mkdir(exist_ok=True)
            self._save_progress(0)
            self._files = NpyFiles(self.partial, self.arrays, self.count or 0)
        except OSError:
            shutil.rmtree(self.partial, ignore_errors=True)
            raise

    def _reuse(self, folder: Path) -> None:
        """Take the split in a folder for complete, unless it lost something."""
        manifest = self._read(folder / MANIFEST)
        if not was_made_by(manifest, self._request):
            raise SplitWriteError(
                f"{folder} exists and was made by another request: delete it or choose another folder"
            )
        self.complete = is_whole(folder, manifest, self.arrays)
        self.written = manifest["count"] if self.complete else 0

    def _resume(self) -> None:
        progress = self._read(self.partial / PROGRESS)
        request, written = progress.get("request"), progress.get("written")
        begun = (
            {key: value for key, value in request.items() if key != "format_version"}
            if isinstance(request, dict)
            else None
        )
        if begun != self._request:
            raise SplitWriteError(
                f"{self.partial} was begun with other arguments: delete it, choose another folder, "
                "or run the command that began it to finish it"
            )
        if type(written) is not int or not 0 <= written <= (written if self.count is None else self.count):
            raise SplitWriteError(f"{self.partial / PROGRESS}: counts {written!r} items: delete {self.partial}")
        self._files = NpyFiles(self.partial, self.arrays, self.count or 0)
        for path in self._files.list_shorter_than(written):
            raise SplitWriteError(f"{path} is shorter than {PROGRESS} says: delete {self.partial} to start anew")
        self.written = written

    def _check_items(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> int:
        if arrays.keys() != self.arrays.keys():
            raise ValueError(f"append takes the arrays {sorted(self.arrays)}, got {sorted(arrays)}")
        n = len(next(iter(arrays.values())))
        for key, spec in self.arrays.items():
            got, expected = arrays[key], (n, *spec.shape)
            if got.shape != expected or got.dtype != np.dtype(spec.dtype):
                raise ValueError(f"{key}: expected {spec.dtype} {expected}, got {got.dtype} {got.shape}")
        if self.count is not None and self.written + n > self.count:
            raise ValueError(f"{self.out}: {self.written} + {n} items are more than the declared {self.count}")
        return n

    def _check_space(self) -> None:
        needed = (self.count or 0) * sum(spec.item_bytes for spec in self.arrays.values())
        free = shutil.disk_usage(self.out.parent).free
        if free < needed:
            raise SplitWriteError(
                f"{self.out} needs {needed / 1e9:.2f} GB, {free / 1e9:.2f} GB are free: make room first"
            )

    def _save_progress(self, written: int) -> None:
        durable.write_json(self.partial / PROGRESS, {"written": written, "request": self._request})

    def _publish(self) -> None:
        for leftover in (PROGRESS, f"{PROGRESS}.tmp", f"{MANIFEST}.tmp"):
            (self.partial / leftover).unlink(missing_ok=True)
        durable.fsync_folder(self.partial)
        if self.out.exists() and any(self.out.iterdir()):
            self.out.rename(self.partial / REPLACED)
        self.partial.rename(self.out)
        durable.fsync_folder(self.out.parent)
        self.complete = True
        shutil.rmtree(self.out / REPLACED, ignore_errors=True)

    def _failure(self, error: OSError) -> SplitWriteError:
        kept = f"{self.written} items are safe in {self.partial}; make room and run the same command again to resume"
        return SplitWriteError(
            f"{self.out}: cannot write: {error.strerror}; {kept if self.written else 'nothing is kept'}"
        )

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            return durable.read_json(path)
        except DataError as error:
            raise SplitWriteError(
                f"{error}: delete {path.parent} if you do not need it, or choose another folder"
            ) from None

    def _close_files(self) -> None:
        if self._files is not None:
            self._files.close()
            self._files = None

    def _release(self) -> None:
        self._close_files()
        if self._lock is not None:
            durable.release_lock(self._lock)
            self._lock = None
        if self._made_parent:
            with suppress(OSError):  # not empty: it has become useful
                self.out.parent.rmdir()


def verify(folder: Path) -> Manifest:
    """Check a split completely, manifest, headers, sizes and every checksum, and return its manifest.

    Raises:
        SplitWriteError: Something is wrong; the message names the file or array.
    """
    from slotnorm import data  # imports torch, which takes seconds

    try:
        manifest = data.open_split(Path(folder)).manifest
    except data.SplitError as error:
        raise SplitWriteError(str(error)) from None
    for key, entry in manifest.arrays.items():
        path = Path(folder) / f"{key}.npy"
        if durable.sha256(path) != entry.sha256:
            raise SplitWriteError(
                f"{path}: not the content that {MANIFEST} records (sha256 differs): remove it and make the split again"
            )
    return manifest
