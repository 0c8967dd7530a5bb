"""Counted operations, and what is made of them and of the records."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from slotnorm.cost import (
    NOT_RECORDED,
    Assumption,
    duration,
    gpu_rate,
    here_table,
    on_gpu,
    one_core,
    paper_table,
    recorded,
    total,
)
from slotnorm.operations import training_step
from slotnorm.plots.cost import aimed, ratios, relative_times
from slotnorm.recipes import recipe
from slotnorm.results import Results
from slotnorm.tasks import FeatureDiscovery, ObjectDiscovery, PropertyPrediction

SMALL = ObjectDiscovery(image_size=16, num_slots=3, slot_dim=8, channels=8, encoder_layers=1, hidden_dim=8)
CARD = Assumption("a card", peak=1e13, utilization=0.5)
EMPTY = recorded({"clevr-6-7": Results(recipe("clevr-6-7", "cpu"), (), ())})


def runs(device: str = "cpu: a core") -> pd.DataFrame:
    rows = [("weighted_mean", 0, 100.0), ("weighted_mean", 1, 200.0), ("batch_norm", 0, 300.0)]
    table = pd.DataFrame(rows, columns=["variant", "seed", "seconds"])
    table = table.assign(experiment="clevr-6-7", task="ObjectDiscovery", device=device, threads=1, steps=100)
    table["steps_per_second"] = table["steps"] / table["seconds"]
    return table.assign(operations=10**9, rate=10**9 * table["steps_per_second"], memory=None)


def test_fake_tensors_count_what_real_ones_do() -> None:
    model = SMALL.build("weighted_mean")
    with FlopCounterMode(display=False) as counter:
        slots = model.slot_attention.initial_slots(torch.randn(2, 3, 8))
        model(torch.randn(2, 3, 16, 16), slots=slots).reconstruction.sum().backward()
    assert training_step(SMALL, 2) == counter.get_total_flops()


def test_a_convolution_counts_as_by_hand() -> None:
    """Three times its products: forward, for the gradient of its input, and for that of its weights."""
    wide = ObjectDiscovery(image_size=16, num_slots=3, slot_dim=8, channels=8, encoder_layers=2, hidden_dim=8)
    second = 2 * 16 * 16 * 25 * 8 * 8  # a product and a sum per pixel, kernel entry, channel in and channel out
    assert training_step(wide, 1) - training_step(SMALL, 1) == 3 * second


@pytest.mark.parametrize("task", [FeatureDiscovery(), PropertyPrediction()])
def test_other_models_are_counted_too(task) -> None:
    assert training_step(task, 2) > 10**9


def test_the_paper_s_clevr_step_is_eight_tera_operations() -> None:
    step = training_step(recipe("clevr-6-7", "paper").task, 64)
    assert step == pytest.approx(8e12, rel=0.05)  # counted independently from Tables 2 and 3


def test_what_was_recorded_is_added_up() -> None:
    (row,) = here_table(runs()).to_numpy().tolist()
    assert row[:2] == ["**clevr-6-7**: 3 runs", "cpu: a core, 1 thread"]
    assert row[2:4] == ["3.3 min (100 s to 5 min)", "10 min"]
    assert row[4] == "0.5, 0.5 GFLOP/s"
    assert (total(runs()), on_gpu(runs()), on_gpu(runs("a card"))) == ("10 min", 0, 3)


def test_without_records_nothing_is_claimed() -> None:
    assert here_table(EMPTY).iloc[0, 0] == total(EMPTY) == one_core(recipe("clevr-6-7", "paper"), EMPTY) == NOT_RECORDED
    assert gpu_rate(EMPTY, "ObjectDiscovery", CARD) == (5e12, "estimate, not measured")


def test_a_recorded_gpu_takes_the_place_of_the_assumption_for_its_kind_of_model() -> None:
    assert gpu_rate(runs("a card"), "ObjectDiscovery", CARD) == (5e8, "recorded rate of smaller models on a card")
    assert gpu_rate(runs("a card"), "FeatureDiscovery", CARD)[1] == "estimate, not measured"
    assert gpu_rate(runs(), "ObjectDiscovery", CARD)[1] == "estimate, not measured"


def test_the_paper_s_runs_are_counted_once_and_rounds_are_whole() -> None:
    recipes = [recipe(name, "paper") for name in ("movi-c-6-7", "movi-d-6-7", "properties", "ablations")]
    table = paper_table(recipes, EMPTY, CARD)
    assert [row.split(" runs")[0] for row in table["counted"]] == ["12", "12", "6"]
    seconds = training_step(recipes[0].task, 64) * 500_000 / 5e12
    assert table.iloc[0, 2:5].tolist() == [duration(n * seconds) for n in (1, 12, 2)]


def test_the_baseline_s_median_is_one() -> None:
    fig = relative_times(runs())
    times = [list(line.get_xdata()) for line in fig.axes[0].lines]
    assert times[0] == pytest.approx([0.75, 1.5])
    plt.close(fig)


def test_ratios_have_a_mark_per_device_and_a_bar_for_the_aim() -> None:
    rows = pd.DataFrame(
        [
            ("one", "step", "fast", 2.0, "≥ 1.5x"),
            ("one", "step", "small", 3.0, "≤ 0.4x the memory"),
            ("two", "step", "fast", 1.0, "≥ 1.5x"),
            ("two", "step", "alone", None, "< 2 s"),
        ],
        columns=["device", "subject", "what", "ratio", "aim"],
    )
    fig = ratios(rows)
    marks = {line.get_label(): sorted(zip(*line.get_data(), strict=True)) for line in fig.axes[0].lines}
    assert marks["one"] == [(2.0, 0), (3.0, 1)]
    assert marks["two"] == [(1.0, 0)]
    assert marks["aim"] == [(1.5, 0), (2.5, 1)]
    assert [text.get_text() for text in fig.axes[0].texts] == ["step: fast", "step: small"]
    plt.close(fig)


def test_an_aim_without_a_ratio_is_none() -> None:
    assert aimed("< 2 s") is None
    assert aimed("") is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0.4 s"), (119.0, "119 s"), (120.0, "2 min"), (7199.0, "120 min"), (172_800.0, "2 days"), (4e8, "13 years")],
)
def test_durations_are_told_in_the_unit_that_suits(seconds: float, text: str) -> None:
    assert duration(seconds) == text
