"""Which comparisons can be decided at all: the rule of *not decidable*, in one place for every claim.

A comparison of variants about finding objects (F-ARI, ARI, the background's share) is not decidable

- where the **baseline** finds too few objects to compare anything with: its found objects at the slots of its training
  are below :data:`slotnorm_book.statistics.found_objects.ENOUGH_FOUND` in mean over runs and scenes; and
- where a **variant** that it rests on finds none, with less than
  :data:`slotnorm_book.statistics.found_objects.LEAST_FOUND`: the F-ARI of such a variant follows from the number of its
  cells alone. That it holds is no robustness, that it falls is no harm, and its lead is none.

A comparison of average precision is not decidable where the precision of the baseline, or of a variant whose precision
is the whole of a share, is below :data:`LEAST_PRECISION`; nor can any comparison with a variant of which every run is
spatial. Other comparisons of losses, and counts of spatial runs, can always be decided.
The first rule was written before any run of the present recipes but the baseline's was looked at, the second after R15
had come out contradicted on a single run's detections.
"""

from __future__ import annotations

from slotnorm_book.claims.comparisons import Comparison, MissingEvidenceError, Quantity
from slotnorm_book.claims.evidence import NOT_ABOUT_OBJECTS, Findings
from slotnorm_book.statistics.found_objects import ENOUGH_FOUND, LEAST_FOUND
from slotnorm_book.variants import BASELINE

LEAST_PRECISION = {"ap@1": 0.08, "ap@0.5": 0.06, "ap@0.25": 0.02, "ap@0.125": 0.002}
"""Distance to the precision from which shares of it are taken: a tenth of where the axis of Fig. 13 ends."""


def why_not_decidable(quantity: Quantity, findings: Findings) -> str:
    """Return why a comparison cannot be decided, or an empty text where it can.

    Args:
        quantity: of a claim; only a comparison of scores can be undecidable.
        findings: the evidence that the comparison was made from.

    Raises:
        MissingEvidenceError: no run of the baseline, or of a variant, has the control.
    """
    if not isinstance(quantity, Comparison):
        return ""
    source = quantity.source
    for experiment, variant in map(source.resolve, quantity.all_spatial):
        return f"{experiment}: every run of {variant} is spatial"
    if source.measures and source.measures[0].startswith("ap@"):
        return _why_too_imprecise(quantity, findings)
    if set(source.measures) <= set(NOT_ABOUT_OBJECTS):
        return ""
    return _why_too_few_objects(quantity, findings)


def _why_too_few_objects(comparison: Comparison, findings: Findings) -> str:
    source = comparison.source
    asked = dict.fromkeys((source.resolve(name)[0], BASELINE) for name in comparison.variants)
    asked |= dict.fromkeys(map(source.resolve, comparison.rests_on))
    for experiment, variant in asked:
        least = ENOUGH_FOUND if variant == BASELINE else LEAST_FOUND
        found = findings.found_objects(experiment, source.test).get(variant)
        if found is None:
            raise MissingEvidenceError(
                f"{experiment}: no run of {variant} has been evaluated for blind_f_ari on {source.test}"
            )
        if not found >= least:
            what = "finds too few objects" if variant == BASELINE else "finds no objects"
            return f"{experiment}: {variant} {what} on {source.test} ({found:.3f}, {least:g} asked)"
    return ""


def _why_too_imprecise(comparison: Comparison, findings: Findings) -> str:
    (experiment,) = comparison.source.experiments
    for measure in dict.fromkeys(comparison.source.measures):
        precision = findings.mean_precision(experiment, measure)
        for variant in dict.fromkeys((BASELINE, *comparison.rests_on)):
            found, least = precision.get(variant, float("nan")), LEAST_PRECISION[measure]
            if not found >= least:
                return f"{experiment}: {measure} of {variant} is {found:.2g}, {least:g} asked"
    return ""
