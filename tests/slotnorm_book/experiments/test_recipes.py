"""The recipes: the paper scale is the paper's protocol, number by number; nothing but the normalization varies."""

from dataclasses import dataclass, fields, replace

import pytest

from slotnorm import NORMALIZATIONS
from slotnorm.tasks import FeatureDiscovery, ObjectDiscovery, PropertyPrediction, Task
from slotnorm.training.spec import Data, Optimizer, Schedule
from slotnorm_book.experiments.recipes import BEYOND, EXPERIMENTS, recipe
from slotnorm_book.experiments.recipes.recipe import SCALES, Recipe

SLOTS = (5, 7, 9, 11, 13, 15, 17, 19, 21)
FOUR = ("weighted_mean", "layer_norm", "weighted_sum", "batch_norm")
SIX = (*FOUR, "kd_layer_norm", "unnormalized")


@dataclass(frozen=True)
class Protocol:
    """What the paper says of an experiment, and its code where it says nothing."""

    task: Task
    max_objects: int | None
    batch_size: int
    peak: float
    clip_norm: float | None
    epsilon_hat: bool
    seeds: int
    tests: dict[str, int | None]
    slots: tuple[int, ...]
    iterations: int
    variants: tuple[str, ...] = FOUR


def clevr(slots: int, seeds: int) -> Protocol:
    """App. E, Tables 2 and 3: peak 4e-4 · 0.5^0.1, batch 64, 5 iterations at evaluation; Sec. 5.1: seeds."""
    task = ObjectDiscovery(128, slots, slot_dim=64, channels=64, encoder_layers=4, hidden_dim=128, iterations=3)
    return Protocol(task, 6, 64, 4e-4 * 0.5**0.1, None, True, seeds, {"CLEVR6": 6, "CLEVR10": None}, SLOTS, 5)


def movi(objects: int, slots: int, seeds: int, transfer: bool = False) -> Protocol:
    """App. F, Tables 4 and 5: peak 4e-4, batch 64, 3 iterations; clipped as in the code; 24 slots on MOVi-D."""
    task = FeatureDiscovery(
        28, 768, slots, slot_dim=128, decoder_dim=1024, decoder_layers=3, hidden_dim=512, iterations=3, init="torch"
    )
    tests = {"MOVi-D": None} if transfer else {"MOVi-C6": 6, "MOVi-C10": None}
    return Protocol(task, objects, 64, 4e-4, 1.0, False, seeds, tests, (24,) if transfer else SLOTS, 3)


def properties(variants: tuple[str, ...]) -> Protocol:
    """App. I: 10 slots on CLEVR10, 3 seeds; batch 512 as in the set prediction that it follows."""
    task = PropertyPrediction(128, 10, slot_dim=64, channels=64, strides=(1, 2, 2, 1), hidden_dim=128, iterations=3)
    peak = 4e-4 * 0.5**0.1
    return Protocol(task, None, 512, peak, None, True, 3, {"CLEVR10": None}, SLOTS[1:], 3, variants)


PROTOCOLS = {
    "clevr-6-7": clevr(7, seeds=5),
    "clevr-6-11": clevr(11, seeds=3),
    "movi-c-10-11": movi(10, 11, seeds=5),
    "movi-c-6-7": movi(6, 7, seeds=3),
    "movi-c-6-11": movi(6, 11, seeds=3),
    "movi-d-10-11": movi(10, 11, seeds=5, transfer=True),
    "movi-d-6-7": movi(6, 7, seeds=3, transfer=True),
    "movi-d-6-11": movi(6, 11, seeds=3, transfer=True),
    "properties": properties(FOUR),
    "ablations": properties(SIX),
}
DATA = {"clevr": "data/clevr", "movi-c": "data/movi-c-features", "movi-d": "data/movi-d-features"}
GRID = [(name, scale) for name in EXPERIMENTS for scale in SCALES]
PAPER_GRID = [(name, scale) for name in PROTOCOLS for scale in SCALES]


@pytest.fixture(autouse=True)
def _described(monkeypatch) -> None:
    """Data are named and not opened, so that a recipe without its data here can still be read."""
    monkeypatch.setattr(
        "slotnorm_book.experiments.data_sources.Source.describe",
        lambda self, most=None: Data(self.data, self.part, most),
    )


