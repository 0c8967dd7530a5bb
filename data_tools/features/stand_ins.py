"""Adds features of the stand-in backbone to the stand-ins for MOVi.

`python -m data_tools pretrain` made the backbone. It learned to tell which object each patch of other scenes shows. For
that it had labels, which DINO has not.
"""

from __future__ import annotations

from pathlib import Path

from data_tools.features.backbone import FrozenBackbone
from data_tools.features.weights import STAND_IN, STAND_IN_WEIGHTS
from data_tools.features.writer import write_features
from data_tools.writing import durable
from data_tools.writing.durable import DataError
from slotnorm.data.splits import open_split


def load_stand_in_backbone() -> FrozenBackbone:
    """Load the backbone that comes with this package.

    Raises:
        DataError: Its weights are missing or damaged.
    """
    fingerprint()
    return FrozenBackbone.load(STAND_IN, STAND_IN_WEIGHTS)


def add_features(images: Path, out: Path, size: int) -> Path:
    """Write the split `images` with features to `out`; call it again after an interruption to resume.

    Args:
        images: Folder of a split with pictures of `size` pixels.
        out: Folder of the new split.
        size: Side of the pictures in pixels; must be the one that the backbone reads.

    Raises:
        DataError: The size is another, or the backbone's weights are missing.
        SplitWriteError: `out` holds something else, is being written, or the disk is full.
    """
    backbone = load_stand_in_backbone()
    if size != backbone.size:
        raise DataError(f"image_size must be {backbone.size}, which the stand-in backbone reads, got {size}")
    return write_features(open_split(images), backbone, out)


def fingerprint() -> str:
    """Return the SHA-256 of the backbone's weights.

    Raises:
        DataError: The weights are missing.
    """
    if not STAND_IN_WEIGHTS.is_file():
        raise DataError(f"{STAND_IN_WEIGHTS}: the stand-in backbone is missing: run python -m data_tools pretrain")
    return durable.sha256(STAND_IN_WEIGHTS)
