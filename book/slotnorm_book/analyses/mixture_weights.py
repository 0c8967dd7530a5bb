r"""Adds the mixture weights that Slot Attention leaves out to trained models (Sec. 3, Eqs. 5, 6 and 8).

EM's responsibilities are :math:`\gamma_{n,k} \propto \pi_k \exp(x_n^\top \theta_k / \tau)`. Attention has no
:math:`\pi_k`; Eq. 6 finds another factor in its place, which the query may carry. Here the weight of the previous
iteration is added to the scores as :math:`s \log \pi_k`. The scores are already divided by the temperature, so
:math:`s = 1` is Eq. 5. The first iteration, in which all weights are equal, does not change.

Proposition 2 divides by the length of the offset a. In trained models the offset is short compared with the values, so
that rounding errors grow; everything here is therefore computed in double precision.

Shape letters: B batch, K slots, N input tokens, D slot dimension.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from slotnorm.attention import SlotAttention
from slotnorm.evaluation import initial_noise
from slotnorm.normalization import WeightedSum
from slotnorm_book.analyses.changed_models import evaluate_changed
from slotnorm_book.experiments.results import Results
from slotnorm_book.experiments.test_sets import TestSet, first_scenes
from slotnorm_book.theory.propositions import factorize_attention, layer_norm_hull, recover_column_means, update_codes

FLOOR = 1e-6
"""Smallest value of a recovered weight, as rounding may make it zero or negative."""


class MixtureWeightedAttention(nn.Module):
    r"""Wraps a trained Slot Attention and adds :math:`s \log \pi_k` to its attention scores.

    The weights are the column means of the attention (Eq. 8). For a weighted sum whose C is a multiple of N they are
    recovered from the update codes by Prop. 2. The codes of the other normalizations do not contain them, so there they
    are computed from the attention.

    Args:
        trained: the module; it is copied.
        strength: :math:`s`; 0 changes nothing.
    """

    def __init__(self, trained: SlotAttention, strength: float) -> None:
        super().__init__()
        self.trained = copy.deepcopy(trained).double()
        self.strength = strength

    def initial_slots(self, noise: Float[Tensor, "batch slots dim"]) -> Float[Tensor, "batch slots dim"]:
        """Make initial slots in double precision, see :meth:`slotnorm.attention.SlotAttention.initial_slots`."""
        return self.trained.initial_slots(noise.double())

    @torch.no_grad()
    def forward(
        self,
        inputs: Float[Tensor, "batch inputs input_dim"],
        num_slots: int | None,
        iterations: int | None,
        slots: Float[Tensor, "batch slots dim"],
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, "batch slots dim"], Float[Tensor, "batch slots inputs"]]:
        """Return slots and attention of the last iteration, like :meth:`slotnorm.attention.SlotAttention.forward`.

        Args:
            inputs: input tokens, shape (B, N, input_dim).
            num_slots: not used; the number of initial slots counts.
            iterations: number of iterations; ``None`` for that of the training.
            slots: initial slots, shape (B, K, D).
            generator: not used.
        """
        module, statistics, weights_BK = self.trained, None, None
        slots = slots.double()
        keys_BND, values_BND = module.keys_and_values(inputs.double())
        for _ in range(iterations or module.iterations):
            attn_BKN = module.attend(slots, keys_BND)
            if weights_BK is not None:
                attn_BKN = reweight_attention(attn_BKN, weights_BK, self.strength)
            codes_BKD, statistics = module.normalization(values_BND, attn_BKN, statistics)
            slots = module.update(slots, codes_BKD)
            weights_BK = estimate_mixture_weights(module, codes_BKD, attn_BKN)
        return slots.to(inputs.dtype), attn_BKN.to(inputs.dtype)


def reweight_attention(
    attention: Float[Tensor, "batch slots inputs"], weights: Float[Tensor, "batch slots"], strength: float
) -> Float[Tensor, "batch slots inputs"]:
    r"""Add :math:`s \log \pi_k` to the scores of an attention: :math:`\gamma_{n,k} \pi_k^s`, normalized over k."""
    return (attention.log() + strength * weights.log()[:, :, None]).softmax(dim=1)


def estimate_mixture_weights(
    module: SlotAttention, codes: Float[Tensor, "batch slots dim"], attention: Float[Tensor, "batch slots inputs"]
) -> Float[Tensor, "batch slots"]:
    r"""Estimate the weights :math:`\pi_k` (Eq. 8) of an iteration, by Prop. 2 if the codes contain them.

    Args:
        module: Slot Attention; with a weighted sum, tokens must have as many features as slots (Prop. 2).
        codes: :math:`u_k`, shape (B, K, D).
        attention: attention of the codes, shape (B, K, N); not used for a weighted sum.

    Returns:
        Positive weights that sum to one over the slots, shape (B, K).

    Raises:
        ValueError: the codes of a weighted sum do not contain the weights, see
            :func:`slotnorm_book.theory.propositions.recover_column_means`.
    """
    normalization = module.normalization
    if isinstance(normalization, WeightedSum) and normalization.scale is None:
        hull = layer_norm_hull(module.norm_inputs, module.to_v)
        means_BK = recover_column_means(codes, hull, normalization.factor)
    else:
        means_BK = attention.mean(dim=2)
    positive_BK = means_BK.clamp(min=FLOOR)
    return positive_BK / positive_BK.sum(dim=1, keepdim=True)


def evaluate_with_mixture_weights(
    results: Results, test: TestSet, *, scenes: int, slots: Sequence[int], strengths: Sequence[float]
) -> pd.DataFrame:
    """Evaluate trained models with the mixture weight on the first scenes of a test set.

    Args:
        results: runs to evaluate; those without weights are left out.
        test: one of the recipe's test sets.
        scenes: number of scenes, at most those of the test set.
        slots: slot counts.
        strengths: see :class:`MixtureWeightedAttention`.

    Returns:
        Rows like those of :attr:`slotnorm_book.experiments.results.Results.scenes`, and a column ``strength``.
    """
    changes = {strength: partial(MixtureWeightedAttention, strength=strength) for strength in strengths}
    return evaluate_changed(results, test, changes, "strength", scenes=scenes, slots=slots)


def measure_learned_weights(results: Results, test: TestSet, *, scenes: int, slots: int) -> pd.DataFrame:
    r"""Measure whether the queries of trained models carry the weight: compare Eq. 6's factor with column means.

    Args:
        results: runs to measure; those without weights are left out.
        test: test set whose first scenes are used.
        scenes: number of scenes.
        slots: number of slots.

    Returns:
        A row per run: ``variant``, ``seed``, ``correlation`` (Pearson's, between :math:`a^\top p_a(q_k) / \sqrt D` and
        :math:`\log \pi_k` of the last iteration but one, each minus its mean over the slots of the scene), ``offset``
        (length of the values' offset a, divided by the mean length of the values), and ``recovery_error``, the largest
        error of Prop. 2's function in single precision, which is NaN except for weighted sums.
    """
    split, spec = first_scenes(test, scenes, [slots])
    (batch,) = split.batches(batch_size=scenes, fields=results.recipe.task.evaluation_fields)
    rows = []
    for run in results.runs:
        if not run.has_weights:
            continue
        task = run.spec.task
        model: Any = run.load_model()
        noise = initial_noise(task, scenes, slots, spec.seed)
        with torch.no_grad():
            rows.append(
                {"variant": run.spec.variant, "seed": run.spec.seed}
                | _measure_run(model.slot_attention, task.encode(model, batch), noise, test.iterations[0])
            )
    return pd.DataFrame(rows)


def _measure_run(module: SlotAttention, tokens: Tensor, noise: Tensor, iterations: int) -> dict[str, float]:
    # in single precision an offset of the keys that is small beside them would be rounded to zero
    exact, exact_tokens = copy.deepcopy(module).double(), tokens.double()
    slots_BKD, codes_BKD, means_BK = _step_before_the_last(exact, exact_tokens, noise.double(), iterations)
    factor_BK = factorize_attention(exact, exact_tokens, exact.update(slots_BKD, codes_BKD)).slot_logits
    pair = torch.stack([(x - x.mean(dim=1, keepdim=True)).flatten() for x in (factor_BK, means_BK.log())])
    found = {"correlation": float(torch.corrcoef(pair)[0, 1]), "recovery_error": float("nan")}
    offset = layer_norm_hull(exact.norm_inputs, exact.to_v).offset
    found["offset"] = float(offset.norm() / exact.keys_and_values(exact_tokens)[1].norm(dim=2).mean())
    if isinstance(module.normalization, WeightedSum):
        _, codes_BKD, means_BK = _step_before_the_last(module, tokens, noise, iterations)
        hull = layer_norm_hull(module.norm_inputs, module.to_v)
        recovered_BK = recover_column_means(codes_BKD, hull, module.normalization.factor)
        found["recovery_error"] = float((recovered_BK - means_BK).abs().max())
    return found


def _step_before_the_last(
    module: SlotAttention, tokens: Tensor, noise: Tensor, iterations: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return slots, update codes and column means from which the query of the last iteration is made."""
    slots_BKD, _ = module(tokens, slots=module.initial_slots(noise), iterations=max(1, iterations - 2))
    codes_BKD, attn_BKN = update_codes(module, tokens, slots_BKD)
    return slots_BKD, codes_BKD, attn_BKN.mean(dim=2)


def correlation_table(learned: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """Tabulate the correlations of :func:`measure_learned_weights`: median and range over runs.

    Args:
        learned: a row per run; may be empty.
        labels: variant to its name in the table.
    """
    rows = []
    for variant, runs in learned.groupby("variant", sort=False) if len(learned) else ():
        values = runs["correlation"].dropna()  # keys without an offset have no factor to correlate
        spread = f"{values.median():.2f} ({values.min():.2f} to {values.max():.2f})" if len(values) else "unknown"
        rows.append({"variant": labels.get(variant, variant), "runs": len(values), "correlation": spread})
    return pd.DataFrame(rows, columns=["variant", "runs", "correlation"])


def summarize_recovery(learned: pd.DataFrame) -> tuple[float | None, str]:
    """Return the largest error of Prop. 2's function over the weighted sums, and the median of their offsets as text.

    The error follows from rounding and differs between processors; it is ``None`` where no run keeps weights.
    """
    sums = learned.dropna(subset="recovery_error") if len(learned) else learned
    if sums.empty:
        return None, "(not run)"
    offset = np.format_float_positional(sums["offset"].median(), precision=1, fractional=False)
    return float(sums["recovery_error"].max()), offset
