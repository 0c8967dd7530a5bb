r"""Measures how the results depend on details in which the paper and its code differ, at inference and in training.

The page *Paper versus code* says where each detail comes from. All comparisons use the same scenes and initial slots.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch.nn.functional import interpolate

from slotnorm.normalization import BatchNorm, ScaledMean
from slotnorm.training.spec import RunSpec
from slotnorm_book.experiments.results import Results
from slotnorm_book.experiments.test_sets import TestSet, evaluate, first_scenes
from slotnorm_book.statistics.found_objects import with_found_objects

COLUMNS = ["detail", "variant", "seed", "slots", "plain", "changed"]
ENLARGED = 4
"""Factor by which the pictures that :func:`effect_of_nearest_scaling` scales down are larger."""
Change = Callable[[Any, RunSpec], None]
TENSORFLOW_EPS = 1e-3
"""Epsilon of layer normalization in Keras, with which Locatello et al. (2020) trained."""
NEAREST = "pictures scaled nearest"
"""Label of the detail that :func:`effect_of_nearest_scaling` measures."""


def use_scaled_mean(model: Any, spec: RunSpec) -> None:
    """Multiply the update codes by the number of slots in training, divided by that of the call."""
    model.slot_attention.normalization = ScaledMean(spec.task.slot_dim, spec.task.num_slots)


def use_tensorflow_eps(model: Any, spec: RunSpec) -> None:
    """Set the epsilon of the three layer normalizations to that of the TensorFlow original."""
    for name in ("norm_inputs", "norm_slots", "norm_mlp"):
        getattr(model.slot_attention, name).eps = TENSORFLOW_EPS


def use_unbiased_variance(model: Any, spec: RunSpec) -> None:
    """Divide batch norm's variance by LKD - 1, as Eq. 12 is printed, for the batch size of the training."""
    norm: BatchNorm = model.slot_attention.normalization
    count = spec.batch_size * spec.task.num_slots * spec.task.slot_dim
    norm.running_var.mul_(count / (count - 1))


@dataclass(frozen=True)
class Detail:
    """A change at inference: its label, the variant that it applies to, and the function that makes it."""

    label: str
    variant: str
    change: Change


DETAILS = (
    Detail("scaled mean", "weighted_mean", use_scaled_mean),
    Detail("ε of TensorFlow's layer norm", "weighted_mean", use_tensorflow_eps),
    Detail("unbiased variance", "batch_norm", use_unbiased_variance),
)


def effect_at_inference(results: Results, test: TestSet, *, scenes: int, slots: Sequence[int]) -> pd.DataFrame:
    """Measure how the :data:`DETAILS` change the F-ARI of trained models.

    Args:
        results: runs to measure; those without weights are left out.
        test: one of the recipe's test sets.
        scenes: number of its first scenes to measure on.
        slots: slot counts.

    Returns:
        A row per detail, run and slot count: ``detail``, ``variant``, ``seed``, ``slots``, ``plain`` and ``changed``,
        the mean F-ARI without and with the detail.
    """
    runs = [run for run in results.runs if run.has_weights]
    if not runs:
        return pd.DataFrame(columns=COLUMNS)
    split, spec = first_scenes(test, scenes, slots)
    rows = []
    for run in runs:
        details = [detail for detail in DETAILS if detail.variant == run.spec.variant]
        if not details:
            continue
        plain = _means(evaluate(run.spec.task, run.load_model(), split, spec, bar=False).scenes)
        for detail in details:
            model = run.load_model()
            detail.change(model, run.spec)
            changed = _means(evaluate(run.spec.task, model, split, spec, bar=False).scenes)
            rows += [_row(detail.label, run.spec.variant, run.spec.seed, k, plain[k], changed[k]) for k in slots]
    return pd.DataFrame(rows, columns=COLUMNS)


def effect_of_nearest_scaling(results: Results, test: TestSet, *, scenes: int, slots: Sequence[int]) -> pd.DataFrame:
    """Measure the F-ARI of trained models on pictures scaled to the nearest pixel, as in the paper's code.

    The scenes are opened at :data:`ENLARGED` times the side and scaled down in both ways, bilinear and nearest, without
    antialiasing. The masks are those of the test set. Prepared scenes have one size, so that of them nothing can be
    measured.

    Args:
        results: runs of object discovery; those without weights are left out.
        test: one of the recipe's test sets.
        scenes: number of its first scenes to measure on.
        slots: slot counts.

    Returns:
        Rows like those of :func:`effect_at_inference`; ``plain`` is bilinear, ``changed`` nearest.
    """
    runs = [run for run in results.runs if run.has_weights]
    if not runs or not test.source.is_generated:
        return pd.DataFrame(columns=COLUMNS)
    small, spec = first_scenes(test, scenes, slots)
    source = replace(test.source, image_size=ENLARGED * test.source.image_size)
    large, _ = first_scenes(replace(test, source=source), scenes, slots)
    pictures = {mode: _scaled(large["image"], test.source.image_size, mode) for mode in ("bilinear", "nearest")}
    index = np.arange(scenes)
    kept = {name: small[name] for name in small.arrays}
    splits = {m: replace(small, arrays={**kept, "image": image}, index=index) for m, image in pictures.items()}
    rows = []
    for run in runs:
        model = run.load_model()
        plain, changed = (
            _means(evaluate(run.spec.task, model, split, spec, bar=False).scenes) for split in splits.values()
        )
        rows += [_row(NEAREST, run.spec.variant, run.spec.seed, k, plain[k], changed[k]) for k in slots]
    return pd.DataFrame(rows, columns=COLUMNS)


