"""The training step of every model: forward, backward, clipping, Adam; plain form and project in the same precision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.counting import Rates, measured_rates
from benchmarks.forms import Ours, Plain, counts, make_batch, size
from benchmarks.idle import idle_share
from benchmarks.measure import compared, interleaved, peak_memory
from benchmarks.settings import BF16_BESIDE_FP32, PRECISIONS, Row, Settings
from slotnorm.tasks import FeatureDiscovery, ObjectDiscovery, PropertyPrediction
from slotnorm.training.spec import Data, Optimizer, RunSpec, Schedule
from slotnorm_book.experiments.recipes import recipe

NAME = "training step"


@dataclass(frozen=True)
class Case:
    """A model, its batch, and the wanted ratio of the plain form's time to the project's.

    Args:
        what: is trained.
        spec: the run; its precision is not used.
        aim_cpu: ratio on a processor, in each precision with both forms in it.
        aim_cuda: ratio on a GPU of the plain form in fp32, which is how the authors train, to the project's in bf16.
    """

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
        Case("CLEVR, Tables 2 and 3", spec(ObjectDiscovery(), images), 1.15, 4.0),
        Case("CLEVR, cpu scale", of_recipe("clevr-6-7"), 1.4),
        Case("MOVi-C, Tables 4 and 5", spec(FeatureDiscovery(), features), 1.3, 4.0),
        Case("MOVi-C, cpu scale", of_recipe("movi-c-10-11"), 1.3),
        Case("property prediction, App. I", spec(PropertyPrediction(), properties)),
    ]


def measure(settings: Settings) -> Iterator[Row]:
    """Seconds a step of every case in both precisions, and on a GPU of ours in bf16 beside the plain form in fp32."""
    rates = measured_rates(settings.device, settings.quick)
    for case in cases(settings):
        yield from _case(case, settings, rates)


def _case(case: Case, settings: Settings, rates: Rates) -> Iterator[Row]:
    batch = make_batch(case.spec, settings.device)
    specs = {precision: replace(case.spec, precision=precision) for precision in PRECISIONS}
    forms: dict[str, Any] = {f"plain {p}": Plain(each, batch) for p, each in specs.items()}
    forms |= {f"ours {p}": Ours(each, batch) for p, each in specs.items()}
    times = interleaved(forms, settings.rounds(None if case.spec.batch_size > 1 else 3), settings.device)
    memory = {name: peak_memory(run, settings.device) for name, run in forms.items()}
    pairs = [(p, p, p, None if settings.cuda else case.aim_cpu) for p in PRECISIONS]
    if settings.cuda:
        pairs.append(("fp32", "bf16", BF16_BESIDE_FP32, case.aim_cuda))
    for theirs, own, told, aim in pairs:
        plain, ours = f"plain {theirs}", f"ours {own}"
        row = Row(NAME, f"{case.what}, {told}", size(case.spec), "s", aim=f"≥ {aim}x" if aim else "")
        row = compared(row, times[plain], times[ours], aim)
        counted = counts(specs[own])
        note = f"{rates.share(counted, row.ours)}; {_memory(memory[plain], memory[ours])}"
        if settings.cuda:
            note += f"; the card idles {idle_share(forms[ours]):.0%} of the time"
        yield replace(row, floor=rates.told(counted), note=note)


def _memory(plain: float | None, ours: float | None) -> str:
    if not plain or ours is None:
        return "memory not measured"
    return f"memory {ours:.0f} MiB, plain {plain:.0f} MiB"
