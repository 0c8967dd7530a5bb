r"""Claims about the maps inside Slot Attention: LayerNorm, attention, batch norm (Lemmas 1 and 3, Eq. 6, Sec. 4.2).

Each measure takes a generator and the number of random instances. Its other arguments are the mechanism itself:
replace it, and the verdict must change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from slotnorm.normalization import NORMALIZATIONS, BatchNorm, Normalization, aggregate
from slotnorm_book.claims.claim import Criterion, Measurement, MechanismClaim
from slotnorm_book.claims.rounding import ROUNDING, ROUNDING_BOUND, relative_gap
from slotnorm_book.theory.em_in_slot_attention import embed
from slotnorm_book.theory.propositions import factorize_attention, layer_norm_hull, update_codes
from slotnorm_book.theory.random_instances import random_mixture, random_slot_attention, random_slots, random_tokens
from slotnorm_book.theory.vmf import VonMisesFisherMixture


def measure_layer_norm_image(
    generator: torch.Generator, trials: int, layer: Callable[[int], nn.LayerNorm] = nn.LayerNorm, dim: int = 16
) -> dict[str, Measurement]:
    """Compare outputs of LayerNorm with Lemma 1's subspace: their distance, their rank, and its offset (Lemma 3)."""
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


M4 = MechanismClaim(
    id="M4",
    locus="Lemma 1, and Lemma 3 without the value map",
    statement="LayerNorm's image spans an affine subspace of dimension D - 1, which almost never contains the origin",
    criteria=(
        Criterion(
            statistic="hull_error",
            meaning="distance of outputs from the subspace",
            side="at most",
            bound=ROUNDING_BOUND,
            reason=ROUNDING,
        ),
        Criterion(
            statistic="rank_error",
            meaning="deviation of the rank from D - 1",
            side="at most",
            bound=0.0,
            reason="a rank is an integer",
        ),
        Criterion(
            statistic="offset",
            meaning="least distance of the origin, over the length of β",
            side="at least",
            bound=1e-6,
            reason="the ratio has a bounded density at zero: a thousand draws come this near once in a thousand times",
        ),
    ),
    measure=measure_layer_norm_image,
    shown_in=("tab-vmf-criteria",),
)


def measure_attention_factors(
    generator: torch.Generator, trials: int, normalization: str = "weighted_sum", dim: int = 16
) -> dict[str, Measurement]:
    """Compare both sides of Eq. 6 on random modules, and the slot weight with the true weights of mixtures."""
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
    """Return the weights of slots after iterations of Slot Attention with EM's update, and the mixtures' (Eq. 6).

    The slots start at the true directions with equal weights, so that all information on the weights comes through the
    update codes.

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


def _correlation(left: Tensor, right: Tensor) -> Measurement:
    """Return Pearson's correlation with Fisher's 95 % interval; zero where one side does not vary."""
    if min(float(left.std()), float(right.std())) < 1e-9:
        return Measurement.exact(0.0)
    result = stats.pearsonr(left.numpy(), right.numpy())
    low, high = result.confidence_interval(0.95)
    return Measurement(float(result.statistic), float(low), float(high))


M5 = MechanismClaim(
    id="M5",
    locus="Sec. 3.1, Eq. 6",
    statement="Attention factors into a weight per slot, the analogue of π, and a data term",
    criteria=(
        Criterion(
            statistic="identity_error",
            meaning="largest gap between the sides of Eq. 6",
            side="at most",
            bound=ROUNDING_BOUND,
            reason=ROUNDING,
        ),
        Criterion(
            statistic="correlation",
            meaning="correlation of the slot weight with the true π",
            side="at least",
            bound=0.9,
            reason="an estimate from some hundred points per mixture explains more than 80 % of the variance",
        ),
    ),
    measure=measure_attention_factors,
    shown_in=("fig-vmf-slot-weights",),
)


def measure_batch_norm_and_permutations(
    generator: torch.Generator,
    trials: int,
    normalizations: Mapping[str, Callable[[int], Normalization]] = NORMALIZATIONS,
    training: bool = False,
    dim: int = 16,
) -> dict[str, Measurement]:
    """Compare batch norm in inference with one affine map, and permute slots before and after every variant."""
    affine = equivariance = 0.0
    for trial in range(trials):
        affine = max(affine, _affine_error(generator, training, dim))
        for name in normalizations:
            module = random_slot_attention(dim, generator, normalizations[name](dim)).train(trial % 2 == 0)
            equivariance = max(equivariance, _equivariance_error(module, generator, dim))
    return {"affine_error": Measurement.exact(affine), "equivariance_error": Measurement.exact(equivariance)}


def _affine_error(generator: torch.Generator, training: bool, dim: int) -> float:
    """Fit the map to one batch by least squares and return its error on another batch and in a later iteration."""
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
    return relative_gap(slope * other_codes + intercept, torch.cat(other_outputs))


def _equivariance_error(module: nn.Module, generator: torch.Generator, dim: int) -> float:
    tokens, slots = random_tokens(32, dim, generator), random_slots(7, dim, generator)
    order = torch.randperm(7, generator=generator)
    new_slots, attention = module(tokens, slots=slots)
    permuted_slots, permuted_attention = module(tokens, slots=slots[:, order])
    return max(relative_gap(permuted_slots, new_slots[:, order]), relative_gap(permuted_attention, attention[:, order]))


M6 = MechanismClaim(
    id="M6",
    locus="Sec. 4.2",
    statement="Batch norm is one fixed affine map in inference; every variant is slot-permutation equivariant",
    criteria=(
        Criterion(
            statistic="affine_error",
            meaning="deviation from one affine map",
            side="at most",
            bound=ROUNDING_BOUND,
            reason=ROUNDING,
        ),
        Criterion(
            statistic="equivariance_error",
            meaning="deviation from equivariance",
            side="at most",
            bound=ROUNDING_BOUND,
            reason=ROUNDING,
        ),
    ),
    measure=measure_batch_norm_and_permutations,
    shown_in=("tab-vmf-criteria",),
)

CLAIMS = (M4, M5, M6)
