"""From what a notebook's ``data`` parameter says to a prepared split, made on first use and kept in a cache."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import platformdirs

from data_tools import clevr
from slotnorm.data import Split, SplitError, open_split


def cache_folder() -> Path:
    """Where splits made on first use are kept: ``SLOTNORM_CACHE`` if it is set, else the user's cache folder."""
    return Path(os.environ.get("SLOTNORM_CACHE") or platformdirs.user_cache_dir("slotnorm"))


def open_data(data: str | Path, *, image_size: int) -> Split:
    """Open what ``data`` names, with square images of ``image_size`` pixels.

    Args:
        data: a prepared split, which is opened, or a CLEVR-with-masks TFRecord, all of whose scenes are converted on
            first use.
        image_size: side of the images.

    Raises:
        RecordError: the TFRecord is missing or damaged.
        SplitError: the prepared split cannot be read or has images of another size.
    """
    path = Path(data)
    folder = path if path.is_dir() else _from_tfrecord(path, image_size)
    split = open_split(folder)
    height, width = split.arrays["image"].shape[1:3]
    if (height, width) != (image_size, image_size):
        raise SplitError(f"{folder / 'image.npy'}: images are {height}x{width}, but image_size is {image_size}")
    return split


def _from_tfrecord(tfrecord: Path, image_size: int) -> Path:
    out = cache_folder() / f"{tfrecord.stem}-{image_size}-{_fingerprint(tfrecord)}"
    if not out.exists():
        clevr.convert(tfrecord, clevr.parts(out, "all"), size=image_size, source=f"the file {tfrecord.name}")
    return out


def _fingerprint(path: Path) -> str:
    """Changes when the file does; the public file is too large to be read for that."""
    about = path.stat() if path.exists() else None
    identity = f"{path.resolve()} {about and (about.st_size, about.st_mtime_ns)}"
    return hashlib.sha256(identity.encode()).hexdigest()[:8]
