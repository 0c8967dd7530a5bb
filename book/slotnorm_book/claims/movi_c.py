"""Claims about object discovery on MOVi-C (Sec. 5.2)."""

from __future__ import annotations

from slotnorm_book.claims.claim import ResultClaim
from slotnorm_book.claims.comparisons import Quantities, estimate_advantage, estimate_losses, estimate_mean_leads
from slotnorm_book.claims.criteria import at_least_as_good, noticeable_loss, positive, presumed_negative
from slotnorm_book.claims.evidence import Findings
from slotnorm_book.variants import BASELINE, BATCH_NORM, LAYER_NORM, OTHERS, PROPOSED, VARIANTS, WEIGHTED_SUM

TESTS = ("MOVi-C6", "MOVi-C10")
FULL, FEW, MANY = "movi-c-10-11", "movi-c-6-7", "movi-c-6-11"
"""The experiments on all scenes with 11 slots, and on at most six objects with 7 and with 11 slots."""
RIVALS = (BASELINE, LAYER_NORM, BATCH_NORM)
"""All variants but weighted sum."""


def compare_f_ari_of_full(findings: Findings) -> Quantities:
    """Estimate leads in F-ARI over slot counts, at 11 slots, and over small object counts, trained as (10, 11)."""
    panels = [findings.over_slots(FULL, "f_ari", test).restrict(5, 21) for test in TESTS]
    at_11 = findings.over_slots(FULL, "f_ari", "MOVi-C10").restrict(11, 11)
    small = findings.over_objects(FULL, "f_ari", "MOVi-C10", slots=11).restrict(3, 6)
    return {
        **estimate_mean_leads(panels),
        "gain_at_11": [at_11.lead(variant, other) for variant in PROPOSED for other in OTHERS],
        "few_objects_gain": [small.lead(variant, other) for variant in PROPOSED for other in OTHERS],
    }


R7 = ResultClaim(
    id="R7",
    locus="Fig. 4a-c",
    statement="Trained on MOVi-C10 with 11 slots, the proposed variants generally beat baseline and layer norm across "
    "slot counts, in particular with 11 slots on MOVi-C10, and across small object counts",
    criteria=(
        positive("weighted_sum_gain", "mean F-ARI over 5 to 21 slots of weighted sum less each other's, on each set"),
        positive("batch_norm_gain", "mean F-ARI over 5 to 21 slots of batch norm less each other's, on each set"),
        positive("gain_at_11", "F-ARI at 11 slots on MOVi-C10 of each proposed less each other's"),
        positive("few_objects_gain", "mean F-ARI over 3 to 6 objects at 11 slots of each proposed less each other's"),
    ),
    experiments=(FULL,),
    measure=compare_f_ari_of_full,
    shown_in=("fig-movi-10-11",),
)


def compare_ari_of_full(findings: Findings) -> Quantities:
    """Estimate weighted sum's leads in ARI, averaged over slot counts, trained as (10, 11)."""
    panels = [findings.over_slots(FULL, "ari", test).restrict(5, 21) for test in TESTS]
    return {"weighted_sum_gain": [panel.lead(WEIGHTED_SUM, rival) for panel in panels for rival in RIVALS]}


R8 = ResultClaim(
    id="R8",
    locus="Fig. 4d-f",
    statement="Trained on MOVi-C10 with 11 slots, weighted sum has the best ARI",
    criteria=(
        positive("weighted_sum_gain", "mean ARI over slot counts of weighted sum less each other's, on each test set"),
    ),
    experiments=(FULL,),
    measure=compare_ari_of_full,
    shown_in=("fig-movi-10-11",),
)


def compare_trainings(findings: Findings) -> Quantities:
    """Estimate each proposed variant's F-ARI trained as (6, 7) less trained as (10, 11), on MOVi-C10 with 11 slots."""
    panel = findings.over_slots((FEW, FULL), "f_ari", "MOVi-C10").restrict(11, 11)
    return {"transfer_gain": [panel.lead(f"{FEW}/{variant}", f"{FULL}/{variant}") for variant in PROPOSED]}


R9 = ResultClaim(
    id="R9",
    locus="Fig. 5b",
    statement="On MOVi-C10 with 11 slots, each proposed variant is better trained as (6, 7) than as (10, 11)",
    criteria=(positive("transfer_gain", "F-ARI on MOVi-C10 at 11 slots, (6, 7) less (10, 11), of each proposed"),),
    experiments=(FULL, FEW),
    measure=compare_trainings,
    shown_in=("fig-movi-6-7", "fig-movi-10-11"),
)


