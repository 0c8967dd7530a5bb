"""Claims about object discovery on MOVi-C, the transfer to MOVi-D, and reconstruction losses (Sec. 5.2, App. A)."""

from __future__ import annotations

import numpy as np

from slotnorm_book.claims import clevr
from slotnorm_book.claims.claim import Criterion, ResultClaim
from slotnorm_book.claims.comparisons import Panel, Quantities, estimate_mean_leads
from slotnorm_book.claims.criteria import F_ARI_MARGIN, SIGN, SPREAD, positive
from slotnorm_book.claims.evidence import Findings
from slotnorm_book.statistics.bootstrap import Estimate
from slotnorm_book.variants import BASELINE, BATCH_NORM, LAYER_NORM, OTHERS, PROPOSED, VARIANTS, WEIGHTED_SUM

TESTS = ("MOVi-C6", "MOVi-C10")
TRAININGS = ("10-11", "6-7", "6-11")
"""Objects at most, and slots, of each training."""
MOVI_C = tuple(f"movi-c-{training}" for training in TRAININGS)
MOVI_D = tuple(f"movi-d-{training}" for training in TRAININGS)
RIVALS = (BASELINE, LAYER_NORM, BATCH_NORM)
"""All variants but weighted sum."""


def compare_at_every_slot_count(findings: Findings) -> Quantities:
    """Estimate leads in F-ARI at every slot count, and at 3 to 6 objects with 11 slots, trained as (10, 11)."""
    panels = [findings.over_slots("movi-c-10-11", "f_ari", test).restrict(5, 21) for test in TESTS]
    gains = {
        f"{variant}_gain": [lead for panel in panels for other in OTHERS for lead in panel.leads(variant, other)]
        for variant in PROPOSED
    }
    few = findings.over_objects("movi-c-10-11", "f_ari", "MOVi-C10", slots=11).restrict(3, 6)
    few_gains = [lead for variant in PROPOSED for other in OTHERS for lead in few.leads(variant, other)]
    return {**gains, "few_objects_gain": few_gains}


R7 = ResultClaim(
    id="R7",
    locus="Fig. 4a-c",
    statement="Trained on MOVi-C10 with 11 slots, the proposed variants beat baseline and layer norm at every slot "
    "count and at small object counts",
    criteria=(
        positive("weighted_sum_gain", "F-ARI of weighted sum less each other's, at each slot count and test set"),
        positive("batch_norm_gain", "F-ARI of batch norm less each other's, at each slot count and test set"),
        positive("few_objects_gain", "F-ARI at 11 slots of each proposed less each other's, at each of 3 to 6 objects"),
    ),
    experiments=("movi-c-10-11",),
    measure=compare_at_every_slot_count,
    shown_in=("fig-movi-10-11",),
)


def compare_mean_ari(findings: Findings) -> Quantities:
    """Estimate weighted sum's leads in ARI, averaged over slot counts, trained as (10, 11)."""
    panels = [findings.over_slots("movi-c-10-11", "ari", test).restrict(5, 21) for test in TESTS]
    return {"weighted_sum_gain": [panel.lead(WEIGHTED_SUM, rival) for panel in panels for rival in RIVALS]}


R8 = ResultClaim(
    id="R8",
    locus="Fig. 4d-f",
    statement="Trained on MOVi-C10 with 11 slots, weighted sum has the best ARI",
    criteria=(
        positive("weighted_sum_gain", "mean ARI over slot counts of weighted sum less each other's, on each test set"),
    ),
    experiments=("movi-c-10-11",),
    measure=compare_mean_ari,
    shown_in=("fig-movi-10-11",),
)


def compare_trainings_on_movi_c(findings: Findings) -> Quantities:
    """Estimate each variant's F-ARI trained as (6, 7) less trained as (10, 11), on MOVi-C10 with 11 slots."""
    panel = findings.over_slots(("movi-c-6-7", "movi-c-10-11"), "f_ari", "MOVi-C10").restrict(11, 11)
    return {"transfer_gain": lead_of_training(panel, "movi-c-6-7", "movi-c-10-11")}