def test_every_experiment_of_the_paper_has_its_protocol():
    assert list(EXPERIMENTS) == [*PROTOCOLS, *BEYOND]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_paper_scale_trains_by_the_protocol_of_the_paper(name):
    paper, protocol = recipe(name, "paper"), PROTOCOLS[name]
    assert paper.task == protocol.task
    assert paper.schedule == Schedule(500_000, protocol.peak, 10_000, 100_000)
    assert paper.optimizer == Optimizer(1e-8, protocol.epsilon_hat, protocol.clip_norm)
    assert (paper.batch_size, paper.precision, paper.max_objects) == (protocol.batch_size, "fp32", protocol.max_objects)
    assert paper.variants == protocol.variants
    assert paper.seeds == tuple(range(protocol.seeds))
    trained_on = DATA["movi-c" if name.startswith("movi") else "clevr"]
    assert (paper.train.data, paper.train.part) == (trained_on, "train")


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_paper_scale_evaluates_by_the_protocol_of_the_paper(name):
    paper, protocol = recipe(name, "paper"), PROTOCOLS[name]
    assert {test.label: test.max_objects for test in paper.tests} == protocol.tests
    shown = DATA.get(name[:6], DATA["clevr"])
    for test in paper.tests:
        assert (test.scenes, test.slots, test.iterations) == (1280, protocol.slots, (protocol.iterations,))
        assert (test.source.data, test.source.part) == (shown, "test")
        assert (test.draw is not None) == name.startswith("movi")  # frames are drawn, scenes are the first ones


def settings(of: Recipe) -> dict[str, object]:
    return {field.name: getattr(of, field.name) for field in fields(of)}


@pytest.mark.parametrize(("name", "scale"), GRID)
def test_nothing_differs_between_variants_but_the_normalization(name, scale):
    chosen = recipe(name, scale)
    runs = chosen.runs()
    assert [(run.seed, run.variant) for run in runs] == [(s, v) for s in chosen.seeds for v in chosen.variants]
    assert {replace(run, variant=runs[0].variant, seed=0) for run in runs} == {runs[0]}
    assert len({run.name for run in runs}) == len(runs)


@pytest.mark.parametrize(("name", "scale"), PAPER_GRID)
def test_every_scale_asks_the_questions_of_the_paper(name, scale):
    chosen, paper = recipe(name, scale), recipe(name, "paper")
    assert (chosen.experiment, chosen.scale, chosen.locus) == (name, scale, paper.locus)
    assert (type(chosen.task), chosen.task.num_slots) == (type(paper.task), paper.task.num_slots)
    assert chosen.task.iterations == paper.task.iterations
    assert chosen.max_objects == paper.max_objects
    for test, like in zip(chosen.tests, paper.tests, strict=True):
        asked = ("label", "max_objects", "slots", "iterations")
        assert [getattr(test, name) for name in asked] == [getattr(like, name) for name in asked]
        assert test.scenes <= test.source.scenes
    assert chosen.variants[0] == "weighted_mean"
    assert set(chosen.variants) <= set(NORMALIZATIONS)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_smaller_scales_train_all_variants_and_smoke_has_one_seed(name):
    most = 8 if name.endswith(("-6-7", "-10-11")) else 5 if name.endswith("-6-11") else 3
    assert [recipe(name, scale).seeds for scale in ("smoke", "cpu", "gpu")] == [(0,), tuple(range(most)), (0, 1, 2)]
    assert all(recipe(name, scale).variants == PROTOCOLS[name].variants for scale in ("cpu", "gpu"))
    assert recipe(name, "smoke").schedule.steps <= 20


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(
    ("one", "other"), [("ablations", "properties"), *((f"movi-d-{k}", f"movi-c-{k}") for k in ("10-11", "6-7", "6-11"))]
)
def test_experiments_that_are_the_same_training_share_their_runs(one, other, scale):
    names = [{(run.variant, run.seed): run.name for run in recipe(name, scale).runs()} for name in (one, other)]
    shared = names[0].keys() & names[1].keys()
    assert ("weighted_mean", 0) in shared
    assert all(names[0][run] == names[1][run] for run in shared)


def test_a_selection_leaves_everything_else():
    whole = recipe("clevr-6-7", "smoke")
    part = whole.select(variants=["batch_norm"], seeds=[4], slots=[3])
    assert (part.variants, part.seeds, [test.slots for test in part.tests]) == (("batch_norm",), (4,), [(3,), (3,)])
    changed = {name for name, value in settings(part).items() if value != settings(whole)[name]}
    assert changed == {"variants", "seeds", "tests"}
    assert whole.select() == whole


def test_other_data_take_the_place_of_all_data():
    whole = recipe("movi-d-6-7", "smoke")
    moved = whole.with_data("here", "there")
    assert moved.train.data == "here"
    assert {test.source.data for test in moved.tests} == {"there"}
    assert {test.source.data for test in recipe("movi-c-6-7", "smoke").with_data("here").tests} == {"here"}
    assert {name for name, value in settings(moved).items() if value != settings(whole)[name]} == {"train", "tests"}
