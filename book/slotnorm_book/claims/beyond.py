"""Our own hypotheses beyond the paper's experiments, all about MOVi-C10 and models of MOVi-C (6, 7).

They were written before any of their experiments was looked at. They are separate from the paper's claims: no verdict
on the paper depends on them, and their false discovery rate is over these hypotheses alone.
"""

from __future__ import annotations

import pandas as pd

from slotnorm_book.claims.claim import Criterion, Hypothesis
from slotnorm_book.claims.comparisons import F_ARI_MARGIN, Comparison, MissingEvidenceError, Panel, Quantities
from slotnorm_book.claims.criteria import SPREAD, no_noticeable_loss, noticeable_loss, positive
from slotnorm_book.claims.evidence import make_panel
from slotnorm_book.statistics.bootstrap import RESAMPLES
from slotnorm_book.variants import (
    BASELINE,
    BATCH_NORM,
    EM,
    EM_EQUAL,
    LAYER_NORM,
    OTHERS,
    PROPOSED,
    VARIANTS,
    WEIGHTED_SUM,
)

MODELS, TEST = "movi-c-6-7", "MOVi-C10"
"""Experiment whose models the hypotheses are about, and the test set."""


def compare_scales(table: pd.DataFrame) -> Quantities:
    """Estimate the lead of every other C over C = N, averaged over 5 to 21 slots."""
    panel = _panel(table, "slots").restrict(5, 21)
    others = [name for name in panel.bootstrap.variants if name != WEIGHTED_SUM]
    if not others:
        raise MissingEvidenceError("no run with another C")
    return {"best_gain": [panel.lead(name, WEIGHTED_SUM) for name in others]}


B1 = Hypothesis(
    id="B1",
    locus="after Sec. 4.1",
    statement="Tuning the scale of the weighted sum pays: some other C gives more F-ARI than C = N",
    criteria=(
        Criterion(
            statistic="best_gain",
            meaning="F-ARI of the best other C less that of C = N, mean over 5 to 21 slots",
            side="at least",
            bound=0.0,
            reason="a direction and no size: the interval must leave out zero; widened for picking the best",
        ),
    ),
    measure=compare_scales,
    decided_by="best",
    shown_in=("fig-beyond-scale",),
)


def compare_mixture_weights(table: pd.DataFrame) -> Quantities:
    """Estimate F-ARI at 21 slots with the whole mixture weight in the scores, less that without."""
    named = table.assign(variant=table["variant"] + "/" + table["strength"].map("{:g}".format))
    panel = _panel(named, "slots").restrict(21, 21)
    return {
        "baseline_gain": [panel.lead(f"{BASELINE}/1", f"{BASELINE}/0")],
        "weighted_sum_gain": [panel.lead(f"{WEIGHTED_SUM}/1", f"{WEIGHTED_SUM}/0")],
    }


B2 = Hypothesis(
    id="B2",
    locus="after Sec. 3, Eqs. 5 and 6",
    statement="The weight of Eq. 5, added to the scores of trained models, helps the baseline with surplus slots and "
    "not the weighted sum, which can have learned it",
    criteria=(
        positive("baseline_gain", "F-ARI at 21 slots of the baseline with the weight less without"),
        Criterion(
            statistic="weighted_sum_gain",
            meaning="F-ARI at 21 slots of weighted sum with the weight less without",
            side="at most",
            bound=F_ARI_MARGIN,
            reason="no noticeable gain; " + SPREAD,
        ),
    ),
    measure=compare_mixture_weights,
    shown_in=("fig-beyond-weights",),
)


def compare_many_slots(table: pd.DataFrame) -> Quantities:
    """Estimate losses from 21 to 128 slots, and leads at 128."""
    panel = _panel(_with_slots(table, 21, 128), "slots")
    most = panel.restrict(128, 128)
    return {
        "weighted_sum_loss": [panel.loss(WEIGHTED_SUM)],
        "batch_norm_loss": [panel.loss(BATCH_NORM)],
        "baseline_loss": [panel.loss(BASELINE)],
        "layer_norm_loss": [panel.loss(LAYER_NORM)],
        "gain": [most.lead(variant, other) for variant in PROPOSED for other in OTHERS],
    }


