"""Claims about the transfer from MOVi-C to MOVi-D (Table 1, Sec. 5.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slotnorm_book.claims.claim import Criterion, ResultClaim
from slotnorm_book.claims.comparisons import Comparison, Panel, Quantities
from slotnorm_book.claims.criteria import positive, presumed_negative, presumed_positive
from slotnorm_book.claims.evidence import Findings
from slotnorm_book.experiments.recipes.movi import TRANSFER_SLOTS
from slotnorm_book.variants import BASELINE, BATCH_NORM, OTHERS, VARIANTS, WEIGHTED_SUM

FULL, FEW, MANY = "movi-d-10-11", "movi-d-6-7", "movi-d-6-11"
MOVI_D = (FULL, FEW, MANY)
"""The three trainings, on MOVi-C; each is evaluated on MOVi-D."""


def compare_order(findings: Findings) -> Quantities:
    """Estimate the differences between the variants that Table 1 shows, most of them averaged over the trainings."""
    together = _at_24_slots(findings, MOVI_D, "f_ari")
    ari = _at_24_slots(findings, MOVI_D, "ari")
    panels = [_at_24_slots(findings, experiment, "f_ari") for experiment in MOVI_D]
    names = [f"{experiment}/{variant}" for experiment in MOVI_D for variant in VARIANTS]
    nearness = [*_of(WEIGHTED_SUM), *_of(BATCH_NORM), *_of(BASELINE)]
    return {
        "batch_norm_gain": [panel.lead(BATCH_NORM, other) for panel in panels for other in OTHERS],
        "weighted_sum_gain": [together.lead_of_groups(_of(WEIGHTED_SUM), _of(other)) for other in OTHERS],
        "batch_norm_first": [together.lead_of_groups(_of(BATCH_NORM), _of(WEIGHTED_SUM))],
        "only_slightly_behind": [together.estimate(nearer_to_the_best, *nearness)],
        "consistent_lead": [ari.estimate(consistent_lead, *names)],
    }


def _at_24_slots(findings: Findings, experiment: str | Sequence[str], measure: str) -> Panel:
    return findings.over_slots(experiment, measure, "MOVi-D").restrict(TRANSFER_SLOTS, TRANSFER_SLOTS)


def _of(variant: str) -> list[str]:
    return [f"{experiment}/{variant}" for experiment in MOVI_D]


def nearer_to_the_best(*means: np.ndarray) -> np.ndarray:
    """Return by how much a score is nearer to the best one than to the baseline's, averaged over trainings.

    Args:
        means: of the variant in each training, of the best one, of the baseline, of shape (…, 1).
    """
    middle, best, base = (np.mean(means[place : place + 3], axis=0)[..., 0] for place in (0, 3, 6))
    return np.asarray((middle - base) - (best - middle))


def consistent_lead(*means: np.ndarray) -> np.ndarray:
    """Return the least lead over all trainings of the variant for which it is largest.

    Args:
        means: of each training and variant, trainings first, of shape (…, 1).
    """
    scores = np.stack([mean[..., 0] for mean in means]).reshape(len(MOVI_D), len(VARIANTS), *means[0].shape[:-1])
    leads = []
    for variant in range(len(VARIANTS)):
        best_rival = np.delete(scores, variant, axis=1).max(axis=1)
        leads.append((scores[:, variant] - best_rival).min(axis=0))
    return np.asarray(np.max(leads, axis=0))


R11 = ResultClaim(
    id="R11",
    locus="Table 1",
    statement="On MOVi-D batch norm does best in F-ARI, weighted sum only slightly worse, both markedly better than "
    "baseline and layer norm; in ARI nobody wins throughout",
    criteria=(
        positive("batch_norm_gain", "F-ARI of batch norm less the baseline's and less layer norm's, in each training"),
        positive(
            "weighted_sum_gain", "F-ARI of weighted sum less the baseline's and less layer norm's, mean of trainings"
        ),
        presumed_positive("batch_norm_first", "F-ARI of batch norm less weighted sum's, mean of trainings"),
        Criterion(
            statistic="only_slightly_behind",
            meaning="how much farther weighted sum is ahead of the baseline than behind batch norm, mean of trainings",
            side="at least",
            bound=0.0,
            reason="slightly worse than the best, markedly better than the baseline: nearer to the best",
        ),
        presumed_negative(
            "consistent_lead", "smallest lead in ARI over the trainings, of the variant whose smallest lead is largest"
        ),
    ),
    experiments=MOVI_D,
    measure=compare_order,
    shown_in=("tab-transfer",),
)


def compare_trainings(findings: Findings) -> Quantities:
    """Estimate each variant's F-ARI on MOVi-D trained as (6, 7) less trained as (10, 11) and as (6, 11)."""
    return {
        f"over_{rival.removeprefix('movi-d-').replace('-', '_')}": _training_leads(
            _at_24_slots(findings, (FEW, rival), "f_ari"), FEW, rival, VARIANTS
        )
        for rival in (FULL, MANY)
    }


def _training_leads(panel: Panel, better: str, worse: str, variants: Sequence[str]) -> list[Comparison]:
    return [panel.lead(f"{better}/{variant}", f"{worse}/{variant}") for variant in variants]


R12 = ResultClaim(
    id="R12",
    locus="Table 1, Sec. 5.2",
    statement="On MOVi-D every variant does better in F-ARI trained as (6, 7) than as (10, 11) or (6, 11)",
    criteria=(
        positive("over_10_11", "F-ARI of (6, 7) less (10, 11), for each variant"),
        positive("over_6_11", "F-ARI of (6, 7) less (6, 11), for each variant"),
    ),
    experiments=MOVI_D,
    measure=compare_trainings,
    shown_in=("tab-transfer",),
)

CLAIMS = (R11, R12)
