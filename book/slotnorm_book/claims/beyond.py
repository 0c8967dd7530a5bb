"""B1 to B5: our own hypotheses, beyond the paper's experiments. All are about MOVi-C10 and models of MOVi-C (6, 7).

They were written before any of their experiments was looked at. They are kept apart from the paper's claims: no verdict
on the paper depends on them, and their false discovery rate is over these five alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from slotnorm_book.claims.claim import Claim, Criterion, Measurement
from slotnorm_book.claims.comparisons import LackingError, Panel, Quantities, Quantity
from slotnorm_book.claims.criteria import F_ARI_MARGIN, SPREAD, direction, holds, loses
from slotnorm_book.claims.tables import BREAK, MARKS, criteria
from slotnorm_book.claims.verdicts import Ruling, rule, with_false_discovery_rates
from slotnorm_book.statistics.bootstrap import RESAMPLES, Bootstrap, Estimate, samples
from slotnorm_book.statistics.summaries import LEVEL
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

SIGN = "a direction and no size: the interval must leave out zero"
CLAIMS_BEYOND: tuple[Claim, ...] = (
    Claim(
        "B1",
        "after Sec. 4.1",
        "extension",
        "Tuning the scale of the weighted sum pays: some other C gives more F-ARI than C = N",
        (
            Criterion(
                "best_gain",
                "F-ARI of the best other C less that of C = N, mean over 5 to 21 slots",
                "at least",
                0.0,
                SIGN + "; widened for picking the best",
            ),
        ),
    ),
    Claim(
        "B2",
        "after Sec. 3, Eqs. 5 and 6",
        "extension",
        "The weight of Eq. 5, added to the scores of trained models, helps the baseline with surplus slots and not the "
        "weighted sum, which can have learned it",
        (
            direction("baseline_gain", "F-ARI at 21 slots of the baseline with the weight less without"),
            Criterion(
                "weighted_sum_gain",
                "F-ARI at 21 slots of weighted sum with the weight less without",
                "at most",
                F_ARI_MARGIN,
                "no noticeable gain; " + SPREAD,
            ),
        ),
    ),
    Claim(
        "B3",
        "after Sec. 5.2",
        "extension",
        "From 21 to 128 slots the proposed variants hold their F-ARI, while baseline and layer norm go on losing",
        (
            holds("weighted_sum_loss", "F-ARI of weighted sum at 21 slots less that at 128"),
            holds("batch_norm_loss", "the same of batch norm"),
            loses("baseline_loss", "the same of the baseline"),
            loses("layer_norm_loss", "the same of layer norm"),
            direction("gain", "F-ARI at 128 slots of each proposed variant less each other's"),
        ),
    ),
    Claim(
        "B4",
        "after Sec. 4.2",
        "extension",
        "With 7 and with 21 slots three iterations are better than one, and ten cost nothing, for every variant",
        (
            loses("first_gain", "F-ARI with 3 iterations less that with 1"),
            holds("late_loss", "F-ARI with 3 iterations less that with 10"),
        ),
    ),
    Claim(
        "B5",
        "after Sec. 3",
        "extension",
        "Every trained variant beats EM on the same features; EM that estimates its weights loses less with surplus "
        "components than EM with equal ones",
        (
            direction("lead", "F-ARI of each variant less that of EM with weights, mean over 5 to 21 slots"),
            direction("weights_help", "how much more F-ARI EM with equal weights loses from 7 to 21 components"),
        ),
    ),
)
"""The hypotheses in order; ``"reproduced"`` reads as "holds" here."""


TEST = "MOVi-C10"
ANSWERS = {"reproduced": "holds", "contradicted": "does not hold"}
"""A verdict in the words of a hypothesis that nobody has claimed."""
SHOWN = {
    "B1": "fig-beyond-scale",
    "B2": "fig-beyond-weights",
    "B3": "fig-beyond-slots",
    "B4": "fig-beyond-iterations",
    "B5": "fig-beyond-em",
}
"""Hypothesis to the label of its figure."""


def judge_beyond(tables: Mapping[str, pd.DataFrame], scale: str) -> list[Ruling]:
    """Judge the hypotheses that have a table.

    Args:
        tables: by hypothesis, rows as of :attr:`slotnorm_book.experiments.results.Results.scenes`: for B1 of the
            experiment ``scale``, for B2 of
            :func:`slotnorm_book.analyses.mixture_weights.evaluate_with_mixture_weights`, for B3 of
            ``many-slots``, for B4 of ``iterations``, for B5 of the models and of
            :func:`slotnorm_book.analyses.em_segmentation.segment_with_em` together, on the same scenes.
        scale: of the recipes.

    Returns:
        One ruling per hypothesis; the false discovery rates are over these.
    """
    rulings = []
    for claim in CLAIMS_BEYOND:
        table = tables.get(claim.id, pd.DataFrame())
        if table.empty:
            rulings.append(Ruling(claim, None, lacking="no runs"))
            continue
        try:
            rulings.append(_ruling(claim, MEASURES[claim.id](table[table["test"] == TEST]), scale))
        except LackingError as error:
            rulings.append(Ruling(claim, None, scale, lacking=str(error)))
    return with_false_discovery_rates(rulings)


def beyond_table(rulings: Sequence[Ruling]) -> pd.DataFrame:
    """The hypotheses and their answers for :func:`slotnorm_book.notebook.show_table`, in MyST Markdown."""
    rows = []
    for ruling in rulings:
        claim, outcome = ruling.claim, ruling.outcome
        shown = f"shown in {{numref}}`{SHOWN[claim.id]}`"
        css, answer = outcome.replace(" ", "-"), f"{MARKS[outcome]} {ANSWERS.get(outcome, outcome)}"
        lines = [
            f'<strong class="verdict {css}">{answer}</strong>',
            *([f"{ruling.scale} scale"] if ruling.scale else []),
        ]
        if ruling.verdict:
            lines.append(f"false discovery rate {ruling.false_discovery_rate:.3f}")
        measured = criteria(ruling.verdict) if ruling.verdict else [ruling.lacking]
        rows.append(
            (
                f'<span id="{claim.id}"></span>**{claim.id}** {claim.statement}{BREAK}{shown}',
                claim.locus.removeprefix("after "),
                BREAK.join(measured),
                BREAK.join(lines),
            )
        )
    return pd.DataFrame(rows, columns=["hypothesis", "paper", "ours", "answer"])


def scale_pays(table: pd.DataFrame) -> Quantities:
    """B1: the lead of every other C over C = N, 5 to 21 slots; the claim is about the best."""
    panel = _panel(table, "slots").only(5, 21)
    others = [name for name in panel.bootstrap.variants if name != WEIGHTED_SUM]
    if not others:
        raise LackingError("no run with another C")
    return {"best_gain": [panel.lead(name, WEIGHTED_SUM) for name in others]}


def weights_given(table: pd.DataFrame) -> Quantities:
    """B2: with the whole weight less without, 21 slots."""
    named = table.assign(variant=table["variant"] + "/" + table["strength"].map("{:g}".format))
    panel = _panel(named, "slots").only(21, 21)
    names = {"baseline": BASELINE, "weighted_sum": WEIGHTED_SUM}
    return {f"{name}_gain": [panel.lead(f"{variant}/1", f"{variant}/0")] for name, variant in names.items()}


def many_slots(table: pd.DataFrame) -> Quantities:
    """B3: 21 and 128 slots."""
    panel = _panel(_with_slots(table, 21, 128), "slots")
    names = {"weighted_sum": WEIGHTED_SUM, "batch_norm": BATCH_NORM, "baseline": BASELINE, "layer_norm": LAYER_NORM}
    found: Quantities = {f"{name}_loss": [panel.loss(variant)] for name, variant in names.items()}
    most = panel.only(128, 128)
    return found | {"gain": [most.lead(variant, other) for variant in PROPOSED for other in OTHERS]}


def many_iterations(table: pd.DataFrame) -> Quantities:
    """B4: 1, 3 and 10 iterations, for every variant with 7 and with 21 slots."""
    panels = [_panel(_with_slots(table, slots), "iterations") for slots in (7, 21)]
    return {
        "first_gain": [_step(panel, variant, 3, 1) for panel in panels for variant in VARIANTS],
        "late_loss": [_step(panel, variant, 3, 10) for panel in panels for variant in VARIANTS],
    }


def beats_clustering(table: pd.DataFrame) -> Quantities:
    """B5: models and EM, 5 to 21 slots or components."""
    everywhere = table.groupby("slots")["variant"].transform("nunique") == table["variant"].nunique()
    panel = _panel(table[everywhere], "slots").only(5, 21)
    ends = _panel(_with_slots(table, 7, 21), "slots")
    return {
        "lead": [panel.lead(variant, EM) for variant in VARIANTS],
        "weights_help": [ends.extra_growth(EM, EM_EQUAL)],
    }


MEASURES: dict[str, Callable[[pd.DataFrame], Quantities]] = {
    "B1": scale_pays,
    "B2": weights_given,
    "B3": many_slots,
    "B4": many_iterations,
    "B5": beats_clustering,
}
"""Hypothesis to what measures it."""


def _panel(table: pd.DataFrame, setting: str) -> Panel:
    settings = tuple(int(value) for value in np.unique(table[setting]))
    return Panel(Bootstrap(samples(table, "f_ari", setting), RESAMPLES), settings, tuple(range(len(settings))))


def _with_slots(table: pd.DataFrame, *slots: int) -> pd.DataFrame:
    """The rows at these slot counts and no others."""
    if lacking := set(slots) - set(table["slots"]):
        raise LackingError(f"not evaluated with {' and '.join(map(str, sorted(lacking)))} slots")
    return table[table["slots"].isin(slots)]


def _step(panel: Panel, variant: str, here: int, there: int) -> Estimate:
    """F-ARI at one setting less that at another."""
    for setting in (here, there):
        panel.only(setting, setting)
    places = [panel.settings.index(setting) for setting in (here, there)]
    return panel.estimate(lambda mean: mean[..., places[0]] - mean[..., places[1]], variant)


def _ruling(claim: Claim, quantities: Quantities, scale: str) -> Ruling:
    """As for the paper's claims, but that B1 is about the best of several comparisons and not about the worst."""
    if claim.id != "B1":
        return rule(claim, quantities, scale)
    ((name, leads),) = quantities.items()
    (criterion,) = claim.criteria
    tails = [lead.tail(criterion.side, criterion.bound) for lead in leads]
    return Ruling(claim, claim.judge({name: best(leads)}), scale, p_value=min(1.0, min(tails) * len(tails)))


def best(leads: Sequence[Quantity]) -> Measurement:
    """The best of several leads; the lower end of its interval is Bonferroni's, since it was picked.

    That nothing leads is said only if every plain interval says so.
    """
    strict = 1 - (1 - LEVEL) / len(leads)
    value, low = max(lead.value for lead in leads), max(lead.interval(strict)[0] for lead in leads)
    return Measurement(value, low, max(lead.interval(LEVEL)[1] for lead in leads))
