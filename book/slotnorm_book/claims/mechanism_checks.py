r"""Measures the mechanism claims M1 to M6 of :data:`slotnorm_book.claims.ledger.CLAIMS` on random instances, in
seconds on a CPU.

Each function takes a generator and the number of random instances, and returns one measurement per criterion. What it
takes besides is the mechanism itself: exchange it, and the verdict must turn.

Shape letters: B batch, K slots, N input tokens, D slot dimension.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor, nn

from slotnorm.normalization import NORMALIZATIONS, BatchNorm, Normalization, WeightedSum, aggregate
from slotnorm_book.claims.claim import Measurement, Verdict
from slotnorm_book.claims.ledger import CLAIMS
from slotnorm_book.theory.em_in_slot_attention import embed
from slotnorm_book.theory.propositions import (
    factorize_attention,
    identical_slots,
    layer_norm_hull,
    recover_column_means,
    update_codes,
)
from slotnorm_book.theory.random_instances import random_mixture, random_slot_attention, random_slots, random_tokens
from slotnorm_book.theory.vmf import VonMisesFisherMixture

Measurements = dict[str, Measurement]


def information_lost(
    generator: torch.Generator,
    trials: int,
    normalizations: Sequence[str] = ("weighted_mean", "layer_norm"),
    dim: int = 16,
    num_inputs: int = 64,
) -> Measurements:
    """M1: one zero slot and K of them have the same codes but column means 1 and 1/K (App. C).

    The gap is the largest difference of two codes relative to the largest entry.
    """
    gaps = {"weighted_mean_gap": 0.0, "layer_norm_gap": 0.0}
    smallest = math.inf
    for trial in range(trials):
        tokens = random_tokens(num_inputs, dim, generator)
        for statistic, name in zip(gaps, normalizations, strict=True):
            module = random_slot_attention(dim, generator, name)
            alone, attention_alone = update_codes(module, tokens, identical_slots(torch.zeros(dim).double(), 1))
            copies = identical_slots(torch.zeros(dim).double(), 2 + trial % 15)
            shared, attention_shared = update_codes(module, tokens, copies)
            gaps[statistic] = max(gaps[statistic], _relative_gap(shared, alone.expand_as(shared)))
            smallest = min(smallest, float(attention_alone.mean() - attention_shared.mean()))
    return {name: Measurement.exact(gap) for name, gap in (gaps | {"column_mean_gap": smallest}).items()}


def information_kept(
    generator: torch.Generator, trials: int, normalization: str = "weighted_sum", dim: int = 16
) -> Measurements:
    """M2: Prop. 2's function against the column means, over random parameters, tokens, slots, K and N."""
    worst, recoverable = 0.0, 0
    for trial in range(trials):
        module = random_slot_attention(dim, generator, normalization)
        tokens = random_tokens(16 * (1 + trial % 8), dim, generator)
        codes, attention = update_codes(module, tokens, random_slots(1 + trial % 32, dim, generator))
        hull = layer_norm_hull(module.norm_inputs, module.to_v)
        if hull.offset.norm() > 0:
            recoverable += 1
            error = recover_column_means(codes, hull) - attention.mean(dim=2)
            worst = max(worst, float(error.abs().max()))
    return {
        "recovery_error": Measurement.exact(worst),
        "recoverable": Measurement.exact(recoverable / trials),
    }


INPUT_COUNTS = tuple(2**power for power in range(6, 15))
"""Numbers of tokens for Eq. 11; the largest is that of CLEVR's feature maps."""


def code_sizes(
    generator: torch.Generator, normalization: Normalization, num_slots: int = 7, dim: int = 16
) -> tuple[Float[np.ndarray, " counts"], Float[np.ndarray, " counts"]]:
    """Largest entry of the codes and of the values at every number of tokens in :data:`INPUT_COUNTS`."""
    module = random_slot_attention(dim, generator, normalization)
    slots = random_slots(num_slots, dim, generator)
    tokens = random_tokens(INPUT_COUNTS[-1], dim, generator)
    codes, values = [], []
    for count in INPUT_COUNTS:
        codes.append(float(update_codes(module, tokens[:, :count], slots)[0].abs().max()))
        values.append(float(module.keys_and_values(tokens[:, :count])[1].abs().max()))
    return np.array(codes), np.array(values)


