"""Beyond the paper: other scales C of the weighted sum, up to 128 slots, 1 to 10 iterations; all on MOVi-C (6, 7).

| experiment | trained | evaluated on MOVi-C10 |
| --- | --- | --- |
| scale | weighted sum with C / N of 1/64, 1/16, 1/4, 1 and 4 | as MOVi-C (6, 7), and on MOVi-C6 |
| many-slots | nothing new | 5 to 128 slots |
| iterations | nothing new | 7 and 21 slots, 1 to 10 iterations |

Every scale is that of MOVi-C (6, 7), so the three share its runs: the weighted sum with C = N is trained once, and the
other two add evaluations to the runs of MOVi-C. They were chosen before any of their results was seen.
"""

from __future__ import annotations

from dataclasses import replace

from slotnorm.normalization import scaled_name
from slotnorm_book.experiments.recipes.movi import FEW_OBJECTS, movi_c
from slotnorm_book.experiments.recipes.recipe import FEW_SEEDS, Recipe, Scale

NUM_SLOTS = 7
SCALES_OVER_N = (1 / 64, 1 / 16, 1 / 4, 1.0, 4.0)
MANY_SLOTS = (5, 7, 11, 21, 32, 48, 64, 96, 128)
ITERATED_SLOTS = (NUM_SLOTS, 21)
ITERATIONS = tuple(range(1, 11))
WEIGHTED_SLOTS, STRENGTHS = (NUM_SLOTS, 11, 21), (0.0, 0.5, 1.0)
"""Slot counts at which the mixture weight is added to trained models, and its strengths."""
EM_COUNTS = (5, NUM_SLOTS, 11, 15, 21)
"""Component counts of the EM that the models are compared with."""


def tuned_scale(scale: Scale) -> Recipe:
    """Return weighted sums that differ only in C; Sec. 4.1 uses C = N and says that tuning may be beneficial."""
    factors = (1 / 16, 1.0, 4.0) if scale == "smoke" else SCALES_OVER_N
    variants = tuple(map(scaled_name, factors))
    return replace(_trained(scale), experiment="scale", locus="beyond Sec. 4.1", variants=variants)


def many_slots(scale: Scale) -> Recipe:
    """Return the runs of MOVi-C (6, 7) with up to 128 slots; the paper has up to 24."""
    trained = _trained(scale)
    test = replace(trained.tests[-1], slots=MANY_SLOTS)
    return replace(trained, experiment="many-slots", locus="beyond Sec. 5.2", tests=(test,))


def iterations(scale: Scale) -> Recipe:
    """Return the runs of MOVi-C (6, 7) with 1 to 10 iterations, with as many slots as in training and with 21."""
    trained = _trained(scale)
    test = replace(trained.tests[-1], slots=ITERATED_SLOTS, iterations=ITERATIONS)
    return replace(trained, experiment="iterations", locus="beyond Sec. 5.2", tests=(test,))


def _trained(scale: Scale) -> Recipe:
    trained = movi_c(scale, FEW_OBJECTS, NUM_SLOTS)
    return replace(trained, seeds=trained.seeds[: len(FEW_SEEDS)])
