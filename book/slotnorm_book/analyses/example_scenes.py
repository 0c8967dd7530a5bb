"""Example scenes, chosen by a rule or drawn at random, with the decompositions of trained models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from slotnorm.data.manifest import SplitError
from slotnorm.evaluation import initial_noise
from slotnorm.training.spec import SpecError
from slotnorm_book.experiments.results import Results
from slotnorm_book.experiments.test_sets import TestSet, select

CHOICE = {"worst": 0.0, "median": 0.5, "best": 1.0}
"""Name of an example to the quantile of F-ARI at which it is chosen."""


@dataclass(frozen=True)
class Examples:
    """Some scenes with the decompositions of one run per variant, for one number of slots and iterations.

    Args:
        names: why each scene was chosen, such as ``"worst"``, or its number among random ones.
        scene_ids: their ids.
        image: shape (scenes, 3, H, W), in [-1, 1].
        truth: ground-truth labels, shape (scenes, H, W).
        results: output of the model by variant, of the runs whose weights are in the store.
        segmentations: by variant, at the resolution of the task's measures, shape (scenes, rows, columns).
        detections: by variant, :attr:`slotnorm.tasks.task.Measured.detections`: predicted and true objects, or nothing.
        f_ari: by variant and scene, from the record of the run.
        blind_f_ari: likewise its control, the mean F-ARI of the segmentation on four other scenes; NaN where the run
            has not been evaluated for it.
        missing: why there are no scenes, where there are runs.
    """

    names: tuple[str, ...]
    scene_ids: tuple[int, ...]
    image: Float[Tensor, "scenes 3 height width"]
    truth: Int[Tensor, "scenes height width"]
    results: Mapping[str, Any]
    segmentations: Mapping[str, Int[Tensor, "scenes rows columns"]]
    detections: Mapping[str, tuple[Tensor, ...]]
    f_ari: Mapping[str, npt.NDArray[np.float64]]
    blind_f_ari: Mapping[str, npt.NDArray[np.float64]]
    missing: str = ""


def choose_scenes(scenes: pd.DataFrame, num_slots: int, variant: str | None = None) -> dict[str, int]:
    """Choose the scenes at the quantiles :data:`CHOICE` of F-ARI; return the ``scene_id`` of each by its name.

    Args:
        scenes: rows of one test set, see :attr:`slotnorm_book.experiments.results.Results.scenes`.
        num_slots: slot count whose F-ARI orders the scenes.
        variant: variant whose F-ARI orders them; ``None`` for the mean over all variants, which favors none.
    """
    rows = scenes[scenes["slots"] == num_slots]
    rows = rows if variant is None else rows[rows["variant"] == variant]
    order = rows.groupby("scene_id")["f_ari"].mean().sort_values(kind="stable")
    return {name: int(order.index[round(q * (len(order) - 1))]) for name, q in CHOICE.items()}


def draw_scenes(scenes: pd.DataFrame, count: int, seed: int = 0) -> dict[str, int]:
    """Draw scenes at random, whatever their scores; return the ``scene_id`` of each by its number, ``"1"``, ``"2"``, …

    Args:
        scenes: rows of one test set.
        count: number of scenes; if there are not more, all are drawn.
        seed: of the drawing, which depends on nothing else but the number of scenes.
    """
    known = np.sort(scenes["scene_id"].unique())
    order = np.argsort(np.random.PCG64(seed).random_raw(len(known)), kind="stable")  # the same in every NumPy
    return {f"{number}": int(known[place]) for number, place in enumerate(np.sort(order[:count]), start=1)}


def decompose_at_counts(results: Results, test: TestSet, counts: Sequence[int]) -> list[Examples]:
    """Decompose the same scenes at several slot counts: those that are worst, median and best at the largest.

    Args:
        results, test: as for :func:`decompose_examples`.
        counts: slot counts.
    """
    rows, most = results.scenes, max(counts)
    if not rows.empty:
        rows = rows[(rows["test"] == test.label) & (rows["slots"] == most) & (rows["iterations"] == test.iterations[0])]
    return [decompose_examples(results, test, count, among=rows.assign(slots=count)) for count in counts]


@torch.inference_mode()
def decompose_examples(
    results: Results,
    test: TestSet,
    num_slots: int,
    *,
    iterations: int | None = None,
    among: pd.DataFrame | None = None,
    random: int = 0,
    seed: int | None = None,
) -> Examples:
    """Decompose the worst, the median and the best scene of a test set, or random ones, with the models of one seed.

    The result has no scenes, and says why, if there is no model with this seed, if a slot count was not evaluated, or
    if the data are not here.

    Args:
        results: runs to use; those without weights are left out.
        test: one of the recipe's test sets.
        num_slots: number of slots.
        iterations: iterations of Slot Attention, which must have been evaluated; ``None`` for the first of the test.
        among: rows from which to choose the scenes; ``None`` for all rows of the test set.
        random: number of scenes to draw at random instead, see :func:`draw_scenes`; 0 to choose by F-ARI.
        seed: seed of the runs; ``None`` for the first of the recipe.
    """
    seed = results.recipe.seeds[0] if seed is None else seed
    runs = [run for run in results.runs if run.spec.seed == seed and run.has_weights]
    if num_slots not in test.slots:
        return _no_examples(f"not evaluated with {num_slots} slots")
    if results.scenes.empty or not runs:
        return _no_examples(f"no model with seed {seed} is in the store" if results.runs else "")
    task = results.recipe.task
    iterations = iterations or test.iterations[0]
    scenes = results.scenes[results.scenes["test"] == test.label]
    scenes = scenes[(scenes["slots"] == num_slots) & (scenes["iterations"] == iterations)]
    rows = scenes if among is None else among
    chosen = draw_scenes(rows, random) if random else choose_scenes(rows, num_slots)
    try:
        spec = test.spec()
        split = select(test.source.open(), spec)
    except (SpecError, SplitError) as error:
        return _no_examples(f"the data cannot be used: {error}")
    places = [int(np.flatnonzero(split["scene_id"] == scene)[0]) for scene in chosen.values()]
    fields = tuple(dict.fromkeys((*task.evaluation_fields, "image", "segmentation")))
    (batch,) = split.select(places).batches(batch_size=len(places), fields=fields)
    noise = initial_noise(task, len(split), num_slots, spec.seed)[places]
    ids = tuple(chosen.values())
    found, labels, detections, scores, blind = {}, {}, {}, {}, {}
    for run in runs:
        variant, model = run.spec.variant, cast("Any", run.load_model())
        tokens = task.encode(model, batch)
        slots = model.slot_attention.initial_slots(noise)
        found[variant] = model.decompose(tokens, iterations=iterations, slots=slots)
        measured = task.measure(model, batch, tokens, noise, iterations)
        labels[variant], detections[variant] = measured.segmentation, measured.detections
        own = scenes[(scenes["variant"] == variant) & (scenes["seed"] == seed)].set_index("scene_id").loc[[*ids]]
        scores[variant], blind[variant] = own["f_ari"].to_numpy(), own["blind_f_ari"].to_numpy(dtype=float)
    pictures = batch["image"], batch["segmentation"]
    return Examples(tuple(chosen), ids, *pictures, found, labels, detections, scores, blind)


def _no_examples(reason: str) -> Examples:
    nothing = torch.zeros(0, 3, 1, 1)
    return Examples((), (), nothing, nothing[:, 0].long(), {}, {}, {}, {}, {}, reason)
