"""Figures of the chapter beyond the paper."""

import matplotlib.pyplot as plt
import pandas as pd

from slotnorm_book.figures.beyond import draw_models_and_em
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
