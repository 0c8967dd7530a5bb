"""The scenes of the book's explorer, and their decompositions at every slot count by one model per variant.

A reader changes the number of slots and compares. So the models start from the same initial noise at a slot count, and
a slot is numbered by its role in the scene; its index among the slots has no meaning.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from slotnorm.data.splits import Split
from slotnorm.evaluation import initial_noise
from slotnorm.metrics import foreground_adjusted_rand_index, mean_best_overlap
from slotnorm.models import Decomposition
from slotnorm.numerics import matmul_precision
from slotnorm.tasks import Batch
from slotnorm_book.analyses.blind_floors import read_floors
from slotnorm_book.experiments.results import Results
from slotnorm_book.experiments.run_store import Run
from slotnorm_book.experiments.test_sets import TestSet, select

MAX_SEGMENTS = 32
"""Bound on the number of true segments of a scene; roles below it are labels of true segments."""
FURTHER = MAX_SEGMENTS
"""First role of the slots that lie on an object of which another slot has more."""
SPARE = 2 * FURTHER
"""First role of the slots that lie on the background and have no object."""


@dataclass(frozen=True)
class View:
    """The decompositions of the scenes by one model at every slot count.

    Args:
        segmentation: index of the slot that owns each pixel, shape (counts, scenes, H, W).
        painting: the reconstruction in [-1, 1], shape (counts, scenes, 3, H, W); ``None`` for models that reconstruct
            features, which cannot be shown.
        f_ari, mbo: F-ARI and mean best overlap of the segmentation, shape (counts, scenes).
        recorded: the same F-ARI from the run's record.
        blind: its control from the record: the mean F-ARI of the segmentation on four other scenes of the test set.
        average, average_blind: means of the two over all scenes of the test set, one per slot count.
    """

    segmentation: Int[Tensor, "counts scenes height width"]
    painting: Float[Tensor, "counts scenes 3 height width"] | None
    f_ari: Float[Tensor, "counts scenes"]
    mbo: Float[Tensor, "counts scenes"]
    recorded: npt.NDArray[np.float64]
    blind: npt.NDArray[np.float64]
    average: npt.NDArray[np.float64]
    average_blind: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Frames:
    """Some scenes of a test set, with a view of them per variant.

    Args:
        experiment: experiment of the models, such as ``"clevr-6-7"``.
        test: the test set.
        train_slots: slots in training.
        scene_ids: the scenes, in the order of :func:`choose_spread_scenes`.
        objects: number of objects in each.
        image: shape (scenes, 3, H, W), in [-1, 1].
        truth: true labels, 0 for the background, shape (scenes, H, W).
        views: by variant.
        floor: blind floor of the whole test set by slot count; empty if none is known.
    """

    experiment: str
    test: TestSet
    train_slots: int
    scene_ids: tuple[int, ...]
    objects: tuple[int, ...]
    image: Float[Tensor, "scenes 3 rows columns"]
    truth: Int[Tensor, "scenes height width"]
    views: Mapping[str, View]
    floor: Mapping[int, float] = field(default_factory=dict)

    @property
    def slots(self) -> tuple[int, ...]:
        """The slot counts, in ascending order."""
        return self.test.slots

    @property
    def start(self) -> int:
        """Index in :attr:`slots` of the count in training; if absent, of the next larger one, or of the last."""
        return min(bisect_left(self.slots, self.train_slots), len(self.slots) - 1)

    @property
    def deviation(self) -> float:
        """Largest difference between the F-ARI of a segmentation here and that in the record."""
        return max(float(np.abs(view.f_ari.numpy() - view.recorded).max()) for view in self.views.values())


def choose_spread_scenes(scenes: pd.DataFrame, count: int) -> list[int]:
    """Choose scenes at evenly spaced quantiles of F-ARI; return their ``scene_id``, from the worst to the best.

    Args:
        scenes: rows of one test set, see :attr:`slotnorm_book.experiments.results.Results.scenes`. A scene's F-ARI is
            the mean over all of them, so that neither a variant nor a slot count is favored.
        count: number of scenes; if there are not more, all are chosen.
    """
    order = scenes.groupby("scene_id")["f_ari"].mean().sort_values(kind="stable").index
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [int(order[place]) for place in places]


def explorer_frames(results: Results, scenes: int) -> Frames | None:
    """Decompose scenes of a recipe's last test set, which has the most objects, with the models of its first seed.

    Args:
        results: runs of a task that reconstructs pictures or features.
        scenes: number of scenes, chosen by :func:`choose_spread_scenes`.

    Returns:
        The scenes, or ``None`` unless every variant of the recipe has a run with weights: a comparison of only some of
        the variants would mislead.
    """
    recipe, seed = results.recipe, results.recipe.seeds[0]
    runs = {run.spec.variant: run for run in results.runs if run.spec.seed == seed and run.has_weights}
    if set(runs) != set(recipe.variants):
        return None
    test = replace(recipe.tests[-1], slots=tuple(sorted(recipe.tests[-1].slots)))
    rows = results.scenes[(results.scenes["test"] == test.label) & (results.scenes["seed"] == seed)]
    chosen = choose_spread_scenes(rows, scenes)
    split = select(test.source.open(), test.spec())
    places = [int(np.flatnonzero(split["scene_id"] == scene)[0]) for scene in chosen]
    batch = _batch(split, places, recipe.task.evaluation_fields)
    noise = {k: initial_noise(recipe.task, len(split), k, test.spec().seed)[places] for k in test.slots}
    views = {}
    for variant in recipe.variants:
        own = rows[(rows["variant"] == variant) & (rows["iterations"] == test.iterations[0])]
        views[variant] = _view(runs[variant], batch, noise, test.iterations[0], own)
    return Frames(
        experiment=recipe.experiment,
        test=test,
        train_slots=recipe.task.num_slots,
        scene_ids=tuple(chosen),
        objects=tuple(batch["num_objects"].tolist()),
        image=batch["image"],
        truth=batch["segmentation"],
        views=views,
        floor=read_floors(recipe).get(test.label, {}),
    )


def assign_roles(
    segmentation: Int[Tensor, "height width"], truth: Int[Tensor, "height width"]
) -> npt.NDArray[np.uint8]:
    """Number every pixel by the role of its slot, so that the same thing has the same number in every view.

    Of the slots that lie mostly on the background, the one with the most background pixels gets role 0. The slot with
    the most pixels of an object gets the object's label, whatever background it covers, as F-ARI ignores the
    background. A slot that has the most pixels of several objects gets the label of the one of which it has more. All
    other slots are numbered by size, the largest first: from :data:`FURTHER` on those that lie mostly on an object,
    from :data:`SPARE` on the rest.

    Args:
        segmentation: slot indices.
        truth: true labels, 0 for the background. If one is not below :data:`MAX_SEGMENTS`, the objects that are seen
            are numbered from 1 in the order of their labels.

    Returns:
        The roles, shape (H, W).

    Raises:
        ValueError: there are more objects than roles.
    """
    slots, inverse = np.unique(segmentation.numpy(), return_inverse=True)
    places = inverse.reshape(-1) * MAX_SEGMENTS + _number_objects(truth.numpy()).reshape(-1)
    shared = np.bincount(places, minlength=len(slots) * MAX_SEGMENTS).reshape(len(slots), MAX_SEGMENTS)
    home, overlap = shared.argmax(axis=1), shared.max(axis=1)
    holds = (np.arange(len(slots))[:, None] == shared.argmax(axis=0)) & (shared > 0)
    background = int(np.where(home == 0, overlap, -1).argmax()) if (home == 0).any() else None
    role = np.zeros(len(slots), dtype=np.uint8)
    free = {False: SPARE, True: FURTHER}
    for slot in np.argsort(-overlap, kind="stable"):
        held = np.where(holds[slot], shared[slot], 0)[1:]
        if slot == background:
            role[slot] = 0
        elif held.any():
            role[slot] = 1 + held.argmax()
        else:
            role[slot] = free[home[slot] > 0]
            free[home[slot] > 0] += 1
    numbered: npt.NDArray[np.uint8] = role[inverse].reshape(segmentation.shape)
    return numbered


def _number_objects(truth: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return labels below :data:`MAX_SEGMENTS`: those of the truth, or numbers of the objects that are seen in it."""
    if truth.max() < MAX_SEGMENTS:
        return truth
    seen = np.union1d(truth, [0])
    if len(seen) > MAX_SEGMENTS:
        raise ValueError(f"the explorer colors at most {MAX_SEGMENTS - 1} objects, and a scene has {len(seen) - 1}")
    return np.searchsorted(seen, truth)