def lead_of_training(panel: Panel, better: str, worse: str) -> list[Estimate]:
    """Estimate the lead of one experiment over another, for each variant."""
    return [panel.lead(f"{better}/{variant}", f"{worse}/{variant}") for variant in VARIANTS]


R9 = ResultClaim(
    id="R9",
    locus="Fig. 5",
    statement="Models of MOVi-C6 and 7 slots, run with 11 on MOVi-C10, beat those trained on it with 11",
    criteria=(positive("transfer_gain", "F-ARI on MOVi-C10 at 11 slots, (6, 7) less (10, 11), for each variant"),),
    experiments=("movi-c-10-11", "movi-c-6-7"),
    measure=compare_trainings_on_movi_c,
    shown_in=("fig-movi-6-7", "fig-movi-10-11"),
)


def compare_growth_of_leads(findings: Findings) -> Quantities:
    """Estimate leads in F-ARI and their growth with the slot count, trained as (6, 11)."""
    panels = [findings.over_slots("movi-c-6-11", "f_ari", test).restrict(5, 21) for test in TESTS]
    growth = [panel.extra_growth(variant, other) for panel in panels for variant in PROPOSED for other in OTHERS]
    return {**estimate_mean_leads(panels), "gain_grows": growth}


R10 = ResultClaim(
    id="R10",
    locus="Fig. 6",
    statement="Trained on MOVi-C6 with 11 slots, the proposed variants beat baseline and layer norm, more so with many "
    "slots",
    criteria=(
        positive(
            "weighted_sum_gain", "mean F-ARI over slot counts of weighted sum less each other's, on each test set"
        ),
        positive("batch_norm_gain", "mean F-ARI over slot counts of batch norm less each other's, on each test set"),
        positive("gain_grows", "growth of each of these leads from 5 to 21 slots, by a line"),
    ),
    experiments=("movi-c-6-11",),
    measure=compare_growth_of_leads,
    shown_in=("fig-movi-6-11",),
)


def compare_order_on_movi_d(findings: Findings) -> Quantities:
    """Estimate the differences between neighbors in the order that Table 1 shows, in each training."""
    panels = [findings.over_slots(experiment, "f_ari", "MOVi-D") for experiment in MOVI_D]
    together = findings.over_slots(MOVI_D, "ari", "MOVi-D")
    names = [f"{experiment}/{variant}" for experiment in MOVI_D for variant in VARIANTS]
    pairs = ((BASELINE, LAYER_NORM), (LAYER_NORM, BASELINE))
    return {
        "batch_norm_gain": [panel.lead(BATCH_NORM, WEIGHTED_SUM) for panel in panels],
        "weighted_sum_gain": [panel.lead(WEIGHTED_SUM, other) for panel in panels for other in OTHERS],
        "others_gap": [panel.lead(left, right) for panel in panels for left, right in pairs],
        "consistent_lead": [together.estimate(consistent_lead, *names)],
    }


def consistent_lead(*means: np.ndarray) -> np.ndarray:
    """Return the least lead over all trainings of the variant for which it is largest.

    Args:
        means: of each training and variant, trainings first, of shape (…, 1).
    """
    scores = np.stack([mean[..., 0] for mean in means]).reshape(len(TRAININGS), len(VARIANTS), *means[0].shape[:-1])
    leads = []
    for variant in range(len(VARIANTS)):
        best_rival = np.delete(scores, variant, axis=1).max(axis=1)
        leads.append((scores[:, variant] - best_rival).min(axis=0))
    return np.asarray(np.max(leads, axis=0))


