"""Counted operations, and what is made of them and of the records."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from slotnorm.tasks import FeatureDiscovery, ObjectDiscovery, PropertyPrediction
from slotnorm_book.analyses.cost import (
    NOT_RECORDED,
    compare_with_baseline,
    count_gpu_runs,
    describe_total,
    recorded_cost_table,
    tabulate_runs,
)
from slotnorm_book.analyses.cost_estimates import (
    Assumption,
    describe_one_core,
    find_gpu_rate,
    one_core_table,
    paper_cost_table,
)
from slotnorm_book.analyses.flops import count_training_flops
from slotnorm_book.analyses.quantities import format_duration
from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.experiments.results import Results
from slotnorm_book.experiments.run_store import Run
from slotnorm_book.figures.cost import draw_benchmark_ratios, draw_relative_times, parse_aim

SMALL = ObjectDiscovery(image_size=16, num_slots=3, slot_dim=8, channels=8, encoder_layers=1, hidden_dim=8)
CARD = Assumption("a card", peak=1e13, utilization=0.5)
CLEVR = recipe("clevr-6-7", "paper")
EMPTY = tabulate_runs({"clevr-6-7": Results(recipe("clevr-6-7", "cpu"), (), ())})


def runs(device: str = "cpu: a core", **columns: object) -> pd.DataFrame:
    rows = [("weighted_mean", 0, 100.0), ("weighted_mean", 1, 200.0), ("batch_norm", 0, 300.0)]
    table = pd.DataFrame(rows, columns=["variant", "seed", "seconds"])
    table = table.assign(
        experiment="clevr-6-7", task="ObjectDiscovery", device=device, threads=1, processes=1, steps=100
    )
    table["experiments"] = [("clevr-6-7",)] * len(table)
    table["steps_per_second"] = table["steps"] / table["seconds"]
    table = table.assign(operations=10**9, rate=10**9 * table["steps_per_second"], precision="bf16", memory=None)
    return table.assign(**columns)


def slower(table: pd.DataFrame, times: float) -> pd.DataFrame:
    rates = {name: table[name] / times for name in ("steps_per_second", "rate")}
    return table.assign(seconds=times * table["seconds"], **rates)


def of_two_devices() -> pd.DataFrame:
    """The same runs on a core and on another of half its rate."""
    return pd.concat([runs(), slower(runs("cpu: another"), 2)], ignore_index=True)


def test_fake_tensors_count_what_real_ones_do() -> None:
    model = SMALL.build("weighted_mean")
    with FlopCounterMode(display=False) as counter:
        slots = model.slot_attention.initial_slots(torch.randn(2, 3, 8))
        model(torch.randn(2, 3, 16, 16), slots=slots).reconstruction.sum().backward()
    assert count_training_flops(SMALL, 2) == counter.get_total_flops()


def test_a_convolution_counts_as_by_hand() -> None:
    """Three times its products: forward, for the gradient of its input, and for that of its weights."""
    wide = ObjectDiscovery(image_size=16, num_slots=3, slot_dim=8, channels=8, encoder_layers=2, hidden_dim=8)
    second = 2 * 16 * 16 * 25 * 8 * 8  # a product and a sum per pixel, kernel entry, channel in and channel out
    assert count_training_flops(wide, 1) - count_training_flops(SMALL, 1) == 3 * second


@pytest.mark.parametrize("task", [FeatureDiscovery(), PropertyPrediction()])
def test_other_models_are_counted_too(task) -> None:
    assert count_training_flops(task, 2) > 10**9


def test_the_paper_s_clevr_step_is_eight_tera_operations() -> None:
    step = count_training_flops(recipe("clevr-6-7", "paper").task, 64)
    assert step == pytest.approx(8e12, rel=0.05)  # counted independently from Tables 2 and 3


def test_what_was_recorded_is_added_up() -> None:
    (row,) = recorded_cost_table(runs()).to_numpy().tolist()
    assert row[:2] == ["**clevr-6-7**: 3 runs", "cpu: a core, 1 thread"]
    assert row[2:4] == ["3.3 min (100 s to 5 min)", "10 min"]
    assert row[4] == "0.5, 0.5 GFLOP/s in bf16"
    assert (describe_total(runs()), count_gpu_runs(runs()), count_gpu_runs(runs("a card"))) == ("10 min", 0, 3)


def test_processors_share_a_row_with_their_range() -> None:
    (row,) = recorded_cost_table(of_two_devices()).to_numpy().tolist()
    assert row[:2] == ["**clevr-6-7**: 6 runs", "cpu: a core or another, 1 thread"]
    assert row[2:4] == ["4.2 min (100 s to 10 min)", "30 min"]


def test_cards_threads_and_precisions_stand_apart() -> None:
    wide, fine = runs(threads=4, processes=8, rate=2e13).iloc[:1], runs(precision="fp32").iloc[:2]
    table = recorded_cost_table(pd.concat([runs(), runs("a card"), runs("b card"), wide, fine], ignore_index=True))
    where = ["cpu: a core, 1 thread", "a card, 1 thread", "b card, 1 thread"]
    where += ["cpu: a core, 4 threads in each of 8 processes", "cpu: a core, 1 thread"]
    assert table["device"].tolist() == where
    assert [name.split(": ")[1] for name in table["experiment"]] == ["3 runs", "3 runs", "3 runs", "1 run", "2 runs"]
    assert table["steps per second"].iloc[3] == "1, 20 TFLOP/s in bf16"


def test_the_name_of_a_device_is_no_markdown() -> None:
    hostile = "cpu: <script>|`x`"
    escaped = r"\<script\>\|\`x\`"
    assert recorded_cost_table(runs(hostile))["device"].tolist() == [rf"cpu: {escaped}, 1 thread"]
    assert one_core_table([CLEVR], runs(hostile)).iloc[0, 1] == escaped
    table = paper_cost_table([CLEVR], runs("<script>|`x`"), CARD)
    assert table["rate"].tolist() == [f"recorded rate of smaller models in bf16 on {escaped}"]


def test_without_records_nothing_is_claimed() -> None:
    assert (
        recorded_cost_table(EMPTY).iloc[0, 0]
        == describe_total(EMPTY)
        == describe_one_core(CLEVR, EMPTY)
        == NOT_RECORDED
    )
    assert one_core_table([CLEVR], EMPTY).to_numpy().tolist() == [["**clevr-6-7**, fp32", NOT_RECORDED, "", ""]]
    assert len(compare_with_baseline(EMPTY)) == 0
    assert find_gpu_rate(EMPTY, "ObjectDiscovery", CARD) == (5e12, "estimate, not measured")


def test_a_recorded_gpu_takes_the_place_of_the_assumption_for_its_kind_of_model() -> None:
    recorded_rate = "recorded rate of smaller models in bf16 on a card"
    assert find_gpu_rate(runs("a card"), "ObjectDiscovery", CARD) == (5e8, recorded_rate)
    assert find_gpu_rate(runs("a card", processes=8), "ObjectDiscovery", CARD) == (5e8 / 8, recorded_rate)
    mixed = pd.concat([runs("a card"), slower(runs("a card", precision="fp32"), 2).iloc[:2]], ignore_index=True)
    assert find_gpu_rate(mixed, "ObjectDiscovery", CARD) == (5e8, recorded_rate)
    assert find_gpu_rate(runs("a card"), "FeatureDiscovery", CARD)[1] == "estimate, not measured"
    assert find_gpu_rate(runs(), "ObjectDiscovery", CARD)[1] == "estimate, not measured"


def test_a_core_s_time_is_told_with_its_range_over_processors() -> None:
    seconds = count_training_flops(CLEVR.task, CLEVR.batch_size) * CLEVR.schedule.steps / 1e9  # at the fastest rate
    one, two = one_core_table([CLEVR], runs()), one_core_table([CLEVR], of_two_devices())
    middle, least, most = (format_duration(seconds * times) for times in (2, 1, 3))
    assert one.to_numpy().tolist() == [
        ["**clevr-6-7**, fp32", "a core", "0.5 GFLOP/s in bf16, 3 runs", f"{middle} ({least} to {most})"]
    ]
    assert two.iloc[:, 1:3].to_numpy().tolist() == [["a core or another", "0.417 GFLOP/s in bf16, 6 runs"]]
    assert two.iloc[0, 3].endswith(f"({least} to {format_duration(seconds * 6)})")
    assert describe_one_core(CLEVR, of_two_devices()) == f"{least} to {format_duration(seconds * 6)}"
    assert describe_one_core(CLEVR, runs().iloc[:1]) == least


def test_precisions_are_not_mixed_in_a_core_s_rate() -> None:
    single = slower(runs(precision="fp32"), 4)
    rates = one_core_table([CLEVR], pd.concat([runs(), single.iloc[:1]], ignore_index=True))["recorded rate"]
    assert rates.tolist() == ["0.5 GFLOP/s in bf16, 3 runs", "0.25 GFLOP/s in fp32, 1 run"]


@pytest.mark.parametrize(
    "other", [runs("a card"), runs(threads=2), runs(task="FeatureDiscovery"), runs(rate=float("nan"))]
)
def test_a_core_s_rate_is_that_of_one_thread_on_a_cpu_on_models_of_the_kind(other: pd.DataFrame) -> None:
    assert describe_one_core(CLEVR, other) == NOT_RECORDED
    assert describe_one_core(CLEVR, pd.concat([runs(), other], ignore_index=True)) == describe_one_core(CLEVR, runs())


def test_the_paper_s_runs_are_counted_once_and_rounds_are_whole() -> None:
    recipes = [recipe(name, "paper") for name in ("movi-c-6-7", "movi-d-6-7", "properties", "ablations")]
    table = paper_cost_table(recipes, EMPTY, CARD)
    assert [row.split(" runs")[0] for row in table["counted"]] == ["12", "12", "6"]
    seconds = count_training_flops(recipes[0].task, 64) * 500_000 / 5e12
    assert table.iloc[0, 2:5].tolist() == [format_duration(n * seconds) for n in (1, 12, 2)]


def test_the_baseline_s_median_is_one() -> None:
    fig = draw_relative_times(runs())
    times = [list(line.get_xdata()) for line in fig.axes[0].lines]
    assert times[0] == pytest.approx([0.75, 1.5])
    plt.close(fig)


def test_a_run_is_compared_with_the_baseline_on_its_own_device() -> None:
    assert compare_with_baseline(of_two_devices())["time"].tolist() == pytest.approx(2 * [0.75, 1.5, 2.25])
    fig = draw_relative_times(of_two_devices())
    (name,) = [label.get_text() for label in fig.axes[0].get_yticklabels()]
    times = [list(line.get_xdata()) for line in fig.axes[0].lines]
    assert (name, times[0], times[1]) == ("clevr-6-7", pytest.approx(2 * [0.75, 1.5]), pytest.approx(2 * [2.25]))
    plt.close(fig)


@pytest.mark.parametrize("columns", [{"device": "cpu: another"}, {"threads": 2}, {"experiments": [("scale",)]}])
def test_a_run_without_a_baseline_beside_it_is_left_out(columns: dict[str, object]) -> None:
    alone = runs().iloc[2:].assign(**columns)
    assert compare_with_baseline(pd.concat([runs(), alone], ignore_index=True)).index.tolist() == [0, 1, 2]
    fig = draw_relative_times(alone)
    assert fig.texts[0].get_text() == "no run of a baseline is recorded on the same device"
    plt.close(fig)


def test_a_run_without_a_speed_is_left_out() -> None:
    table = runs()
    table.loc[[0, 2], "steps_per_second"] = float("nan")
    assert compare_with_baseline(table)["time"].tolist() == [1.0]


def test_a_baseline_that_two_experiments_share_counts_in_both() -> None:
    """The first shows it; the second's own runs are compared with it all the same."""
    table = runs()
    table["experiment"] = ["properties", "properties", "ablations"]
    table["experiments"] = [("properties", "ablations"), ("properties", "ablations"), ("ablations",)]
    assert compare_with_baseline(table)["time"].tolist() == pytest.approx([0.75, 1.5, 2.25])


