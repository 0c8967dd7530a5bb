"""The cost of the paper's protocol, estimated from counted operations and a rate.

The rate is taken from recorded runs if there are any for the kind of model. Otherwise it is assumed, and the tables say
so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from slotnorm_book.analyses.cost import NOT_RECORDED, name_devices, select_gpu_runs
from slotnorm_book.analyses.flops import count_training_flops
from slotnorm_book.analyses.quantities import format_count, format_duration, format_rate
from slotnorm_book.experiments.recipes.recipe import Recipe
from slotnorm_book.markup import MarkdownTable, escape_markdown

_PAPER = ["experiment", "counted", "a run on one GPU", "all runs on one GPU", "all runs on eight GPUs", "rate"]
_CORE = ["a run of", "on one core of", "recorded rate", "would take"]


@dataclass(frozen=True)
class Assumption:
    """Speed that a card is assumed to have where no run on one is recorded.

    Args:
        card: its name.
        peak: operations per second that its maker states for the precision of the recipe.
        utilization: share of the peak that a training reaches.
    """

    card: str
    peak: float
    utilization: float

    @property
    def rate(self) -> float:
        """Operations per second in training."""
        return self.peak * self.utilization


@dataclass(frozen=True)
class PaperCost:
    """What the runs of an experiment would take.

    Args:
        recipe: the experiment.
        count: its runs that no experiment before it has.
        step: counted operations of a step.
        seconds: training time of one run on one GPU.
        origin: where the rate behind ``seconds`` is from.
    """

    recipe: Recipe
    count: int
    step: int
    seconds: float
    origin: str


def estimate_paper_costs(recipes: Sequence[Recipe], runs: pd.DataFrame, assumption: Assumption) -> list[PaperCost]:
    """Estimate how long trainings take; arguments as of :func:`paper_cost_table`.

    Returns:
        One for each experiment that has runs which no experiment before it has.
    """
    costs, seen = [], set[tuple[object, ...]]()
    for recipe in recipes:
        keys = {(recipe.task, recipe.train, recipe.max_objects, v, s) for v in recipe.variants for s in recipe.seeds}
        if count := len(keys - seen):
            step = count_training_flops(recipe.task, recipe.batch_size)
            rate, origin = find_gpu_rate(runs, type(recipe.task).__name__, assumption)
            costs.append(PaperCost(recipe, count, step, step * recipe.schedule.steps / rate, origin))
        seen |= keys
    return costs


def paper_cost_table(recipes: Sequence[Recipe], runs: pd.DataFrame, assumption: Assumption) -> MarkdownTable:
    """Tabulate how long the trainings of the paper's protocol would take, a row per experiment.

    Eight GPUs train eight runs at the same time; a run is not split.

    Args:
        recipes: at paper scale; a run that several of them contain is counted once.
        runs: from :func:`slotnorm_book.analyses.cost.tabulate_runs`; the rate of those on a GPU is used for models of
            their kind.
        assumption: used for kinds of models without a recorded run on a GPU.
    """
    rows = []
    for cost in estimate_paper_costs(recipes, runs, assumption):
        run, each = cost.step * cost.recipe.schedule.steps, cost.seconds
        counted = (
            f"{format_count(cost.count, 'run')}, {cost.step / 1e12:.2g} TFLOP a step, {run / 1e18:.2g} EFLOP a run"
        )
        rounds = (1, cost.count, math.ceil(cost.count / 8))
        times = (format_duration(number * each) for number in rounds)
        rows.append((f"**{escape_markdown(cost.recipe.experiment)}**", counted, *times, escape_markdown(cost.origin)))
    return MarkdownTable(rows, columns=_PAPER)


def find_gpu_rate(runs: pd.DataFrame, task: str, assumption: Assumption) -> tuple[float, str]:
    """Return the operations per second of one GPU on a kind of model, and the origin of the number as text.

    If runs on GPUs are recorded, it is the median over those with the most frequent device and precision.

    Args:
        runs: from :func:`slotnorm_book.analyses.cost.tabulate_runs`.
        task: name of the task's class.
        assumption: used if no such run is recorded.
    """
    known = _reached_rates(select_gpu_runs(runs), task, ["device", "precision"])
    if known.empty:
        return assumption.rate, "estimate, not measured"
    most = known.loc[known["runs"].idxmax()]
    return float(most["rate"]), f"recorded rate of smaller models in {most['precision']} on {most['devices']}"


def one_core_table(recipes: Sequence[Recipe], runs: pd.DataFrame) -> MarkdownTable:
    """Tabulate how long one run of the paper's protocol would take on one core: a row per precision.

    The row names all processors; the time is that of the median rate, with the range over runs on any of them.

    Args:
        recipes: at paper scale.
        runs: from :func:`slotnorm_book.analyses.cost.tabulate_runs`; the rates of those with one thread on a CPU are
            used for models of their kind.
    """
    rows = []
    for recipe in recipes:
        name, known = (
            f"**{escape_markdown(recipe.experiment)}**, {escape_markdown(recipe.precision)}",
            _core_times(recipe, runs),
        )
        for row in known.itertuples():
            rate = f"{format_rate(row.rate)} in {escape_markdown(row.precision)}, {format_count(row.runs, 'run')}"
            time = f"{format_duration(row.seconds)} ({format_duration(row.least)} to {format_duration(row.most)})"
            rows.append((name, escape_markdown(row.devices.removeprefix("cpu: ")), rate, time))
        if known.empty:
            rows.append((name, NOT_RECORDED, "", ""))
    return MarkdownTable(rows, columns=_CORE)


def describe_one_core(recipe: Recipe, runs: pd.DataFrame) -> str:
    """Return the times of :func:`one_core_table` for one recipe as text, from the fastest run to the slowest."""
    times = _core_times(recipe, runs)
    if times.empty:
        return NOT_RECORDED
    return " to ".join(dict.fromkeys((format_duration(times["least"].min()), format_duration(times["most"].max()))))


def _core_times(recipe: Recipe, runs: pd.DataFrame) -> pd.DataFrame:
    """Add to :func:`_reached_rates` the ``seconds`` of one run of the recipe, and the ``least`` and ``most``."""
    operations = count_training_flops(recipe.task, recipe.batch_size) * recipe.schedule.steps
    alone = runs[runs["device"].str.startswith("cpu") & (runs["threads"] == 1)] if len(runs) else runs
    known = _reached_rates(alone, type(recipe.task).__name__, ["precision"])
    times = {"seconds": "rate", "least": "fastest", "most": "slowest"}
    return known.assign(**{time: operations / known[rate] for time, rate in times.items()})


def _reached_rates(runs: pd.DataFrame, task: str, by: Sequence[str]) -> pd.DataFrame:
    """Return the rates that one process reached on a kind of model, a row per value of the columns ``by``.

    Returns:
        Columns ``devices`` (their names), ``precision``, ``rate`` (the median), ``slowest`` and ``fastest``, in
        operations per second, and ``runs``, their number.
    """
    alike = runs[(runs["task"] == task) & runs["rate"].notna()] if len(runs) else runs
    if alike.empty:
        return pd.DataFrame({name: [] for name in ("devices", "precision", "rate", "slowest", "fastest", "runs")})
    groups = alike.assign(rate=alike["rate"] / alike["processes"]).groupby(list(by), sort=False)
    return groups.agg(
        devices=("device", name_devices),
        precision=("precision", "first"),
        rate=("rate", "median"),
        slowest=("rate", "min"),
        fastest=("rate", "max"),
        runs=("rate", "size"),
    ).reset_index(drop=True)
