r"""Expectation maximization (EM) as a segmenter of the models' features: the analogy of Sec. 3, applied directly.

A mixture is fitted to each scene. Its points are the patches, layer-normalized like the input of Slot Attention and
scaled to unit length. A component stands for a slot, and its responsibilities are the slot's mask, which is enlarged
and compared with the truth in the same way as a model's. Only one number is learned, the temperature.

Shape letters: B batch, K components, N patches, F feature dimension.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import interpolate, layer_norm, normalize

from slotnorm.data.splits import Split
from slotnorm.evaluation import number_clips
from slotnorm.metrics.segmentation import (
    adjusted_rand_index,
    blind_foreground_adjusted_rand_index,
    foreground_adjusted_rand_index,
)
from slotnorm_book.analyses.example_scenes import Examples
from slotnorm_book.experiments.test_sets import TestSet, select
from slotnorm_book.statistics.found_objects import with_found_objects
from slotnorm_book.theory.em import normalize_directions
from slotnorm_book.variants import EM, EM_EQUAL

TEMPERATURES = (0.01, 0.02, 0.05, 0.1, 0.2)
ITERATIONS, TOLERANCE = 100, 1e-5


def project_to_sphere(features: Float[Tensor, "batch patches features"]) -> Float[Tensor, "batch patches features"]:
    """Layer-normalize patches, without scale and shift, and divide them by their length; shape (B, N, F)."""
    return normalize(layer_norm(features, features.shape[-1:]), dim=-1)


def segment(
    points: Float[Tensor, "batch patches features"],
    num_components: int,
    *,
    generator: torch.Generator,
    temperature: float,
    estimate_weights: bool,
    size: int,
) -> Int[Tensor, "batch height width"]:
    r"""Segment scenes: find the most responsible component at each pixel, after bilinear scaling.

    Args:
        points: patches of each scene on the unit sphere, row by row from a square grid, shape (B, N, F).
        num_components: K, at most N.
        generator: source of the initial directions, which are random patches, scene after scene.
        temperature: :math:`\tau`.
        estimate_weights: whether to estimate the mixture weights (Eq. 8).
        size: side of the segmentation in pixels.
    """
    chosen_BK = torch.stack([torch.randperm(points.shape[1], generator=generator)[:num_components] for _ in points])
    start_BKF = points.gather(1, chosen_BK[..., None].expand(-1, -1, points.shape[2]))
    responsibilities_BNK = fit_scenes(points, start_BKF, temperature, estimate_weights)
    side = round(points.shape[1] ** 0.5)
    masks_BKHW = responsibilities_BNK.mT.reshape(len(points), num_components, side, side)
    return interpolate(masks_BKHW, size=(size, size), mode="bilinear", align_corners=False).argmax(dim=1)


def fit_scenes(
    points: Float[Tensor, "batch patches features"],
    directions: Float[Tensor, "batch components features"],
    temperature: float,
    estimate_weights: bool,
) -> Float[Tensor, "batch patches components"]:
    r"""Fit a mixture to each scene, and return the responsibilities of its components; shape (B, N, K).

    This is :func:`slotnorm_book.theory.em.fit` for many scenes at once. A scene leaves the batch when it has converged.

    Args:
        points: patches of each scene on the unit sphere, shape (B, N, F).
        directions: initial directions, shape (B, K, F); the initial weights are equal.
        temperature: :math:`\tau`.
        estimate_weights: whether to estimate the mixture weights (Eq. 8).
    """
    result_BNK = points.new_zeros(*points.shape[:2], directions.shape[1])
    log_weights_BK = points.new_full(directions.shape[:2], -math.log(directions.shape[1]))
    before_B = points.new_full((len(points),), -math.inf)
    active_B = torch.arange(len(points))
    for _ in range(ITERATIONS + 1):
        joint_BNK = points @ directions.mT / temperature + log_weights_BK[:, None]
        gamma_BNK = joint_BNK.softmax(2)
        result_BNK[active_B] = gamma_BNK
        likelihood_B = joint_BNK.logsumexp(2).mean(1)
        going_B = likelihood_B - before_B > TOLERANCE
        if not going_B.any():
            break
        points, directions, gamma_BNK = points[going_B], directions[going_B], gamma_BNK[going_B]
        active_B, before_B, log_weights_BK = active_B[going_B], likelihood_B[going_B], log_weights_BK[going_B]
        directions = normalize_directions(gamma_BNK.mT @ points, directions)
        if estimate_weights:
            log_weights_BK = gamma_BNK.mean(1).log()
    return result_BNK


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


def describe_em_beside(table: pd.DataFrame, slots: int, names: Mapping[str, str]) -> str:
    """Say what EM that estimates its weights has on average over scenes and runs, and what the best variant has.

    Args:
        table: from :func:`join_on_shared_scenes`.
        slots: number of slots, and of components.
        names: of the variants, for readers.
    """
    means = with_found_objects(table[table["slots"] == slots]).groupby("variant")[["f_ari", "found_objects"]].mean()
    models = means.drop(index=[EM, EM_EQUAL], errors="ignore")
    if EM not in means.index or models.empty:
        return "no models are there to compare EM with"
    best = models["f_ari"].idxmax()
    written = {name: "{:.2f} (found objects {:.2f})".format(*means.loc[name]) for name in (EM, best)}
    return (
        f"EM that estimates its weights has a mean F-ARI of {written[EM]}, the variant with the highest, "
        f"{names.get(str(best), best)}, {written[best]}"
    )


def add_em_segmentations(
    shown: Examples, em: pd.DataFrame, test: TestSet, *, scenes: int, temperature: float
) -> Examples:
    """Add EM's segmentations to example scenes.

    Args:
        shown: example scenes, all among the first scenes of the test set.
        em: from :func:`segment_with_em`, rows of one component count and seed; the scores that are shown.
        test, scenes, temperature: see :func:`segment_with_em`.
    """
    if not shown.names:
        return shown
    (count,), (seed,) = em["slots"].unique().tolist(), em["seed"].unique().tolist()
    split = select(test.source.open(), test.spec()).select(np.arange(scenes))
    places = [int(np.flatnonzero(split["scene_id"] == scene)[0]) for scene in shown.scene_ids]
    segmentations, scores, blind = dict(shown.segmentations), dict(shown.f_ari), dict(shown.blind_f_ari)
    for variant in (EM, EM_EQUAL):
        labels, _ = _segmentations(split, count, seed, temperature, variant)
        segmentations[variant] = labels[places]
        own = em[em["variant"] == variant].set_index("scene_id").loc[list(shown.scene_ids)]
        scores[variant], blind[variant] = own["f_ari"].to_numpy(), own["blind_f_ari"].to_numpy()
    return replace(shown, segmentations=segmentations, f_ari=scores, blind_f_ari=blind)


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
    return segment(
        project_to_sphere(batch["features"].float()),
        count,
        generator=generator,
        temperature=temperature,
        estimate_weights=variant == EM,
        size=size,
    ), batch


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
            "blind_f_ari": blind_foreground_adjusted_rand_index(truth, labels, clips=number_clips(split)).numpy(),
        }
    )
