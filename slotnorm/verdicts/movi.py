"""Measures R7 to R13: object discovery on MOVi-C, the transfer to MOVi-D, and reconstruction losses."""

from __future__ import annotations

import numpy as np

from slotnorm.bootstrap import Estimate
from slotnorm.verdicts import clevr
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

TESTS = ("MOVi-C6", "MOVi-C10")
TRAININGS = ("10-11", "6-7", "6-11")


def beats_both_throughout(findings: Findings) -> Quantities:
    """R7: (10, 11), every slot count, and 3 to 6 objects with 11 slots."""
    panels = [findings.over_slots("movi-c-10-11", "f_ari", test).only(5, 21) for test in TESTS]
    found: Quantities = {
        f"{variant}_gain": [lead for panel in panels for other in OTHERS for lead in panel.leads(variant, other)]
        for variant in PROPOSED
    }
    few = findings.over_objects("movi-c-10-11", "f_ari", "MOVi-C10", slots=11).only(3, 6)
    leads = [lead for variant in PROPOSED for other in OTHERS for lead in few.leads(variant, other)]
    return found | {"few_objects_gain": leads}


def best_overall(findings: Findings) -> Quantities:
    """R8: ARI of (10, 11)."""
    panels = [findings.over_slots("movi-c-10-11", "ari", test).only(5, 21) for test in TESTS]
    rivals = (BASELINE, LAYER_NORM, BATCH_NORM)
    return {"weighted_sum_gain": [panel.lead(WEIGHTED_SUM, rival) for panel in panels for rival in rivals]}


def fewer_slots_transfer(findings: Findings) -> Quantities:
    """R9: (6, 7) and (10, 11) on MOVi-C10 with 11 slots."""
    panel = findings.over_slots(("movi-c-6-7", "movi-c-10-11"), "f_ari", "MOVi-C10").only(11, 11)
    return {"transfer_gain": _between(panel, "movi-c-6-7", "movi-c-10-11")}


def lead_grows_with_slots(findings: Findings) -> Quantities:
    """R10: (6, 11)."""
    panels = [findings.over_slots("movi-c-6-11", "f_ari", test).only(5, 21) for test in TESTS]
    growth = [panel.extra_growth(variant, other) for panel in panels for variant in PROPOSED for other in OTHERS]
    return clevr.mean_leads(panels) | {"gain_grows": growth}


def order_on_movi_d(findings: Findings) -> Quantities:
    """R11: Table 1."""
    panels = [findings.over_slots(f"movi-d-{training}", "f_ari", "MOVi-D") for training in TRAININGS]
    together = findings.over_slots(tuple(f"movi-d-{training}" for training in TRAININGS), "ari", "MOVi-D")
    names = [f"movi-d-{training}/{variant}" for training in TRAININGS for variant in VARIANTS]
    pairs = ((BASELINE, LAYER_NORM), (LAYER_NORM, BASELINE))
    return {
        "batch_norm_gain": [panel.lead(BATCH_NORM, WEIGHTED_SUM) for panel in panels],
        "weighted_sum_gain": [panel.lead(WEIGHTED_SUM, other) for panel in panels for other in OTHERS],
        "others_gap": [panel.lead(left, right) for panel in panels for left, right in pairs],
        "consistent_lead": [together.estimate(consistent_lead, *names)],
    }


def consistent_lead(*means: np.ndarray) -> np.ndarray:
    """By how much the best variant leads in the training where it leads least.

    Args:
        means: of each training and variant, trainings first, of shape (…, 1).
    """
    scores = np.stack([mean[..., 0] for mean in means]).reshape(len(TRAININGS), len(VARIANTS), *means[0].shape[:-1])
    leads = []
    for variant in range(len(VARIANTS)):
        best_rival = np.delete(scores, variant, axis=1).max(axis=1)
        leads.append((scores[:, variant] - best_rival).min(axis=0))
    return np.asarray(np.max(leads, axis=0))


def fewer_slots_transfer_to_movi_d(findings: Findings) -> Quantities:
    """R12: Table 1."""
    found: Quantities = {}
    for statistic, rival in (("over_10_11", "movi-d-10-11"), ("over_6_11", "movi-d-6-11")):
        panel = findings.over_slots(("movi-d-6-7", rival), "f_ari", "MOVi-D")
        found[statistic] = _between(panel, "movi-d-6-7", rival)
    return found


def reconstruction(findings: Findings) -> Quantities:
    """R13: Figs. 7c, 8 to 11."""
    movi = [
        findings.over_slots(f"movi-c-{training}", "loss", test).only(5, 21) for training in TRAININGS for test in TESTS
    ]
    panels = [*movi, *(findings.over_slots(clevr.MANY, "loss", test).only(5, 21) for test in clevr.TESTS)]
    rivals = (BASELINE, LAYER_NORM, BATCH_NORM)
    objects = [findings.over_objects(name, "loss", "CLEVR10", slots=11) for name in (clevr.FEW, clevr.MANY)]
    return {
        "weighted_sum_excess": [panel.lead(WEIGHTED_SUM, rival) for panel in panels for rival in rivals],
        "movi_growth": [panel.growth(variant) for panel in movi for variant in VARIANTS],
        "object_correlation": [panel.trend(variant) for panel in objects for variant in VARIANTS],
    }


def _between(panel: Panel, better: str, worse: str) -> list[Estimate]:
    return [panel.lead(f"{better}/{variant}", f"{worse}/{variant}") for variant in VARIANTS]