def _scaled(pictures: npt.NDArray[np.uint8], size: int, mode: str) -> npt.NDArray[np.uint8]:
    """Scale pictures of shape (N, H, W, 3) to (N, size, size, 3)."""
    channels_first = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
    options = {"align_corners": False} if mode == "bilinear" else {}
    scaled: npt.NDArray[np.float32] = interpolate(channels_first, size=(size, size), mode=mode, **options).numpy()
    return scaled.round().astype(np.uint8).transpose(0, 2, 3, 1)


def effect_in_training(
    results: Results, changed: Mapping[str, Results], label: str, slots: Sequence[int], measure: str = "f_ari"
) -> pd.DataFrame:
    """Compare runs that were trained with a detail with runs of the same variant and seed without it.

    Args:
        results: the runs without the detail.
        changed: label of a detail to the runs with it.
        label: label of the test set.
        slots: slot counts.
        measure: ``"f_ari"`` or ``"found_objects"``.

    Returns:
        Rows like those of :func:`effect_at_inference`, of that measure. A pair is left out if one of its runs is
        missing, and a slot count if one of the two runs was not evaluated with it.
    """
    plain, rows = _by_run(results, label, measure), []
    for detail, others in changed.items():
        for (variant, seed), means in _by_run(others, label, measure).items():
            if (variant, seed) in plain:
                before = plain[variant, seed]
                both = [k for k in slots if k in before and k in means]
                rows += [_row(detail, variant, seed, k, before[k], means[k]) for k in both]
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(*values: Any) -> dict[str, Any]:
    return dict(zip(COLUMNS, values, strict=True))


def _means(scenes: pd.DataFrame, measure: str = "f_ari") -> dict[int, float]:
    return dict(with_found_objects(scenes).groupby("slots")[measure].mean())


def _by_run(results: Results, label: str, measure: str = "f_ari") -> dict[tuple[str, int], dict[int, float]]:
    rows = results.scenes
    runs = rows[rows["test"] == label].groupby(["variant", "seed"], sort=False) if len(rows) else ()
    return {(str(variant), int(seed)): _means(of_run, measure) for (variant, seed), of_run in runs}


def median_seed_difference(results: Results, label: str, slots: Sequence[int]) -> float:
    """Return the median absolute difference of mean F-ARI between two seeds of a variant; NaN with one seed.

    Args:
        results: the runs.
        label: label of the test set.
        slots: slot counts; one that was not evaluated is left out.
    """
    means = _by_run(results, label).items()
    runs = [(variant, [of_run[k] for k in slots if k in of_run]) for (variant, _), of_run in means]
    pairs = [(a, b) for (name, a), (other, b) in combinations(runs, 2) if name == other]
    return float(np.median(np.abs(np.subtract(*zip(*pairs, strict=True))))) if pairs else float("nan")


def largest_change_text(pairs: pd.DataFrame, detail: str) -> str:
    """Return the range over runs of the largest change of F-ARI, such as ``"-0.02 to +0.07 over 3 runs"``.

    The largest change of a run is that of the slot count with the largest absolute change.

    Args:
        pairs: from :func:`effect_at_inference` or :func:`effect_in_training`.
        detail: label of the detail.
    """
    rows = pairs[pairs["detail"] == detail]
    if rows.empty:
        return "(not run)"
    change = (rows["changed"] - rows["plain"]).to_numpy()
    by_run = rows.groupby(["variant", "seed"]).indices.values()
    each = [change[places][np.abs(change[places]).argmax()] for places in by_run]
    ends = dict.fromkeys(f"{end:+.1g}" if end else "0" for end in (min(each), max(each)))
    return " to ".join(ends) + (f" over {len(each)} runs" if len(each) > 1 else " in one run")


def count_runs_text(pairs: pd.DataFrame, labels: Mapping[str, str]) -> str:
    """Count the runs of each variant behind each detail, as a text such as ``"scaled mean: 3 of Baseline"``.

    Args:
        pairs: from :func:`effect_at_inference`, :func:`effect_of_nearest_scaling` or :func:`effect_in_training`.
        labels: variant to its name in the text.
    """
    parts = []
    for detail, rows in pairs.groupby("detail", sort=False):
        runs = rows.groupby("variant", sort=False)["seed"].nunique()
        parts.append(f"{detail}: {', '.join(f'{n} of {labels.get(name, name)}' for name, n in runs.items())}")
    return "; ".join(parts) or "not run"


def count_with_weights(results: Results) -> str:
    """Count the runs of a recipe that have weights, as a text such as ``"4 of 12 runs at cpu scale"``."""
    kept, total = sum(run.has_weights for run in results.runs), len(results.runs) + len(results.missing)
    return f"{kept} of {total} runs at {results.recipe.scale} scale"
