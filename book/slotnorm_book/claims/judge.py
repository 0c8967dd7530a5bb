"""Verdicts on the result claims R1 to R17, from the tables of the runs.

rulings = judge({name: Evidence.of(results) for name, results in ...})
show_table("tab-claims", ledger_table(rulings))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from slotnorm_book.claims import clevr, movi, properties
from slotnorm_book.claims.comparisons import LackingError, Quantities
from slotnorm_book.claims.evidence import Evidence, Findings, leave_out_spatial
from slotnorm_book.claims.ledger import CLAIMS
from slotnorm_book.claims.tables import answer, ledger_table, more_slots
from slotnorm_book.claims.verdicts import Ruling, rule, with_false_discovery_rates
from slotnorm_book.statistics.bootstrap import RESAMPLES

__all__ = ["MEASURES", "Evidence", "Measure", "Ruling", "answer", "judge", "ledger_table", "more_slots"]

_MOVI_C, _MOVI_D = ("movi-c-10-11", "movi-c-6-7", "movi-c-6-11"), ("movi-d-10-11", "movi-d-6-7", "movi-d-6-11")


@dataclass(frozen=True)
class Measure:
    """What measures a claim.

    Args:
        function: from all findings to one or more quantities per criterion.
        experiments: that it needs.
    """

    function: Callable[[Findings], Quantities]
    experiments: tuple[str, ...]


MEASURES: dict[str, Measure] = {
    "R1": Measure(clevr.holds_with_more_slots, ("clevr-6-7",)),
    "R2": Measure(clevr.beats_the_baseline, ("clevr-6-7",)),
    "R3": Measure(clevr.beats_it_at_every_object_count, ("clevr-6-7",)),
    "R4": Measure(clevr.better_overall, ("clevr-6-7",)),
    "R5": Measure(clevr.excess_slots_in_training, ("clevr-6-7", "clevr-6-11")),
    "R6": Measure(clevr.background_in_one_slot, ("clevr-6-11",)),
    "R7": Measure(movi.beats_both_throughout, ("movi-c-10-11",)),
    "R8": Measure(movi.best_overall, ("movi-c-10-11",)),
    "R9": Measure(movi.fewer_slots_transfer, ("movi-c-10-11", "movi-c-6-7")),
    "R10": Measure(movi.lead_grows_with_slots, ("movi-c-6-11",)),
    "R11": Measure(movi.order_on_movi_d, _MOVI_D),
    "R12": Measure(movi.fewer_slots_transfer_to_movi_d, _MOVI_D),
    "R13": Measure(movi.reconstruction, ("clevr-6-7", "clevr-6-11", *_MOVI_C)),
    "R14": Measure(properties.robust_to_excess_slots, ("properties",)),
    "R15": Measure(properties.robust_precision, ("properties",)),
    "R16": Measure(properties.ablated, ("ablations",)),
    "R17": Measure(clevr.spatial_decompositions, ("clevr-6-7",)),
}
"""Claim to what measures it."""


def judge(
    evidence: Mapping[str, Evidence],
    claims: Sequence[str] = tuple(MEASURES),
    *,
    spatial_runs: bool = False,
    resamples: int = RESAMPLES,
) -> list[Ruling]:
    """Judge result claims on what has been run.

    Args:
        evidence: by experiment; those that have no run may be left out.
        claims: those to judge; the false discovery rates are over them.
        spatial_runs: whether to use spatial runs too, which the paper leaves out.
        resamples: of the bootstrap.
    """
    findings = Findings(evidence if spatial_runs else leave_out_spatial(evidence), evidence, resamples)
    rulings = []
    for name in claims:
        measure = MEASURES[name]
        absent = [one for one in measure.experiments if one not in evidence or evidence[one].scenes.empty]
        if absent:
            rulings.append(Ruling(CLAIMS[name], None, lacking=f"no runs of {', '.join(absent)}"))
            continue
        scale = ", ".join(dict.fromkeys(evidence[one].scale for one in measure.experiments))
        try:
            rulings.append(rule(CLAIMS[name], measure.function(findings), scale))
        except LackingError as error:
            rulings.append(Ruling(CLAIMS[name], None, scale, lacking=str(error)))
    return with_false_discovery_rates(rulings)
