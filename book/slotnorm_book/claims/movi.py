"""R7 to R13: object discovery on MOVi-C, the transfer to MOVi-D, and reconstruction losses (Sec. 5.2, App. A)."""

from __future__ import annotations

import numpy as np

from slotnorm_book.claims import clevr
from slotnorm_book.claims.claim import Claim, Criterion
from slotnorm_book.claims.comparisons import Panel, Quantities, mean_leads
from slotnorm_book.claims.criteria import F_ARI_MARGIN, SIGN, SPREAD, direction
from slotnorm_book.claims.evidence import Findings
from slotnorm_book.statistics.bootstrap import Estimate
from slotnorm_book.variants import BASELINE, BATCH_NORM, LAYER_NORM, OTHERS, PROPOSED, VARIANTS, WEIGHTED_SUM

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
    return mean_leads(panels) | {"gain_grows": growth}


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
