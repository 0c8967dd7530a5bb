"""Writes the `.npy` files of a split, one per array, which grow together item by item."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from data_tools.writing.durable import write_at


@dataclass(frozen=True)
class ArraySpec:
    """The dtype of an array of a split and the shape of one item: `ArraySpec("uint8", (128, 128, 3))`."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def item_bytes(self) -> int:
        """Return the size of one item in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize

    def header(self, count: int) -> bytes:
        """Return the `.npy` header of `count` items; numpy gives it the same length for every count."""
        stream = io.BytesIO()
        descr = npy_format.dtype_to_descr(np.dtype(self.dtype))
        npy_format.write_array_header_1_0(
            stream, {"descr": descr, "fortran_order": False, "shape": (count, *self.shape)}
        )
        return stream.getvalue()

    def file_bytes(self, count: int) -> int:
        """Return the size in bytes of the file that holds `count` items."""
        return len(self.header(count)) + count * self.item_bytes

    def fits(self, path: Path, count: int) -> bool:
        """Return whether a file is there with the header and the size of `count` items."""
        header = self.header(count)
        try:
            with path.open("rb") as file:
                return file.read(len(header)) == header and path.stat().st_size == self.file_bytes(count)
        except FileNotFoundError:
            return False


class NpyFiles:
    """The open files of some arrays. The caller counts the items that are safely on disk.

    Args:
        folder: Folder of the files.
        arrays: The arrays by name.
        count: Number of items in the headers until `seal` writes the true one.
    """

    def __init__(self, folder: Path, arrays: Mapping[str, ArraySpec], count: int) -> None:
        self._folder = folder
        self._arrays = arrays
        self._descriptors: dict[str, int] = {}
        try:
            for name, spec in arrays.items():
                self._descriptors[name] = os.open(self.path(name), os.O_RDWR | os.O_CREAT, 0o644)
                os.pwrite(self._descriptors[name], spec.header(count), 0)
        except OSError:
            self.close()
            raise

    def path(self, name: str) -> Path:
        """Return the path of an array's file."""
        return self._folder / f"{name}.npy"

    def list_shorter_than(self, count: int) -> list[Path]:
        """List the files that are too short for `count` items."""
        sizes = {name: os.fstat(descriptor).st_size for name, descriptor in self._descriptors.items()}
        return [self.path(name) for name, spec in self._arrays.items() if sizes[name] < spec.file_bytes(count)]

    def write(self, arrays: Mapping[str, np.ndarray[Any, Any]], at: int) -> None:
        """Write the next items of every array after the first `at` ones, and wait until they are on disk."""
        for name, array in arrays.items():
            write_at(self._descriptors[name], np.ascontiguousarray(array), self._arrays[name].file_bytes(at))
        self._sync()

    def seal(self, count: int) -> None:
        """Cut the files after `count` items and write that count into their headers."""
        for name, spec in self._arrays.items():
            os.ftruncate(self._descriptors[name], spec.file_bytes(count))
            os.pwrite(self._descriptors[name], spec.header(count), 0)
        self._sync()

    def close(self) -> None:
        """Close the files; items that were written are safe without it."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])

    def _sync(self) -> None:
        for descriptor in self._descriptors.values():
            os.fsync(descriptor)
