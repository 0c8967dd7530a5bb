"""Slots in use: the figure, with the diagonal where every slot is in use, and the text about unoccupied slots."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from slotnorm_book.figures.slot_use import Training, describe_unoccupied, draw_slots_in_use

NAMES = {"weighted_mean": "Baseline"}


def used(shares: dict[str, float]) -> pd.DataFrame:
    """Rows of runs whose slots are in use to these shares, by variant."""
    rows = [
        {"variant": variant, "seed": 0, "scene_id": scene, "slots": slots, "slots_in_use": share * slots}
        for variant, share in shares.items()
        for slots in (5, 7, 11)
        for scene in (0, 1)
    ]
    return pd.DataFrame(rows)


def test_a_panel_has_a_curve_per_variant_the_diagonal_and_the_slots_of_the_training() -> None:
    fig = draw_slots_in_use({"few": Training(used({"weighted_mean": 1.0, "batch_norm": 0.5}), 7)})
    (ax,) = fig.axes
    curves = {line.get_color(): line for line in ax.lines if line.get_marker() not in ("None", "", None)}
    assert [line.get_ydata().tolist() for line in curves.values()] == [[5, 7, 11], [2.5, 3.5, 5.5]]
    (diagonal,) = (line for line in ax.lines if line.get_label() == "all slots")
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    (trained,) = (line for line in ax.lines if line.get_linestyle() == ":")
    assert trained.get_xdata() == [7, 7]
    assert fig.legends == []
    plt.close(fig)


def test_a_training_without_runs_has_a_panel_that_says_so() -> None:
    rows = used({"weighted_mean": 1.0})
    fig = draw_slots_in_use({"few": Training(rows, 7), "many": Training(rows.iloc[:0], 11)})
    assert [ax.get_title() for ax in fig.axes] == ["few", "many"]
    assert [text.get_text() for text in fig.axes[1].texts] == ["not run"]
    plt.close(fig)


def test_without_any_run_the_figure_says_so() -> None:
    fig = draw_slots_in_use({"few": Training(used({"weighted_mean": 1.0}).iloc[:0], 7)})
    assert [text.get_text() for text in fig.texts] == ["not run"]
    plt.close(fig)


def runs(**used: list[float]) -> pd.DataFrame:
    """Two scenes per run with so many slots in use, one more than in the other; a run per seed, with seven slots."""
    return pd.DataFrame(
        {"variant": variant, "seed": seed, "slots": 7, "slots_in_use": value + half}
        for variant, values in used.items()
        for seed, value in enumerate(values)
        for half in (-0.5, 0.5)
    )


def test_unoccupied_slots_are_the_median_over_runs_of_the_mean_over_scenes() -> None:
    table = runs(weighted_mean=[4.0, 6.5, 7.0], other=[5.0])
    assert describe_unoccupied(table, 7, NAMES) == "0.5 of 7 (Baseline), 2.0 of 7 (other)"


def test_what_is_not_there_is_said() -> None:
    table = runs(weighted_mean=[4.0])
    assert describe_unoccupied(table, 11, NAMES) == "not evaluated with 11 slots"
    assert describe_unoccupied(table.iloc[:0], 7, NAMES) == "not run"
