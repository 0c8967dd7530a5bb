"""The public CLEVR (with masks) file: what is known of it, and one scene of it as arrays."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from data_tools.tfrecord.example import Feature, RecordError, parse_example

URL = "https://storage.googleapis.com/multi-object-datasets/clevr_with_masks/clevr_with_masks_train.tfrecords"
SOURCE = "CLEVR (with masks), https://github.com/google-deepmind/multi_object_datasets"
LICENSE = "Apache-2.0 (the repository's; the data file states none of its own)"
COUNTS = (70_000, 15_000, 15_000)

HEIGHT, WIDTH, ENTITIES = 240, 320, 11
ROWS, COLUMNS = slice(24, 216), slice(64, 256)
CROP = ROWS.stop - ROWS.start
CLASSES = ("shape", "size", "material", "color")
FLOATS = ("x", "y", "z", "visibility")

Array = npt.NDArray[Any]


class Interpolation(StrEnum):
    """How images are scaled."""

    BILINEAR = "bilinear"
    NEAREST = "nearest"


def parse_scene(record: bytes) -> dict[str, Array]:
    """The arrays of one scene, cropped but not scaled.

    Returns:
        `image` uint8 (192, 192, 3); `segmentation` uint8 (192, 192), the number of the entity that a pixel shows, 0 the
        background; `num_objects` int64 (); and per entity, (11,), uint8 `shape`, `size`, `material`, `color` and
        float32 `x`, `y`, `z`, `visibility`.

    Raises:
        RecordError: A feature is missing, or has another type or length.
    """
    features = parse_example(record)
    if missing := sorted({"image", "mask", *CLASSES, *FLOATS} - features.keys()):
        raise RecordError(f"not a CLEVR (with masks) scene: it lacks {missing}; it has {sorted(features)}")
    image = _bytes(features["image"], (HEIGHT, WIDTH, 3))[ROWS, COLUMNS]
    masks = _bytes(features["mask"], (ENTITIES, HEIGHT, WIDTH))[:, ROWS, COLUMNS]
    scene = {"image": np.ascontiguousarray(image), "segmentation": labels(np.ascontiguousarray(masks))}
    scene |= {name: _bytes(features[name], (ENTITIES,)).copy() for name in CLASSES}  # a view would keep the record
    scene |= {name: _sized(features[name], features[name].floats(), (ENTITIES,)) for name in FLOATS}
    return scene | {"num_objects": np.asarray(np.count_nonzero(scene["visibility"][1:]), np.int64)}


def labels(masks: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The number of the first largest of K masks at every pixel: uint8 (K, H, W) to uint8 (H, W)."""
    if (masks.max(0) == 255).all() and (masks.sum(0, dtype=np.uint16) == 255).all():
        numbers = np.arange(len(masks), dtype=np.uint8)[:, None, None]
        return np.asarray(np.bitwise_or.reduce(masks & numbers))  # the one mask that is 255 keeps its number
    return np.asarray(masks.argmax(0), np.uint8)


def _bytes(feature: Feature, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    return _sized(feature, feature.one_byte_strings(), shape)


def _sized(feature: Feature, values: Array, shape: tuple[int, ...]) -> Array:
    if values.size != math.prod(shape):
        raise RecordError(f"feature {feature.name!r} holds {values.size} values, expected {math.prod(shape)}, {shape}")
    return values.reshape(shape)