R11 = ResultClaim(
    id="R11",
    locus="Table 1",
    statement="On MOVi-D batch norm does at least as well as weighted sum in F-ARI, that better than layer norm and "
    "baseline, which are alike, in each training; in ARI nobody wins throughout",
    criteria=(
        Criterion(
            statistic="batch_norm_gain",
            meaning="F-ARI of batch norm less weighted sum's, in each training",
            side="at least",
            bound=-F_ARI_MARGIN,
            reason="at least as well; " + SPREAD,
        ),
        positive(
            "weighted_sum_gain", "F-ARI of weighted sum less the baseline's and less layer norm's, in each training"
        ),
        Criterion(
            statistic="others_gap",
            meaning="F-ARI of layer norm less the baseline's, either way, in each training",
            side="at most",
            bound=F_ARI_MARGIN,
            reason=SPREAD,
        ),
        Criterion(
            statistic="consistent_lead",
            meaning="ARI by which the most consistent variant leads in the training where it leads least",
            side="at most",
            bound=0.0,
            reason="a variant that wins throughout leads in all three",
        ),
    ),
    experiments=MOVI_D,
    measure=compare_order_on_movi_d,
    shown_in=("tab-transfer",),
)


def compare_trainings_on_movi_d(findings: Findings) -> Quantities:
    """Estimate each variant's F-ARI on MOVi-D trained as (6, 7) less trained as (10, 11) and as (6, 11)."""
    found = {}
    for statistic, rival in (("over_10_11", "movi-d-10-11"), ("over_6_11", "movi-d-6-11")):
        panel = findings.over_slots(("movi-d-6-7", rival), "f_ari", "MOVi-D")
        found[statistic] = lead_of_training(panel, "movi-d-6-7", rival)
    return found


R12 = ResultClaim(
    id="R12",
    locus="Table 1, Sec. 5.2",
    statement="On MOVi-D every variant does better in F-ARI trained as (6, 7) than as (10, 11) or (6, 11)",
    criteria=(
        positive("over_10_11", "F-ARI of (6, 7) less (10, 11), for each variant"),
        positive("over_6_11", "F-ARI of (6, 7) less (6, 11), for each variant"),
    ),
    experiments=MOVI_D,
    measure=compare_trainings_on_movi_d,
    shown_in=("tab-transfer",),
)


def compare_reconstruction(findings: Findings) -> Quantities:
    """Estimate weighted sum's excess loss, and how losses change with the slot count and the object count."""
    movi = [findings.over_slots(experiment, "loss", test).restrict(5, 21) for experiment in MOVI_C for test in TESTS]
    panels = [*movi, *(findings.over_slots(clevr.MANY, "loss", test).restrict(5, 21) for test in clevr.TESTS)]
    objects = [findings.over_objects(name, "loss", "CLEVR10", slots=11) for name in (clevr.FEW, clevr.MANY)]
    return {
        "weighted_sum_excess": [panel.lead(WEIGHTED_SUM, rival) for panel in panels for rival in RIVALS],
        "movi_growth": [panel.growth(variant) for panel in movi for variant in VARIANTS],
        "object_correlation": [panel.trend(variant) for panel in objects for variant in VARIANTS],
    }


R13 = ResultClaim(
    id="R13",
    locus="Figs. 7c, 8-11, App. A",
    statement="Weighted sum reconstructs worst; losses fall with more slots on MOVi-C and grow with objects on CLEVR",
    criteria=(
        positive(
            "weighted_sum_excess",
            "mean loss over slot counts of weighted sum less each other's, CLEVR (6, 11) and each MOVi-C training",
        ),
        Criterion(
            statistic="movi_growth",
            meaning="growth of the loss from 5 to 21 slots, by a line, for each variant, training and test set of "
            "MOVi-C",
            side="at most",
            bound=0.0,
            reason=SIGN,
        ),
        positive(
            "object_correlation",
            "rank correlation of loss and object count at 11 slots on CLEVR, for each variant and training",
        ),
    ),
    experiments=(clevr.FEW, clevr.MANY, *MOVI_C),
    measure=compare_reconstruction,
    shown_in=("fig-clevr-loss", "fig-clevr-excess", "fig-movi-10-11", "fig-movi-6-7", "fig-movi-6-11"),
)

CLAIMS = (R7, R8, R9, R10, R11, R12, R13)
