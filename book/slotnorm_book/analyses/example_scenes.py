"""Scenes to look at, chosen by rule and not by hand, and what trained models make of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from slotnorm.evaluation import initial_noise
from slotnorm_book.experiments.results import Results
from slotnorm_book.experiments.test_sets import TestSet, select

CHOICE = {"worst": 0.0, "median": 0.5, "best": 1.0}
"""Name to the quantile of F-ARI at which the scene stands."""


@dataclass(frozen=True)
class Examples:
    """Some scenes and what one run per variant makes of them in one setting.

    Args:
        names: why each scene was chosen, such as ``"worst"``.
        scene_ids: of the scenes.
        image: shape (scenes, 3, H, W), in [-1, 1].
        truth: ground-truth labels, shape (scenes, H, W).
        results: what the model returned, by variant; only those whose weights the store keeps.
        segmentations: by variant, at the resolution at which the task compares, shape (scenes, rows, columns).
        detections: by variant, :attr:`slotnorm.tasks.task.Measured.detections`: predicted and true objects, or nothing.
        f_ari: by variant and scene, as evaluated.
        lacking: what was not evaluated, if that is why there are no scenes.
    """

    names: tuple[str, ...]
    scene_ids: tuple[int, ...]
    image: Float[Tensor, "scenes 3 height width"]
    truth: Int[Tensor, "scenes height width"]
    results: Mapping[str, Any]
    segmentations: Mapping[str, Int[Tensor, "scenes rows columns"]]
    detections: Mapping[str, tuple[Tensor, ...]]
    f_ari: Mapping[str, npt.NDArray[np.float64]]
    lacking: str = ""


def choose_scenes(scenes: pd.DataFrame, num_slots: int, variant: str | None = None) -> dict[str, int]:
    """The scenes at :data:`CHOICE`'s quantiles of F-ARI, by ``scene_id``.

    Args:
        scenes: rows of one test set, see :attr:`slotnorm_book.experiments.results.Results.scenes`.
        num_slots: slot count at which they are ordered.
        variant: by whose F-ARI; ``None`` for the mean over all variants, so that none is favored.
    """
    rows = scenes[scenes["slots"] == num_slots]
    rows = rows if variant is None else rows[rows["variant"] == variant]
    order = rows.groupby("scene_id")["f_ari"].mean().sort_values(kind="stable")
    return {name: int(order.index[round(q * (len(order) - 1))]) for name, q in CHOICE.items()}


@torch.inference_mode()
def decompose_examples(
    results: Results,
    test: TestSet,
    num_slots: int,
    *,
    iterations: int | None = None,
    among: pd.DataFrame | None = None,
    seed: int = 0,
) -> Examples:
    """Worst, median and best scene of a test set, as the models of one seed decompose them.

    There are none without a run, nor at a slot count that was not evaluated.

    Args:
        results: whose runs.
        test: one of the recipe's.
        num_slots: slot count.
        iterations: of Slot Attention, one of the evaluated; ``None`` for the test's first.
        among: rows to choose by instead of all of the test set's, for scenes that others are measured on, too.
        seed: of the runs that are shown.
    """
    if results.scenes.empty or num_slots not in test.slots:
        nothing = torch.zeros(0, 3, 1, 1)
        lacking = "" if num_slots in test.slots else f"not evaluated with {num_slots} slots"
        return Examples((), (), nothing, nothing[:, 0].long(), {}, {}, {}, {}, lacking)
    task, spec = results.recipe.task, test.spec()
    iterations = iterations or test.iterations[0]
    scenes = results.scenes[results.scenes["test"] == test.label]
    scenes = scenes[(scenes["slots"] == num_slots) & (scenes["iterations"] == iterations)]
    chosen = choose_scenes(scenes if among is None else among, num_slots)
    split = select(test.source.open(), spec)
    places = [int(np.flatnonzero(split["scene_id"] == scene)[0]) for scene in chosen.values()]
    fields = tuple(dict.fromkeys((*task.evaluation_fields, "image", "segmentation")))
    (batch,) = split.select(places).batches(batch_size=len(places), fields=fields)
    noise = initial_noise(task, len(split), num_slots, spec.seed)[places]
    found, labels, detections, scores = {}, {}, {}, {}
    for run in results.runs:
        if run.spec.seed != seed or not run.has_weights:
            continue
        variant, model = run.spec.variant, cast("Any", run.load_model())
        tokens = task.encode(model, batch)
        slots = model.slot_attention.initial_slots(noise)
        found[variant] = model.decompose(tokens, iterations=iterations, slots=slots)
        measured = task.measure(model, batch, tokens, noise, iterations)
        labels[variant], detections[variant] = measured.segmentation, measured.detections
        own = scenes[(scenes["variant"] == variant) & (scenes["seed"] == seed)].set_index("scene_id")["f_ari"]
        scores[variant] = own.loc[list(chosen.values())].to_numpy()
    ids = tuple(chosen.values())
    return Examples(tuple(chosen), ids, batch["image"], batch["segmentation"], found, labels, detections, scores)
