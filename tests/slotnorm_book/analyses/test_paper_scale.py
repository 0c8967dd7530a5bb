"""What the records of the paper's runs take."""

import pytest

from slotnorm_book.analyses.paper_scale import count_kept_bytes, count_record_bytes, count_weight_bytes
from slotnorm_book.experiments.recipes import recipe


@pytest.mark.parametrize(("experiment", "runs", "with_weights"), [("clevr-6-7", 20, 8), ("clevr-6-11", 12, 4)])
def test_kept_runs_are_counted_with_the_weights_that_keep_leaves_them(
    experiment: str, runs: int, with_weights: int
) -> None:
    shown = recipe(experiment, "paper")  # seed 0 of four variants; with 7 slots also the baselines of seeds 1 to 4
    tables = runs * count_record_bytes(shown)
    assert count_kept_bytes(shown) == tables + with_weights * count_weight_bytes(shown)
