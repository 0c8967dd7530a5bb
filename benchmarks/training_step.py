"""The training step of every model: forward, backward, clipping, Adam; plain fp32 beside the project's own loop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from benchmarks.counting import Rates, measured_rates
from benchmarks.forms import Ours, Plain, counts, make_batch, size
from benchmarks.idle import idle_share
from benchmarks.measure import compared, interleaved, peak_memory
from benchmarks.settings import Row, Settings
from slotnorm.tasks import FeatureDiscovery, ObjectDiscovery, PropertyPrediction
from slotnorm.training.spec import Data, Optimizer, RunSpec, Schedule
from slotnorm_book.experiments.recipes import recipe

NAME = "training step"
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Case:
    """A model and its batch; what is wanted in bf16: the ratio to the plain form, on a processor and on a GPU."""

    what: str
    spec: RunSpec
    aim_cpu: float | None = None
    aim_cuda: float | None = None


def spec(task: Any, batch_size: int) -> RunSpec:
    """A run of the weighted mean at the paper's settings."""
    optimizer = Optimizer(clip_norm=1.0)
    return RunSpec(task, Data("noise", "none"), "weighted_mean", 0, Schedule(peak=4e-4), optimizer, batch_size)


def of_recipe(experiment: str) -> RunSpec:
    """A run of the ``cpu`` scale."""
    return recipe(experiment, "cpu").select(["weighted_mean"], [0]).runs()[0]


def cases(settings: Settings) -> list[Case]:
    """The paper's models at its sizes, with few scenes in a batch on a processor, and those of the ``cpu`` scale."""
    if settings.quick:
        images = ObjectDiscovery(16, num_slots=3, slot_dim=8, channels=8, encoder_layers=2, hidden_dim=8)
        features = FeatureDiscovery(4, 12, num_slots=3, slot_dim=8, decoder_dim=16, hidden_dim=8)
        properties = PropertyPrediction(16, num_slots=4, slot_dim=8, channels=8, strides=(2, 1), hidden_dim=8)
        return [Case("tiny", spec(task, 2)) for task in (images, features, properties)]
    few, many = ((1, 1, 8), (64, 64, 512))
    images, features, properties = many if settings.cuda else few
    return [
        Case("CLEVR, Tables 2 and 3", spec(ObjectDiscovery(), images), 1.5, 4.0),
        Case("CLEVR, cpu scale", of_recipe("clevr-6-7"), 1.5),
        Case("MOVi-C, Tables 4 and 5", spec(FeatureDiscovery(), features), 1.3, 4.0),
        Case("MOVi-C, cpu scale", of_recipe("movi-c-10-11")),
        Case("property prediction, App. I", spec(PropertyPrediction(), properties)),
    ]


def measure(settings: Settings) -> Iterator[Row]:
    """Seconds a step of every case, and the memory of the largest."""
    rates = {p: measured_rates(settings.device, dtype, settings.quick) for p, dtype in PRECISIONS.items()}
    for case in cases(settings):
        yield from _case(case, settings, rates)


def _case(case: Case, settings: Settings, rates: dict[str, Rates]) -> Iterator[Row]:
    batch = make_batch(case.spec, settings.device)
    forms: dict[str, Any] = {"plain": Plain(case.spec, batch)}
    forms |= {p: Ours(replace(case.spec, precision=p), batch) for p in PRECISIONS}
    times = interleaved(forms, settings.rounds(None if case.spec.batch_size > 1 else 3), settings.device)
    memory = {name: peak_memory(run, settings.device) for name, run in forms.items()}
    for precision in PRECISIONS:
        counted = counts(replace(case.spec, precision=precision))
        aim = case.aim_cuda if settings.cuda else case.aim_cpu
        wanted = aim if precision == "bf16" else None
        row = Row(NAME, f"{case.what}, {precision}", size(case.spec), "s", aim=f"≥ {wanted}x" if wanted else "")
        row = compared(row, times["plain"], times[precision], wanted)
        share = rates[precision].floor(counted) / (row.ours or 1)
        note = f"{share:.0%} of the measured {precision} product rate; {_memory(memory, precision)}"
        if settings.cuda:
            note += f"; the card idles {idle_share(forms[precision]):.0%} of the time"
        yield replace(row, floor=rates[precision].told(counted), note=note)


def _memory(memory: dict[str, float | None], precision: str) -> str:
    plain_mib, ours_mib = memory["plain"], memory[precision]
    if not plain_mib or ours_mib is None:
        return "memory not measured"
    return f"memory {ours_mib:.0f} MiB, plain {plain_mib:.0f} MiB"
