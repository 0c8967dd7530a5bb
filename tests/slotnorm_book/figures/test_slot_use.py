"""The figure of slots in use: a panel per training, and the diagonal where every slot is in use."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from slotnorm_book.figures.slot_use import Training, draw_slots_in_use


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
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["Baseline", "Batch Norm"]
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
