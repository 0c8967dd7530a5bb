"""Draws pictures of single objects once, keeps them in memory and forms batches.

Legend: B pictures.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from tqdm import trange

from data_tools.features.pretraining.single_objects import draw_single_objects

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
"""Mean and deviation to normalize pictures with."""
DRAWN_AT_ONCE = 128
Batch = tuple[Tensor, dict[str, Tensor]]
"""Normalized pictures (B, 3, size, size), and their labels, each int64 (B,)."""


class Pictures:
    """The pictures `start` to `start + count - 1` of `data_tools.features.pretraining.single_objects`.

    Args:
        seed: seed of the pictures and of the order of batches.
        start, count: number of the first picture, and how many follow.
        size: pixels along a side.
    """

    def __init__(self, seed: int, start: int, count: int, size: int) -> None:
        parts = [
            draw_single_objects(seed, first, min(DRAWN_AT_ONCE, start + count - first), size)
            for first in trange(start, start + count, DRAWN_AT_ONCE, desc="drawing", unit="batch", disable=None)
        ]
        self.seed = seed
        self.image = torch.cat([image for image, _ in parts])
        self.labels = {name: torch.cat([labels[name] for _, labels in parts]) for name in parts[0][1]}

    def __len__(self) -> int:
        return len(self.image)

    def batch(self, step: int, size: int) -> Batch:
        """Return the batch of a step; pictures are mirrored at random. Depends on seed and step only."""
        epoch, place = divmod(step, len(self) // size)
        rng = np.random.default_rng((self.seed, epoch))
        rows = torch.from_numpy(rng.permutation(len(self)))[place * size : (place + 1) * size]
        mirrored = torch.from_numpy(rng.random(len(self)) < 0.5)[rows]
        image, labels = self._rows(rows)
        return torch.where(mirrored[:, None, None, None], image.flip(-1), image), labels

    def in_order(self, size: int) -> Iterator[Batch]:
        """Yield all pictures in order, in batches of `size`."""
        for first in range(0, len(self), size):
            yield self._rows(torch.arange(first, min(first + size, len(self))))

    def _rows(self, rows: Tensor) -> Batch:
        mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
        image = (self.image[rows].permute(0, 3, 1, 2).float() / 255 - mean) / std
        return image, {name: values[rows] for name, values in self.labels.items()}
