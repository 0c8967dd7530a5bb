"""Mechanism claims M1-M6: measured anew, and each verdict turns when its mechanism is broken."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from slotnorm import NORMALIZATIONS, Normalization
from slotnorm.normalization import Statistics, aggregate
from slotnorm_book.claims.ledger import CLAIMS
from slotnorm_book.claims.mechanism_checks import (
    MECHANISMS,
    Measurements,
    affine_and_equivariant,
    attention_factors,
    codes_bounded,
    image_is_affine,
    information_kept,
    information_lost,
    judge_mechanisms,
)

TRIALS = 10


class RootMeanSquareNorm(nn.LayerNorm):
    """Scales as LayerNorm does but does not center, so its image is no hyperplane."""

    def forward(self, input: Tensor) -> Tensor:
        return self.weight * input * input.square().mean(-1, keepdim=True).rsqrt() + self.bias


class FirstSlotDoubled(Normalization):
    """A weighted mean that prefers the slot with the lowest index."""

    def __init__(self, dim: int) -> None:
        super().__init__()

    def normalize(self, values: Tensor, attention: Tensor, statistics: Statistics | None) -> tuple[Tensor, None]:
        codes = aggregate(values, attention) / attention.sum(2, keepdim=True)
        return torch.cat([2 * codes[:, :1], codes[:, 1:]], dim=1), None


BROKEN: dict[str, list[Callable[[torch.Generator, int], Measurements]]] = {
    "M1": [partial(information_lost, normalizations=(name, "layer_norm")) for name in ("weighted_sum", "unnormalized")],
    "M2": [partial(information_kept, normalization=name) for name in ("weighted_mean", "layer_norm")],
    "M3": [partial(codes_bounded, scale=1.0)],
    "M4": [partial(image_is_affine, layer=RootMeanSquareNorm)],
    "M5": [partial(attention_factors, normalization="weighted_mean")],
    "M6": [
        partial(affine_and_equivariant, training=True),
        partial(affine_and_equivariant, normalizations={"first": FirstSlotDoubled}),
    ],
}


def test_every_mechanism_claim_is_measured_and_broken() -> None:
    mechanism = {name for name, claim in CLAIMS.items() if claim.kind == "mechanism"}
    assert mechanism == set(MECHANISMS) == set(BROKEN)


@pytest.mark.parametrize("name", MECHANISMS)
def test_verdict(name: str, generator: torch.Generator) -> None:
    verdict = CLAIMS[name].judge(MECHANISMS[name](generator, TRIALS))
    assert verdict.outcome == "reproduced", verdict.detail


@pytest.mark.parametrize(
    ("name", "broken"), [(name, broken) for name, variants in BROKEN.items() for broken in variants]
)
def test_verdict_turns_when_the_mechanism_is_broken(
    name: str, broken: Callable[[torch.Generator, int], Measurements], generator: torch.Generator
) -> None:
    verdict = CLAIMS[name].judge(broken(generator, TRIALS))
    assert verdict.outcome == "contradicted", verdict.detail


def test_m1_also_fails_where_layer_norm_is_replaced(generator: torch.Generator) -> None:
    measured = information_lost(generator, TRIALS, normalizations=("weighted_mean", "weighted_sum"))
    assert CLAIMS["M1"].judge(measured).outcome == "contradicted"


def test_m6_covers_every_registered_normalization(generator: torch.Generator) -> None:
    """A seventh that is not equivariant would turn the verdict without any change here."""
    measured = affine_and_equivariant(generator, 2, normalizations=NORMALIZATIONS | {"first": FirstSlotDoubled})
    assert CLAIMS["M6"].judge(measured).outcome == "contradicted"


def test_judging_all_repeats_with_the_seed() -> None:
    first, again = judge_mechanisms(seed=3, trials=2), judge_mechanisms(seed=3, trials=2)
    assert [verdict.claim.id for verdict in first] == list(MECHANISMS)
    assert [verdict.detail for verdict in first] == [verdict.detail for verdict in again]


def test_too_few_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="trials must be at least 2"):
        judge_mechanisms(seed=0, trials=1)