B3 = Hypothesis(
    id="B3",
    locus="after Sec. 5.2",
    statement="From 21 to 128 slots the proposed variants hold their F-ARI, while baseline and layer norm go on losing",
    criteria=(
        no_noticeable_loss("weighted_sum_loss", "F-ARI of weighted sum at 21 slots less that at 128"),
        no_noticeable_loss("batch_norm_loss", "the same of batch norm"),
        noticeable_loss("baseline_loss", "the same of the baseline"),
        noticeable_loss("layer_norm_loss", "the same of layer norm"),
        positive("gain", "F-ARI at 128 slots of each proposed variant less each other's"),
    ),
    measure=compare_many_slots,
    shown_in=("fig-beyond-slots",),
)


def compare_iterations(table: pd.DataFrame) -> Quantities:
    """Estimate F-ARI with 3 iterations less that with 1 and with 10, for every variant with 7 and with 21 slots."""
    panels = [_panel(_with_slots(table, slots), "iterations") for slots in (7, 21)]
    return {
        "first_gain": [_difference(panel, variant, 3, 1) for panel in panels for variant in VARIANTS],
        "late_loss": [_difference(panel, variant, 3, 10) for panel in panels for variant in VARIANTS],
    }


B4 = Hypothesis(
    id="B4",
    locus="after Sec. 4.2",
    statement="With 7 and with 21 slots three iterations are better than one, and ten cost nothing, for every variant",
    criteria=(
        noticeable_loss("first_gain", "F-ARI with 3 iterations less that with 1"),
        no_noticeable_loss("late_loss", "F-ARI with 3 iterations less that with 10"),
    ),
    measure=compare_iterations,
    shown_in=("fig-beyond-iterations",),
)


def compare_with_em(table: pd.DataFrame) -> Quantities:
    """Estimate the lead of each variant over EM, and what equal weights cost EM, over 5 to 21 components."""
    everywhere = table.groupby("slots")["variant"].transform("nunique") == table["variant"].nunique()
    panel = _panel(table[everywhere], "slots").restrict(5, 21)
    ends = _panel(_with_slots(table, 7, 21), "slots")
    return {
        "lead": [panel.lead(variant, EM) for variant in VARIANTS],
        "weights_help": [ends.extra_growth(EM, EM_EQUAL)],
    }


B5 = Hypothesis(
    id="B5",
    locus="after Sec. 3",
    statement="Every trained variant beats EM on the same features; EM that estimates its weights loses less with "
    "surplus components than EM with equal ones",
    criteria=(
        positive("lead", "F-ARI of each variant less that of EM with weights, mean over 5 to 21 slots"),
        positive("weights_help", "how much more F-ARI EM with equal weights loses from 7 to 21 components"),
    ),
    measure=compare_with_em,
    shown_in=("fig-beyond-em",),
)

HYPOTHESES = (B1, B2, B3, B4, B5)
"""The hypotheses in order; ``"reproduced"`` reads as "holds" here."""


def _panel(table: pd.DataFrame, setting: str) -> Panel:
    return make_panel(table, "f_ari", setting, RESAMPLES)


def _with_slots(table: pd.DataFrame, *slots: int) -> pd.DataFrame:
    """Select the rows at these slot counts; every count must be there."""
    if missing := set(slots) - set(table["slots"]):
        raise MissingEvidenceError(f"not evaluated with {' and '.join(map(str, sorted(missing)))} slots")
    return table[table["slots"].isin(slots)]


def _difference(panel: Panel, variant: str, here: int, there: int) -> Comparison:
    """Estimate F-ARI at one setting less that at another."""
    for setting in (here, there):
        panel.restrict(setting, setting)  # raises where it is missing
    first, second = (panel.settings.index(setting) for setting in (here, there))
    return panel.estimate(lambda mean: mean[..., first] - mean[..., second], variant)
