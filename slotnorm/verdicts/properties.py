"""Measures R14 to R16 on the runs of property prediction."""

from __future__ import annotations

import numpy as np

from slotnorm.stats import ratio
from slotnorm.verdicts.clevr import losses
from slotnorm.verdicts.evidence import BASELINE, BATCH_NORM, LAYER_NORM, VARIANTS, WEIGHTED_SUM, Findings
from slotnorm.verdicts.panel import Quantities, joined

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