def test_records_know_all_their_experiments_and_their_precision() -> None:
    about = {"device": "cpu: a core", "threads": 1, "processes": 1, "seconds": 9.0, "steps_per_second": 2.0}
    both, own = (
        Run("memory://none", spec, {**about, "peak_gpu_memory": None}, {}, {}, lambda _: None, lambda: None)
        for spec in recipe("clevr-6-7", "smoke").runs()[:2]
    )
    table = tabulate_runs({"clevr-6-7": Results(CLEVR, (both, own), ()), "many-slots": Results(CLEVR, (both,), ())})
    assert table["experiments"].tolist() == [("clevr-6-7", "many-slots"), ("clevr-6-7",)]
    assert table["experiment"].tolist() == ["clevr-6-7", "clevr-6-7"]
    assert table["precision"].tolist() == ["fp32", "fp32"]


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
    fig = draw_benchmark_ratios(rows)
    marks = {line.get_label(): sorted(zip(*line.get_data(), strict=True)) for line in fig.axes[0].lines}
    assert marks["one"] == [(2.0, 0), (3.0, 1)]
    assert marks["two"] == [(1.0, 0)]
    assert marks["aim"] == [(1.5, 0), (2.5, 1)]
    assert [text.get_text() for text in fig.axes[0].texts] == ["step: fast", "step: small"]
    plt.close(fig)


def test_an_aim_without_a_ratio_is_none() -> None:
    assert parse_aim("< 2 s") is None
    assert parse_aim("") is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0.4 s"), (119.0, "119 s"), (120.0, "2 min"), (7199.0, "120 min"), (172_800.0, "2 days"), (4e8, "13 years")],
)
def test_durations_are_told_in_the_unit_that_suits(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
