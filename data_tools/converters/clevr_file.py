"""Facts about the public CLEVR (with masks) file: address, license, and sizes of what it holds."""

from __future__ import annotations

from enum import StrEnum

URL = "https://storage.googleapis.com/multi-object-datasets/clevr_with_masks/clevr_with_masks_train.tfrecords"
SOURCE = "CLEVR (with masks), https://github.com/google-deepmind/multi_object_datasets"
LICENSE = "Apache-2.0 (the repository's; the data file states none of its own)"
SPLIT_COUNTS = (70_000, 15_000, 15_000)
"""Scenes for training, validation and testing, in file order."""

HEIGHT, WIDTH = 240, 320
ENTITIES = 11
"""Masks of a scene: the background and up to ten objects."""
MAX_RECORD_BYTES = 1 << 23
"""Bound on a scene, whose pixels and masks take 3,225,600 bytes, and little more with its tables."""
ROWS, COLUMNS = slice(24, 216), slice(64, 256)
"""The crop that the paper trains on."""
CROP = ROWS.stop - ROWS.start
"""Side of the crop in pixels."""


class Interpolation(StrEnum):
    """How images are scaled."""

    BILINEAR = "bilinear"
    NEAREST = "nearest"
