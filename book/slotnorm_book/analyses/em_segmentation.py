r"""Expectation maximization (EM) as a segmenter of the models' features: the analogy of Sec. 3, applied directly.

A mixture is fitted to each scene. Its points are the patches, layer-normalized like the input of Slot Attention and
scaled to unit length. A component stands for a slot, and its responsibilities are the slot's mask, which is enlarged
and compared with the truth in the same way as a model's. Only one number is learned, the temperature.

Shape letters: B batch, K components, N patches, F feature dimension.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import interpolate, layer_norm, normalize

from slotnorm.data.splits import Split
from slotnorm.metrics.segmentation import adjusted_rand_index, foreground_adjusted_rand_index
from slotnorm_book.analyses.example_scenes import Examples
from slotnorm_book.experiments.test_sets import TestSet, select
from slotnorm_book.theory.em import fit
from slotnorm_book.variants import EM, EM_EQUAL

TEMPERATURES = (0.01, 0.02, 0.05, 0.1, 0.2)
ITERATIONS, TOLERANCE = 100, 1e-5


def project_to_sphere(features: Float[Tensor, "batch patches features"]) -> Float[Tensor, "batch patches features"]:
    """Layer-normalize patches, without scale and shift, and divide them by their length; shape (B, N, F)."""
    return normalize(layer_norm(features, features.shape[-1:]), dim=-1)


def segment(
    points: Float[Tensor, "patches features"],
    num_components: int,
    *,
    generator: torch.Generator,
    temperature: float,
    estimate_weights: bool,
    size: int,
) -> Int[Tensor, "height width"]:
    r"""Segment a scene: find the most responsible component at each pixel, after bilinear scaling.

    Args:
        points: patches of one scene on the unit sphere, row by row from a square grid, shape (N, F).
        num_components: K, at most N.
        generator: source of the initial directions, which are random patches.
        temperature: :math:`\tau`.
        estimate_weights: whether to estimate the mixture weights (Eq. 8).
        size: side of the segmentation in pixels.
    """
    found = fit(
        points,
        num_components,
        generator,
        temperature,
        estimate_weights=estimate_weights,
        iterations=ITERATIONS,
        tolerance=TOLERANCE,
    )
    side = round(len(points) ** 0.5)
    masks_1KHW = found.responsibilities.T.reshape(1, num_components, side, side)
    return interpolate(masks_1KHW, size=(size, size), mode="bilinear", align_corners=False).argmax(dim=1)[0]


def segment_with_em(
    test: TestSet, *, scenes: int, counts: Sequence[int], seeds: Sequence[int], temperature: float
) -> pd.DataFrame:
    """Segment the first scenes of a test set with EM, with estimated and with equal weights.

    Args:
        test: scenes with features.
        scenes: number of scenes, at most those of the test set.
        counts: component counts.
        seeds: seeds of the initial directions, one run each.
        temperature: temperature of the mixtures.

    Returns:
        Rows like those of :attr:`slotnorm_book.experiments.results.Results.scenes`, in which ``variant`` is
        :data:`slotnorm_book.variants.EM` or :data:`slotnorm_book.variants.EM_EQUAL` and ``slots`` is the number of
        components.
    """
    split = select(test.source.open(), test.spec()).select(np.arange(scenes))
    return pd.concat(
        [
            _rows(split, count, seed, temperature, variant).assign(test=test.label)
            for seed in seeds
            for count in counts
            for variant in (EM, EM_EQUAL)
        ],
        ignore_index=True,
    )


def join_on_shared_scenes(models: pd.DataFrame, em: pd.DataFrame) -> pd.DataFrame:
    """Join the rows of trained models and of EM in one table, on the scenes and slot counts that EM has.

    Args:
        models: :attr:`slotnorm_book.experiments.results.Results.scenes`; may be empty.
        em: from :func:`segment_with_em`.
    """
    if models.empty:
        return em
    rows = models[models["test"].isin(em["test"]) & models["scene_id"].isin(em["scene_id"])]
    return pd.concat([rows[rows["slots"].isin(em["slots"])], em], ignore_index=True)


def add_em_segmentations(
    shown: Examples, em: pd.DataFrame, test: TestSet, *, scenes: int, temperature: float
) -> Examples:
    """Add EM's segmentations to example scenes.

    Args:
        shown: example scenes, all among the first scenes of the test set.
        em: from :func:`segment_with_em`, rows of one component count and seed; the F-ARI that is shown.
        test, scenes, temperature: see :func:`segment_with_em`.
    """
    if not shown.names:
        return shown
    (count,), (seed,) = em["slots"].unique().tolist(), em["seed"].unique().tolist()
    split = select(test.source.open(), test.spec()).select(np.arange(scenes))
    places = [int(np.flatnonzero(split["scene_id"] == scene)[0]) for scene in shown.scene_ids]
    segmentations, scores = dict(shown.segmentations), dict(shown.f_ari)
    for variant in (EM, EM_EQUAL):
        labels, _ = _segmentations(split, count, seed, temperature, variant)
        segmentations[variant] = labels[places]
        own = em[em["variant"] == variant].set_index("scene_id")["f_ari"]
        scores[variant] = own.loc[list(shown.scene_ids)].to_numpy()
    return replace(shown, segmentations=segmentations, f_ari=scores)


def choose_temperature(split: Split, *, scenes: int, num_components: int) -> float:
    """Choose the temperature of :data:`TEMPERATURES` with the highest F-ARI on the first scenes of a split.

    The choice uses the truth of training scenes, which no model sees; this is an advantage for EM.

    Args:
        split: scenes with features.
        scenes: number of scenes to use.
        num_components: K.
    """
    few = split.select(np.arange(min(scenes, len(split))))
    scores = {value: _rows(few, num_components, 0, value, EM)["f_ari"].mean() for value in TEMPERATURES}
    return max(scores, key=lambda value: float(scores[value]))


def _segmentations(
    split: Split, count: int, seed: int, temperature: float, variant: str
) -> tuple[Int[Tensor, "scenes height width"], Mapping[str, Tensor]]:
    """Segment all scenes of a split; the random draws depend only on seed, count and the scene's position."""
    fields = ("features", "segmentation", "num_objects", "scene_id")
    (batch,) = split.batches(batch_size=len(split), fields=fields)
    stream = int(np.random.SeedSequence((seed, count)).generate_state(1, np.uint64)[0])
    generator, size = torch.Generator().manual_seed(stream), batch["segmentation"].shape[-1]
    find = partial(segment, temperature=temperature, estimate_weights=variant == EM, size=size, generator=generator)
    return torch.stack([find(points, count) for points in project_to_sphere(batch["features"].float())]), batch


def _rows(split: Split, count: int, seed: int, temperature: float, variant: str) -> pd.DataFrame:
    labels, batch = _segmentations(split, count, seed, temperature, variant)
    truth = batch["segmentation"]
    return pd.DataFrame(
        {
            "variant": variant,
            "seed": seed,
            "slots": count,
            "iterations": ITERATIONS,
            "scene_id": batch["scene_id"].numpy(),
            "objects": batch["num_objects"].numpy(),
            "f_ari": foreground_adjusted_rand_index(truth, labels).numpy(),
            "ari": adjusted_rand_index(truth, labels).numpy(),
        }
    )
