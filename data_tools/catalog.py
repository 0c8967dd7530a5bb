"""From what a notebook's ``data`` parameter says to a prepared split, made on first use and kept in a cache."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import platformdirs

from data_tools.converters import clevr
from data_tools.features import online
from data_tools.stand_ins import clevr as synth_clevr
from data_tools.stand_ins import movi as synth_movi
from data_tools.stand_ins.writer import RENDERER
from data_tools.writing.split_writer import SplitInUseError
from slotnorm.data.splits import Split, SplitError, open_split

PICTURES: dict[str, Callable[..., Path]] = {
    "synth-clevr": synth_clevr.prepare,
    "synth-movi-c": partial(synth_movi.prepare, variant="c"),
    "synth-movi-d": partial(synth_movi.prepare, variant="d"),
}
"""Name to what draws it. None of them is the data set that it stands in for."""
FEATURES = {f"{name}-features": name for name in ("synth-movi-c", "synth-movi-d")}
"""Name to the pictures; features are those of the stand-in backbone."""
STAND_INS = (*PICTURES, *FEATURES)
"""Every name that a ``data`` parameter may have instead of a path."""
POLL_S = 0.5
"""How often to look whether another process has finished."""


def cache_folder() -> Path:
    """Where splits made on first use are kept: ``SLOTNORM_CACHE`` if it is set, else the user's cache folder."""
    return Path(os.environ.get("SLOTNORM_CACHE") or platformdirs.user_cache_dir("slotnorm"))


def open_data(data: str | Path, *, image_size: int, scenes: int, seed: int = 0) -> Split:
    """Open what ``data`` names, with square images of ``image_size`` pixels.

    Of several processes that want the same new split, one makes it and the others wait.

    Args:
        data: a prepared split, which is opened; a CLEVR-with-masks TFRecord, all of whose scenes are converted on first
            use; a file of :mod:`data_tools.features.online`; or a name in :data:`STAND_INS`, which is drawn on first
            use.
        image_size: side of the images.
        scenes: scenes of a stand-in; a file or a split has as many as it has.
        seed: of a stand-in; of online features, which of :data:`data_tools.features.online.PARTS`.

    Raises:
        DataError: the file is missing or damaged, the split cannot be read, or its images are of another size.
    """
    if data in STAND_INS:
        return open_split(_stand_in(str(data), image_size, scenes, seed))
    path = Path(data)
    if path.name.endswith(online.SUFFIX):
        split = online.open_online(path, online.PARTS[seed])
    else:
        split = open_split(path if path.is_dir() else _from_tfrecord(path, image_size))
    height, width = split.arrays["image"].shape[1:3]
    if (height, width) != (image_size, image_size):
        raise SplitError(f"{split.folder / 'image.npy'}: images are {height}x{width}, but image_size is {image_size}")
    return split


def _stand_in(name: str, image_size: int, scenes: int, seed: int) -> Path:
    out = cache_folder() / f"{name}-{image_size}-{scenes}-seed{seed}-v{RENDERER}"
    if name in PICTURES:
        return _made(lambda: PICTURES[name](out, count=scenes, size=image_size, seed=seed))
    from data_tools.features.stand_ins import (  # timm takes seconds that pictures need not wait
        add_features,
        fingerprint,
    )

    out = out.with_name(f"{out.name}-{fingerprint()[:8]}")
    pictures = _stand_in(FEATURES[name], image_size, scenes, seed)
    return _made(lambda: add_features(pictures, out, image_size))


def makes(data: str) -> bool:
    """Whether :func:`open_data` makes a split of what ``data`` names: a stand-in, a TFRecord, or online features."""
    return data in STAND_INS or ".tfrecord" in Path(data).name or data.endswith(online.SUFFIX)


def identity(data: str, *, image_size: int, scenes: int, seed: int = 0) -> str:
    """Hash of what determines the scenes that :func:`open_data` gives; a stand-in's is known before it is drawn.

    A stand-in's leaves the pixels out, which another processor may round otherwise.
    """
    if data not in STAND_INS:
        return open_data(data, image_size=image_size, scenes=scenes, seed=seed).manifest.digest
    made_from: dict[str, Any] = {"name": data, "size": image_size, "count": scenes, "seed": seed, "renderer": RENDERER}
    if data in FEATURES:
        from data_tools.features.stand_ins import fingerprint

        made_from["backbone"] = fingerprint()
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def _from_tfrecord(tfrecord: Path, image_size: int) -> Path:
    out = cache_folder() / f"{tfrecord.stem}-{image_size}-{_fingerprint(tfrecord)}"
    if out.exists():
        return out
    source = f"the file {tfrecord.name}"
    return _made(lambda: clevr.convert(tfrecord, clevr.parts(out, "all"), size=image_size, source=source)[0])


def _made(make: Callable[[], Path]) -> Path:
    """What ``make`` returns; where another process is making it, that one's result."""
    while True:
        try:
            return make()
        except SplitInUseError:
            time.sleep(POLL_S)


def _fingerprint(path: Path) -> str:
    """Changes when the file does; the public file is too large to be read for that."""
    about = path.stat() if path.exists() else None
    identity = f"{path.resolve()} {about and (about.st_size, about.st_mtime_ns)}"
    return hashlib.sha256(identity.encode()).hexdigest()[:8]
