"""Figures of the chapter beyond the paper."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from slotnorm_book.figures.beyond import draw_models_and_em, draw_scales
from slotnorm_book.variants import EM, EM_EQUAL


def test_em_has_a_legend_in_the_only_figure_that_draws_its_curves() -> None:
    rows = [
        {"variant": name, "seed": 0, "slots": slots, "scene_id": scene, "f_ari": 0.5, "blind_f_ari": 0.2, "ari": 0.4}
        for name in ("weighted_mean", EM, EM_EQUAL)
        for slots in (7, 11)
        for scene in range(2)
    ]
    fig = draw_models_and_em(pd.DataFrame(rows))
    (legend,) = fig.legends
    assert [text.get_text() for text in legend.texts] == ["EM", "EM, equal weights"]
    drawn = {line.get_color() for line in fig.axes[0].lines}
    assert {handle.get_color() for handle in legend.legend_handles} <= drawn
    plt.close(fig)


def test_scales_are_drawn_with_their_found_objects_beneath() -> None:
    found = {"weighted_sum": 0.1, "weighted_sum@0.25": 0.3}
    rows = pd.DataFrame(
        [
            {"variant": name, "seed": 0, "test": test, "slots": slots, "scene_id": scene, "f_ari": 0.6, "objects": 3}
            | {"blind_f_ari": 0.6 - found[name]}
            for name in found
            for test in ("MOVi-C6", "MOVi-C10")
            for slots in (7, 11)
            for scene in range(2)
        ]
    )
    fig = draw_scales(rows, rows.iloc[:0], train_slots=7)
    *_, over_slots, over_scales = fig.axes
    assert over_slots.get_subplotspec().get_gridspec().nrows == 2
    drawn = {float(line.get_ydata()[0]) for line in over_slots.lines if len(line.get_ydata()) == 2} - {0.0}
    assert {round(value, 6) for value in drawn} == set(found.values())
    heights = {tuple(np.round(line.get_ydata(), 6)) for line in over_scales.lines}
    assert (0.3, 0.1) in heights
    plt.close(fig)
