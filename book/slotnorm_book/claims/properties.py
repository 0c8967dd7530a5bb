"""R14 to R16: property prediction on CLEVR, and the ablations of the normalization (App. I and J)."""

from __future__ import annotations

import numpy as np

from slotnorm_book.claims.claim import Claim, Criterion
from slotnorm_book.claims.comparisons import Quantities, joined, losses
from slotnorm_book.claims.criteria import direction, fewer_detections, holds, keeps_detections, loses
from slotnorm_book.claims.evidence import Findings
from slotnorm_book.statistics.summaries import ratio
from slotnorm_book.variants import BASELINE, BATCH_NORM, LAYER_NORM, VARIANTS, WEIGHTED_SUM

PROPERTY_CLAIMS: tuple[Claim, ...] = (
    Claim(
        "R14",
        "Fig. 12, App. I",
        "result",
        "In property prediction baseline and layer norm suffer from excess slots, the proposed variants do not; "
        "batch norm has the best F-ARI",
        (
            loses("baseline_loss", "F-ARI the baseline loses from 11 to 21 slots, by a line"),
            loses("layer_norm_loss", "F-ARI layer norm loses"),
            holds("weighted_sum_loss", "F-ARI weighted sum loses"),
            holds("batch_norm_loss", "F-ARI batch norm loses"),
            direction("batch_norm_gain", "mean F-ARI over slot counts of batch norm less each other's"),
        ),
    ),
    Claim(
        "R15",
        "Fig. 13, App. I",
        "result",
        "The same holds for average precision at all four distances; at few slots the baseline's is best",
        (
            fewer_detections(
                "baseline_loss", "share of its precision the baseline loses from 11 to 21 slots, per distance"
            ),
            fewer_detections("layer_norm_loss", "share of its precision layer norm loses"),
            keeps_detections("weighted_sum_loss", "share of its precision weighted sum loses"),
            keeps_detections("batch_norm_loss", "share of its precision batch norm loses"),
            direction(
                "baseline_lead",
                "share of the baseline's precision at 7 and 9 slots that each other lacks, mean over distances",
            ),
        ),
    ),
    Claim(
        "R16",
        "Figs. 14-15, App. J",
        "result",
        "Without a scale (C = 1) no objects are found; K-D-layer norm suffers from many slots and trails in precision",
        (
            Criterion(
                "unnormalized_share",
                "F-ARI without a scale at each slot count, as a share of the baseline's at 11",
                "at most",
                0.5,
                "less than half of what a variant has that finds objects",
            ),
            loses("kd_loss", "F-ARI K-D-layer norm loses from 11 to 21 slots, by a line"),
            direction(
                "kd_shortfall",
                "share of each other's precision that K-D-layer norm lacks, mean over slot counts and distances",
            ),
        ),
    ),
)


THRESHOLDS = (1.0, 0.5, 0.25, 0.125)
KD_LAYER_NORM, UNNORMALIZED = "kd_layer_norm", "unnormalized"


def robust_to_excess_slots(findings: Findings) -> Quantities:
    """R14: F-ARI, from 11 to 21 slots."""
    panel = findings.over_slots("properties", "f_ari", "CLEVR10").only(7, 21)
    found = losses([panel.only(11, 21)])
    del found["advantage"]
    rivals = (BASELINE, LAYER_NORM, WEIGHTED_SUM)
    return found | {"batch_norm_gain": [panel.lead(BATCH_NORM, rival) for rival in rivals]}


def robust_precision(findings: Findings) -> Quantities:
    """R15: average precision at each distance."""
    names = {"baseline": BASELINE, "layer_norm": LAYER_NORM, "weighted_sum": WEIGHTED_SUM, "batch_norm": BATCH_NORM}
    panels = findings.precision("properties", THRESHOLDS)
    few = joined([panel.only(7, 9) for panel in panels])
    found: Quantities = {
        f"{name}_loss": [panel.only(11, 21).relative_loss(variant) for panel in panels]
        for name, variant in names.items()
    }
    return found | {"baseline_lead": [few.estimate(shortfall, BASELINE, rival) for rival in VARIANTS[1:]]}


def ablated(findings: Findings) -> Quantities:
    """R16: the variants of App. J beside the others."""
    panel = findings.over_slots("ablations", "f_ari", "CLEVR10").only(7, 21)
    precisions = joined([panel.only(7, 21) for panel in findings.precision("ablations", THRESHOLDS)])
    slots = [panel.settings[place] for place in panel.chosen]
    base = slots.index(11)
    return {
        "unnormalized_share": [
            panel.estimate(lambda left, right, k=k: ratio(left[..., k], right[..., base]), UNNORMALIZED, BASELINE)
            for k in range(len(slots))
        ],
        "kd_loss": [panel.only(11, 21).loss(KD_LAYER_NORM)],
        "kd_shortfall": [precisions.estimate(shortfall, rival, KD_LAYER_NORM) for rival in VARIANTS],
    }


def shortfall(best: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Share of one variant's precision that another lacks, mean over distances.

    Args:
        best: means of shape (…, distances x slot counts).
        other: the same of the other variant.
    """
    left, right = (mean.reshape(*mean.shape[:-1], len(THRESHOLDS), -1).mean(axis=-1) for mean in (best, other))
    return np.asarray((1 - ratio(right, left)).mean(axis=-1))
