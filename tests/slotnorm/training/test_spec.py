"""What a run is: its JSON, its name, and that every one of its settings counts."""

import json
import math
from dataclasses import fields, replace
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch

from slotnorm.object_properties import PROPERTY_FIELDS
from slotnorm.tasks import TASKS, FeatureDiscovery, ObjectDiscovery, PropertyPrediction
from slotnorm.training.loop import Watch, train
from slotnorm.training.spec import Data, Optimizer, RunSpec, Schedule, SpecError
from tests.helpers import tiny

BASE = tiny.spec(
    schedule=Schedule(steps=3, peak=1e-2, warmup=1, half_life=20), optimizer=Optimizer(epsilon=1e-3, clip_norm=1e-3)
)
TASK_BASES = {
    ObjectDiscovery: tiny.TASK,
    FeatureDiscovery: FeatureDiscovery(
        grid_size=4, feature_dim=6, num_slots=2, slot_dim=4, decoder_dim=4, decoder_layers=1, hidden_dim=4, iterations=1
    ),
    PropertyPrediction: PropertyPrediction(
        image_size=16, num_slots=3, slot_dim=4, channels=4, strides=(1, 2), hidden_dim=4, iterations=1
    ),
}
TASK_CHANGES: dict[type, dict[str, Any]] = {
    ObjectDiscovery: {
        "image_size": 32,
        "num_slots": 3,
        "slot_dim": 6,
        "channels": 6,
        "encoder_layers": 2,
        "hidden_dim": 6,
        "iterations": 1,
        "decoder_convs": 0,
    },
    FeatureDiscovery: {
        "grid_size": 5,
        "feature_dim": 7,
        "num_slots": 3,
        "slot_dim": 6,
        "decoder_dim": 6,
        "decoder_layers": 2,
        "hidden_dim": 6,
        "iterations": 2,
        "position_scale": 0.02,
        "init": "glorot",
    },
    PropertyPrediction: {
        "image_size": 32,
        "num_slots": 4,
        "slot_dim": 6,
        "channels": 6,
        "strides": (2, 1),
        "hidden_dim": 6,
        "iterations": 2,
        "coordinates": "authors",
    },
}
RUN_CHANGES: dict[str, RunSpec] = {
    "variant": replace(BASE, variant="weighted_sum"),
    "seed": replace(BASE, seed=1),
    "batch_size": replace(BASE, batch_size=5),
    "precision": replace(BASE, precision="bf16"),
    "schedule.steps": replace(BASE, schedule=replace(BASE.schedule, steps=4)),
    "schedule.peak": replace(BASE, schedule=replace(BASE.schedule, peak=2e-2)),
    "schedule.warmup": replace(BASE, schedule=replace(BASE.schedule, warmup=2)),
    "schedule.half_life": replace(BASE, schedule=replace(BASE.schedule, half_life=1)),
    "optimizer.epsilon": replace(BASE, optimizer=replace(BASE.optimizer, epsilon=1e-2)),
    "optimizer.epsilon_hat": replace(BASE, optimizer=replace(BASE.optimizer, epsilon_hat=True)),
    "optimizer.clip_norm": replace(BASE, optimizer=replace(BASE.optimizer, clip_norm=None)),
}
DATA_CHANGES = {
    "data.name": replace(BASE, data=replace(BASE.data, name="other")),
    "data.identity": replace(BASE, data=replace(BASE.data, identity="1" * 64)),
    "data.max_objects": replace(BASE, data=replace(BASE.data, max_objects=6)),
}
TASK_RUNS = {
    f"{kind.__name__}.{field}": (replace(BASE, task=base), replace(BASE, task=replace(base, **{field: value})))
    for kind, base in TASK_BASES.items()
    for field, value in TASK_CHANGES[kind].items()
}
CHANGES = {name: (BASE, changed) for name, changed in (RUN_CHANGES | DATA_CHANGES).items()} | TASK_RUNS


