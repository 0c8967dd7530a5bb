"""Margins of the result claims, and criteria that several claims share.

Where the paper claims a direction, the bound is zero. Where it claims that a score suffers or holds, the bound is the
smallest loss that counts. A criterion on several comparisons must hold for each of them; the comparison that is least
sure to hold is its measurement. What the paper says "generally" or "overall" is one comparison, of means, except
in R3, where it adds "independently of the object count".

Intervals are at 95 %. A claim is reproduced only if all its comparisons are, which keeps the risk of a false
"reproduced" at 2.5 % however many there are. One comparison is enough to contradict it, so the end of the interval that
can contradict has Bonferroni's correction for the number of comparisons of the claim. No interval is widened for the
number of claims: each verdict states the false discovery rate of Benjamini and Hochberg instead.

These are the rules of the second edition. Each was held against the paper: runs drawn to have the numbers that it
prints must be able to pass (:mod:`slotnorm_book.claims.paper_passes`).
"""

from __future__ import annotations

from slotnorm_book.claims.claim import Criterion
from slotnorm_book.claims.comparisons import F_ARI_MARGIN, PRECISION_MARGIN
from slotnorm_book.statistics.summaries import Side

SIGN = "the paper claims a direction and no size: the interval must leave out zero"
NOTHING_THERE = (
    "the paper sees nothing here, which no interval can prove: it holds until the whole interval says otherwise"
)
NOTHING_PROVEN = (
    "the paper ranks two variants that it calls similar, which its own runs cannot prove: it holds until the whole "
    "interval says otherwise"
)
SPREAD = (
    "runs of one variant differ by as much: 0.019 at most in Table 1, weighted sum trained on 6 objects aside, "
    "whose outliers reach twice that"
)
PRECISION = (
    "relative, as the four thresholds differ 40-fold; a detection must be right in four classes and in place, and five "
    "conditions that each lose what F-ARI may lose, 0.02 of 0.8, lose about a tenth together"
)


def positive(statistic: str, meaning: str) -> Criterion:
    """Return the criterion that a difference is positive."""
    return Criterion(statistic=statistic, meaning=meaning, side="at least", bound=0.0, strict=True, reason=SIGN)


def negative(statistic: str, meaning: str) -> Criterion:
    """Return the criterion that a difference is negative."""
    return Criterion(statistic=statistic, meaning=meaning, side="at most", bound=0.0, strict=True, reason=SIGN)


def presumed_negative(statistic: str, meaning: str) -> Criterion:
    """Return the criterion that a difference is not positive, which holds until the whole interval is."""
    return Criterion(
        statistic=statistic, meaning=meaning, side="at most", bound=0.0, reason=NOTHING_THERE, presumed=True
    )


def presumed_positive(statistic: str, meaning: str) -> Criterion:
    """Return the criterion that a difference is not negative, which holds until the whole interval is."""
    return Criterion(
        statistic=statistic, meaning=meaning, side="at least", bound=0.0, reason=NOTHING_PROVEN, presumed=True
    )


def at_least_as_good(statistic: str, meaning: str) -> Criterion:
    """Return the criterion that F-ARI is not behind by more than :data:`F_ARI_MARGIN`."""
    return Criterion(
        statistic=statistic, meaning=meaning, side="at least", bound=-F_ARI_MARGIN, reason="at least as good; " + SPREAD
    )


def noticeable_loss(statistic: str, meaning: str) -> Criterion:
    """Return the criterion that at least :data:`F_ARI_MARGIN` of F-ARI is lost."""
    return _f_ari_loss(statistic, meaning, "at least")


def no_noticeable_loss(statistic: str, meaning: str) -> Criterion:
    """Return the criterion that at most :data:`F_ARI_MARGIN` of F-ARI is lost; a gain meets it too."""
    return _f_ari_loss(statistic, meaning, "at most")


def noticeable_precision_loss(statistic: str, meaning: str) -> Criterion:
    """Return the criterion that at least the share :data:`PRECISION_MARGIN` of average precision is lost."""
    return _precision_loss(statistic, meaning, "at least")


def no_noticeable_precision_loss(statistic: str, meaning: str) -> Criterion:
    """Return the criterion that at most the share :data:`PRECISION_MARGIN` of average precision is lost."""
    return _precision_loss(statistic, meaning, "at most")


def _f_ari_loss(statistic: str, meaning: str, side: Side) -> Criterion:
    return Criterion(statistic=statistic, meaning=meaning, side=side, bound=F_ARI_MARGIN, reason=SPREAD)


def _precision_loss(statistic: str, meaning: str, side: Side) -> Criterion:
    return Criterion(statistic=statistic, meaning=meaning, side=side, bound=PRECISION_MARGIN, reason=PRECISION)
