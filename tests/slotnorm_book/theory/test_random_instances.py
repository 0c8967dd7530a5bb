"""What the codes of random scenes tell about the share of a slot: Propositions 1 and 2, and the K-D-layer norm."""

import numpy as np
import pandas as pd
import pytest
import torch

from slotnorm import NORMALIZATIONS
from slotnorm_book.theory.random_instances import measure_what_codes_tell, random_slot_attention

TRAINED, MORE = 4, 12
LINEAR = ("weighted_sum", "batch_norm", "unnormalized")
"""What is one map of the sum for all slots, whatever their number."""


@pytest.fixture(scope="module")
def told() -> pd.DataFrame:
    generator = torch.Generator().manual_seed(0)
    module = random_slot_attention(8, generator)
    return measure_what_codes_tell(module, list(NORMALIZATIONS), (TRAINED, MORE), 10, 64, generator)


def rows(told: pd.DataFrame, name: str, slots: int) -> pd.DataFrame:
    return told[(told["normalization"] == name) & (told["slots"] == slots)]


def test_a_row_per_slot_and_shares_that_sum_to_one(told: pd.DataFrame) -> None:
    for name in NORMALIZATIONS:
        assert len(rows(told, name, TRAINED)) == 10 * TRAINED
        assert rows(told, name, MORE)["share"].sum() == pytest.approx(10)


def test_weighted_mean_codes_do_not_tell_the_share(told: pd.DataFrame) -> None:
    assert told.loc[told["normalization"] == "weighted_mean", "component"].to_numpy() == pytest.approx(1)


def test_weighted_sum_codes_are_the_share(told: pd.DataFrame) -> None:
    some = told[told["normalization"] == "weighted_sum"]
    assert some["component"].to_numpy() == pytest.approx(some["share"].to_numpy())


@pytest.mark.parametrize("name", LINEAR)
def test_one_line_through_both_slot_counts(told: pd.DataFrame, name: str) -> None:
    few, more = (rows(told, name, slots) for slots in (TRAINED, MORE))
    slope, shift = np.polyfit(few["share"], few["component"], 1)
    assert more["component"].to_numpy() == pytest.approx((slope * more["share"] + shift).to_numpy())


def test_kd_layer_norm_codes_depend_on_the_number_of_slots(told: pd.DataFrame) -> None:
    few, more = (rows(told, "kd_layer_norm", slots) for slots in (TRAINED, MORE))
    slopes = [np.polyfit(some["share"], some["component"], 1)[0] for some in (few, more)]
    assert slopes[1] > 1.5 * slopes[0] > 0
