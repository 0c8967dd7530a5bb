r"""Claims about what update codes hold: the column mean of the attention, and their size (Props. 1-2, Lemma 3, Eq. 11).

Each measure takes a generator and the number of random instances. Its other arguments are the mechanism itself:
replace it, and the verdict must change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from slotnorm.normalization import Normalization, WeightedSum
from slotnorm_book.claims.claim import Criterion, Measurement, MechanismClaim
from slotnorm_book.claims.rounding import ROUNDING, ROUNDING_BOUND, relative_gap
from slotnorm_book.theory.propositions import identical_slots, layer_norm_hull, recover_column_means, update_codes
from slotnorm_book.theory.random_instances import random_slot_attention, random_slots, random_tokens


def measure_information_loss(
    generator: torch.Generator,
    trials: int,
    normalizations: Sequence[str] = ("weighted_mean", "layer_norm"),
    dim: int = 16,
    num_inputs: int = 64,
) -> dict[str, Measurement]:
    """Compare one zero slot with K of them, whose codes are equal and whose column means are 1 and 1/K (App. C).

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
            gaps[statistic] = max(gaps[statistic], relative_gap(shared, alone.expand_as(shared)))
            smallest = min(smallest, float(attention_alone.mean() - attention_shared.mean()))
    return {name: Measurement.exact(gap) for name, gap in (gaps | {"column_mean_gap": smallest}).items()}


M1 = MechanismClaim(
    id="M1",
    locus="Prop. 1, App. C",
    statement="With weighted mean or layer norm, no function of an update code gives the column mean of the attention",
    criteria=(
        Criterion(
            statistic="weighted_mean_gap",
            meaning="gap between weighted-mean codes of one slot and of K copies",
            side="at most",
            bound=ROUNDING_BOUND,
            reason=ROUNDING,
        ),
        Criterion(
            statistic="layer_norm_gap",
            meaning="the same for layer norm",
            side="at most",
            bound=1e-4,
            reason="equal but for the eps of Eq. 14, whose trace is about eps K^2 / 2 over the variance of the sums",
        ),
        Criterion(
            statistic="column_mean_gap",
            meaning="difference of their column means",
            side="at least",
            bound=0.49,
            reason="1 against 1/2 by design",
        ),
    ),
    measure=measure_information_loss,
    shown_in=("tab-vmf-prop1",),
)


def measure_recovery(
    generator: torch.Generator, trials: int, normalization: str = "weighted_sum", dim: int = 16
) -> dict[str, Measurement]:
    """Compare Prop. 2's function of the codes with the column means, over random parameters, tokens, slots, K and N."""
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
    return {"recovery_error": Measurement.exact(worst), "recoverable": Measurement.exact(recoverable / trials)}


M2 = MechanismClaim(
    id="M2",
    locus="Prop. 2, Lemma 3, App. D",
    statement="With weighted sum, a linear function of the update code is the column mean, for almost all parameters",
    criteria=(
        Criterion(
            statistic="recovery_error",
            meaning="largest error",
            side="at most",
            bound=1e-8,
            reason="rounding in double precision, amplified by the ratio of the values' length to that of a",
        ),
        Criterion(
            statistic="recoverable",
            meaning="share of parameters with a ≠ 0",
            side="at least",
            bound=1.0,
            reason="the rest has measure zero",
        ),
    ),
    measure=measure_recovery,
    shown_in=("fig-vmf-recovery",),
)

INPUT_COUNTS = tuple(2**power for power in range(6, 15))
"""Numbers of tokens for Eq. 11; the largest is that of CLEVR's feature maps."""


def code_sizes(
    generator: torch.Generator, normalization: Normalization, num_slots: int = 7, dim: int = 16
) -> tuple[Float[np.ndarray, " counts"], Float[np.ndarray, " counts"]]:
    """Return the largest entry of the codes and of the values at every number of tokens in :data:`INPUT_COUNTS`."""
    module = random_slot_attention(dim, generator, normalization)
    slots = random_slots(num_slots, dim, generator)
    tokens = random_tokens(INPUT_COUNTS[-1], dim, generator)
    codes, values = [], []
    for count in INPUT_COUNTS:
        codes.append(float(update_codes(module, tokens[:, :count], slots)[0].abs().max()))
        values.append(float(module.keys_and_values(tokens[:, :count])[1].abs().max()))
    return np.array(codes), np.array(values)


def measure_code_sizes(
    generator: torch.Generator, trials: int, scale: float | None = None, dim: int = 16
) -> dict[str, Measurement]:
    """Compare codes with the bound of Eq. 11 for every feature, over random parameters, K and N; fit growth with N."""
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


M3 = MechanismClaim(
    id="M3",
    locus="Eq. 11",
    statement="With C = N an update code is bounded by the largest value, whatever the number of tokens",
    criteria=(
        Criterion(
            statistic="bound_ratio",
            meaning="ratio of the largest code entry to the largest value",
            side="at most",
            bound=1 + ROUNDING_BOUND,
            reason=ROUNDING,
        ),
        Criterion(
            statistic="growth",
            meaning="exponent of the growth with N",
            side="at most",
            bound=0.1,
            reason="a bounded quantity has exponent 0, one that grows with N has 1; the margin is for random inputs",
        ),
    ),
    measure=measure_code_sizes,
    shown_in=("fig-vmf-bound",),
)

CLAIMS = (M1, M2, M3)
