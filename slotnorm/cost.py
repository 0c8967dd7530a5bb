"""What the runs took, from their records, and what the paper's protocol would take, from counted operations.

What was measured and what is estimated are kept apart: a time is *recorded* where a run has it, and otherwise an
*estimate* from operations and a rate, with the rate's origin beside it. Energy is nowhere recorded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from slotnorm.operations import training_step
from slotnorm.recipes import Recipe
from slotnorm.results import Results
from slotnorm.spec import RunSpec

DAY = 86_400
NOT_RECORDED = "no run is recorded"


@dataclass(frozen=True)
class Assumption:
    """How fast a card is taken to be where no run on one is recorded.

    Args:
        card: its name.
        peak: operations per second that its maker states, for the precision of the recipe.
        utilization: the share of it that a training reaches.
    """

    card: str
    peak: float
    utilization: float

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.peak * self.utilization


def recorded(results: Mapping[str, Results]) -> pd.DataFrame:
    """One row per finished run, each once, though several experiments may show it.

    Returns:
        Columns ``experiment`` (the first that has it), ``task``, ``variant``, ``seed``, ``device``, ``threads``,
        ``steps``, ``seconds`` of training, ``steps_per_second``, ``operations`` per step, ``rate`` in operations per
        second, ``memory`` (the card's peak in bytes, ``None`` on a CPU).
    """
    rows: dict[str, dict[str, object]] = {}
    for experiment, found in results.items():
        for run in found.runs:
            about = run.provenance
            operations = operations_of(run.spec)
            speed = float(about["steps_per_second"] or "nan")
            rows.setdefault(
                run.spec.name,
                {
                    "experiment": experiment,
                    "task": type(run.spec.task).__name__,
                    "variant": run.spec.variant,
                    "seed": run.spec.seed,
                    "device": about["device"],
                    "threads": about["threads"],
                    "steps": run.spec.schedule.steps,
                    "seconds": float(about["seconds"]),
                    "steps_per_second": speed,
                    "operations": operations,
                    "rate": operations * speed,
                    "memory": about["peak_gpu_memory"],
                },
            )
    return pd.DataFrame(list(rows.values()))


def operations_of(spec: RunSpec) -> int:
    """Operations of one of its steps; the normalizations differ by pointwise work alone, so the baseline's count."""
    return training_step(spec.task, spec.batch_size)


def here_table(runs: pd.DataFrame) -> pd.DataFrame:
    """What each experiment took, for the page: a row per experiment and device.

    Args:
        runs: from :func:`recorded`.
    """
    if runs.empty:
        return pd.DataFrame([(NOT_RECORDED, "", "", "", "")], columns=_HERE)
    rows = []
    for (experiment, device, threads), group in runs.groupby(["experiment", "device", "threads"], sort=False):
        seconds = group["seconds"]
        each = f"{duration(seconds.median())} ({duration(seconds.min())} to {duration(seconds.max())})"
        speed = f"{group['steps_per_second'].median():.3g}, {group['rate'].median() / 1e9:.3g} GFLOP/s"
        where = f"{device}, {threads} thread{'s' if threads > 1 else ''}"
        rows.append((f"**{experiment}**: {len(group)} runs", where, each, duration(seconds.sum()), speed))
    return pd.DataFrame(rows, columns=_HERE)


_HERE = ["experiment", "device of each", "training of a run", "all of them", "steps a second"]
_PAPER = ["experiment", "counted", "a run on one GPU", "all runs on one", "all runs on eight", "from"]


def paper_table(recipes: Sequence[Recipe], runs: pd.DataFrame, assumption: Assumption) -> pd.DataFrame:
    """What the paper's protocol would take: training alone, by operations, a row per experiment.

    On eight GPUs eight runs go on side by side; a run is not split.

    Args:
        recipes: at paper scale; runs that an earlier one has too are not counted again.
        runs: from :func:`recorded`; the median rate of those on a GPU is used for models of their kind.
        assumption: used for kinds of models that no run on a GPU is recorded of.
    """
    rows, seen = [], set[tuple[object, ...]]()
    for recipe in recipes:
        keys = {(recipe.task, recipe.train, recipe.max_objects, v, s) for v in recipe.variants for s in recipe.seeds}
        count, seen = len(keys - seen), seen | keys
        if not count:
            continue
        step = training_step(recipe.task, recipe.batch_size)
        rate, origin = gpu_rate(runs, type(recipe.task).__name__, assumption)
        each = step * recipe.schedule.steps / rate
        counted = f"{count} runs, {step / 1e12:.2g} TFLOP a step, {step * recipe.schedule.steps / 1e18:.2g} EFLOP a run"
        times = (duration(each), duration(count * each), duration(math.ceil(count / 8) * each))
        rows.append((f"**{recipe.experiment}**", counted, *times, origin))
    return pd.DataFrame(rows, columns=_PAPER)


def gpu_rate(runs: pd.DataFrame, task: str, assumption: Assumption) -> tuple[float, str]:
    """Operations per second of a GPU on a kind of model, and where that is known from."""
    there = _gpu(runs)
    alike = there[there["task"] == task] if len(there) else there
    if alike.empty:
        return assumption.rate, "estimate, not measured"
    card = alike["device"].mode()[0]
    return float(alike.loc[alike["device"] == card, "rate"].median()), f"recorded rate of smaller models on {card}"


def one_core(recipe: Recipe, runs: pd.DataFrame) -> str:
    """What one run of the paper's protocol would take at the rate that CPU runs of its kind have recorded, as text."""
    kind = type(recipe.task).__name__
    alike = runs[runs["device"].str.startswith("cpu") & (runs["task"] == kind)] if len(runs) else runs
    if alike.empty:
        return NOT_RECORDED
    return duration(training_step(recipe.task, recipe.batch_size) * recipe.schedule.steps / alike["rate"].median())


def total(runs: pd.DataFrame) -> str:
    """Training time of all runs one after the other, as text."""
    return duration(float(runs["seconds"].sum())) if len(runs) else NOT_RECORDED


def on_gpu(runs: pd.DataFrame) -> int:
    """How many runs were on a GPU."""
    return len(_gpu(runs))


def _gpu(runs: pd.DataFrame) -> pd.DataFrame:
    return runs[~runs["device"].str.startswith("cpu")] if len(runs) else runs


def duration(seconds: float) -> str:
    """A time in the unit that suits it, to two digits.

    Example:
        >>> duration(95.0), duration(5400.0), duration(3e5), duration(1e9)
        ('95 s', '90 min', '3.5 days', '32 years')
    """
    units = (("years", 365.25 * DAY, 2), ("days", DAY, 2), ("h", 3600, 2), ("min", 60, 2), ("s", 1, 0))
    name, size, _ = next(unit for unit in units if seconds >= unit[1] * unit[2])
    amount = seconds / size
    return f"{amount:,.0f} {name}" if amount >= 10 else f"{amount:.2g} {name}"
