"""Measures R1 to R6 and R17 on the runs of object discovery on CLEVR."""

from __future__ import annotations

from slotnorm.bootstrap import Estimate
from slotnorm.verdicts.evidence import (
    BASELINE,
    BATCH_NORM,
    LAYER_NORM,
    OTHERS,
    PROPOSED,
    VARIANTS,
    WEIGHTED_SUM,
    Findings,
)
from slotnorm.verdicts.panel import Panel, Quantities

FEW, MANY = "clevr-6-7", "clevr-6-11"
TESTS = ("CLEVR6", "CLEVR10")


def losses(panels: list[Panel]) -> Quantities:
    """What each variant loses from the first slot count to the last, and how much more the baseline does."""
    names = {"baseline": BASELINE, "layer_norm": LAYER_NORM, "weighted_sum": WEIGHTED_SUM, "batch_norm": BATCH_NORM}
    found: Quantities = {f"{name}_loss": [panel.loss(variant) for panel in panels] for name, variant in names.items()}
    return found | {"advantage": [panel.extra_growth(variant, BASELINE) for panel in panels for variant in PROPOSED]}


def mean_leads(panels: list[Panel]) -> Quantities:
    """Lead of each proposed variant over baseline and layer norm, mean over slot counts."""
    return {
        f"{variant}_gain": [panel.lead(variant, other) for panel in panels for other in OTHERS] for variant in PROPOSED
    }


def holds_with_more_slots(findings: Findings) -> Quantities:
    """R1: 9 to 21 slots."""
    return losses([findings.over_slots(FEW, "f_ari", test).only(9, 21) for test in TESTS])


def beats_the_baseline(findings: Findings) -> Quantities:
    """R2: 11 slots."""
    panels = [findings.over_slots(FEW, "f_ari", test).only(11, 11) for test in TESTS]
    return {f"{variant}_gain": [panel.lead(variant, BASELINE) for panel in panels] for variant in PROPOSED}


def beats_it_at_every_object_count(findings: Findings) -> Quantities:
    """R3: CLEVR10 with 11 slots."""
    panel = findings.over_objects(FEW, "f_ari", "CLEVR10", slots=11)
    found: Quantities = {f"{variant}_gain": panel.leads(variant, BASELINE) for variant in PROPOSED}
    return found | {"object_correlation": [panel.trend(variant) for variant in VARIANTS]}


def better_overall(findings: Findings) -> Quantities:
    """R4: ARI, 5 to 21 slots."""
    return mean_leads([findings.over_slots(FEW, "ari", test).only(5, 21) for test in TESTS])


def excess_slots_in_training(findings: Findings) -> Quantities:
    """R5: (6, 11) alone and beside (6, 7)."""
    alone = losses([findings.over_slots(MANY, "f_ari", test).only(11, 21) for test in TESTS])
    both = [findings.over_slots((FEW, MANY), "f_ari", test).only(5, 21) for test in TESTS]
    proposed = [f"{experiment}/{variant}" for experiment in (FEW, MANY) for variant in (*PROPOSED, BASELINE)]
    every = [f"{experiment}/{variant}" for experiment in (FEW, MANY) for variant in VARIANTS]
    compared: Quantities = {
        "gap_shrinks": [
            panel.only(11, 11).estimate(
                lambda w, b, base, w2, b2, base2: ((w + b) / 2 - base - (w2 + b2) / 2 + base2)[..., 0], *proposed
            )
            for panel in both
        ],
        "fewer_slots_gain": [
            panel.estimate(lambda *means: (sum(means[:4]) - sum(means[4:])).mean(axis=-1) / 4, *every) for panel in both
        ],
    }
    return {name: alone[name] for name in ("baseline_loss", "layer_norm_loss", "advantage")} | compared


def background_in_one_slot(findings: Findings) -> Quantities:
    """R6: ARI of every run of (6, 11) with 11 slots."""

    def runs(*variants: str) -> list[Estimate]:
        found = [findings.runs(MANY, "ari", test, 11, variant) for test in TESTS for variant in variants]
        return [run for runs in found for run in runs]

    return {"proposed_runs": runs(*PROPOSED), "layer_norm_runs": runs(LAYER_NORM)}


def spatial_decompositions(findings: Findings) -> Quantities:
    """R17: every run of (6, 7)."""
    return {
        "proposed_share": [findings.spatial(FEW, PROPOSED)],
        "others_share": [findings.spatial(FEW, OTHERS)],
    }