def compare_growth_of_leads(findings: Findings) -> Quantities:
    """Estimate leads in F-ARI and their growth with the slot count, trained as (6, 11)."""
    panels = [findings.over_slots(MANY, "f_ari", test).restrict(5, 21) for test in TESTS]
    growth = [panel.extra_growth(variant, other) for panel in panels for variant in PROPOSED for other in OTHERS]
    return {**estimate_mean_leads(panels), "gain_grows": growth}


R10 = ResultClaim(
    id="R10",
    locus="Fig. 6a-b",
    statement="Trained on MOVi-C6 with 11 slots, the proposed variants beat baseline and layer norm, more so with many "
    "slots",
    criteria=(
        positive(
            "weighted_sum_gain", "mean F-ARI over slot counts of weighted sum less each other's, on each test set"
        ),
        positive("batch_norm_gain", "mean F-ARI over slot counts of batch norm less each other's, on each test set"),
        positive("gain_grows", "growth of each of these leads from 5 to 21 slots (fitted line)"),
    ),
    experiments=(MANY,),
    measure=compare_growth_of_leads,
    shown_in=("fig-movi-6-11",),
)


def compare_rates_of_full(findings: Findings) -> Quantities:
    """Estimate the F-ARI that the baseline loses to excess slots, and how much more than the proposed, as (10, 11)."""
    panels = [findings.over_slots(FULL, "f_ari", test).restrict(11, 21) for test in TESTS]
    return {"baseline_loss": estimate_losses(panels)["baseline_loss"], "advantage": estimate_advantage(panels)}


R20 = ResultClaim(
    id="R20",
    locus="Fig. 4a-b",
    statement="Trained on MOVi-C10 with 11 slots, the baseline loses F-ARI with excess slots, the proposed variants "
    "at a slower rate",
    criteria=(
        noticeable_loss("baseline_loss", "F-ARI the baseline loses from 11 to 21 slots (fitted line) on each test set"),
        positive("advantage", "how much more the baseline loses than either proposed variant, on each test set"),
    ),
    experiments=(FULL,),
    measure=compare_rates_of_full,
    shown_in=("fig-movi-10-11",),
    origin="added later",
)


def compare_leads_of_few(findings: Findings) -> Quantities:
    """Estimate the proposed variants' leads over the baseline on MOVi-C10 with 11 slots, trained as (6, 7)."""
    panel = findings.over_slots(FEW, "f_ari", "MOVi-C10").restrict(11, 11)
    return {f"{variant}_gain": [panel.lead(variant, BASELINE)] for variant in PROPOSED}


R21 = ResultClaim(
    id="R21",
    locus="Fig. 5a-b",
    statement="Trained on MOVi-C6 with 7 slots, both proposed variants beat the baseline with 11 slots on MOVi-C10",
    criteria=(
        positive("weighted_sum_gain", "F-ARI on MOVi-C10 at 11 slots of weighted sum less the baseline's"),
        positive("batch_norm_gain", "the same of batch norm"),
    ),
    experiments=(FEW,),
    measure=compare_leads_of_few,
    shown_in=("fig-movi-6-7",),
    origin="added later",
)


def compare_losses_of_few(findings: Findings) -> Quantities:
    """Estimate the F-ARI that baseline and layer norm lose to excess slots, trained as (6, 7)."""
    losses = estimate_losses([findings.over_slots(FEW, "f_ari", test).restrict(7, 21) for test in TESTS])
    return {name: losses[name] for name in ("baseline_loss", "layer_norm_loss")}


R22 = ResultClaim(
    id="R22",
    locus="Fig. 5a-b",
    statement="Trained on MOVi-C6 with 7 slots, baseline and layer norm lose noticeable F-ARI with excess slots",
    criteria=(
        noticeable_loss("baseline_loss", "F-ARI the baseline loses from 7 to 21 slots (fitted line) on each test set"),
        noticeable_loss("layer_norm_loss", "F-ARI layer norm loses"),
    ),
    experiments=(FEW,),
    measure=compare_losses_of_few,
    shown_in=("fig-movi-6-7",),
    origin="added later",
)


