"""Whole numbers are taken in every form that Python can count with, and nothing else is."""

import numpy as np
import pytest
import torch

from slotnorm import SlotAttention
from slotnorm.arguments import require_whole


@pytest.mark.parametrize("number", [3, np.int64(3), torch.tensor(3)])
def test_a_whole_number_is_taken(number):
    require_whole(slots=number)
    assert SlotAttention(4, 4, num_slots=number).num_slots == 3


@pytest.mark.parametrize(
    "number", [3.0, True, np.float64(3), np.bool_(True), torch.tensor(3.7), torch.tensor([3, 4]), "3"]
)
def test_what_is_no_whole_number_is_refused_by_name(number):
    with pytest.raises(ValueError, match="slots must be a whole number, got"):
        require_whole(slots=number)
