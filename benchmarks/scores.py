"""The measures: adjusted Rand index beside scikit-learn's, average precision beside a loop over detections."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import replace

import torch
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from benchmarks.measure import compared, interleaved
from benchmarks.settings import Row, Settings
from slotnorm.metrics.detection import THRESHOLDS, average_precision
from slotnorm.metrics.segmentation import adjusted_rand_index
from slotnorm.object_properties import CLASS_COUNTS, COORDINATES, NUM_PROPERTIES, REAL
from slotnorm_book.experiments.recipes.recipe import PAPER_SCENES
from tests.conformance import average_precision_reference as loop

NAME = "measures"
AIM_ARI, AIM_AP, AIM_AP_SECONDS = 50.0, 20.0, 2.0
CPU = torch.device("cpu")


def measure(settings: Settings) -> Iterator[Row]:
    """Both, on the processor."""
    yield _adjusted_rand(settings)
    yield from _average_precision(settings)


def _adjusted_rand(settings: Settings) -> Row:
    images, side, slots = (2, 8, 3) if settings.quick else (64, 128, 21)
    generator = torch.Generator().manual_seed(0)
    true = torch.randint(11, (images, side, side), generator=generator)
    found = torch.randint(slots, (images, side, side), generator=generator)

    def one_by_one() -> list[float]:
        pairs = zip(true.flatten(1).numpy(), found.flatten(1).numpy(), strict=True)
        return [float(adjusted_rand_score(a, b)) for a, b in pairs]

    forms = {"plain": one_by_one, "ours": lambda: adjusted_rand_index(true, found)}
    times = {name: [t / images for t in taken] for name, taken in interleaved(forms, settings.rounds(), CPU).items()}
    size = f"{side} x {side}, K {slots}, {images} images"
    row = Row(NAME, "ARI of an image, beside scikit-learn's", size, "s", aim=f"≥ {AIM_ARI:.0f}x")
    return compared(row, times["plain"], times["ours"], AIM_ARI)


def detections(scenes: int, slots: int = 21, objects: int = 10) -> tuple[Tensor, Tensor]:
    """Predictions of a fair model: the objects with errors, in slots of their own, and spare slots."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.zeros(scenes, objects, NUM_PROPERTIES)
    start = 0
    for count in CLASS_COUNTS.values():
        kinds = torch.randint(count, (scenes, objects, 1), generator=generator)
        targets[..., start : start + count].scatter_(-1, kinds, 1.0)
        start += count
    targets[..., COORDINATES] = torch.rand(scenes, objects, 3, generator=generator)
    targets[..., REAL] = (torch.rand(scenes, objects, generator=generator) < 0.65).float()
    predictions = torch.rand(scenes, slots, NUM_PROPERTIES, generator=generator)
    predictions[:, :objects] = targets + 0.05 * torch.randn(targets.shape, generator=generator)
    return predictions, targets


def _average_precision(settings: Settings) -> Iterator[Row]:
    few, many = (2, 4) if settings.quick else (64, PAPER_SCENES)
    some, everything = detections(few), detections(many)
    lists = [part.double().tolist() for part in some]
    forms = {
        "plain": lambda: [loop.average_precision(*lists, threshold) for threshold in THRESHOLDS],
        "ours": lambda: average_precision(*some),
        "all": lambda: average_precision(*everything),
    }
    times = interleaved(forms, settings.rounds(), CPU)
    ours = [taken * few / many for taken in times["all"]]  # where it is slower a scene than on few
    slower = max(times["ours"], ours, key=statistics.median)
    what = "AP at five thresholds"
    row = Row(NAME, f"{what}, beside a loop over detections", f"{few} scenes, K 21", "s", aim=f"≥ {AIM_AP:.0f}x")
    yield compared(row, times["plain"], slower, AIM_AP)
    seconds = statistics.median(times["all"])
    row = Row(NAME, what, f"{many:,} scenes, K 21", "s", ours=seconds, aim=f"< {AIM_AP_SECONDS:.0f} s")
    yield replace(row, met=seconds < AIM_AP_SECONDS)
