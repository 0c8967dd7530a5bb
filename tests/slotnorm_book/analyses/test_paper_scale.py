"""What the records of the paper's runs take."""

import pytest

from slotnorm_book.analyses.paper_scale import count_kept_bytes, count_record_bytes, count_weight_bytes
from slotnorm_book.experiments.recipes import recipe


@pytest.mark.parametrize(("experiment", "with_weights"), [("clevr-6-7", 8), ("clevr-6-11", 4)])
def test_kept_runs_are_counted_with_the_weights_that_keep_leaves_them(experiment: str, with_weights: int) -> None:
    shown = recipe(experiment, "paper")  # seed 0 of four variants; with 7 slots also the baselines of seeds 1 to 4
    tables = len(shown.runs()) * count_record_bytes(shown)
    assert count_kept_bytes(shown) == tables + with_weights * count_weight_bytes(shown)
