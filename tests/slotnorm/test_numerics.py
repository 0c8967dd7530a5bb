"""Precision of products, whichever of torch's interfaces has set it; double precision where a device has none."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from slotnorm import numerics
from slotnorm.metrics import (
    adjusted_precision_and_recall,
    adjusted_rand_index,
    largest_share_of_background,
    matched_mean_iou,
    mean_best_overlap,
)
from slotnorm.numerics import PLACES, in_double_precision, matmul_precision

SET = {
    "nothing": lambda: None,
    "products": lambda: setattr(torch.backends.cuda.matmul, "fp32_precision", "tf32"),
    "everything": lambda: setattr(torch.backends, "fp32_precision", "tf32"),
    "all full": lambda: setattr(torch.backends, "fp32_precision", "ieee"),
    "cudnn": lambda: setattr(torch.backends.cudnn, "fp32_precision", "ieee"),
    "convolutions": lambda: setattr(torch.backends.cudnn.conv, "fp32_precision", "ieee"),
    "products of the CPU": lambda: setattr(torch.backends.mkldnn.matmul, "fp32_precision", "bf16"),
    "older, high": lambda: torch.set_float32_matmul_precision("high"),
    "older, medium": lambda: torch.set_float32_matmul_precision("medium"),
    "older, cuDNN": lambda: setattr(torch.backends.cudnn, "allow_tf32", False),
}
TF32 = {torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn, torch.backends.mkldnn.matmul}
every_setting = pytest.mark.parametrize("setting", SET)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    with matmul_precision("fp32"):
        torch.backends.cudnn.allow_tf32 = True
        yield


def older() -> list[Any]:
    """What torch's older interface tells, where it does not refuse to tell."""
    told: list[Any] = []
    for read in (torch.get_float32_matmul_precision, lambda: torch.backends.cudnn.allow_tf32):
        try:
            told.append(read())
        except RuntimeError:
            told.append("refused")
    return told


def settings() -> list[Any]:
    return [*(place.fp32_precision for place in PLACES), *older()]


@every_setting
@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_the_precision_is_what_it_was_afterwards(setting, precision):
    SET[setting]()
    before = settings()
    with matmul_precision(precision):
        pass
    assert settings() == before


@every_setting
def test_full_precision_is_full_whatever_was_set_before(setting):
    SET[setting]()
    with matmul_precision("fp32"):
        assert {place.fp32_precision for place in PLACES} <= {"none", "ieee"}
        assert older() == ["highest", False]


@every_setting
def test_tf32_is_that_of_products_and_convolutions_in_both_interfaces(setting):
    SET[setting]()
    with matmul_precision("tf32"):
        assert all(place.fp32_precision == ("tf32" if place in TF32 else "none") for place in PLACES)
        assert older() == ["high", True]


def test_a_place_that_follows_a_general_one_still_does_afterwards():
    torch.backends.cuda.matmul.fp32_precision = "none"
    torch.backends.fp32_precision = "tf32"
    with matmul_precision("fp32"):
        pass
    torch.backends.fp32_precision = "ieee"
    assert torch.backends.cuda.matmul.fp32_precision == "ieee"


@pytest.mark.parametrize(
    "measure",
    [
        adjusted_rand_index,
        lambda true, pred: adjusted_precision_and_recall(true, pred)[0],
        lambda true, pred: adjusted_precision_and_recall(true, pred)[1],
        mean_best_overlap,
        matched_mean_iou,
        largest_share_of_background,
    ],
)
def test_a_device_without_double_precision_gets_results_in_single(measure, monkeypatch):
    true, pred = torch.randint(0, 4, (2, 3, 50))
    exact = measure(true, pred)
    assert exact.dtype == torch.float64
    monkeypatch.setattr(numerics, "WITHOUT_DOUBLE", ("cpu",))
    assert torch.equal(measure(true, pred), exact.float())


def test_what_a_device_cannot_hold_in_double_precision_goes_to_the_cpu(monkeypatch):
    monkeypatch.setattr(numerics, "WITHOUT_DOUBLE", ("meta",))
    moved = []
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: moved.append(self.device.type) or torch.zeros(2))
    doubled = in_double_precision(torch.zeros(2, device="meta"))
    assert (moved, doubled.device.type, doubled.dtype) == (["meta"], "cpu", torch.float64)
