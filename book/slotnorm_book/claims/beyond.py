"""Our own hypotheses beyond the paper's experiments, about MOVi-C10 and models of MOVi-C (6, 7); B6 is about CLEVR.

They were written before any of their experiments was looked at. They are separate from the paper's claims: no verdict
on the paper depends on them, and their false discovery rate is over these hypotheses alone.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from slotnorm_book.claims.claim import Criterion, Hypothesis
from slotnorm_book.claims.comparisons import (
    F_ARI_MARGIN,
    Comparison,
    MissingEvidenceError,
    Panel,
    Quantities,
    UndecidableError,
)
from slotnorm_book.claims.criteria import SPREAD, no_noticeable_loss, noticeable_loss, positive
from slotnorm_book.claims.evidence import make_panel
from slotnorm_book.statistics.bootstrap import RESAMPLES
from slotnorm_book.statistics.found_objects import LEAST_FOUND, RUN, found_by_run, with_found_objects
from slotnorm_book.variants import (
    BASELINE,
    BATCH_NORM,
    EM,
    EM_EQUAL,
    LAYER_NORM,
    OTHERS,
    PROPOSED,
    SCALED_MEAN,
    VARIANTS,
    WEIGHTED_SUM,
)

MODELS, TEST = "movi-c-6-7", "MOVi-C10"
"""Experiment whose models most hypotheses are about, and the test set."""
TRAIN_SLOTS = 7
"""Slots of the training of all models here."""


def compare_scales(table: pd.DataFrame) -> Quantities:
    """Estimate the lead over C = N of every other C whose models find objects, averaged over 5 to 21 slots.

    Raises:
        MissingEvidenceError: there is no run with another C, or none has the control.
        UndecidableError: every run with another C is spatial, or models of no other C find objects.
    """
    panel = _panel(table, "slots").restrict(5, 21)
    others = [name for name in panel.bootstrap.variants if name != WEIGHTED_SUM]
    if not others and panel.all_spatial - {WEIGHTED_SUM}:
        raise UndecidableError("every run with another C is spatial")
    if not others:
        raise MissingEvidenceError("no run with another C")
    found = found_by_run(_without_spatial(table), TRAIN_SLOTS).groupby("variant")["found_objects"].mean()[others]
    if found.isna().all():
        raise MissingEvidenceError("no run with another C has been evaluated for blind_f_ari")
    others = list(found.index[found >= LEAST_FOUND])
    if not others:
        raise UndecidableError(f"models of no other C find objects ({LEAST_FOUND:g} asked)")
    return {"best_gain": [panel.lead(name, WEIGHTED_SUM) for name in others]}


B1 = Hypothesis(
    id="B1",
    locus="after Sec. 4.1",
    statement="Tuning the scale of the weighted sum pays: some other C gives more F-ARI than C = N",
    criteria=(
        Criterion(
            statistic="best_gain",
            meaning="F-ARI of the best other C that finds objects less that of C = N, mean over 5 to 21 slots",
            side="at least",
            bound=0.0,
            strict=True,
            reason="a direction and no size: the interval must leave out zero; widened for picking the best",
        ),
    ),
    measure=compare_scales,
    experiment=MODELS,
    test=TEST,
    decided_by="best",
    shown_in=("fig-beyond-scale",),
)


def compare_mixture_weights(table: pd.DataFrame) -> Quantities:
    """Estimate F-ARI at 21 slots with the whole mixture weight in the scores, less that without, paired per run."""
    weighted, plain = (table[table["strength"] == strength] for strength in (1.0, 0.0))
    panel = _gains_panel(pair_runs(weighted, plain, ["f_ari"]), "f_ari").restrict(21, 21)
    return {
        "baseline_gain": panel.levels(BASELINE),
        "weighted_sum_gain": panel.levels(WEIGHTED_SUM),
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
    experiment=MODELS,
    test=TEST,
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
    experiment=MODELS,
    test=TEST,
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
    experiment=MODELS,
    test=TEST,
    shown_in=("fig-beyond-iterations",),
)


def compare_with_em(table: pd.DataFrame) -> Quantities:
    """Estimate the lead of each variant over EM, and what equal weights cost EM, over 5 to 21 components."""
    everywhere = table.groupby("slots")["variant"].transform("nunique") == table["variant"].nunique()
    panel = _panel(table[everywhere], "slots").restrict(5, 21)
    ends = _with_slots(table, 7, 21)
    estimated, equal = (ends[ends["variant"] == name].assign(variant=EM) for name in (EM, EM_EQUAL))
    return {
        "lead": [panel.lead(variant, EM) for variant in VARIANTS],
        "weights_help": [_gains_panel(pair_runs(estimated, equal, ["f_ari"]), "f_ari").growth(EM)],
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
    experiment=MODELS,
    test=TEST,
    shown_in=("fig-beyond-em",),
)


def compare_code_lengths(table: pd.DataFrame) -> Quantities:
    """Estimate what the baseline gains when its codes are multiplied by 7 / K, paired per run, scene and slot count.

    Args:
        table: rows of the variants ``weighted_mean`` and ``scaled_mean``, which are the same runs. Those whose
            ``weighted_mean`` is ``spatial`` are left out.

    Raises:
        UndecidableError: every run is spatial.
        MissingEvidenceError: a run was evaluated with one of the two alone, or not with 5, 9 and 21 slots.
    """
    gains = gains_of_scaled_codes(table)
    found, f_ari = (_gains_panel(gains, measure) for measure in ("found_objects", "f_ari"))
    return {
        "surplus_found_gain": [found.restrict(9, 21).mean_level(BASELINE)],
        "surplus_f_ari_gain": [f_ari.restrict(9, 21).mean_level(BASELINE)],
        "fewer_found_gain": found.restrict(5, 5).levels(BASELINE),
        "fewer_f_ari_gain": f_ari.restrict(5, 5).levels(BASELINE),
    }


def gains_of_scaled_codes(table: pd.DataFrame) -> pd.DataFrame:
    """Return what every run gains on every scene when its codes are scaled.

    Args:
        table: see :func:`compare_code_lengths`.

    Returns:
        One row per run, scene and slot count: ``variant`` (the baseline), ``seed``, ``slots``, ``scene_id``, and the
        differences ``f_ari`` and ``found_objects``.

    Raises:
        MissingEvidenceError: a row of one variant has no counterpart.
    """
    rows = with_found_objects(table)
    scaled, plain = (rows[rows["variant"] == name].assign(variant=BASELINE) for name in (SCALED_MEAN, BASELINE))
    return pair_runs(scaled, plain, ["f_ari", "found_objects"])


def pair_runs(changed: pd.DataFrame, plain: pd.DataFrame, measures: list[str]) -> pd.DataFrame:
    """Return what is gained by a change of runs: measures of the changed ones less those of the same as they are.

    Args:
        changed, plain: one row per run, scene and slot count, with the same ``variant`` and ``seed`` in both.
        measures: columns.

    Returns:
        One row per run, scene and slot count, with the differences; ``spatial`` is that of the runs as they are.

    Raises:
        MissingEvidenceError: a row of one has no counterpart in the other.
    """
    keys = ["variant", "seed", "slots", "scene_id"]
    left, right = (rows.set_index(keys)[measures].sort_index() for rows in (changed, plain))
    if not left.index.equals(right.index):
        raise MissingEvidenceError("runs as they are and changed ones were not evaluated on the same scenes")
    gains = (left - right).reset_index()
    return gains.merge(plain[[*RUN, "spatial"]].drop_duplicates(), on=RUN) if "spatial" in plain else gains


def _code_length(name: str, data: str, experiment: str, test: str) -> Hypothesis:
    """Return the hypothesis that the length of the codes explains what the mixture weights are said to.

    A weighted sum's code is the slot's weighted mean times its weight. The weights are 1 / K on average, so its codes
    are shorter with more slots, and each tells its own weight. Weighted means times 7 / K have the first without the
    second; with 7 slots, as in training, they are weighted means. If length is what matters, the baseline gains by them
    with more slots and loses nothing with fewer. If the weights are, it does not gain, and may lose, since its GRU has
    seen no codes of such length.
    """
    gain = "of the baseline with scaled codes less without"
    return Hypothesis(
        id=name,
        locus="after Sec. 3",
        statement=f"Code length, not π: on {data}, the trained baseline gains noticeably with surplus slots when its "
        "codes are multiplied by the slots of the training over those at hand, and with fewer slots loses nothing "
        "noticeable",
        criteria=(
            _noticeable_gain("surplus_found_gain", f"found objects {gain}, mean over 9 to 21 slots"),
            _noticeable_gain("surplus_f_ari_gain", f"F-ARI {gain}, mean over 9 to 21 slots"),
            _no_noticeable_harm("fewer_found_gain", f"found objects {gain}, 5 slots"),
            _no_noticeable_harm("fewer_f_ari_gain", f"F-ARI {gain}, 5 slots"),
        ),
        measure=compare_code_lengths,
        experiment=experiment,
        test=test,
        shown_in=("fig-beyond-lengths",),
    )


def _noticeable_gain(statistic: str, meaning: str) -> Criterion:
    reason = "a noticeable gain; " + SPREAD
    return Criterion(statistic=statistic, meaning=meaning, side="at least", bound=F_ARI_MARGIN, reason=reason)


def _no_noticeable_harm(statistic: str, meaning: str) -> Criterion:
    reason = "no noticeable loss; " + SPREAD
    return Criterion(statistic=statistic, meaning=meaning, side="at least", bound=-F_ARI_MARGIN, reason=reason)


B6 = _code_length("B6", "CLEVR", "clevr-6-7", "CLEVR10")
B7 = _code_length("B7", "MOVi-C", MODELS, TEST)

HYPOTHESES = (B1, B2, B3, B4, B5, B6, B7)
"""The hypotheses in order; ``"reproduced"`` reads as "holds" here."""


def _without_spatial(table: pd.DataFrame) -> pd.DataFrame:
    return table[~table["spatial"]] if "spatial" in table else table


def _panel(table: pd.DataFrame, setting: str, measure: str = "f_ari") -> Panel:
    """Arrange a measure of the runs that are not ``spatial``, where the table says which are."""
    rows = _without_spatial(table)
    if rows.empty:
        raise UndecidableError("every run is spatial")
    panel = make_panel(rows, measure, setting, RESAMPLES)
    return replace(panel, all_spatial=frozenset(map(str, set(table["variant"]) - set(rows["variant"]))))


def _gains_panel(gains: pd.DataFrame, measure: str) -> Panel:
    """Arrange differences of a measure over slot counts; they can be twice as far apart as the measure itself."""
    panel = _panel(gains, "slots", measure)
    least, most = panel.source.possible
    return replace(panel, source=replace(panel.source, possible=(least - most, most - least)))


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
