"""Opens what a chapter's ``data`` parameter names; a split that does not exist yet is made and kept in a cache.

Converters, stand-ins and backbones are imported when a split is made, so that opening one does not wait for them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from data_tools.features import online
from data_tools.stand_ins import PICTURES, RENDERER
from data_tools.writing.split_writer import SplitInUseError, SplitWriteError
from slotnorm.data.manifest import SplitError
from slotnorm.data.splits import Split, open_split

__all__ = ["FEATURES", "PICTURES", "STAND_INS", "cache_folder", "identity", "makes", "open_data"]

FEATURES = {f"{name}-features": name for name in ("synth-movi-c", "synth-movi-d")}
"""Names of stand-ins with features of the stand-in backbone, and the pictures that these are computed from."""
STAND_INS = (*PICTURES, *FEATURES)
"""Names that a ``data`` parameter may hold instead of a path."""
POLL_S = 0.5
"""Seconds between two looks whether another process has finished."""
MOST_WAIT_S = 24 * 3600.0
"""Seconds after which waiting for another process ends; converting all of CLEVR takes hours on a slow disk."""


def cache_folder() -> Path:
    """Return the folder of splits made on first use: ``SLOTNORM_CACHE`` if it is set, else the user's cache folder."""
    return Path(os.environ.get("SLOTNORM_CACHE") or platformdirs.user_cache_dir("slotnorm"))


def open_data(data: str | Path, *, image_size: int, scenes: int, seed: int = 0) -> Split:
    """Open the split that ``data`` names, with square images of ``image_size`` pixels.

    If several processes ask for the same new split, one makes it and the others wait.

    Args:
        data: folder of a prepared split; a CLEVR-with-masks TFRecord, which is converted completely on first use; a
            file of :mod:`data_tools.features.online`; or a name in :data:`STAND_INS`, which is drawn on first use.
        image_size: side of the images in pixels.
        scenes: number of scenes of a stand-in; ignored for other data.
        seed: seed of a stand-in. For online features and the published TFRecord it is the index of the part in
            :data:`data_tools.features.online.PARTS`; ignored for other data.

    Raises:
        DataError: the file is missing or damaged, or a stand-in cannot be drawn so.
        SplitError: the split cannot be read, or its images have another size.
    """
    if data in STAND_INS:
        return _open_stand_in(str(data), image_size, scenes, seed)
    path = Path(data)
    if path.name.endswith(online.SUFFIX):
        split = online.open_online(path, online.PARTS[seed])
    else:
        split = open_split(path) if path.is_dir() else _select_part(_convert_tfrecord(path, image_size), seed)
    split.require("image")
    height, width = split.arrays["image"].shape[1:3]
    if (height, width) != (image_size, image_size):
        raise SplitError(f"{split.folder / 'image.npy'}: images are {height}x{width}, but image_size is {image_size}")
    return split


def _open_stand_in(name: str, image_size: int, scenes: int, seed: int) -> Split:
    """Open a stand-in; draw it if the cache does not have it whole."""
    out = cache_folder() / f"{name}-{image_size}-{scenes}-seed{seed}-v{RENDERER}"
    if name in PICTURES:
        return _open_or_make(out, lambda: PICTURES[name].prepare(out, count=scenes, size=image_size, seed=seed))
    from data_tools.features.stand_ins import add_features, fingerprint

    out = out.with_name(f"{out.name}-{fingerprint()[:8]}")

    def make() -> Path:
        return add_features(_open_stand_in(FEATURES[name], image_size, scenes, seed).folder, out, image_size)

    return _open_or_make(out, make)


def makes(data: str) -> bool:
    """Return whether :func:`open_data` makes the split first: of a stand-in, a TFRecord, or online features."""
    return data in STAND_INS or ".tfrecord" in Path(data).name.lower() or data.endswith(online.SUFFIX)


def identity(data: str, *, image_size: int, scenes: int, seed: int = 0) -> str:
    """Return a hash of everything that determines the scenes of :func:`open_data`; its arguments are the same.

    The hash of a stand-in follows from its parameters, not from its pixels: it is known before the stand-in is drawn,
    and is the same on another processor, which may round pixels differently.
    """
    if data not in STAND_INS:
        return open_data(data, image_size=image_size, scenes=scenes, seed=seed).manifest.digest
    made_from: dict[str, Any] = {"name": data, "size": image_size, "count": scenes, "seed": seed, "renderer": RENDERER}
    if data in FEATURES:
        from data_tools.features.stand_ins import fingerprint

        made_from["backbone"] = fingerprint()
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def _convert_tfrecord(tfrecord: Path, image_size: int) -> Split:
    """Open what a CLEVR-with-masks file was converted to; convert it if the cache does not have that whole."""
    out = cache_folder() / f"{tfrecord.stem}-{image_size}-{_fingerprint(tfrecord)}"
    from data_tools.converters.clevr import convert, list_parts

    source = f"the file {tfrecord.name}"
    make = partial(convert, tfrecord, list_parts(out, "all"), size=image_size, source=source)
    return _open_or_make(out, lambda: make()[0])


def _select_part(split: Split, part: int) -> Split:
    """Select the scenes of a part of CLEVR-with-masks, which follow each other; a file of another length has no parts.

    The part's digest differs from those of the others, since their scenes do.
    """
    from data_tools.converters.clevr_file import SPLIT_COUNTS

    if len(split) != sum(SPLIT_COUNTS):
        return split
    first, count = sum(SPLIT_COUNTS[:part]), SPLIT_COUNTS[part]
    digest = hashlib.sha256(f"{split.manifest.digest} {first} {count}".encode()).hexdigest()
    return replace(split.select(np.arange(first, first + count)), manifest=replace(split.manifest, digest=digest))


def _open_or_make(out: Path, make: Callable[[], Path]) -> Split:
    """Open a split; if it is not there whole, call ``make``, or wait while another process makes the same.

    Raises:
        SplitInUseError: the other process was not done in :data:`MOST_WAIT_S` seconds.
        SplitWriteError: the cache cannot be written.
    """
    deadline, told = time.monotonic() + MOST_WAIT_S, False
    while True:
        with suppress(SplitError):
            return open_split(out)
        try:
            return open_split(make())
        except SplitInUseError as error:
            if time.monotonic() >= deadline:
                raise SplitInUseError(f"{error}; waited {MOST_WAIT_S / 3600:g} hours for it") from None
            if not told:
                print(f"{error}; waiting for it, at most {MOST_WAIT_S / 3600:g} hours", file=sys.stderr, flush=True)
                told = True
            time.sleep(POLL_S)
        except SplitWriteError as error:
            cause = error.__cause__
            if not isinstance(cause, OSError) or cause.errno in (errno.ENOSPC, errno.EDQUOT):
                raise  # a full disk keeps what is done; another folder would begin anew
            raise SplitWriteError(f"{error}; set SLOTNORM_CACHE to a folder that can be written") from error


def _fingerprint(path: Path) -> str:
    """Return a hash of path, size and time, which changes with the file; the public file is too large to read."""
    about = path.stat() if path.exists() else None
    identity = f"{path.resolve()} {about and (about.st_size, about.st_mtime_ns)}"
    return hashlib.sha256(identity.encode()).hexdigest()[:8]
