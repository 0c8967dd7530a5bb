"""The recipes: every experiment of the paper, and some beyond it, at four scales, as frozen data.

``paper`` is the paper's protocol, with what page *Paper versus code* decides where the text leaves something open.
``gpu`` is meant to take minutes per run on a data-center GPU; ``cpu`` takes minutes on one core of a laptop, ``smoke``
seconds. The scales of one experiment differ in numbers only, never in code. A recipe is tuned on the weighted mean
alone, and frozen before any other variant is run with it. The ``cpu`` recipes of CLEVR, MOVi-C and property prediction
replaced earlier ones; page *Limits* tells what was wrong with the records of those. This command lists all recipes::

    slotnorm-book sweep --list
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from slotnorm.training.spec import SpecError
from slotnorm_book.experiments.recipes.beyond import iterations, many_slots, tuned_scale
from slotnorm_book.experiments.recipes.clevr import clevr
from slotnorm_book.experiments.recipes.movi import movi_c, movi_d
from slotnorm_book.experiments.recipes.paper_versus_code import epsilon_hat, no_clipping
from slotnorm_book.experiments.recipes.properties import ablations, properties
from slotnorm_book.experiments.recipes.recipe import SCALES, Recipe, Scale
from slotnorm_book.experiments.test_sets import TestSet
from slotnorm_book.suggestions import describe_unknown

__all__ = ["BEYOND", "EXPERIMENTS", "SCALES", "Recipe", "Scale", "TestSet", "recipe"]

EXPERIMENTS: dict[str, Callable[[Scale], Recipe]] = {
    "clevr-6-7": partial(clevr, num_slots=7),
    "clevr-6-11": partial(clevr, num_slots=11),
    "movi-c-10-11": partial(movi_c, max_objects=10, num_slots=11),
    "movi-c-6-7": partial(movi_c, max_objects=6, num_slots=7),
    "movi-c-6-11": partial(movi_c, max_objects=6, num_slots=11),
    "movi-d-10-11": partial(movi_d, max_objects=10, num_slots=11),
    "movi-d-6-7": partial(movi_d, max_objects=6, num_slots=7),
    "movi-d-6-11": partial(movi_d, max_objects=6, num_slots=11),
    "properties": properties,
    "ablations": ablations,
    "scale": tuned_scale,
    "many-slots": many_slots,
    "iterations": iterations,
    "no-clipping": no_clipping,
    "epsilon-hat": epsilon_hat,
}
"""Name of each experiment to a function from scale to recipe. ``6-7`` means at most 6 objects and 7 slots in training.

The last five, :data:`BEYOND`, are not in the paper.
"""
BEYOND = ("scale", "many-slots", "iterations", "no-clipping", "epsilon-hat")
"""Experiments that no claim of the paper is about."""


def recipe(experiment: str, scale: str) -> Recipe:
    """Return the recipe of an experiment at a scale.

    Args:
        experiment: a name in :data:`EXPERIMENTS`.
        scale: ``"smoke"``, ``"cpu"``, ``"gpu"`` or ``"paper"``.

    Raises:
        SpecError: the name is unknown; the message lists those that exist.

    Example:
        >>> recipe("clevr-6-7", "paper").schedule.steps
        500000
    """
    if experiment not in EXPERIMENTS:
        raise SpecError(describe_unknown("experiment", experiment, EXPERIMENTS))
    if scale not in SCALES:
        raise SpecError(describe_unknown("scale", scale, SCALES))
    return EXPERIMENTS[experiment](scale)