class Noise:
    """Batches of whatever the task of a spec reads."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec

    def __getitem__(self, step: int) -> dict[str, torch.Tensor]:
        g, n, task = torch.Generator().manual_seed(step), self.spec.batch_size, self.spec.task
        if isinstance(task, FeatureDiscovery):
            return {"features": torch.randn(n, task.grid_size**2, task.feature_dim, generator=g)}
        image = torch.rand(n, 3, task.image_size, task.image_size, generator=g)
        numbers = {
            name: torch.randint(1, 3, (n, 3), generator=g) for name in PROPERTY_FIELDS
        }  # 1 background, 2 objects
        return {"image": image, **numbers}


def outcome(spec: RunSpec) -> list[Any]:
    """Curve and weights of a short training."""
    done = train(spec, Noise(spec), watch=Watch(bar=False))
    return [done.curve.loss.tolist(), [p.flatten().tolist() for p in done.model.parameters()]]


def leaves(content: Any, prefix: str = "") -> set[str]:
    if not isinstance(content, dict):
        return {prefix}
    return {leaf for key, value in content.items() for leaf in leaves(value, f"{prefix}.{key}" if prefix else key)}


def test_the_changes_below_cover_every_field_there_is():
    run = {name for name in leaves(BASE.to_json()) if not name.startswith("task.")}
    assert run == set(RUN_CHANGES) | set(DATA_CHANGES)
    assert set(TASK_BASES) == set(TASKS.values())
    for kind, changes in TASK_CHANGES.items():
        assert {field.name for field in fields(kind)} == set(changes), kind


@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_is_part_of_the_name(name):
    base, changed = CHANGES[name]
    assert base.name != changed.name


@pytest.mark.parametrize("name", RUN_CHANGES | TASK_RUNS)
def test_every_setting_is_read_by_the_training(name):
    base, changed = CHANGES[name]
    assert outcome(base) != outcome(changed)


@pytest.mark.parametrize("name", CHANGES)
def test_a_spec_comes_back_from_json(name):
    _, spec = CHANGES[name]
    again = RunSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec
    assert again.name == spec.name


def test_a_name_is_the_same_for_ever():
    """A changed digest would orphan every stored run: a new setting needs a new format version."""
    spec = RunSpec(ObjectDiscovery(), Data("CLEVR", "a" * 64, 6), "batch_norm", 3, Schedule(), Optimizer(), 64, "fp32")
    assert spec.name == "batch_norm-seed3-63353fbe6a61"


def test_a_field_that_was_added_later_keeps_the_names_of_earlier_runs():
    for kind in TASKS.values():
        known = {field.name: field.default for field in fields(kind)}
        assert kind.added_later.items() <= known.items(), "what was done before is the default"
    earlier = BASE.to_json()
    assert "decoder_convs" not in earlier["task"]
    assert RunSpec.from_json(earlier) == BASE


def test_equal_specs_have_equal_names():
    one, same = (replace(BASE, optimizer=replace(BASE.optimizer, clip_norm=norm)) for norm in (1.0, float(1)))
    assert one == same
    assert one.name == same.name
    content = one.to_json()
    content["optimizer"]["clip_norm"] = 1.0
    assert RunSpec.from_json(content).name == one.name


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"variant": "median"}, "unknown variant 'median'; there are weighted_mean, "),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"task": None}, "task must be of the class Task, got None"),
        ({"data": {"name": "a"}}, "data must be of the class Data, got {'name': 'a'}"),
        ({"schedule": None}, "schedule must be of the class Schedule, got None"),
        ({"optimizer": Schedule()}, "optimizer must be of the class Optimizer, got Schedule"),
    ],
)
def test_a_spec_that_cannot_work_is_refused(wrong, reason, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(SpecError, match=reason):
        replace(BASE, **wrong)


@pytest.mark.parametrize("steps", [3.0, True, np.int64(3), "3"])
def test_a_count_that_is_no_int_is_refused(steps):
    content = BASE.to_json()
    content["schedule"]["steps"] = steps
    with pytest.raises((SpecError, TypeError), match="steps"):  # the shape checker of the tests may be first
        RunSpec.from_json(content)


NO_SETTINGS: list[tuple[str, Any]] = [
    ("variant", None),
    ("seed", None),
    ("batch_size", None),
    ("data.name", None),
    ("data.identity", None),
    ("schedule.steps", None),
    ("schedule.peak", None),
    ("schedule.peak", "0.1"),
    ("schedule.peak", True),
    ("schedule.warmup", None),
    ("schedule.half_life", None),
    ("optimizer.epsilon", None),
    ("optimizer.epsilon_hat", "false"),
    ("optimizer.epsilon_hat", None),
    ("optimizer.epsilon_hat", 1),
    ("optimizer.clip_norm", "1"),
    ("task.num_slots", "7"),
    ("task.slot_dim", 8.0),
]


@pytest.mark.parametrize(("setting", "value"), NO_SETTINGS)
def test_a_setting_of_another_type_is_refused_by_name(setting, value, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    content = json.loads(json.dumps(BASE.to_json()))
    *parts, name = setting.split(".")
    (content[parts[0]] if parts else content)[name] = value
    with pytest.raises(SpecError, match=rf"^{name} must be .*, got {value!r}$"):
        RunSpec.from_json(content)


def test_an_unknown_precision_is_refused():
    content = BASE.to_json() | {"precision": "fp8"}
    with pytest.raises((SpecError, TypeError), match="precision"):  # the shape checker of the tests may be first
        RunSpec.from_json(content)


def test_no_scenes_at_all_is_refused():
    with pytest.raises(SpecError, match="max_objects must be at least 1"):
        Data("noise", "0", 0)


def test_a_setting_that_is_no_number_is_refused():
    lost = replace(BASE, task=replace(TASK_BASES[FeatureDiscovery], position_scale=math.nan))
    with pytest.raises(SpecError, match="finite"):
        _ = lost.name


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content.pop("task"),
        lambda content: content.pop("batch_size"),
        lambda content: content["schedule"].update(speed=1),
        lambda content: content["task"].update(kind="Guess"),
        lambda content: content["task"].update(width=3),
        lambda content: content.update(data=None),
        lambda content: content.update(speed=1),
        lambda content: content.update(task="ObjectDiscovery"),
        lambda content: content.update(task={"kind": "PropertyPrediction", "coordinates": "x"}),
    ],
)
def test_json_that_is_no_spec_is_refused(spoil):
    content = BASE.to_json()
    spoil(content)
    with pytest.raises(SpecError, match="is not the specification of a run"):
        RunSpec.from_json(content)


def test_json_of_an_unknown_task_lists_the_tasks():
    content = BASE.to_json() | {"task": {"kind": "Guess"}}
    with pytest.raises(SpecError, match=r"task must be one of ObjectDiscovery, .*, got 'Guess'"):
        RunSpec.from_json(content)
