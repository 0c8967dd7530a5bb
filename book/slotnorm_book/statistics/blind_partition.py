"""Fits a segmentation that never sees a picture by a random search: the floor of the F-ARI for a number of slots.

Legend: S scenes, H W image, K cells.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int, Integer
from torch import Tensor

from slotnorm.metrics import foreground_adjusted_rand_index, slots_in_use

FINER = 8
"""Places of a cell's centre along a pixel's side; whole numbers make the cells the same on every machine."""


def fit_blind_partition(
    truths: Integer[Tensor, "scenes height width"],
    cells: int,
    *,
    seed: int = 0,
    starts: int = 8,
    moves: int = 200,
    every: int = 1,
) -> Int[Tensor, "height width"]:
    """Fit Voronoi cells whose mean F-ARI over scenes is largest, by random search.

    The best of some random sets of centres is improved by moving one centre at a time, by less and less.

    Args:
        truths: ground-truth labels of training scenes, shape (S, H, W); 0 is the background.
        cells: number of cells, K. Each owns at least one pixel.
        seed: of the search.
        starts, moves: random sets of centres, and attempts to move a centre.
        every: the search scores every so many pixels along a side, which is faster.

    Returns:
        The cell of each pixel, int64 of shape (H, W): the same segmentation for every scene.

    Raises:
        ValueError: there is no scene, or ``cells`` is not between 1 and the number of pixels that are scored.
    """
    height, width = truths.shape[1:]
    shown = truths[:, every // 2 :: every, every // 2 :: every]
    most = shown[0].numel() if len(truths) else 0
    if not 1 <= cells <= most:
        raise ValueError(f"cells must lie in 1..{most} and there must be a scene, got {cells}, {len(truths)}")
    rng, ends = np.random.default_rng(seed), np.array([height, width]) * FINER
    best = max((_draw(rng, height, width, cells) for _ in range(starts)), key=lambda at: _score(shown, at, every))
    score = _score(shown, best, every)
    for move in range(moves):
        reach = ends * 0.25 * (1 - move / moves)
        moved = best.copy()
        moved[rng.integers(cells)] += rng.normal(scale=reach).round().astype(np.int64)
        if (found := _score(shown, moved.clip(0, ends), every)) > score:
            best, score = moved.clip(0, ends), found
    return _voronoi(best, height, width)


def mean_f_ari(truths: Integer[Tensor, "scenes height width"], partition: Int[Tensor, "height width"]) -> float:
    """Compute the mean F-ARI over scenes of one segmentation for all of them."""
    return foreground_adjusted_rand_index(truths, partition.expand(truths.shape)).mean().item()


def _draw(rng: np.random.Generator, height: int, width: int, cells: int) -> npt.NDArray[np.int64]:
    """Draw the centres of different pixels, so that each cell owns at least one."""
    pixel = rng.choice(height * width, cells, replace=False)
    return np.stack([pixel // width, pixel % width], axis=1) * FINER + FINER // 2


def _score(shown: Tensor, centers: npt.NDArray[np.int64], every: int) -> float:
    height, width = shown.shape[1:]
    partition = _voronoi(centers, height, width, every)
    if slots_in_use(partition[None]).item() < len(centers):
        return -np.inf
    return mean_f_ari(shown, partition)


def _voronoi(centers: npt.NDArray[np.int64], height: int, width: int, every: int = 1) -> Tensor:
    """Return the nearest centre of every pixel, the first of equally near ones; pixels are ``every`` apart."""
    pixels = (np.indices((height, width)).transpose(1, 2, 0) * every + every // 2) * FINER + FINER // 2
    distance = np.square(pixels[:, :, None] - centers).sum(axis=-1)
    return torch.from_numpy(distance.argmin(axis=-1))
