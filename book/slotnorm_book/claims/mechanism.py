"""M1 to M6: what can be proved, or computed in seconds on random instances (Sec. 3 and 4, App. B to D)."""

from __future__ import annotations

from slotnorm_book.claims.claim import Claim, Criterion

_ROUNDING = "exact but for rounding in double precision, which the sums over tokens amplify by some orders of magnitude"

MECHANISM_CLAIMS: tuple[Claim, ...] = (
    Claim(
        "M1",
        "Prop. 1, App. C",
        "mechanism",
        "With weighted mean or layer norm, no function of an update code gives the column mean of the attention",
        (
            Criterion(
                "weighted_mean_gap",
                "gap between weighted-mean codes of one slot and of K copies",
                "at most",
                1e-9,
                _ROUNDING,
            ),
            Criterion(
                "layer_norm_gap",
                "the same for layer norm",
                "at most",
                1e-4,
                "equal but for the eps of Eq. 14, whose trace is about eps K^2 / 2 over the variance of the sums",
            ),
            Criterion(
                "column_mean_gap", "difference of their column means", "at least", 0.49, "1 against 1/2 by design"
            ),
        ),
    ),
    Claim(
        "M2",
        "Prop. 2, App. D",
        "mechanism",
        "With weighted sum, a linear function of the update code is the column mean, for almost all parameters",
        (
            Criterion(
                "recovery_error",
                "largest error",
                "at most",
                1e-8,
                "rounding in double precision, amplified by the ratio of the values' length to that of a",
            ),
            Criterion("recoverable", "share of parameters with a ≠ 0", "at least", 1.0, "the rest has measure zero"),
        ),
    ),
    Claim(
        "M3",
        "Eq. 11",
        "mechanism",
        "With C = N an update code is bounded by the largest value, whatever the number of tokens",
        (
            Criterion(
                "bound_ratio",
                "ratio of the largest code entry to the largest value",
                "at most",
                1 + 1e-9,
                _ROUNDING,
            ),
            Criterion(
                "growth",
                "exponent of the growth with N",
                "at most",
                0.1,
                "a bounded quantity has exponent 0, one that grows with N has 1; the margin is for random inputs",
            ),
        ),
    ),
    Claim(
        "M4",
        "Lemmas 1-3",
        "mechanism",
        "LayerNorm's image spans an affine subspace of dimension D - 1, which almost never contains the origin",
        (
            Criterion("hull_error", "distance of outputs from the subspace", "at most", 1e-9, _ROUNDING),
            Criterion("rank_error", "deviation of the rank from D - 1", "at most", 0.0, "a rank is an integer"),
            Criterion(
                "offset",
                "least distance of the origin, over the length of β",
                "at least",
                1e-6,
                "the ratio has a bounded density at zero: a thousand draws come this near once in a thousand times",
            ),
        ),
    ),
    Claim(
        "M5",
        "Sec. 3.1, Eq. 6",
        "mechanism",
        "Attention factors into a weight per slot, the analogue of π, and a data term",
        (
            Criterion("identity_error", "largest gap between the sides of Eq. 6", "at most", 1e-9, _ROUNDING),
            Criterion(
                "correlation",
                "correlation of the slot weight with the true π",
                "at least",
                0.9,
                "an estimate from some hundred points per mixture explains more than 80 % of the variance",
            ),
        ),
    ),
    Claim(
        "M6",
        "Sec. 4.2",
        "mechanism",
        "Batch norm is one fixed affine map in inference; every variant is slot-permutation equivariant",
        (
            Criterion("affine_error", "deviation from one affine map", "at most", 1e-9, _ROUNDING),
            Criterion("equivariance_error", "deviation from equivariance", "at most", 1e-9, _ROUNDING),
        ),
    ),
)
