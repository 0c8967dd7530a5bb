"""The margins of the result claims, and criteria that several of them share.

Where the paper claims a direction, the bound is zero. Where it claims that something suffers or holds, the bound says
how much counts. A criterion on several comparisons, such as every slot count, holds if it holds for each, and is
measured by the worst of them.

Intervals are at 95 %. A claim is reproduced only if all its comparisons are, which keeps the risk of a false
"reproduced" at 2.5 % however many there are. A single one contradicts it, so the end of the interval that can
contradict is Bonferroni's for the number of comparisons of the claim. Between claims nothing is widened: the false
discovery rate of Benjamini and Hochberg stands beside each verdict.
"""

from __future__ import annotations

from slotnorm_book.claims.claim import Criterion

F_ARI_MARGIN = 0.02
PRECISION_MARGIN = 0.1

SIGN = "the paper claims a direction and no size: the interval must leave out zero"
SPREAD = (
    "runs of one variant differ by as much: 0.019 at most in Table 1, weighted sum trained on 6 objects aside, "
    "whose outliers reach twice that"
)
PRECISION = (
    "relative, as the four thresholds differ 40-fold; a detection must be right in four classes and in place, and five "
    "conditions that each lose what F-ARI may lose, 0.02 of 0.8, lose about a tenth together"
)


def direction(statistic: str, meaning: str) -> Criterion:
    """A difference that should not be negative."""
    return Criterion(statistic, meaning, "at least", 0.0, SIGN)


def loses(statistic: str, meaning: str) -> Criterion:
    """A loss of F-ARI that should be noticeable."""
    return Criterion(statistic, meaning, "at least", F_ARI_MARGIN, SPREAD)


def holds(statistic: str, meaning: str) -> Criterion:
    """A loss of F-ARI that should not be noticeable; a gain is none."""
    return Criterion(statistic, meaning, "at most", F_ARI_MARGIN, SPREAD)


def fewer_detections(statistic: str, meaning: str) -> Criterion:
    """A relative loss of average precision that should be noticeable."""
    return Criterion(statistic, meaning, "at least", PRECISION_MARGIN, PRECISION)


def keeps_detections(statistic: str, meaning: str) -> Criterion:
    """A relative loss of average precision that should not be noticeable."""
    return Criterion(statistic, meaning, "at most", PRECISION_MARGIN, PRECISION)
