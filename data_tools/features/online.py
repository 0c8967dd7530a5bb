"""Opens splits whose features the training step computes: a small file names split, backbone and weights.

    python -m data_tools features --online --split data/movi_c --weights dino.safetensors --out data/movi_c-dino

writes `data/movi_c-dino.online.json`, which a chapter or a recipe takes as its data. Only frames are then on the disk,
47 GB instead of 328 GB for MOVi-C's training split, and every step runs the backbone once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_tools.writing import durable
from data_tools.writing.durable import DataError
from slotnorm.data.splits import Split, open_split

if TYPE_CHECKING:
    from data_tools.features.backbone import FrozenBackbone

SUFFIX = ".online.json"
PARTS = ("train", "validation", "test")
KEYS = ("split", "backbone", "weights", "size", "order", "precision")


def write_online(
    path: Path, split: Path, backbone: str, weights: Path, size: int | None, order: str, precision: str
) -> Path:
    """Write the file, with paths relative to its folder, so that the folder can be moved as a whole.

    Args:
        path: Path of the file; its name ends in `SUFFIX`.
        split: Folder of a prepared split, or a folder of splits named as in `PARTS`.
        backbone: Name of the backbone in timm, or "standin".
        weights: A `.safetensors` file.
        size: Side of the images that the backbone reads, in pixels; None for the one it was trained with.
        order: One of `data_tools.features.backbone.ORDERS`.
        precision: One of `data_tools.features.backbone.PRECISIONS`.

    Raises:
        DataError: The suffix is another, or `split` holds no split.
    """
    if not path.name.endswith(SUFFIX):
        raise DataError(f"{path}: the file's name must end in {SUFFIX}")
    if not any((split / part / "manifest.json").exists() for part in ("", *PARTS)):
        raise DataError(f"{split}: is no prepared split and holds none named {', '.join(PARTS)}")
    here = path.absolute().parent
    places = {"split": os.path.relpath(split, here), "weights": os.path.relpath(weights, here)}
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.write_json(path, {**places, "backbone": backbone, "size": size, "order": order, "precision": precision})
    return path


def open_online(path: Path, part: str) -> Split:
    """Open the split that the file names, with `features` that the backbone computes from the images of each batch.

    Args:
        path: File that `write_online` wrote.
        part: One of `PARTS`, if the file names a folder of splits.

    Raises:
        DataError: The file, the weights or the backbone cannot be used.
        SplitError: The split cannot be read.
    """
    request = _read(path)
    folder = path.parent / request["split"]
    try:
        whole = (folder / "manifest.json").exists()
    except OSError as error:
        raise DataError(f"{path}: its split cannot be read: {error.strerror}") from None
    split = open_split(folder if whole else folder / part)
    weights = path.parent / request["weights"]
    about = None
    with suppress(OSError):  # which loading it then tells
        about = weights.stat()
    backbone = _load_backbone(
        request["backbone"],
        weights.resolve(),
        request["size"],
        request["order"],
        request["precision"],
        stamp=about and (about.st_mtime_ns, about.st_size),
    )
    return split.with_features(backbone, backbone.about)


@lru_cache(maxsize=2)
def _load_backbone(
    name: str, weights: Path, size: int | None, order: str, precision: str, *, stamp: tuple[int, int] | None
) -> FrozenBackbone:
    """Load a backbone once: every question of a sweep which data these are needs it. `stamp` tells a new file."""
    from data_tools.features.backbone import FrozenBackbone  # timm takes seconds

    return FrozenBackbone.load(name, weights, size=size, order=order, precision=precision)


def _read(path: Path) -> Mapping[str, Any]:
    from data_tools.features.backbone import ORDERS, PRECISIONS

    request = durable.read_json(path)
    if wrong := sorted(set(KEYS) ^ request.keys()):
        raise DataError(
            f"{path}: must hold {list(KEYS)}; {wrong[0]!r} is {'missing' if wrong[0] in KEYS else 'unknown'}"
        )
    texts = dict.fromkeys(("split", "backbone", "weights", "order", "precision"), (str,))
    for key, kinds in {**texts, "size": (int, type(None))}.items():
        if type(request[key]) not in kinds:
            raise DataError(f"{path}: {key} must be of type {kinds[0].__name__}, got {request[key]!r}")
    for key, known in (("order", ORDERS), ("precision", PRECISIONS)):
        if request[key] not in known:
            raise DataError(f"{path}: {key} must be one of {', '.join(known)}, got {request[key]!r}")
    return request