def codes_bounded(generator: torch.Generator, trials: int, scale: float | None = None, dim: int = 16) -> Measurements:
    """M3: the bound of Eq. 11 for every feature, over random parameters, K and N; and growth with N."""
    worst = 0.0
    for trial in range(trials):
        module = random_slot_attention(dim, generator, WeightedSum(dim, scale))
        tokens = random_tokens(2 ** (trial % 9), dim, generator)
        codes, _ = update_codes(module, tokens, random_slots(1 + trial % 32, dim, generator))
        values = module.keys_and_values(tokens)[1]
        worst = max(worst, float((codes.abs().amax(dim=1) / values.abs().amax(dim=1)).max()))
    sizes = [code_sizes(generator, WeightedSum(dim, scale), dim=dim)[0] for _ in range(5)]
    growth = np.polyfit(np.log(INPUT_COUNTS), np.log(sizes).mean(axis=0), 1)[0]
    return {"bound_ratio": Measurement.exact(worst), "growth": Measurement.exact(float(growth))}


def image_is_affine(
    generator: torch.Generator, trials: int, layer: Callable[[int], nn.LayerNorm] = nn.LayerNorm, dim: int = 16
) -> Measurements:
    """M4: outputs of LayerNorm against Lemma 1's subspace, their rank, and its distance from the origin (Lemma 3)."""
    hull_error, rank_error, offset = 0.0, 0.0, math.inf
    for _ in range(trials):
        norm = layer(dim).double().requires_grad_(False)
        norm.weight.copy_(torch.randn(dim, generator=generator, dtype=torch.float64))
        norm.bias.copy_(torch.randn(dim, generator=generator, dtype=torch.float64))
        hull = layer_norm_hull(norm)
        outputs = norm(torch.randn(4 * dim, dim, generator=generator, dtype=torch.float64))
        hull_error = max(hull_error, float(hull.distance(outputs).max()))
        rank = int(torch.linalg.matrix_rank(outputs - outputs[0], rtol=1e-9))
        rank_error = max(rank_error, float(abs(rank - (dim - 1))))
        offset = min(offset, float(hull.offset.norm() / norm.bias.norm()))
    return {
        "hull_error": Measurement.exact(hull_error),
        "rank_error": Measurement.exact(rank_error),
        "offset": Measurement.exact(offset),
    }


def attention_factors(
    generator: torch.Generator, trials: int, normalization: str = "weighted_sum", dim: int = 16
) -> Measurements:
    """M5: both sides of Eq. 6 on random modules; the slot factor against the true weights of mixtures."""
    worst = 0.0
    for trial in range(trials):
        module = random_slot_attention(dim, generator)
        tokens, slots = random_tokens(64, dim, generator), random_slots(1 + trial % 32, dim, generator)
        _, attention = update_codes(module, tokens, slots)
        worst = max(worst, float((factorize_attention(module, tokens, slots).attention - attention).abs().max()))
    factors, weights = slot_weights(generator, trials, normalization)
    return {"identity_error": Measurement.exact(worst), "correlation": _correlation(factors, weights)}


def slot_weights(
    generator: torch.Generator,
    trials: int,
    normalization: str = "weighted_sum",
    num_components: int = 5,
    temperature: float = 0.05,
    iterations: int = 10,
    num_points: int = 400,
) -> tuple[Tensor, Tensor]:
    """Slot factors after iterations of Slot Attention with EM's update, and the true weights of the mixtures (Eq. 6).

    The slots start at the true directions with equal weights, so that whatever the factor knows of the weights came
    through the update codes.

    Returns:
        Slot weights and true weights of all components of all mixtures, both of shape (trials x components,).
    """
    embedded = embed(3, temperature, slot_dim=8, normalization=normalization)
    factors, truths = [], []
    for _ in range(trials):
        truth = random_mixture(num_components, 3, temperature, generator)
        points, _ = truth.sample(num_points, generator)
        equal = torch.full_like(truth.weights, 1 / num_components)
        estimate = VonMisesFisherMixture(truth.directions, equal, temperature)
        for _ in range(iterations):
            estimate, _ = embedded.step(points, estimate)
        slots = embedded.slots(estimate)
        factors.append(factorize_attention(embedded.module, embedded.tokens(points), slots).slot_weights[0])
        truths.append(truth.weights)
    return torch.cat(factors), torch.cat(truths)


