"""Whole numbers are taken in every form that Python can count with, and nothing else is."""

import numpy as np
import pytest
import torch

from slotnorm.arguments import require_whole


def is_taken(number: object) -> bool:
    try:
        require_whole(slots=number)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("number", [3, np.int64(3), torch.tensor(3)])
def test_a_whole_number_is_taken(number):
    assert is_taken(number)


@pytest.mark.parametrize(
    "number",
    [
        3.0,
        True,
        np.float64(3),
        np.bool_(True),
        torch.tensor(3.7),
        torch.tensor([3, 4]),
        torch.tensor([3]),
        torch.tensor(True),
        "3",
    ],
)
def test_what_is_no_whole_number_is_refused_by_name(number):
    with pytest.raises(ValueError, match="slots must be a whole number, got"):
        require_whole(slots=number)
