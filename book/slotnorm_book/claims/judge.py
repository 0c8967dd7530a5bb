"""Judges claims: mechanism claims on random instances, result claims and hypotheses on tables of runs.

For example, ``judge({"clevr-6-7": Evidence.of(results)})`` returns a verdict on every result claim, and
:func:`slotnorm_book.claims.tables.ledger_table` makes a table of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import pandas as pd
import torch

from slotnorm_book.claims.claim import Hypothesis, ResultClaim, Verdict
from slotnorm_book.claims.comparisons import Comparison, Quantity, Source
from slotnorm_book.claims.decidable import why_not_decidable
from slotnorm_book.claims.evidence import Evidence, Findings
from slotnorm_book.claims.ledger import HYPOTHESES, MECHANISM_CLAIMS, RESULT_CLAIMS
from slotnorm_book.claims.verdicts import judge_measured, with_false_discovery_rates
from slotnorm_book.statistics.bootstrap import RESAMPLES
from slotnorm_book.statistics.found_objects import RUN
from slotnorm_book.statistics.spatial_runs import flag_spatial_runs
from slotnorm_book.variants import VARIANTS


def judge_all(evidence: Mapping[str, Evidence], seed: int, trials: int) -> list[Verdict]:
    """Judge the claims of the paper, mechanism claims first.

    False discovery rates are over all result claims that were run and can be decided. Mechanism claims are computed on
    instances that can be drawn at will; they have no p-value, and leaving them out makes the others' rates larger, if
    anything.

    Args:
        evidence: by experiment.
        seed: of the random instances of the mechanism claims.
        trials: random instances per mechanism claim.
    """
    return [*judge_mechanisms(seed, trials), *judge(evidence)]


def judge_mechanisms(seed: int, trials: int) -> list[Verdict]:
    """Measure and judge every mechanism claim, in seconds on a CPU.

    Args:
        seed: of the random instances; each claim has its own generator.
        trials: random instances per claim.

    Raises:
        ValueError: for fewer than two trials.
    """
    if trials < 2:
        raise ValueError(f"trials must be at least 2, got {trials}")
    return [
        claim.judge(claim.measure(torch.Generator().manual_seed(seed), trials)) for claim in MECHANISM_CLAIMS.values()
    ]


def judge(
    evidence: Mapping[str, Evidence],
    claims: Sequence[str] = tuple(RESULT_CLAIMS),
    *,
    spatial_runs: bool = False,
    found_objects: bool = False,
    resamples: int = RESAMPLES,
) -> list[Verdict]:
    """Judge result claims on the runs that there are.

    Args:
        evidence: by experiment; those that have no run may be left out.
        claims: ids of the claims to judge; the false discovery rates are over them.
        spatial_runs: whether to use spatial runs too, which the paper leaves out.
        found_objects: whether to compare found objects where the claims compare F-ARI.
        resamples: of the bootstrap.
    """
    instead = {"f_ari": "found_objects"} if found_objects else {}
    findings = Findings(evidence, resamples, spatial_runs=spatial_runs, instead=instead)
    verdicts = [_judge_result(RESULT_CLAIMS[name], evidence, findings) for name in claims]
    return with_false_discovery_rates(verdicts)


def judge_otherwise(
    evidence: Mapping[str, Evidence], claims: Sequence[str] = tuple(RESULT_CLAIMS)
) -> dict[str, dict[str, Verdict]]:
    """Judge result claims in the two ways that a table states beside their verdicts.

    Args:
        evidence, claims: see :func:`judge`.

    Returns:
        ``"with spatial runs"`` and ``"in found objects"`` to verdicts by claim; the second for claims about F-ARI only.
    """
    spatial = judge(evidence, claims, spatial_runs=True)
    found = judge(evidence, claims, found_objects=True)
    return {
        "with spatial runs": {verdict.claim.id: verdict for verdict in spatial},
        "in found objects": {verdict.claim.id: verdict for verdict in found if "found_objects" in verdict.measures},
    }


def judge_hypotheses(tables: Mapping[str, pd.DataFrame], models: Mapping[str, Evidence]) -> list[Verdict]:
    """Judge our own hypotheses, each on its table.

    What can be decided at all is decided by the models, and spatial runs are left out, as for the paper's claims.

    Args:
        tables: by hypothesis, rows as in :attr:`slotnorm_book.experiments.results.Results.scenes`: for B1 of the
            experiment ``scale``, for B2 of
            :func:`slotnorm_book.analyses.mixture_weights.evaluate_with_mixture_weights`, for B3 of ``many-slots``, for
            B4 of ``iterations``, for B5 of the models and of
            :func:`slotnorm_book.analyses.em_segmentation.segment_with_em` together, on the same scenes, for B6 and B7
            of the models with codes as they are and scaled.
        models: by experiment, those that the hypotheses are about.

    Returns:
        One verdict per hypothesis; the false discovery rates are over these.
    """
    findings = Findings(models, RESAMPLES)
    verdicts = []
    for claim in HYPOTHESES.values():
        table = tables.get(claim.id, pd.DataFrame())
        if table.empty or claim.experiment not in models:
            verdicts.append(Verdict.not_run(claim, "no runs"))
        else:
            flagged = _mark_spatial_runs(table, models[claim.experiment])
            measure = partial(claim.measure, flagged[flagged["test"] == claim.test])
            why_not = partial(_why_no_answer, claim=claim, findings=findings)
            verdicts.append(judge_measured(claim, measure, models[claim.experiment].scale, why_not))
    return with_false_discovery_rates(verdicts)


def _mark_spatial_runs(table: pd.DataFrame, models: Evidence) -> pd.DataFrame:
    """Add whether a row is of a ``spatial`` run, by the models' evaluation; for other variants, by the table itself."""
    known = flag_spatial_runs(models.scenes, models.train_slots)
    others = table[~table["variant"].isin(known["variant"])]
    flags = [known, flag_spatial_runs(others, models.train_slots)] if "agreement" in others else [known]
    runs = pd.concat([each.loc[each["spatial"], RUN] for each in flags])
    return table.assign(spatial=pd.MultiIndex.from_frame(table[RUN]).isin(pd.MultiIndex.from_frame(runs)))


def _why_no_answer(quantity: Quantity, claim: Hypothesis, findings: Findings) -> str:
    """Ask :func:`why_not_decidable` of the models; ``weighted_sum@4`` and ``weighted_sum/0`` are weighted sums."""
    if not isinstance(quantity, Comparison):
        return ""
    models = [name.split("/")[0].split("@")[0] for name in quantity.variants]
    source = Source((claim.experiment,), claim.test, quantity.source.measures)
    rests_on = tuple(name for name in models if name in VARIANTS)
    return why_not_decidable(replace(quantity, source=source, rests_on=rests_on), findings)


def _judge_result(claim: ResultClaim, evidence: Mapping[str, Evidence], findings: Findings) -> Verdict:
    missing = [name for name in claim.experiments if name not in evidence or evidence[name].scenes.empty]
    if missing:
        return Verdict.not_run(claim, f"no runs of {', '.join(missing)}")
    scale = ", ".join(dict.fromkeys(evidence[name].scale for name in claim.experiments))
    return judge_measured(claim, partial(claim.measure, findings), scale, partial(why_not_decidable, findings=findings))
