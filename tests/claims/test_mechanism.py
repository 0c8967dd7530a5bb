"""Mechanism claims: measured anew; each verdict changes when its mechanism is broken."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from slotnorm import NORMALIZATIONS, Normalization
from slotnorm.normalization import Statistics, aggregate
from slotnorm_book.claims.claim import Measurement
from slotnorm_book.claims.judge import judge_mechanisms
from slotnorm_book.claims.ledger import MECHANISM_CLAIMS
from slotnorm_book.claims.mechanism_codes import measure_code_sizes, measure_information_loss, measure_recovery
from slotnorm_book.claims.mechanism_layers import (
    measure_attention_factors,
    measure_batch_norm_and_permutations,
    measure_layer_norm_image,
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

    def normalize(
        self, values: Tensor, attention: Tensor, statistics: Statistics | None, tokens: int | Tensor
    ) -> tuple[Tensor, None]:
        codes = aggregate(values, attention) / attention.sum(2, keepdim=True)
        return torch.cat([2 * codes[:, :1], codes[:, 1:]], dim=1), None


Measured = dict[str, Measurement]
BROKEN: dict[str, list[Callable[[torch.Generator, int], Measured]]] = {
    "M1": [
        partial(measure_information_loss, normalizations=(name, "layer_norm"))
        for name in ("weighted_sum", "unnormalized")
    ],
    "M2": [partial(measure_recovery, normalization=name) for name in ("weighted_mean", "layer_norm")],
    "M3": [partial(measure_code_sizes, scale=1.0)],
    "M4": [partial(measure_layer_norm_image, layer=RootMeanSquareNorm)],
    "M5": [partial(measure_attention_factors, normalization="weighted_mean")],
    "M6": [
        partial(measure_batch_norm_and_permutations, training=True),
        partial(measure_batch_norm_and_permutations, normalizations={"first": FirstSlotDoubled}),
    ],
}


def test_every_mechanism_claim_is_measured_and_broken() -> None:
    assert set(MECHANISM_CLAIMS) == set(BROKEN)


@pytest.mark.parametrize("name", MECHANISM_CLAIMS)
def test_verdict(name: str, generator: torch.Generator) -> None:
    verdict = MECHANISM_CLAIMS[name].judge(MECHANISM_CLAIMS[name].measure(generator, TRIALS))
    assert verdict.outcome == "reproduced", verdict.detail


@pytest.mark.parametrize(
    ("name", "broken"), [(name, broken) for name, variants in BROKEN.items() for broken in variants]
)
def test_verdict_changes_when_the_mechanism_is_broken(
    name: str, broken: Callable[[torch.Generator, int], Measured], generator: torch.Generator
) -> None:
    verdict = MECHANISM_CLAIMS[name].judge(broken(generator, TRIALS))
    assert verdict.outcome == "contradicted", verdict.detail


def test_m1_also_fails_where_layer_norm_is_replaced(generator: torch.Generator) -> None:
    measured = measure_information_loss(generator, TRIALS, normalizations=("weighted_mean", "weighted_sum"))
    assert MECHANISM_CLAIMS["M1"].judge(measured).outcome == "contradicted"


def test_m6_covers_every_registered_normalization(generator: torch.Generator) -> None:
    """One more normalization, which is not equivariant, changes the verdict."""
    measured = measure_batch_norm_and_permutations(
        generator, 2, normalizations=NORMALIZATIONS | {"first": FirstSlotDoubled}
    )
    assert MECHANISM_CLAIMS["M6"].judge(measured).outcome == "contradicted"


def test_judging_all_repeats_with_the_seed() -> None:
    first, again = judge_mechanisms(seed=3, trials=2), judge_mechanisms(seed=3, trials=2)
    assert [verdict.claim.id for verdict in first] == list(MECHANISM_CLAIMS)
    assert [verdict.detail for verdict in first] == [verdict.detail for verdict in again]


def test_too_few_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="trials must be at least 2"):
        judge_mechanisms(seed=0, trials=1)
