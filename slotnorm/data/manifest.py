"""Reads the manifest of a prepared split and maps the arrays that it lists; nothing in these files is trusted."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FORMAT_VERSION = 2
"""Version that is written. Version 1, which is read too, has no ``digest``, the checksum of the manifest itself."""
BATCHED = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "float16", "float32", "float64")
"""Types of arrays that batches can hold."""
MAX_MANIFEST_BYTES = 1 << 24
MAX_NAME_LENGTH = 64


class SplitError(ValueError):
    """A prepared split that cannot be used; the message names the file and what is wrong.

    Example:
        >>> from slotnorm.data import open_split
        >>> open_split("nowhere")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        slotnorm.data.manifest.SplitError: nowhere/manifest.json: missing; not a prepared split, ...
    """


@dataclass(frozen=True)
class ArrayEntry:
    """Entry of a manifest for one array; ``shape`` has the items first.

    Example:
        >>> from slotnorm.data import open_split
        >>> open_split(FOLDER).manifest.arrays["num_objects"].dtype
        'int64'
    """

    dtype: str
    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Name, source, licence, maker and arrays of a prepared split.

    Example:
        >>> from slotnorm.data import open_split
        >>> manifest = open_split(FOLDER).manifest
        >>> manifest.count, len(manifest.digest)
        (10, 64)
    """

    name: str
    source: str
    license: str
    generator: Mapping[str, Any]
    count: int
    arrays: Mapping[str, ArrayEntry]
    digest: str
    """SHA-256 of the manifest's canonical JSON; it covers every array's checksum and so identifies the data."""


def read_manifest(path: Path) -> Manifest:
    """Read a ``manifest.json`` and compare its checksum of itself.

    Raises:
        SplitError: the file is missing, damaged, of an unknown version, or lists what no split can hold.
    """
    content, digest = _read_json(path)
    try:
        version = content["format_version"]
        if version not in (1, FORMAT_VERSION) or type(version) is not int:
            raise SplitError(f"{path}: is of format version {version!r}, this program reads 1 and {FORMAT_VERSION}")
        if ("digest" in content) != (version > 1) or content.get("digest", digest) != digest:
            raise SplitError(f"{path}: damaged: its content is not that of its digest: make the split again")
        arrays = {_plain_name(path, name): _entry(entry) for name, entry in content["arrays"].items()}
        texts = {key: _checked(content[key], str) for key in ("name", "source", "license")}
        generator, count = _checked(content["generator"], dict), _size(content["count"])
    except (KeyError, TypeError, AttributeError) as error:
        raise SplitError(f"{path}: is not the manifest of a split: {type(error).__name__} {error}") from None
    return Manifest(**texts, generator=generator, count=count, arrays=arrays, digest=digest)


def open_array(path: Path, entry: ArrayEntry) -> npt.NDArray[Any]:
    """Map an ``.npy`` file into memory and compare type, shape and size with the manifest.

    Raises:
        SplitError: the file is missing, damaged, or another array.
    """
    try:
        if not path.is_file():
            raise SplitError(f"{path}: missing, though the manifest lists it")
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a header that is not of the usual form
            array = np.lib.format.open_memmap(path, mode="r")
        size = path.stat().st_size
    except SplitError:
        raise
    except Exception as error:  # NumPy evaluates the header and promises no kind of error
        raise SplitError(f"{path}: damaged, or not an .npy file: {' '.join(str(error).split())}") from None
    if (str(array.dtype), array.shape) != (entry.dtype, entry.shape):
        raise SplitError(f"{path}: holds {array.dtype} {array.shape}, the manifest says {entry.dtype} {entry.shape}")
    if str(array.dtype) not in BATCHED:
        raise SplitError(f"{path}: holds {array.dtype}, batches can hold {', '.join(BATCHED)}")
    if not array.flags.c_contiguous:
        raise SplitError(f"{path}: is in Fortran's order, arrays of a split are in C's")
    if size != array.offset + array.nbytes:
        raise SplitError(f"{path}: is {size} bytes long, its header makes {array.offset + array.nbytes}")
    return array


def _read_json(path: Path) -> tuple[dict[str, Any], str]:
    """Return the content of a manifest and its digest, which does not depend on the version of the format."""
    try:
        if (size := path.stat().st_size) > MAX_MANIFEST_BYTES:
            raise SplitError(f"{path}: is {size} bytes long, a manifest has at most {MAX_MANIFEST_BYTES}")
        content = json.loads(path.read_bytes().decode("utf-8"))
        if not isinstance(content, dict):
            raise SplitError(f"{path}: is not the manifest of a split: not a JSON object")
        json.dumps(content, ensure_ascii=False).encode("utf-8")  # half a surrogate pair could not be printed
        data = {key: value for key, value in content.items() if key != "digest"} | {"format_version": 1}
        canonical = json.dumps(data, sort_keys=True, separators=(",", ":"))
    except FileNotFoundError:
        raise SplitError(f"{path}: missing; not a prepared split, or one whose making was not finished") from None
    except SplitError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise SplitError(f"{path}: cannot be read: {error}") from None
    return content, hashlib.sha256(canonical.encode()).hexdigest()


def _plain_name(path: Path, name: str) -> str:
    """Return the name of an array, which is a file's name without its suffix: an identifier, never a path."""
    if not (name.isascii() and name.isidentifier() and len(name) <= MAX_NAME_LENGTH):
        raise SplitError(f"{path}: lists an array {name[:MAX_NAME_LENGTH]!r}: names must be plain identifiers")
    return name


def _entry(entry: Any) -> ArrayEntry:
    dtype, sha256 = _checked(entry["dtype"], str), _checked(entry["sha256"], str)
    return ArrayEntry(dtype, tuple(map(_size, _checked(entry["shape"], list))), sha256)


def _size(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"expected a count, got {value!r}")
    return value


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"expected {kind.__name__}, got {value!r}")
    return value
