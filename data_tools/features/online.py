"""Features that are computed in the training step: a small file names a prepared split, a backbone and its weights.

    python -m data_tools features --online --split data/movi_c --weights dino.safetensors --out data/movi_c-dino

writes `data/movi_c-dino.online.json`, which a chapter or a recipe takes as its data. Frames are then
all that has to be on the disk, 47 GB instead of 328 GB for MOVi-C's training, and every step runs the backbone once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_tools.writing import durable
from data_tools.writing.durable import DataError
from slotnorm.data.splits import Split, open_split

SUFFIX = ".online.json"
PARTS = ("train", "validation", "test")
KEYS = ("split", "backbone", "weights", "size", "order", "precision")


def write_online(
    path: Path, split: Path, backbone: str, weights: Path, size: int | None, order: str, precision: str
) -> Path:
    """Write the file; paths in it are relative to where it lies, so that a folder can be moved as a whole.

    Args:
        path: The file, whose name ends in `SUFFIX`.
        split: A prepared split, or a folder with some of `PARTS`.
        backbone: timm's name.
        weights: A `.safetensors` file.
        size: Side of the images that the backbone reads, if not its own.
        order: One of `data_tools.features.backbone.ORDERS`.
        precision: One of `data_tools.features.backbone.PRECISIONS`.

    Raises:
        DataError: Another suffix, or no split there.
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
    """Open the split that the file names, or its part, with `features` that the backbone computes from its images.

    Raises:
        DataError: The file, the weights or the backbone cannot be used.
        SplitError: The split cannot.
    """
    from data_tools.features.backbone import FrozenBackbone  # timm takes seconds that other data need not wait for

    request = _read(path)
    folder = path.parent / request["split"]
    split = open_split(folder if (folder / "manifest.json").exists() else folder / part)
    options = {key: request[key] for key in ("size", "order", "precision")}
    backbone = FrozenBackbone.load(request["backbone"], path.parent / request["weights"], **options)
    return split.with_features(backbone, backbone.about)


def _read(path: Path) -> Mapping[str, Any]:
    request = durable.read_json(path)
    if wrong := sorted(set(KEYS) ^ request.keys()):
        raise DataError(
            f"{path}: must hold {list(KEYS)}; {wrong[0]!r} is {'missing' if wrong[0] in KEYS else 'unknown'}"
        )
    return request