def compare_ari_losses(findings: Findings) -> Quantities:
    """Estimate the ARI that each variant loses from 11 to 21 slots, trained with 11."""
    panels = [findings.over_slots(name, "ari", test).restrict(11, 21) for name in (FULL, MANY) for test in TESTS]
    return estimate_losses(panels)


R23 = ResultClaim(
    id="R23",
    locus="Figs. 4d-f, 6d-f",
    statement="Trained with 11 slots, every variant loses ARI with excess slots",
    criteria=(
        positive("baseline_loss", "ARI the baseline loses from 11 to 21 slots (fitted line) per training and test set"),
        positive("layer_norm_loss", "ARI layer norm loses"),
        positive("weighted_sum_loss", "ARI weighted sum loses"),
        positive("batch_norm_loss", "ARI batch norm loses"),
    ),
    experiments=(FULL, MANY),
    measure=compare_ari_losses,
    shown_in=("fig-movi-10-11", "fig-movi-6-11"),
    origin="added later",
)


def compare_ari_of_few(findings: Findings) -> Quantities:
    """Estimate how much less ARI changes over 5 to 21 slots than as (10, 11), and leads over the baseline."""
    both = [findings.over_slots((FEW, FULL), "ari", test).restrict(5, 21) for test in TESTS]
    panels = [findings.over_slots(FEW, "ari", test).restrict(5, 21) for test in TESTS]
    return {
        "less_change": [
            panel.flatter(f"{FEW}/{variant}", f"{FULL}/{variant}") for panel in both for variant in VARIANTS
        ],
        "lead_over_baseline": [panel.lead(variant, BASELINE) for panel in panels for variant in VARIANTS[1:]],
    }


R24 = ResultClaim(
    id="R24",
    locus="Fig. 5d-f",
    statement="Trained on MOVi-C6 with 7 slots, ARI depends less on the slot count than trained as (10, 11), and no "
    "variant is clearly ahead of the baseline",
    criteria=(
        positive(
            "less_change",
            "size of the change of ARI from 5 to 21 slots (fitted line), as (10, 11) less as (6, 7), for each variant "
            "and test set",
        ),
        presumed_negative("lead_over_baseline", "mean ARI over slot counts of each variant less the baseline's"),
    ),
    experiments=(FULL, FEW),
    measure=compare_ari_of_few,
    shown_in=("fig-movi-6-7", "fig-movi-10-11"),
    origin="added later",
)


def compare_object_counts_of_many(findings: Findings) -> Quantities:
    """Estimate the proposed variants' leads over the baseline at each object count, trained as (6, 11)."""
    panel = findings.over_objects(MANY, "f_ari", "MOVi-C10", slots=11)
    return {f"{variant}_gain": panel.leads(variant, BASELINE) for variant in PROPOSED}


R25 = ResultClaim(
    id="R25",
    locus="Fig. 6c",
    statement="Trained on MOVi-C6 with 11 slots, the proposed variants do at least as well as the baseline at all "
    "object counts",
    criteria=(
        at_least_as_good(
            "weighted_sum_gain", "F-ARI at 11 slots of weighted sum less the baseline's, per object count"
        ),
        at_least_as_good("batch_norm_gain", "the same of batch norm"),
    ),
    experiments=(MANY,),
    measure=compare_object_counts_of_many,
    shown_in=("fig-movi-6-11",),
    origin="added later",
)


def compare_ari_of_many(findings: Findings) -> Quantities:
    """Estimate weighted sum's lead in ARI over the other variants together, trained as (6, 11)."""
    panels = [findings.over_slots(MANY, "ari", test).restrict(5, 21) for test in TESTS]
    return {"weighted_sum_gain": [panel.lead_of_groups((WEIGHTED_SUM,), RIVALS) for panel in panels]}


R26 = ResultClaim(
    id="R26",
    locus="Fig. 6d-f",
    statement="Trained on MOVi-C6 with 11 slots, weighted sum does best in ARI, although runs vary much",
    criteria=(
        positive(
            "weighted_sum_gain",
            "mean ARI over slot counts of weighted sum less that of the other three together, on each test set",
        ),
    ),
    experiments=(MANY,),
    measure=compare_ari_of_many,
    shown_in=("fig-movi-6-11",),
    origin="added later",
)

CLAIMS = (R7, R8, R9, R10, R20, R21, R22, R23, R24, R25, R26)
