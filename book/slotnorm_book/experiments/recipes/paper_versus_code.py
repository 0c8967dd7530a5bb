"""Details in which paper and code differ, one changed at a time; on MOVi-C (6, 7), beside whose runs they are held.

| experiment | changed |
| --- | --- |
| no-clipping | the gradient is not clipped, as the text has it; the paper's code clips at norm 1 |
| epsilon-hat | Adam's epsilon is added before the bias correction, as in TensorFlow and the paper's code for CLEVR |

They show what a detail does to the baseline and to a proposal, so two variants are enough.
"""

from __future__ import annotations

from dataclasses import replace

from slotnorm_book.experiments.recipes.movi import FEW_OBJECTS, movi_c
from slotnorm_book.experiments.recipes.recipe import Recipe, Scale

VARIANTS = ("weighted_mean", "weighted_sum")


def no_clipping(scale: Scale) -> Recipe:
    """MOVi-C (6, 7) as the text of App. F has it."""
    return _changed(scale, "no-clipping", clip_norm=None)


def epsilon_hat(scale: Scale) -> Recipe:
    """MOVi-C (6, 7) with TensorFlow's Adam."""
    return _changed(scale, "epsilon-hat", epsilon_hat=True)


def _changed(scale: Scale, experiment: str, **optimizer: bool | None) -> Recipe:
    like = movi_c(scale, FEW_OBJECTS, 7)
    changed = replace(like.optimizer, **optimizer)  # type: ignore[arg-type]
    return replace(like, experiment=experiment, locus="App. F, its code", optimizer=changed, variants=VARIANTS)
