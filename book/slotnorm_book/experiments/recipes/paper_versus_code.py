"""Details in which paper and code differ, changed one at a time; compared with the runs of MOVi-C (6, 7).

| experiment | changed |
| --- | --- |
| no-clipping | the gradient is not clipped, as in the text; the paper's code clips at norm 1 |
| epsilon-hat | Adam's epsilon is added before the bias correction, as in TensorFlow and the paper's code for CLEVR |

They show the effect of a detail on the baseline and on one proposed variant, so two variants are enough.
"""

from __future__ import annotations

from dataclasses import replace

from slotnorm_book.experiments.recipes.movi import FEW_OBJECTS, movi_c
from slotnorm_book.experiments.recipes.recipe import FEW_SEEDS, Recipe, Scale

VARIANTS = ("weighted_mean", "weighted_sum")


def no_clipping(scale: Scale) -> Recipe:
    """Return MOVi-C (6, 7) as in the text of App. F."""
    return _changed(scale, "no-clipping", clip_norm=None)


def epsilon_hat(scale: Scale) -> Recipe:
    """Return MOVi-C (6, 7) with TensorFlow's Adam."""
    return _changed(scale, "epsilon-hat", epsilon_hat=True)


def _changed(scale: Scale, experiment: str, **optimizer: bool | None) -> Recipe:
    like = movi_c(scale, FEW_OBJECTS, 7)
    changed = replace(like.optimizer, **optimizer)  # type: ignore[arg-type]
    seeds = like.seeds[: len(FEW_SEEDS)]
    return replace(
        like, experiment=experiment, locus="App. F, its code", optimizer=changed, variants=VARIANTS, seeds=seeds
    )
