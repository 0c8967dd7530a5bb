"""Claims about reconstruction losses (App. A). They need no objects to be found."""

from __future__ import annotations

from slotnorm_book.claims import clevr, movi_c
from slotnorm_book.claims.claim import ResultClaim
from slotnorm_book.claims.comparisons import NAMES, Panel, Quantities
from slotnorm_book.claims.criteria import negative, positive
from slotnorm_book.claims.evidence import Findings
from slotnorm_book.variants import BASELINE, BATCH_NORM, LAYER_NORM, VARIANTS, WEIGHTED_SUM

MOVI_C = (movi_c.FULL, movi_c.FEW, movi_c.MANY)
_MOVI_FIGURES = ("fig-movi-10-11", "fig-movi-6-7", "fig-movi-6-11")


def _movi_panels(findings: Findings) -> list[Panel]:
    return [
        findings.over_slots(experiment, "loss", test).restrict(5, 21) for experiment in MOVI_C for test in movi_c.TESTS
    ]


def _clevr_panels(findings: Findings, experiment: str, first: int) -> list[Panel]:
    return [findings.over_slots(experiment, "loss", test).restrict(first, 21) for test in clevr.TESTS]


def compare_weighted_sum(findings: Findings) -> Quantities:
    """Estimate by how much weighted sum's loss exceeds each other's, averaged over slot counts."""
    panels = [*_movi_panels(findings), *_clevr_panels(findings, clevr.MANY, 5)]
    return {
        "weighted_sum_excess": [panel.lead(WEIGHTED_SUM, rival) for panel in panels for rival in movi_c.RIVALS],
    }


R13 = ResultClaim(
    id="R13",
    locus="Figs. 8-11, App. A",
    statement="Weighted sum reconstructs worst, trained with 11 slots on CLEVR and in every training on MOVi-C",
    criteria=(
        positive(
            "weighted_sum_excess",
            "mean loss over slot counts of weighted sum less each other's, CLEVR (6, 11) and each MOVi-C training",
        ),
    ),
    experiments=(clevr.MANY, *MOVI_C),
    measure=compare_weighted_sum,
    shown_in=("fig-clevr-excess", *_MOVI_FIGURES),
)


def compare_growth_on_movi(findings: Findings) -> Quantities:
    """Estimate how much each variant's loss grows with the slot count on MOVi-C."""
    return {"movi_growth": [panel.growth(variant) for panel in _movi_panels(findings) for variant in VARIANTS]}


R18 = ResultClaim(
    id="R18",
    locus="Figs. 9-11, App. A",
    statement="On MOVi-C losses fall with more slots",
    criteria=(
        negative(
            "movi_growth",
            "growth of the loss from 5 to 21 slots (fitted line), for each variant, training and test set of MOVi-C",
        ),
    ),
    experiments=MOVI_C,
    measure=compare_growth_on_movi,
    shown_in=_MOVI_FIGURES,
    origin="a part of R13 in the first edition",
)


def compare_object_counts(findings: Findings) -> Quantities:
    """Estimate the rank correlation of each variant's loss with the object count on CLEVR, with 11 slots."""
    panels = [findings.over_objects(name, "loss", "CLEVR10", slots=11) for name in (clevr.FEW, clevr.MANY)]
    return {"object_correlation": [panel.trend(variant) for panel in panels for variant in VARIANTS]}


R19 = ResultClaim(
    id="R19",
    locus="Figs. 7c, 8c, App. A",
    statement="On CLEVR losses grow with the object count",
    criteria=(
        positive(
            "object_correlation",
            "rank correlation of loss and object count at 11 slots on CLEVR, for each variant and training",
        ),
    ),
    experiments=(clevr.FEW, clevr.MANY),
    measure=compare_object_counts,
    shown_in=("fig-clevr-loss", "fig-clevr-excess"),
    origin="a part of R13 in the first edition",
)


def compare_excess_slots(findings: Findings) -> Quantities:
    """Estimate how much each variant's loss grows with excess slots, and layer norm's lead, trained with 7."""
    panels = _clevr_panels(findings, clevr.FEW, 7)
    rivals = [variant for variant in VARIANTS if variant != LAYER_NORM]
    return {
        **{f"{name}_growth": [panel.growth(variant) for panel in panels] for name, variant in NAMES.items()},
        "layer_norm_saves": [panel.lead(rival, LAYER_NORM) for panel in panels for rival in rivals],
    }


R28 = ResultClaim(
    id="R28",
    locus="Fig. 7a-b, App. A",
    statement="Trained with 7 slots on CLEVR, every variant's loss grows with excess slots; layer norm's is generally "
    "the lowest",
    criteria=(
        *(
            positive(f"{name}_growth", f"growth of the {name.replace('_', ' ')}'s loss from 7 to 21 slots")
            for name in NAMES
        ),
        positive("layer_norm_saves", "mean loss over slots of each other variant less layer norm's, on each test set"),
    ),
    experiments=(clevr.FEW,),
    measure=compare_excess_slots,
    shown_in=("fig-clevr-loss",),
    origin="added later",
)


def compare_rates(findings: Findings) -> Quantities:
    """Estimate how much faster the loss grows with objects for the baseline, and slower for batch norm."""
    panel = findings.over_objects(clevr.FEW, "loss", "CLEVR10", slots=11)
    return {
        "baseline_excess": [panel.extra_growth(BASELINE, rival) for rival in VARIANTS if rival != BASELINE],
        "batch_norm_saves": [panel.extra_growth(rival, BATCH_NORM) for rival in VARIANTS if rival != BATCH_NORM],
    }


R29 = ResultClaim(
    id="R29",
    locus="Fig. 7c, App. A",
    statement="Trained with 7 slots on CLEVR, the loss grows fastest with objects for the baseline, slowest for batch "
    "norm",
    criteria=(
        positive("baseline_excess", "growth of the loss over object counts, the baseline's less each other's"),
        positive("batch_norm_saves", "growth of the loss over object counts, each other's less batch norm's"),
    ),
    experiments=(clevr.FEW,),
    measure=compare_rates,
    shown_in=("fig-clevr-loss",),
    origin="added later",
)


def compare_trainings(findings: Findings) -> Quantities:
    """Estimate how much less the loss changes with slots than when trained with 7, and layer norm's lead."""
    both = [findings.over_slots((clevr.FEW, clevr.MANY), "loss", test).restrict(7, 21) for test in clevr.TESTS]
    rivals = [variant for variant in VARIANTS if variant != LAYER_NORM]
    return {
        "less_change": [
            panel.flatter(f"{clevr.MANY}/{variant}", f"{clevr.FEW}/{variant}") for panel in both for variant in VARIANTS
        ],
        "layer_norm_saves": [
            panel.lead(rival, LAYER_NORM) for panel in _clevr_panels(findings, clevr.MANY, 5) for rival in rivals
        ],
    }


R30 = ResultClaim(
    id="R30",
    locus="Fig. 8a-b, App. A",
    statement="Trained with 11 slots on CLEVR, losses depend less on the slot count than with 7; layer norm's is "
    "generally the lowest",
    criteria=(
        positive(
            "less_change",
            "size of the change of the loss from 7 to 21 slots (fitted line), (6, 7) less (6, 11), for each variant "
            "and set",
        ),
        positive("layer_norm_saves", "mean loss over slots of each other variant less layer norm's, on each test set"),
    ),
    experiments=(clevr.FEW, clevr.MANY),
    measure=compare_trainings,
    shown_in=("fig-clevr-loss", "fig-clevr-excess"),
    origin="added later",
)

CLAIMS = (R13, R18, R19, R28, R29, R30)