def affine_and_equivariant(
    generator: torch.Generator,
    trials: int,
    normalizations: Mapping[str, Callable[[int], Normalization]] = NORMALIZATIONS,
    training: bool = False,
    dim: int = 16,
) -> Measurements:
    """M6: batch norm in inference against one affine map; slot permutations before and after every variant."""
    affine = equivariance = 0.0
    for trial in range(trials):
        affine = max(affine, _affine_error(generator, training, dim))
        for name in normalizations:
            module = random_slot_attention(dim, generator, normalizations[name](dim)).train(trial % 2 == 0)
            equivariance = max(equivariance, _equivariance_error(module, generator, dim))
    return {"affine_error": Measurement.exact(affine), "equivariance_error": Measurement.exact(equivariance)}


def _affine_error(generator: torch.Generator, training: bool, dim: int) -> float:
    """The map is read off one batch by least squares and tested on another, in a later iteration."""
    module = random_slot_attention(dim, generator, BatchNorm(dim))
    module(random_tokens(32, dim, generator), slots=random_slots(7, dim, generator))  # leaves running statistics
    module.train(training)
    norm, sides = module.normalization, []
    for num_slots in (5, 11):
        values = module.keys_and_values(random_tokens(32, dim, generator))[1]
        attention = random_slots(num_slots, 32, generator).softmax(dim=1)
        first, statistics = norm(values, attention, None)
        later, _ = norm(values, attention.flip(2), statistics)
        sides.append((torch.cat([aggregate(values, attention), aggregate(values, attention.flip(2))]), (first, later)))
    (codes, outputs), (other_codes, other_outputs) = sides
    slope, intercept = np.polyfit(codes.flatten().numpy(), torch.cat(outputs).flatten().numpy(), 1)
    return _relative_gap(slope * other_codes + intercept, torch.cat(other_outputs))


def _equivariance_error(module: nn.Module, generator: torch.Generator, dim: int) -> float:
    tokens, slots = random_tokens(32, dim, generator), random_slots(7, dim, generator)
    order = torch.randperm(7, generator=generator)
    new_slots, attention = module(tokens, slots=slots)
    permuted_slots, permuted_attention = module(tokens, slots=slots[:, order])
    return max(
        _relative_gap(permuted_slots, new_slots[:, order]), _relative_gap(permuted_attention, attention[:, order])
    )


def _relative_gap(left: Tensor, right: Tensor) -> float:
    return float((left - right).abs().max() / right.abs().max())


def _correlation(left: Tensor, right: Tensor) -> Measurement:
    """Pearson correlation with Fisher's 95 % interval; zero where one side does not vary."""
    if min(float(left.std()), float(right.std())) < 1e-9:
        return Measurement.exact(0.0)
    result = stats.pearsonr(left.numpy(), right.numpy())
    low, high = result.confidence_interval(0.95)
    return Measurement(float(result.statistic), float(low), float(high))


MECHANISMS: dict[str, Callable[[torch.Generator, int], Measurements]] = {
    "M1": information_lost,
    "M2": information_kept,
    "M3": codes_bounded,
    "M4": image_is_affine,
    "M5": attention_factors,
    "M6": affine_and_equivariant,
}
"""Claim to what measures it."""


def judge_mechanisms(seed: int, trials: int) -> list[Verdict]:
    """Measure and judge every mechanism claim.

    Args:
        seed: of the random instances; each claim has a generator of its own.
        trials: random instances per claim.

    Raises:
        ValueError: for fewer than two trials.
    """
    if trials < 2:
        raise ValueError(f"trials must be at least 2, got {trials}")
    return [
        CLAIMS[name].judge(measure(torch.Generator().manual_seed(seed), trials)) for name, measure in MECHANISMS.items()
    ]
