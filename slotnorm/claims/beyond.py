"""B1 to B5: our own hypotheses, beyond the paper's experiments. All are about MOVi-C10 and models of MOVi-C (6, 7).

They were written before any of their experiments was looked at. They are kept apart from the paper's claims: no verdict
on the paper depends on them, and their false discovery rate is over these five alone.
"""

from __future__ import annotations

from slotnorm.claims.ledger import Claim, Criterion
from slotnorm.claims.margins import F_ARI_MARGIN, SPREAD, direction, holds, loses

SIGN = "a direction and no size: the interval must leave out zero"
CLAIMS_BEYOND: tuple[Claim, ...] = (
    Claim(
        "B1",
        "after Sec. 4.1",
        "extension",
        "Tuning the scale of the weighted sum pays: some other C gives more F-ARI than C = N",
        (
            Criterion(
                "best_gain",
                "F-ARI of the best other C less that of C = N, mean over 5 to 21 slots",
                "at least",
                0.0,
                SIGN + "; widened for picking the best",
            ),
        ),
    ),
    Claim(
        "B2",
        "after Sec. 3, Eqs. 5 and 6",
        "extension",
        "The weight of Eq. 5, added to the scores of trained models, helps the baseline with surplus slots and not the "
        "weighted sum, which can have learned it",
        (
            direction("baseline_gain", "F-ARI at 21 slots of the baseline with the weight less without"),
            Criterion(
                "weighted_sum_gain",
                "F-ARI at 21 slots of weighted sum with the weight less without",
                "at most",
                F_ARI_MARGIN,
                "no noticeable gain; " + SPREAD,
            ),
        ),
    ),
    Claim(
        "B3",
        "after Sec. 5.2",
        "extension",
        "From 21 to 128 slots the proposed variants hold their F-ARI, while baseline and layer norm go on losing",
        (
            holds("weighted_sum_loss", "F-ARI of weighted sum at 21 slots less that at 128"),
            holds("batch_norm_loss", "the same of batch norm"),
            loses("baseline_loss", "the same of the baseline"),
            loses("layer_norm_loss", "the same of layer norm"),
            direction("gain", "F-ARI at 128 slots of each proposed variant less each other's"),
        ),
    ),
    Claim(
        "B4",
        "after Sec. 4.2",
        "extension",
        "With 7 and with 21 slots three iterations are better than one, and ten cost nothing, for every variant",
        (
            loses("first_gain", "F-ARI with 3 iterations less that with 1"),
            holds("late_loss", "F-ARI with 3 iterations less that with 10"),
        ),
    ),
    Claim(
        "B5",
        "after Sec. 3",
        "extension",
        "Every trained variant beats EM on the same features; EM that estimates its weights loses less with surplus "
        "components than EM with equal ones",
        (
            direction("lead", "F-ARI of each variant less that of EM with weights, mean over 5 to 21 slots"),
            direction("weights_help", "how much more F-ARI EM with equal weights loses from 7 to 21 components"),
        ),
    ),
)
"""The hypotheses in order; ``"reproduced"`` reads as "holds" here."""
