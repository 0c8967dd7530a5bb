"""The stand-ins for MOVi with features of the stand-in backbone, which `python -m data_tools pretrain` has made.

The backbone learned to tell texture, colors and shape of single objects apart; it has seen no scene of several objects
and no mask.
"""

from __future__ import annotations

from pathlib import Path

from data_tools.features.backbone import FrozenBackbone
from data_tools.features.weights import STAND_IN, STAND_IN_WEIGHTS
from data_tools.features.writer import write_features
from data_tools.writing import durable
from data_tools.writing.durable import DataError
from slotnorm.data.splits import open_split

WEIGHTS = STAND_IN_WEIGHTS


def stand_in_backbone() -> FrozenBackbone:
    """The committed backbone.

    Raises:
        DataError: Its weights are missing or damaged.
    """
    fingerprint()
    return FrozenBackbone.load(STAND_IN, WEIGHTS)


def add_features(images: Path, out: Path, size: int) -> Path:
    """Write the split `images` with features to `out`; an interrupted call goes on where it was.

    Args:
        images: A split with pictures of `size` pixels.
        out: Folder of the new split.
        size: Side of the pictures, which has to be the one that the backbone reads.

    Raises:
        DataError: Another size, or no backbone.
        SplitWriteError: `out` exists and is something else, is being written, or the disk is full.
    """
    backbone = stand_in_backbone()
    if size != backbone.size:
        raise DataError(f"image_size must be {backbone.size}, which the stand-in backbone reads, got {size}")
    return write_features(open_split(images), backbone, out)


def fingerprint() -> str:
    """SHA-256 of the backbone's weights.

    Raises:
        DataError: They are missing.
    """
    if not WEIGHTS.is_file():
        raise DataError(f"{WEIGHTS}: the stand-in backbone is missing: make it with python -m data_tools pretrain")
    return durable.sha256(WEIGHTS)
