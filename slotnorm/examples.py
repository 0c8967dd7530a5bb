"""Scenes to look at, chosen by rule and not by hand, and what trained models make of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from slotnorm.evaluation import initial_noise, select
from slotnorm.recipes import TestSet
from slotnorm.results import Results

CHOICE = {"worst": 0.0, "median": 0.5, "best": 1.0}
"""Name to the quantile of F-ARI at which the scene stands."""


@dataclass(frozen=True)
class Examples:
    """Some scenes and what one run per variant makes of them at one slot count.

    Args:
        names: why each scene was chosen, such as ``"worst"``.
        image: shape (scenes, 3, H, W), in [-1, 1].
        truth: ground-truth labels, shape (scenes, H, W).
        results: by variant; only those whose weights the store keeps.
        segmentations: by variant, at the resolution of the truth, shape (scenes, H, W).
        f_ari: by variant and scene, as evaluated.
    """

    names: tuple[str, ...]
    image: Float[Tensor, "scenes 3 height width"]
    truth: Int[Tensor, "scenes height width"]
    results: Mapping[str, Any]
    segmentations: Mapping[str, Int[Tensor, "scenes rows columns"]]
    f_ari: Mapping[str, npt.NDArray[np.float64]]


def choose(scenes: pd.DataFrame, num_slots: int, variant: str | None = None) -> dict[str, int]:
    """The scenes at :data:`CHOICE`'s quantiles of F-ARI, by ``scene_id``.

    Args:
        scenes: rows of one test set, see :attr:`slotnorm.results.Results.scenes`.
        num_slots: slot count at which they are ordered.
        variant: by whose F-ARI; ``None`` for the mean over all variants, so that none is favored.
    """
    rows = scenes[scenes["slots"] == num_slots]
    rows = rows if variant is None else rows[rows["variant"] == variant]
    order = rows.groupby("scene_id")["f_ari"].mean().sort_values(kind="stable")
    return {name: int(order.index[round(q * (len(order) - 1))]) for name, q in CHOICE.items()}


@torch.inference_mode()
def examples(results: Results, test: TestSet, num_slots: int, seed: int = 0) -> Examples:
    """Worst, median and best scene of a test set, as the models of one seed decompose them; none without a run.

    Args:
        results: whose runs.
        test: one of the recipe's.
        num_slots: slot count, one of the evaluated.
        seed: of the runs that are shown.
    """
    if results.scenes.empty:
        nothing = torch.zeros(0, 3, 1, 1)
        return Examples((), nothing, nothing[:, 0].long(), {}, {}, {})
    task, spec = results.recipe.task, test.spec()
    scenes = results.scenes[results.scenes["test"] == test.label]
    chosen = choose(scenes, num_slots)
    split = select(test.source.open(), spec)
    places = [int(np.flatnonzero(split["scene_id"] == scene)[0]) for scene in chosen.values()]
    fields = tuple(dict.fromkeys((*task.evaluation_fields, "image", "segmentation")))
    (batch,) = split.select(places).batches(batch_size=len(places), fields=fields)
    noise = initial_noise(task, len(split), num_slots, spec.seed)[places]
    found, labels, scores = {}, {}, {}
    for run in results.runs:
        if run.spec.seed != seed or not run.has_weights:
            continue
        model: Any = run.load_model()
        slots = model.slot_attention.initial_slots(noise)
        tokens = task.encode(model, batch)
        iterations = test.iterations[0]
        found[run.spec.variant] = model.decompose(tokens, iterations=iterations, slots=slots)
        measured = task.measure(model, batch, tokens, noise, iterations)
        labels[run.spec.variant] = measured.segmentation
        own = scenes[(scenes["variant"] == run.spec.variant) & (scenes["seed"] == seed)]
        by_scene = own[own["slots"] == num_slots].set_index("scene_id")["f_ari"]
        scores[run.spec.variant] = by_scene.loc[list(chosen.values())].to_numpy()
    return Examples(tuple(chosen), batch["image"], batch["segmentation"], found, labels, scores)
