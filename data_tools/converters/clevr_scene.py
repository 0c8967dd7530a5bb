"""Reads one scene of the public CLEVR (with masks) file into arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from data_tools.converters.clevr_file import COLUMNS, ENTITIES, HEIGHT, ROWS, WIDTH
from data_tools.tfrecord.example import Feature, RecordError, parse_example

CLASS_TABLES = ("shape", "size", "material", "color")
FLOAT_TABLES = ("x", "y", "z", "visibility")
"""Features that hold one value for every entity of a scene."""

Array = npt.NDArray[Any]


def parse_scene(record: bytes) -> dict[str, Array]:
    """Return the arrays of one scene, cropped but not scaled.

    Returns:
        `image` uint8 (192, 192, 3); `segmentation` uint8 (192, 192), the number of the entity that a pixel shows, with
        0 for the background; `num_objects` int64 (); and for every entity, each of shape (11,), uint8 `shape`, `size`,
        `material`, `color` and float32 `x`, `y`, `z`, `visibility`.

    Raises:
        RecordError: A feature is missing, or has another type or length.
    """
    features = parse_example(record)
    if missing := sorted({"image", "mask", *CLASS_TABLES, *FLOAT_TABLES} - features.keys()):
        raise RecordError(f"not a CLEVR (with masks) scene: {missing} missing; it has {sorted(features)}")
    image = _bytes(features["image"], (HEIGHT, WIDTH, 3))[ROWS, COLUMNS]
    masks = _bytes(features["mask"], (ENTITIES, HEIGHT, WIDTH))[:, ROWS, COLUMNS]
    scene = {"image": np.ascontiguousarray(image), "segmentation": label_pixels(np.ascontiguousarray(masks))}
    scene |= {name: _bytes(features[name], (ENTITIES,)).copy() for name in CLASS_TABLES}  # a view would keep the record
    scene |= {name: _sized(features[name], features[name].floats(), (ENTITIES,)) for name in FLOAT_TABLES}
    return scene | {"num_objects": np.asarray(np.count_nonzero(scene["visibility"][1:]), np.int64)}


def label_pixels(masks: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Label every pixel with the number of its largest mask, the first of equal ones: uint8 (K, H, W) to (H, W)."""
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
