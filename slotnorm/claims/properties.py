"""R14 to R16: property prediction on CLEVR, and the ablations of the normalization (App. I and J)."""

from __future__ import annotations

from slotnorm.claims.ledger import Claim, Criterion
from slotnorm.claims.margins import direction, fewer_detections, holds, keeps_detections, loses

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
