"""Writes a prepared split with a frozen backbone's features; see `data_tools.features.command`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from data_tools.converters.resampling import NEAREST, resize_images, resize_masks
from data_tools.features.backbone import FrozenBackbone
from data_tools.writing.durable import DataError
from data_tools.writing.split_writer import ArraySpec, SplitWriter
from slotnorm.data.splits import Split

Array = npt.NDArray[Any]


def write_features(source: Split, backbone: FrozenBackbone, out: Path, *, batch: int = 32) -> Path:
    """Write a prepared split with `features` and the arrays of `source`; call it again after an interruption to resume.

    Args:
        source: A split with `image`; old `features` of it are not copied.
        backbone: The backbone, on the device that computes.
        out: Folder of the new split.
        batch: Images in a batch.

    Returns:
        `out`.

    Raises:
        DataError: The images do not suit the backbone's order, or features are too large for float16.
        SplitWriteError: `out` holds something else, is being written, or the disk is full.
    """
    _check_images(source, backbone)
    device = backbone.mean.device
    with SplitWriter(
        out,
        name=f"{source.manifest.name}+{backbone.about.get('backbone', 'backbone')}",
        source=source.manifest.source,
        license=source.manifest.license,
        generator=_generator(source, backbone),
        arrays=_arrays(source, backbone),
        count=len(source),
    ) as writer:
        progress = tqdm(total=len(source), initial=writer.written, unit="image", desc="features", disable=None)
        for arrays in _chunks(source, backbone, writer.written, batch):
            image = torch.from_numpy(arrays.pop("input")).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
            writer.append(features=_half(backbone(image), source, writer.written), **arrays)
            progress.update(len(image))
        progress.close()
        return writer.finish()


def _check_images(source: Split, backbone: FrozenBackbone) -> None:
    side = source.arrays["image"].shape[1:3]
    if backbone.order == "normalize_first" and side == (backbone.size, backbone.size):
        raise DataError(
            f"{source.folder}: its frames are scaled to {side[0]}x{side[1]} and rounded already, so they cannot be "
            "normalized first: convert the data again with --size 256 (its own size), or use --order resize_first"
        )


def _generator(source: Split, backbone: FrozenBackbone) -> dict[str, Any]:
    made_from = {"name": source.manifest.name, "digest": source.manifest.digest}
    return {"command": "features", "arguments": {"split": made_from, "masks": NEAREST, **backbone.about}}


def _arrays(source: Split, backbone: FrozenBackbone) -> dict[str, ArraySpec]:
    specs = {name: ArraySpec(str(array.dtype), array.shape[1:]) for name, array in source.arrays.items()}
    specs["image"] = ArraySpec("uint8", (backbone.size, backbone.size, 3))
    if "segmentation" in specs:
        specs["segmentation"] = ArraySpec("uint8", (backbone.size, backbone.size))
    specs["features"] = ArraySpec("float16", (backbone.patches, backbone.feature_dim))
    return specs


def _chunks(source: Split, backbone: FrozenBackbone, start: int, batch: int) -> Iterator[dict[str, Array]]:
    """Yield the arrays to store, batch by batch, and as `input` the images for the backbone.

    These are the stored images, so that online features are the same, unless images are normalized before scaling.
    """
    for first in range(start, len(source), batch):
        rows = source.index[first : first + batch]
        chunk = {name: np.array(array[rows]) for name, array in source.arrays.items() if name != "features"}
        original = chunk["image"]
        chunk["image"] = resize_images(torch.from_numpy(original), backbone.size).numpy()
        if "segmentation" in chunk:
            chunk["segmentation"] = resize_masks(torch.from_numpy(chunk["segmentation"]), backbone.size).numpy()
        yield chunk | {"input": original if backbone.order == "normalize_first" else chunk["image"]}


def _half(features: torch.Tensor, source: Split, first: int) -> Array:
    half: Array = features.half().cpu().numpy()
    if not np.isfinite(half).all():
        row = first + int(np.argmin(np.isfinite(half).all(axis=(1, 2))))
        raise DataError(f"{source.folder}: image {row} has features beyond float16: are these the right weights?")
    return half
