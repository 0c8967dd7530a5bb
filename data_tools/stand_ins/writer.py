"""Makes and draws scenes of a stand-in batch by batch and writes them as a prepared split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from data_tools.stand_ins import RENDERER
from data_tools.stand_ins.random_draws import Ints
from data_tools.stand_ins.render import SIZE_RANGE, render
from data_tools.stand_ins.scenes import Scenes
from data_tools.writing.durable import DataError
from data_tools.writing.split_writer import ArraySpec, SplitWriter

PIXELS_PER_WRITE = 1 << 24
"""Most pixels drawn between two writes."""
LICENSE = "MIT, as this project: a synthetic stand-in made by this project"

Tables = Mapping[str, npt.NDArray[Any]]
MakeScenes = Callable[[Ints], tuple[Scenes, Tables]]
"""Maps numbers of scenes to the scenes and their per-object tables."""


def write_stand_in(
    out: Path,
    make: MakeScenes,
    *,
    name: str,
    source: str,
    arguments: Mapping[str, Any],
    count: int,
    size: int,
    antialias: bool,
) -> Path:
    """Write scenes 0 to count - 1 as a prepared split; call it again after an interruption to resume.

    Args:
        out: Folder of the split.
        make: Makes scenes from their numbers only.
        name: Name of the split.
        source: Source of the pictures, for the manifest.
        arguments: Further arguments that determine the content, for the manifest.
        count: Number of scenes.
        size: Side of the pictures in pixels.
        antialias: As for `data_tools.stand_ins.render.render`.

    Returns:
        `out`.

    Raises:
        SplitWriteError: `out` holds something else, is being written, or the disk is full.
    """
    generator = {"renderer": RENDERER, "size": size, "antialias": antialias, **arguments}
    tables = make(np.zeros(1, np.int64))[1]
    arrays = {
        "image": ArraySpec("uint8", (size, size, 3)),
        "segmentation": ArraySpec("uint8", (size, size)),
        "num_objects": ArraySpec("int64", ()),
        "scene_id": ArraySpec("int64", ()),
        **{key: ArraySpec(str(table.dtype), table.shape[1:]) for key, table in tables.items()},
    }
    with SplitWriter(
        out, name=name, source=source, license=LICENSE, generator=generator, arrays=arrays, count=count
    ) as writer:
        step = max(1, min(256, PIXELS_PER_WRITE // (size * size)))
        with tqdm(total=count, initial=writer.written, unit="scene", desc=name, disable=None) as bar:
            while writer.written < count:
                scene_id = np.arange(writer.written, min(count, writer.written + step))
                scenes, tables = make(scene_id)
                drawn = render(scenes, size, antialias)
                writer.append(
                    image=drawn.image.cpu().numpy(),
                    segmentation=drawn.segmentation.cpu().numpy(),
                    num_objects=scenes.count.cpu().numpy(),
                    scene_id=scene_id,
                    **tables,
                )
                bar.update(len(scene_id))
        return writer.finish()


def check_request(count: int, size: int, seed: int, device: torch.device | str) -> None:
    """Check the arguments that all stand-ins have.

    Raises:
        DataError: An argument is out of range; the message names it and what would be right.
    """
    if count < 1:
        raise DataError(f"count must be at least 1, got {count}")
    if not SIZE_RANGE[0] <= size <= SIZE_RANGE[1]:
        raise DataError(f"size must be from {SIZE_RANGE[0]} to {SIZE_RANGE[1]} pixels, got {size}")
    if not 0 <= seed < 2**63:
        raise DataError(f"seed must be from 0 to 2^63 - 1, got {seed}")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DataError(f"device {str(device)!r} cannot be used: {str(error).splitlines()[0]}") from None


def check_objects(min_objects: int, max_objects: int, least: int, most: int) -> None:
    """Check a range of object counts, which must be within `least` to `most`.

    Raises:
        DataError: An argument is out of range; the message names it and what would be right.
    """
    if not least <= max_objects <= most:
        raise DataError(f"max_objects must be from {least} to {most}, got {max_objects}")
    if not least <= min_objects <= max_objects:
        raise DataError(f"min_objects must be from {least} to max_objects = {max_objects}, got {min_objects}")
