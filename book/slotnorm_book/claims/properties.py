"""Claims about property prediction on CLEVR and the ablations of the normalization (App. I and J)."""

from __future__ import annotations

import numpy as np

from slotnorm_book.claims.claim import Criterion, ResultClaim
from slotnorm_book.claims.comparisons import NAMES, Comparison, Panel, Quantities, estimate_losses, join_panels
from slotnorm_book.claims.criteria import (
    no_noticeable_loss,
    no_noticeable_precision_loss,
    noticeable_loss,
    noticeable_precision_loss,
    positive,
)
from slotnorm_book.claims.evidence import Findings
from slotnorm_book.statistics.found_objects import LEAST_FOUND
from slotnorm_book.statistics.summaries import ratio
from slotnorm_book.variants import BASELINE, BATCH_NORM, LAYER_NORM, VARIANTS, WEIGHTED_SUM

THRESHOLDS = (1.0, 0.5, 0.25, 0.125)
"""Distances within which a detection counts, as in the paper's figures."""
KD_LAYER_NORM, UNNORMALIZED = "kd_layer_norm", "unnormalized"


def compare_losses(findings: Findings) -> Quantities:
    """Estimate the F-ARI that each variant loses from 11 to 21 slots, and the lead of batch norm."""
    panel = findings.over_slots("properties", "f_ari", "CLEVR10").restrict(7, 21)
    rivals = (BASELINE, LAYER_NORM, WEIGHTED_SUM)
    gains = [panel.lead(BATCH_NORM, rival) for rival in rivals]
    return {**estimate_losses([panel.restrict(11, 21)]), "batch_norm_gain": gains}


R14 = ResultClaim(
    id="R14",
    locus="Fig. 12, App. I",
    statement="In property prediction baseline and layer norm suffer from excess slots, the proposed variants do not; "
    "batch norm has the best F-ARI",
    criteria=(
        noticeable_loss("baseline_loss", "F-ARI the baseline loses from 11 to 21 slots (fitted line)"),
        noticeable_loss("layer_norm_loss", "F-ARI layer norm loses"),
        no_noticeable_loss("weighted_sum_loss", "F-ARI weighted sum loses"),
        no_noticeable_loss("batch_norm_loss", "F-ARI batch norm loses"),
        positive("batch_norm_gain", "mean F-ARI over slot counts of batch norm less each other's"),
    ),
    experiments=("properties",),
    measure=compare_losses,
    shown_in=("fig-properties-slots",),
)


def compare_precision_losses(findings: Findings) -> Quantities:
    """Estimate the share of average precision that each variant loses, and the lead of the baseline at few slots."""
    panels = findings.precision("properties", THRESHOLDS)
    few = join_panels([panel.restrict(7, 9) for panel in panels])
    losses = {
        f"{name}_loss": [panel.restrict(11, 21).relative_loss(variant) for panel in panels]
        for name, variant in NAMES.items()
    }
    return {**losses, "baseline_lead": [shortfall(few, BASELINE, rival) for rival in VARIANTS[1:]]}


def shortfall(panel: Panel, best: str, other: str) -> Comparison:
    """Estimate the share of one variant's precision that another falls short of, averaged over distances."""
    return panel.estimate(precision_shortfall, best, other, rests_on=(best,), possible=(-np.inf, 1.0))


def precision_shortfall(best: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the share of one variant's precision that another falls short of, averaged over distances.

    Args:
        best: means of shape (…, distances x slot counts).
        other: the same of the other variant.
    """
    left, right = (mean.reshape(*mean.shape[:-1], len(THRESHOLDS), -1).mean(axis=-1) for mean in (best, other))
    return np.asarray((1 - ratio(right, left)).mean(axis=-1))


R15 = ResultClaim(
    id="R15",
    locus="Fig. 13, App. I",
    statement="In average precision, at all four distances, baseline and layer norm suffer from excess slots, the "
    "proposed variants do not; at few slots the baseline is best",
    criteria=(
        noticeable_precision_loss(
            "baseline_loss",
            "precision the baseline loses from 11 to 21 slots, as a share of its mean over them, per distance",
        ),
        noticeable_precision_loss("layer_norm_loss", "the same share of layer norm"),
        no_noticeable_precision_loss("weighted_sum_loss", "the same share of weighted sum"),
        no_noticeable_precision_loss("batch_norm_loss", "the same share of batch norm"),
        positive(
            "baseline_lead",
            "how far each other's precision at 7 and 9 slots falls short, as a share of the baseline's, over distances",
        ),
    ),
    experiments=("properties",),
    measure=compare_precision_losses,
    shown_in=("fig-properties-precision",),
)


def compare_ablations(findings: Findings) -> Quantities:
    """Estimate what the variant without a scale finds, and how far K-D-layer norm falls short of the others."""
    every = findings.over_slots("ablations", "found_objects", "CLEVR10", spatial_runs=True).restrict(7, 21)
    panel = findings.over_slots("ablations", "f_ari", "CLEVR10").restrict(11, 21)
    precisions = join_panels([panel.restrict(7, 21) for panel in findings.precision("ablations", THRESHOLDS)])
    return {
        "unnormalized_found": every.levels(UNNORMALIZED, rests_on=()),
        "kd_loss": [panel.loss(KD_LAYER_NORM)],
        "kd_shortfall": [shortfall(precisions, rival, KD_LAYER_NORM) for rival in VARIANTS],
    }


R16 = ResultClaim(
    id="R16",
    locus="Figs. 14-15, App. J",
    statement="Without a scale (C = 1) no objects are found; K-D-layer norm suffers from many slots and trails in "
    "precision",
    criteria=(
        Criterion(
            statistic="unnormalized_found",
            meaning="found objects without a scale at each slot count",
            side="at most",
            bound=LEAST_FOUND,
            reason="a variant with less finds no objects, as for every other claim",
        ),
        noticeable_loss("kd_loss", "F-ARI K-D-layer norm loses from 11 to 21 slots (fitted line)"),
        positive(
            "kd_shortfall",
            "share of each other's precision that K-D-layer norm lacks, mean over slot counts and distances",
        ),
    ),
    experiments=("ablations",),
    measure=compare_ablations,
    shown_in=("fig-ablations-slots", "fig-ablations-precision"),
)

CLAIMS = (R14, R15, R16)
