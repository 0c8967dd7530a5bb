"""R7 to R13: object discovery on MOVi-C, the transfer to MOVi-D, and reconstruction losses (Sec. 5.2, App. A)."""

from __future__ import annotations

from slotnorm.claims.ledger import Claim, Criterion
from slotnorm.claims.margins import F_ARI_MARGIN, SIGN, SPREAD, direction

MOVI_CLAIMS: tuple[Claim, ...] = (
    Claim(
        "R7",
        "Fig. 4a-c",
        "result",
        "Trained on MOVi-C10 with 11 slots, the proposed variants beat baseline and layer norm at every slot count and "
        "at small object counts",
        (
            direction("weighted_sum_gain", "F-ARI of weighted sum less each other's, at each slot count and test set"),
            direction("batch_norm_gain", "F-ARI of batch norm less each other's, at each slot count and test set"),
            direction(
                "few_objects_gain", "F-ARI at 11 slots of each proposed less each other's, at each of 3 to 6 objects"
            ),
        ),
    ),
    Claim(
        "R8",
        "Fig. 4d-f",
        "result",
        "Trained on MOVi-C10 with 11 slots, weighted sum has the best ARI",
        (
            direction(
                "weighted_sum_gain", "mean ARI over slot counts of weighted sum less each other's, on each test set"
            ),
        ),
    ),
    Claim(
        "R9",
        "Fig. 5",
        "result",
        "Models of MOVi-C6 and 7 slots, run with 11 on MOVi-C10, beat those trained on it with 11",
        (direction("transfer_gain", "F-ARI on MOVi-C10 at 11 slots, (6, 7) less (10, 11), for each variant"),),
    ),
    Claim(
        "R10",
        "Fig. 6",
        "result",
        "Trained on MOVi-C6 with 11 slots, the proposed variants beat baseline and layer norm, more so with many slots",
        (
            direction(
                "weighted_sum_gain", "mean F-ARI over slot counts of weighted sum less each other's, on each test set"
            ),
            direction(
                "batch_norm_gain", "mean F-ARI over slot counts of batch norm less each other's, on each test set"
            ),
            direction("gain_grows", "growth of each of these leads from 5 to 21 slots, by a line"),
        ),
    ),
    Claim(
        "R11",
        "Table 1",
        "result",
        "On MOVi-D batch norm does at least as well as weighted sum in F-ARI, that better than layer norm and "
        "baseline, which are alike, in each training; in ARI nobody wins throughout",
        (
            Criterion(
                "batch_norm_gain",
                "F-ARI of batch norm less weighted sum's, in each training",
                "at least",
                -F_ARI_MARGIN,
                "at least as well; " + SPREAD,
            ),
            direction(
                "weighted_sum_gain", "F-ARI of weighted sum less the baseline's and less layer norm's, in each training"
            ),
            Criterion(
                "others_gap",
                "F-ARI of layer norm less the baseline's, either way, in each training",
                "at most",
                F_ARI_MARGIN,
                SPREAD,
            ),
            Criterion(
                "consistent_lead",
                "ARI by which the most consistent variant leads in the training where it leads least",
                "at most",
                0.0,
                "a variant that wins throughout leads in all three",
            ),
        ),
    ),
    Claim(
        "R12",
        "Table 1, Sec. 5.2",
        "result",
        "On MOVi-D every variant does better in F-ARI trained as (6, 7) than as (10, 11) or (6, 11)",
        (
            direction("over_10_11", "F-ARI of (6, 7) less (10, 11), for each variant"),
            direction("over_6_11", "F-ARI of (6, 7) less (6, 11), for each variant"),
        ),
    ),
    Claim(
        "R13",
        "Figs. 7c, 8-11, App. A",
        "result",
        "Weighted sum reconstructs worst; losses fall with more slots on MOVi-C and grow with objects on CLEVR",
        (
            direction(
                "weighted_sum_excess",
                "mean loss over slot counts of weighted sum less each other's, CLEVR (6, 11) and each MOVi-C training",
            ),
            Criterion(
                "movi_growth",
                "growth of the loss from 5 to 21 slots, by a line, for each variant, training and test set of MOVi-C",
                "at most",
                0.0,
                SIGN,
            ),
            direction(
                "object_correlation",
                "rank correlation of loss and object count at 11 slots on CLEVR, for each variant and training",
            ),
        ),
    ),
)
