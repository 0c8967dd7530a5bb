"""Draws labelled scenes once, keeps them in memory and forms batches.

Legend: B scenes, N patches row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from data_tools.features.pretraining.labelled_scenes import draw_labelled_scenes

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
"""Mean and deviation to normalize pictures with."""
DRAWN_AT_ONCE = 128
VARIANTS = ("c", "c", "d")
"""Variants of the MOVi stand-ins that the parts of the pool have in turn: two thirds have few and large objects."""


class Batch(NamedTuple):
    """Scenes with the labels of their patches."""

    image: Tensor
    """Normalized pictures (B, 3, size, size)."""
    labels: dict[str, Tensor]
    """By label, int64 (B, N)."""
    share: Tensor
    """Share of each patch that its object covers, (B, N)."""


class Pool:
    """The scenes `start` to `start + count - 1` of `data_tools.features.pretraining.labelled_scenes`.

    Args:
        seed: Seed of the scenes and of the order of batches.
        start: Number of the first scene.
        count: Number of scenes.
        size: Pixels along a side of a picture.
        patch: Pixels along a side of a patch.
    """

    def __init__(self, seed: int, start: int, count: int, size: int, patch: int) -> None:
        parts = []
        with tqdm(total=count, desc="drawing", unit="scene", disable=None) as bar:
            for number, first in enumerate(range(start, start + count, DRAWN_AT_ONCE)):
                some = min(DRAWN_AT_ONCE, start + count - first)
                variant = VARIANTS[number % len(VARIANTS)]
                parts.append(draw_labelled_scenes(seed, first, some, variant=variant, size=size, patch=patch))
                bar.update(some)
        self.seed, self.columns = seed, size // patch
        self.image = torch.cat([image for image, _, _ in parts])
        self.labels = {name: torch.cat([labels[name] for _, labels, _ in parts]) for name in parts[0][1]}
        self.share = torch.cat([share for _, _, share in parts])

    def __len__(self) -> int:
        return len(self.image)

    def batch(self, step: int, size: int) -> Batch:
        """Return the batch of a step; scenes are mirrored at random. Depends on seed and step only."""
        epoch, place = divmod(step, len(self) // size)
        rng = np.random.default_rng((self.seed, epoch))
        rows = torch.from_numpy(rng.permutation(len(self)))[place * size : (place + 1) * size]
        mirrored = torch.from_numpy(rng.random(len(self)) < 0.5)[rows]
        image, labels, share = self._rows(rows)
        image = torch.where(mirrored[:, None, None, None], image.flip(-1), image)
        labels = {name: self._mirror(values, mirrored) for name, values in labels.items()}
        return Batch(image, labels, self._mirror(share, mirrored))

    def in_order(self, size: int) -> Iterator[Batch]:
        """Yield all scenes in order, in batches of `size`."""
        for first in range(0, len(self), size):
            yield self._rows(torch.arange(first, min(first + size, len(self))))

    def _rows(self, rows: Tensor) -> Batch:
        mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
        image = (self.image[rows].permute(0, 3, 1, 2).float() / 255 - mean) / std
        return Batch(image, {name: values[rows].long() for name, values in self.labels.items()}, self.share[rows])

    def _mirror(self, values_BN: Tensor, mirrored_B: Tensor) -> Tensor:
        turned = values_BN.view(len(values_BN), -1, self.columns).flip(-1).flatten(1)
        return torch.where(mirrored_B[:, None], turned, values_BN)
