"""Evaluates a trained model at several slot counts: a tidy table with one row per scene and setting.

The encoder runs once per scene. The initial slots of a scene depend only on the seed, the slot count and the scene's
position: all variants start from the same noise, and neither the batch size nor the other settings change a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from slotnorm.arguments import require_positive
from slotnorm.data.splits import Split
from slotnorm.metrics import (
    adjusted_precision_and_recall,
    adjusted_rand_index,
    blind_foreground_adjusted_rand_index,
    foreground_adjusted_rand_index,
    largest_share_of_background,
    matched_mean_iou,
    mean_best_overlap,
    slots_in_use,
)
from slotnorm.models import SlotModel
from slotnorm.numerics import matmul_precision
from slotnorm.tasks import Batch, Measured, Task


def _agreement(truth: Tensor, segmentation: Tensor, clips: Tensor) -> Tensor:
    """Compare each segmentation with the nearest before it that is of another clip; NaN for those of the first clip."""
    places = torch.arange(len(clips), device=clips.device)
    begins = clips != clips.roll(1)
    before = torch.where(begins, places, 0).cummax(dim=0).values - 1  # the last scene before the frames of this clip
    agreement = adjusted_rand_index(segmentation[before], segmentation)
    agreement[before < 0] = torch.nan
    return agreement


SCENE_MEASURES: dict[str, Callable[[Batch, Measured], Tensor]] = {
    "scene_id": lambda batch, measured: batch["scene_id"],
    "objects": lambda batch, measured: batch["num_objects"],
    "f_ari": lambda batch, measured: foreground_adjusted_rand_index(measured.truth, measured.segmentation),
    "ari": lambda batch, measured: adjusted_rand_index(measured.truth, measured.segmentation),
    "ari_precision": lambda batch, measured: adjusted_precision_and_recall(measured.truth, measured.segmentation)[0],
    "ari_recall": lambda batch, measured: adjusted_precision_and_recall(measured.truth, measured.segmentation)[1],
    "mbo": lambda batch, measured: mean_best_overlap(measured.truth, measured.segmentation),
    "miou": lambda batch, measured: matched_mean_iou(measured.truth, measured.segmentation),
    "slots_in_use": lambda batch, measured: slots_in_use(measured.segmentation),
    "background_share": lambda batch, measured: largest_share_of_background(measured.truth, measured.segmentation),
    "loss": lambda batch, measured: measured.loss,
}
"""Column to what computes it from a batch and its measurements."""
NEIGHBOR_MEASURES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "blind_f_ari": blind_foreground_adjusted_rand_index,
    "agreement": _agreement,
}
"""Column to what computes it from ground truth, segmentations and clips of all scenes, each compared with others."""

SETTING = ["evaluation", "slots", "iterations"]
COLUMNS = [*SETTING, *SCENE_MEASURES, *NEIGHBOR_MEASURES]
"""Columns of :attr:`Evaluation.scenes` for every task."""
SET_COLUMNS = [*SETTING, "measure", "value"]
"""Columns of :attr:`Evaluation.sets`; the measures of a task are :attr:`slotnorm.tasks.Task.set_measures`."""


@dataclass(frozen=True)
class Evaluation:
    """Tables of an evaluation; whoever names it adds a first column ``evaluation``.

    Args:
        scenes: one row per scene and setting: ``slots`` and ``iterations`` are the setting. The measures of
            :mod:`slotnorm.metrics` are ``f_ari``; ``ari`` and its halves ``ari_precision`` and ``ari_recall``; ``mbo``;
            ``miou``, matched one to one; ``slots_in_use``; and ``background_share``, of the slot that has most of it.
            ``loss`` is the scene's own. Two controls tell a model that ignores its input: ``blind_f_ari`` is the F-ARI
            of this segmentation on other scenes, and ``agreement`` the ARI between it and the segmentation of the scene
            before, over all pixels, near 1 if every scene is segmented alike. Neither compares two frames of one clip:
            where a split has ``clip_id``, the scene before is the nearest one before that is of another clip.
        sets: one row per setting and measure of all scenes together, such as average precision: ``measure``, ``value``.
    """

    scenes: pd.DataFrame
    sets: pd.DataFrame


def initial_noise(task: Task, scenes: int, slots: int, seed: int) -> Tensor:
    """Draw the standard normal noise of the initial slots, shape (scenes, slots, slot_dim)."""
    stream = int(np.random.SeedSequence((seed, slots)).generate_state(1, np.uint64)[0])
    fixed: dict[str, Any] = {"device": "cpu", "dtype": torch.float32}  # whatever torch's defaults are
    generator = torch.Generator("cpu").manual_seed(stream)
    # scene by scene, since the first numbers of a large tensor are not those of a small one
    return torch.stack([torch.randn(slots, task.slot_dim, generator=generator, **fixed) for _ in range(scenes)])


@torch.inference_mode()
@matmul_precision("fp32")
def evaluate(
    task: Task,
    model: SlotModel[Any],
    split: Split,
    *,
    slots: Sequence[int],
    iterations: Sequence[int],
    seed: int = 0,
    label: str = "",
    batch_size: int = 64,
    bar: bool = True,
) -> Evaluation:
    """Measure a model on every scene at every slot count and number of iterations, in single precision.

    Args:
        task, split: what the model was trained on, and the scenes, all of which are used, ``batch_size`` at a time.
        model: put into evaluation mode; its device is used.
        slots, iterations: slot counts and numbers of Slot Attention iterations, every one with every other.
        seed: of the initial slots.
        label, bar: name of the scenes in the progress bar, and whether to show one.

    Raises:
        ValueError: if there is no scene, slot count or number of iterations, or one of the numbers is below 1.
    """
    for name, size in {"split": len(split), "slots": len(slots), "iterations": len(iterations)}.items():
        if not size:
            raise ValueError(f"{name} must not be empty")
    for count, steps in product(slots, iterations):
        require_positive(slots=count, iterations=steps)
    model.eval()
    device = next(model.parameters()).device
    noise = {count: initial_noise(task, len(split), count, seed) for count in slots}
    tables = {(count, steps): _Table() for count, steps in product(slots, iterations)}
    truths: list[Tensor] = []
    fields = (*task.evaluation_fields, "num_objects", "scene_id")
    total, done, hidden = len(split) * len(tables), 0, {} if bar else {"disable": True}
    with tqdm(total=total, desc=f"evaluating on {label}", unit="scene", **hidden) as progress:
        for batch in split.batches(batch_size=batch_size, device=device, fields=fields):
            tokens = task.encode(model, batch)
            for (count, steps), table in tables.items():
                start = noise[count][done : done + len(tokens)].to(device)
                measured = task.measure(model, batch, tokens, start, steps)
                table.add(batch, measured)
                progress.update(len(tokens))
            truths.append(_compact(measured.truth))  # that of every setting
            done += len(tokens)
    return Evaluation(_scene_table(tables, torch.cat(truths), number_clips(split)), _set_table(task, tables))


def _compact(labels: Tensor) -> Tensor:
    """Move labels to the host in two bytes a pixel, which hold any label, also where a whole test set is large."""
    return labels.short().cpu()


def number_clips(split: Split) -> Tensor:
    """Number the clips that the scenes are frames of; without ``clip_id`` every scene is a clip of its own."""
    return torch.from_numpy(split["clip_id"]) if "clip_id" in split.arrays else torch.arange(len(split), device="cpu")


class _Table:
    """Rows of one setting, added batch by batch."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Tensor]] = []
        self.detections: list[tuple[Tensor, ...]] = []
        self.segmentations: list[Tensor] = []

    def add(self, batch: Batch, measured: Measured) -> None:
        self.rows.append({name: measure(batch, measured).cpu() for name, measure in SCENE_MEASURES.items()})
        self.detections.append(measured.detections)
        self.segmentations.append(_compact(measured.segmentation))

    def columns(self, truth: Tensor, clips: Tensor) -> dict[str, npt.NDArray[Any]]:
        columns = {name: torch.cat([row[name] for row in self.rows]) for name in SCENE_MEASURES}
        segmentation = torch.cat(self.segmentations)
        columns |= {name: measure(truth, segmentation, clips) for name, measure in NEIGHBOR_MEASURES.items()}
        return {name: values.numpy() for name, values in columns.items()}


def _scene_table(tables: Mapping[tuple[int, int], _Table], truth: Tensor, clips: Tensor) -> pd.DataFrame:
    columns = (
        {"slots": slots, "iterations": steps, **table.columns(truth, clips)} for (slots, steps), table in tables.items()
    )
    return pd.concat(map(pd.DataFrame, columns), ignore_index=True)


def _set_table(task: Task, tables: Mapping[tuple[int, int], _Table]) -> pd.DataFrame:
    rows = [
        (*setting, measure, value)
        for setting, table in tables.items()
        for measure, value in task.summarize(tuple(map(torch.cat, zip(*table.detections, strict=True)))).items()
    ]
    types = {"slots": "int64", "iterations": "int64", "value": "float64"}
    return pd.DataFrame(rows, columns=SET_COLUMNS[1:]).astype(types)
