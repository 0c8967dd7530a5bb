r"""Gives trained baselines update codes whose length falls with the number of slots, but that hold no weights.

A weighted sum's code is :math:`u_k = \pi_k \bar v_k`: the slot's weighted mean times its mixture weight
(Sec. 3, Eq. 8; :math:`C = N`). The weights add up to one, so with more slots they are smaller, 1 / K on average, and
the codes shorter. ``scaled_mean``, :math:`u_k = \bar v_k \, K_\text{train} / K`, falls as fast and treats all slots
alike. With the slots of the training it is the weighted mean: a trained baseline is a model trained with it.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import pandas as pd

from slotnorm.attention import SlotAttention
from slotnorm.normalization import make_normalization
from slotnorm_book.analyses.changed_models import evaluate_changed
from slotnorm_book.experiments.results import Results
from slotnorm_book.experiments.test_sets import TestSet
from slotnorm_book.variants import BASELINE, SCALED_MEAN


def with_scaled_codes(trained: SlotAttention) -> SlotAttention:
    """Return a copy of a trained module whose weighted means are multiplied by the slots of its training over K."""
    module, train_slots = copy.deepcopy(trained), trained.num_slots
    module.normalization = make_normalization(SCALED_MEAN, module.slots_mu.shape[-1], train_slots)
    return module


def evaluate_with_scaled_codes(results: Results, test: TestSet, *, scenes: int) -> pd.DataFrame:
    """Evaluate trained baselines with their codes as they are and scaled, at every slot count of a test set.

    Both are evaluated here, since ``blind_f_ari`` compares a scene with others of the same evaluation.

    Args:
        results: runs; only those of the baseline that have weights are used.
        test: one of the recipe's test sets.
        scenes: how many of its scenes, the first ones; all of them where it has fewer.

    Returns:
        Rows like those of :attr:`slotnorm_book.experiments.results.Results.scenes`; ``variant`` is ``weighted_mean``
        for the codes as they are and ``scaled_mean`` for scaled ones. Empty where no baseline has weights.
    """
    baselines = replace(results, runs=tuple(run for run in results.runs if run.spec.variant == BASELINE))
    changes = {BASELINE: lambda trained: trained, SCALED_MEAN: with_scaled_codes}
    return evaluate_changed(baselines, test, changes, "variant", scenes=min(scenes, test.scenes), slots=test.slots)
