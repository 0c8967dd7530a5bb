"""What a run at the paper's scale needs besides operations: disk, reading, and how far an hour leads.

Everything follows from the recipe: shapes, counts and the operations of a step. Sizes are those of arrays that are not
compressed, and leave out what has a few bytes a scene.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from slotnorm.evaluation import COLUMNS
from slotnorm.tasks import FeatureDiscovery
from slotnorm_book.analyses.cost_estimates import Assumption, estimate_paper_costs, find_gpu_rate
from slotnorm_book.analyses.flops import count_training_flops
from slotnorm_book.analyses.quantities import format_duration
from slotnorm_book.experiments.data_sources import Source
from slotnorm_book.experiments.keep import keeps_weights
from slotnorm_book.experiments.recipes.recipe import Recipe

HALF, SINGLE = 2, 4
"""Bytes of a number in half and in single precision."""
FRAMES = 24
"""Frames of a clip of MOVi."""


def count_picture_bytes(source: Source) -> int:
    """Count the bytes of a scene's picture and label map in a prepared split: four a pixel."""
    return 4 * source.image_size**2


def count_feature_bytes(recipe: Recipe) -> int:
    """Count the bytes of a scene's frozen features in half precision, 0 where a task sees pictures."""
    task = recipe.task
    return HALF * task.grid_size**2 * task.feature_dim if isinstance(task, FeatureDiscovery) else 0


def describe_disk(recipe: Recipe, source: Source, *, features: bool = True) -> str:
    """Say what the prepared split of a source takes on the disk, with frozen features if the task sees them.

    Args:
        recipe: at paper scale.
        source: one of its sources.
        features: whether to count frozen features; otherwise only pictures and label maps.
    """
    each = count_picture_bytes(source) + (count_feature_bytes(recipe) if features else 0)
    return format_bytes(source.scenes * each)


def describe_clip(recipe: Recipe) -> str:
    """Say what a clip of MOVi takes on the disk with its features."""
    return format_bytes(FRAMES * (count_picture_bytes(recipe.train) + count_feature_bytes(recipe)))


def count_weight_bytes(recipe: Recipe) -> int:
    """Count the bytes of a trained model."""
    return SINGLE * sum(parameter.numel() for parameter in recipe.task.build(recipe.variants[0]).parameters())


def count_record_bytes(recipe: Recipe) -> int:
    """Count the bytes of a run's record without weights: two numbers a step, and a row per scene and setting."""
    rows = sum(test.scenes * len(test.slots) * len(test.iterations) for test in recipe.tests)
    return SINGLE * (2 * recipe.schedule.steps + rows * len(COLUMNS))


def count_kept_bytes(recipe: Recipe) -> int:
    """Count the bytes that ``slotnorm-book keep`` adds to the repository for all runs of a recipe."""
    runs = [(variant, seed) for variant in recipe.variants for seed in recipe.seeds]
    with_weights = sum(keeps_weights(variant, seed, recipe.task.num_slots) for variant, seed in runs)
    return len(runs) * count_record_bytes(recipe) + with_weights * count_weight_bytes(recipe)


def estimate_steps_per_second(recipe: Recipe, runs: pd.DataFrame, assumption: Assumption) -> float:
    """Estimate the speed of a training on one GPU from its counted operations.

    Args:
        recipe: at paper scale.
        runs: from :func:`slotnorm_book.analyses.cost.tabulate_runs`; see
            :func:`slotnorm_book.analyses.cost_estimates.find_gpu_rate`.
        assumption: used if no run on a GPU is recorded.
    """
    rate, _ = find_gpu_rate(runs, type(recipe.task).__name__, assumption)
    return rate / count_training_flops(recipe.task, recipe.batch_size)


def describe_first_hour(recipe: Recipe, runs: pd.DataFrame, assumption: Assumption) -> str:
    """Say how many steps an hour has, in whole thousands, such as ``"about 12,000"``; arguments as above."""
    steps = 3600 * estimate_steps_per_second(recipe, runs, assumption)
    return f"about {max(1000, round(steps, -3)):,.0f}"


def describe_reading(recipe: Recipe, runs: pd.DataFrame, assumption: Assumption) -> str:
    """Say how fast a training reads features, such as ``"280 MB/s"``; arguments as above."""
    speed = estimate_steps_per_second(recipe, runs, assumption)
    return f"{format_bytes(speed * recipe.batch_size * count_feature_bytes(recipe))}/s"


def describe_all_runs(recipes: Sequence[Recipe], runs: pd.DataFrame, assumption: Assumption, gpus: int = 1) -> str:
    """Say how long all runs take if every GPU always has one, each counted once; arguments as above."""
    costs = estimate_paper_costs(recipes, runs, assumption)
    return format_duration(sum(cost.count * cost.seconds for cost in costs) / gpus)


def describe_run(recipe: Recipe, runs: pd.DataFrame, assumption: Assumption) -> str:
    """Say how long one run takes on one GPU; arguments as above."""
    return format_duration(recipe.schedule.steps / estimate_steps_per_second(recipe, runs, assumption))


def format_bytes(count: float) -> str:
    """Write a number of bytes to two digits or in whole units, such as ``"6.6 GB"`` or ``"328 GB"``."""
    name, size = next(unit for unit in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("bytes", 1)) if count >= unit[1])
    amount = count / size
    return f"{amount:,.0f} {name}" if amount >= 10 else f"{amount:.2g} {name}"