def _batch(split: Split, places: list[int], wanted: tuple[str, ...]) -> Batch:
    fields = tuple(dict.fromkeys((*wanted, "image", "segmentation", "num_objects", "scene_id")))
    (batch,) = split.select(places).batches(batch_size=len(places), fields=fields)
    return batch


@torch.inference_mode()
@matmul_precision("fp32")
def _view(run: Run, batch: Batch, noise: Mapping[int, Tensor], iterations: int, rows: pd.DataFrame) -> View:
    model: Any = run.load_model()
    truth, tokens = batch["segmentation"], run.spec.task.encode(model, batch)
    labels, paintings, scores, overlaps = [], [], [], []
    for start in noise.values():
        result = model.decompose(tokens, iterations=iterations, slots=model.slot_attention.initial_slots(start))
        if isinstance(result, Decomposition):
            paintings.append(result.reconstruction)
            labels.append(result.segmentation)
        else:
            labels.append(result.segment(truth.shape[-1]))
        scores.append(foreground_adjusted_rand_index(truth, labels[-1]))
        overlaps.append(mean_best_overlap(truth, labels[-1]))
    tables = rows.pivot(index="slots", columns="scene_id", values=["f_ari", "blind_f_ari"]).loc[list(noise)]
    shown = batch["scene_id"].tolist()
    return View(
        segmentation=torch.stack(labels),
        painting=torch.stack(paintings) if paintings else None,
        f_ari=torch.stack(scores),
        mbo=torch.stack(overlaps),
        recorded=tables["f_ari"][shown].to_numpy(),
        blind=tables["blind_f_ari"][shown].to_numpy(),
        average=tables["f_ari"].mean(axis=1).to_numpy(),
        average_blind=tables["blind_f_ari"].mean(axis=1).to_numpy(),
    )
