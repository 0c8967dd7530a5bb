"""Evaluating a trained model at slot counts other than its own: a tidy table, one row per scene and setting.

The encoder runs once per scene, whatever the number of slot counts. The initial slots of a scene follow from the seed,
the slot count and the scene's place alone: variants are compared from the same noise, and neither the batch size nor
what else is evaluated changes a row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from slotnorm.data.splits import Split
from slotnorm.metrics.segmentation import adjusted_rand_index, foreground_adjusted_rand_index
from slotnorm.numerics import matmul_precision
from slotnorm.tasks import Measured, Task

SETTING = ["evaluation", "slots", "iterations"]
COLUMNS = [*SETTING, "scene_id", "objects", "f_ari", "ari", "loss", "agreement"]
SET_COLUMNS = [*SETTING, "measure", "value"]


@dataclass(frozen=True)
class Evaluation:
    """What came of an evaluation.

    Args:
        scenes: one row per scene and setting. ``evaluation`` is :attr:`EvaluationSpec.key`, ``slots`` and
            ``iterations`` the setting; ``f_ari``, ``ari`` and ``loss`` are the scene's own. ``agreement`` is the ARI
            between the segmentation of this scene and that of the scene before it, over all pixels: near 1 where a
            model cuts every scene up alike.
        sets: one row per setting and measure of all scenes together, such as average precision: ``measure``, ``value``.
    """

    scenes: pd.DataFrame
    sets: pd.DataFrame


def initial_noise(task: Task, scenes: int, slots: int, seed: int) -> Tensor:
    """Standard normal noise that the initial slots are made from, shape (scenes, slots, slot_dim)."""
    stream = int(np.random.SeedSequence((seed, slots)).generate_state(1, np.uint64)[0])
    generator = torch.Generator().manual_seed(stream)
    # scene by scene, since the first numbers of a large tensor are not those of a small one
    return torch.stack([torch.randn(slots, task.slot_dim, generator=generator) for _ in range(scenes)])


@torch.inference_mode()
@matmul_precision("fp32")
def evaluate(
    task: Task,
    model: nn.Module,
    split: Split,
    *,
    slots: Sequence[int],
    iterations: Sequence[int],
    seed: int = 0,
    label: str = "",
    batch_size: int = 64,
    bar: bool = True,
) -> Evaluation:
    """Segmentation and loss of every scene at every slot count and number of iterations, in single precision.

    Args:
        task: that the model was trained on.
        model: put in evaluation mode; its device is used.
        split: scenes; the first ``spec.scenes`` that fit are used.
        spec: the settings.
        batch_size: scenes at a time.
        bar: whether to show a progress bar.

    Raises:
        SpecError: too few scenes.
    """
    model.eval()
    device = next(model.parameters()).device
    scenes = split
    settings = [(count, steps) for count in slots for steps in iterations]
    noise = {count: initial_noise(task, len(scenes), count, seed) for count in slots}
    tables: dict[tuple[int, int], _Table] = defaultdict(_Table)
    fields = (*task.evaluation_fields, "num_objects", "scene_id")
    hidden = {} if bar else {"disable": True}
    with tqdm(total=len(scenes) * len(settings), desc=f"evaluating on {label}", unit="scene", **hidden) as progress:
        done = 0
        for batch in scenes.batches(batch_size=batch_size, device=device, fields=fields):
            tokens = task.encode(model, batch)
            for count, steps in settings:
                start = noise[count][done : done + len(tokens)].to(device)
                tables[count, steps].add(batch, task.measure(model, batch, tokens, start, steps))
                progress.update(len(tokens))
            done += len(tokens)
    return Evaluation(_scene_table(tables), _set_table(task, tables))


class _Table:
    """Rows of one setting, a batch at a time."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Tensor]] = []
        self.detections: list[tuple[Tensor, ...]] = []
        self.before: Tensor | None = None

    def add(self, batch: Mapping[str, Tensor], measured: Measured) -> None:
        segmentation = measured.segmentation
        earlier = torch.cat([segmentation[:1] if self.before is None else self.before, segmentation[:-1]])
        agreement = adjusted_rand_index(earlier, segmentation)
        if self.before is None:
            agreement[0] = torch.nan
        self.before = segmentation[-1:]
        self.detections.append(measured.detections)
        self.rows.append(
            {
                "scene_id": batch["scene_id"],
                "objects": batch["num_objects"],
                "f_ari": foreground_adjusted_rand_index(measured.truth, segmentation),
                "ari": adjusted_rand_index(measured.truth, segmentation),
                "loss": measured.loss,
                "agreement": agreement,
            }
        )

    def columns(self) -> dict[str, Any]:
        return {key: torch.cat([row[key] for row in self.rows]).cpu().numpy() for key in self.rows[0]}


def _scene_table(tables: Mapping[tuple[int, int], _Table]) -> pd.DataFrame:
    frames = [
        pd.DataFrame({"slots": slots, "iterations": iterations, **table.columns()})
        for (slots, iterations), table in tables.items()
    ]
    return pd.concat(frames, ignore_index=True)[COLUMNS[1:]]


def _set_table(task: Task, tables: Mapping[tuple[int, int], _Table]) -> pd.DataFrame:
    rows = []
    for (slots, iterations), table in tables.items():
        measures = task.summarize(tuple(torch.cat(parts) for parts in zip(*table.detections, strict=True)))
        rows += [(slots, iterations, measure, value) for measure, value in measures.items()]
    return pd.DataFrame(rows, columns=SET_COLUMNS[1:]).astype(
        {"slots": "int64", "iterations": "int64", "value": "float64"}
    )


class Probe:
    """F-ARI of a model in training on a few scenes at its own slot count, for the progress bar and the curve.

    Args:
        task: that it is trained on.
        split: scenes; the first ones are used.
        scenes: how many.
        device: of the model.
    """

    def __init__(self, task: Task, split: Split, scenes: int = 64, device: torch.device | str = "cpu") -> None:
        self.task = task
        few = split.select(np.arange(min(scenes, len(split))))
        (self.batch,) = few.batches(batch_size=len(few), device=device, fields=task.evaluation_fields)
        self.noise = initial_noise(task, len(few), task.num_slots, seed=0).to(device)

    @torch.inference_mode()
    def __call__(self, model: nn.Module) -> float:
        """Mean F-ARI over the scenes; leaves the model in evaluation mode."""
        model.eval()
        tokens = self.task.encode(model, self.batch)
        measured = self.task.measure(model, self.batch, tokens, self.noise, self.task.iterations)
        return float(foreground_adjusted_rand_index(measured.truth, measured.segmentation).mean())
