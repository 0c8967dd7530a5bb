"""The figures that every experiment shares: what is drawn is what the table holds."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.figures import score_curves
from slotnorm_book.figures.score_curves import WHISKERS, draw_over_counts, draw_score_lines, draw_training_curves
from slotnorm_book.figures.style import FLOOR_LINE
from slotnorm_book.statistics.bootstrap import intervals
from tests.slotnorm_book.claims.worlds import evidence


@pytest.fixture
def ax() -> Iterator[Axes]:
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


def world(variants: list[str], seeds: int) -> pd.DataFrame:
    scenes = evidence(1)["clevr-6-7"].scenes
    chosen = scenes["variant"].isin(variants) & (scenes["seed"] < seeds) & (scenes["test"] == "CLEVR6")
    return scenes[chosen]


def whiskers(ax: Axes) -> np.ndarray:
    """Lower and upper ends, one row per whisker."""
    bars = [one for one in ax.collections if isinstance(one, LineCollection)]
    return np.array([segment[:, 1] for one in bars for segment in one.get_segments()])


def test_whiskers_are_the_intervals_of_a_few_settings(ax: Axes) -> None:
    table = world(["weighted_mean", "batch_norm"], 3)
    draw_score_lines(ax, table, "slots", "f_ari")
    found = intervals(table, "f_ari")
    expected = found[found["slots"].isin([5, 13, 21])].sort_values(["variant", "slots"], ascending=[False, True])
    assert WHISKERS == 3
    np.testing.assert_allclose(np.sort(whiskers(ax), axis=0), np.sort(expected[["low", "high"]], axis=0), atol=2e-3)


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_runs_have_no_whisker(ax: Axes, seeds: int) -> None:
    draw_score_lines(ax, world(["weighted_mean"], seeds), "slots", "f_ari")
    assert len(whiskers(ax)) == 0
    assert len(ax.lines) >= 2


def test_whiskers_leave_the_panel_to_the_runs(ax: Axes) -> None:
    table = world(["weighted_mean"], 3)
    table = table.assign(f_ari=table["f_ari"] + table["seed"].map({0: 0.0, 1: 0.2, 2: 0.4}))
    draw_score_lines(ax, table, "slots", "f_ari")
    runs = table.groupby(["seed", "slots"])["f_ari"].mean()
    assert whiskers(ax).max() > runs.max() + 0.1
    assert ax.get_ylim()[1] < runs.max() + 0.1


def test_a_table_without_scenes_has_intervals_over_runs(ax: Axes) -> None:
    sets = evidence(1)["properties"].sets
    one = sets[(sets["measure"] == "ap@1") & (sets["variant"] == "weighted_mean")]
    draw_score_lines(ax, one, "slots", "value")
    assert np.isfinite(whiskers(ax)).all()
    assert len(whiskers(ax)) == WHISKERS


def test_panels_name_their_sets_and_leave_the_legend_to_the_page() -> None:
    scenes = evidence(1)["clevr-6-7"].scenes
    fig = draw_over_counts(scenes, ["f_ari"], train_slots=7)
    assert [ax.get_title() for ax in fig.axes] == ["CLEVR6", "CLEVR10", "CLEVR10, 11 slots"]
    assert fig.legends == []
    plt.close(fig)


def test_spatial_runs_are_dotted_and_move_no_median() -> None:
    scenes = world(["weighted_mean", "batch_norm"], 3)
    spatial = (scenes["variant"] == "batch_norm") & (scenes["seed"] == 1)
    with_them = draw_over_counts(scenes[~spatial], ["f_ari"], train_slots=7, spatial=scenes[spatial])
    without = draw_over_counts(scenes[~spatial], ["f_ari"], train_slots=7)
    left, right = with_them.axes[0], without.axes[0]
    dotted = [line for line in left.lines if line.get_linestyle() == ":" and line.get_color() != "0.6"]
    expected = scenes[spatial].groupby("slots")["f_ari"].mean()
    np.testing.assert_allclose(dotted[0].get_ydata(), expected)
    drawn = [line.get_ydata().tolist() for line in left.lines if line.get_marker() not in ("None", "")]
    assert drawn == [line.get_ydata().tolist() for line in right.lines if line.get_marker() not in ("None", "")]
    for fig in (with_them, without):
        plt.close(fig)


def thin(ax: Axes) -> list[list[list[float]]]:
    """Points of the lines that are drawn as the blind floor is."""
    return [
        [list(line.get_xdata()), list(line.get_ydata())] for line in ax.lines if line.get_label() == FLOOR_LINE["label"]
    ]


def test_the_blind_floor_lies_beneath_f_ari_over_slots_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = evidence(1)["clevr-6-7"].scenes
    floors = {"CLEVR6": {5: 0.3, 21: 0.5, 7: 0.4, 24: 0.9}}
    monkeypatch.setattr(score_curves, "read_floors", lambda recipe: floors)
    fig = draw_over_counts(scenes, ["f_ari", "ari"], train_slots=7, recipe=recipe("clevr-6-7", "cpu"))
    assert [thin(ax) for ax in fig.axes] == [[[[5, 7, 21], [0.3, 0.4, 0.5]]], [], [], [], [], []]
    plt.close(fig)


def test_a_floor_that_is_not_known_or_not_of_f_ari_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = evidence(1)["clevr-6-7"].scenes
    for measures, floors in ((["f_ari"], {}), (["f_ari"], {"other": {7: 0.3}}), (["ari"], {"CLEVR6": {7: 0.3}})):
        monkeypatch.setattr(score_curves, "read_floors", lambda recipe, floors=floors: floors)
        fig = draw_over_counts(scenes, measures, train_slots=7, recipe=recipe("clevr-6-7", "cpu"))
        assert all(thin(ax) == [] for ax in fig.axes)
        plt.close(fig)


def test_training_curves_show_found_objects_where_they_are_recorded() -> None:
    nan = float("nan")
    rows = {"step": [1, 2, 3], "loss": [3.0, 2.0, 1.0], "f_ari": [0.5, nan, 0.75], "blind_f_ari": [0.5, nan, 0.25]}
    curves = pd.DataFrame(rows).assign(variant="weighted_mean", seed=0)
    for table, label, values in (
        (curves, "found objects in training", [0.0, 0.5]),
        (curves.assign(blind_f_ari=nan), "F-ARI in training", [0.5, 0.75]),
        (curves.drop(columns="blind_f_ari"), "F-ARI in training", [0.5, 0.75]),
    ):
        fig = draw_training_curves(table)
        assert fig.axes[1].get_ylabel() == label
        assert fig.axes[1].lines[-1].get_ydata().tolist() == values
        plt.close(fig)
