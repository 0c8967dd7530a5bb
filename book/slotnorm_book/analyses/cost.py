"""What the runs took, from their records, and what the paper's protocol would take, from counted operations.

What was measured and what is estimated are kept apart: a time is *recorded* where a run has it, and otherwise an
*estimate* from operations and a rate, with the rate's origin beside it. Energy is nowhere recorded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from slotnorm.training.spec import RunSpec
from slotnorm_book.analyses.flops import training_step
from slotnorm_book.experiments.recipes.recipe import Recipe
from slotnorm_book.experiments.results import Results

DAY = 86_400
NOT_RECORDED = "no run is recorded"
_PLACE = ["device", "threads", "processes"]
_HERE = ["experiment", "device of each", "training of a run", "all of them", "steps a second"]
_PAPER = ["experiment", "counted", "a run on one GPU", "all runs on one", "all runs on eight", "from"]
_CORE = ["a run of", "on one core of", "recorded rate", "would take"]


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
        Columns ``experiment`` (the first that has it), ``experiments`` (all that have it, a tuple), ``task``,
        ``variant``, ``seed``, ``precision`` of the training step, ``device``, ``threads`` of each of the ``processes``,
        ``steps``, ``seconds`` of training, ``steps_per_second``, ``operations`` per step, ``rate`` in operations per
        second over all processes, ``memory`` (the card's peak in bytes, ``None`` on a CPU).
    """
    rows: dict[str, dict[str, object]] = {}
    having: dict[str, tuple[str, ...]] = {}
    for experiment, found in results.items():
        for run in found.runs:
            about = run.provenance
            operations = operations_of(run.spec)
            speed = float(about["steps_per_second"] or "nan")
            having[run.spec.name] = (*having.get(run.spec.name, ()), experiment)
            rows.setdefault(
                run.spec.name,
                {
                    "experiment": experiment,
                    "task": type(run.spec.task).__name__,
                    "variant": run.spec.variant,
                    "seed": run.spec.seed,
                    "precision": run.spec.precision,
                    "device": about["device"],
                    "threads": about["threads"],
                    "processes": about["processes"],
                    "steps": run.spec.schedule.steps,
                    "seconds": float(about["seconds"]),
                    "steps_per_second": speed,
                    "operations": operations,
                    "rate": operations * speed,
                    "memory": about["peak_gpu_memory"],
                },
            )
    return pd.DataFrame([{**row, "experiments": having[name]} for name, row in rows.items()])


def operations_of(spec: RunSpec) -> int:
    """Operations of one of its steps; the normalizations differ by pointwise work alone, so the baseline's count."""
    return training_step(spec.task, spec.batch_size)


def here_table(runs: pd.DataFrame) -> pd.DataFrame:
    """What each experiment took, for the page: a row per experiment, device and precision.

    Args:
        runs: from :func:`recorded`.
    """
    if runs.empty:
        return pd.DataFrame([(NOT_RECORDED, "", "", "", "")], columns=_HERE)
    rows = []
    for (experiment, *place, precision), group in runs.groupby(["experiment", *_PLACE, "precision"], sort=False):
        seconds = group["seconds"]
        each = f"{duration(seconds.median())} ({duration(seconds.min())} to {duration(seconds.max())})"
        speed = f"{group['steps_per_second'].median():.3g}, {_flops(group['rate'].median())} in {precision}"
        name = f"**{experiment}**: {_number(len(group), 'run')}"
        rows.append((name, _place(*place), each, duration(seconds.sum()), speed))
    return pd.DataFrame(rows, columns=_HERE)


def _place(device: str, threads: int, processes: int) -> str:
    where = f"{device}, {_number(threads, 'thread')}"
    return where if processes == 1 else f"{where} in each of {processes} processes"


def beside_baseline(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that can be compared with the baseline's of an experiment of theirs on the same device.

    As many threads and processes belong to the same device, since runs differ by them, too.

    Args:
        runs: from :func:`recorded`.

    Returns:
        The columns of ``runs``, and ``time``, that of a step over the median of those baseline runs. Runs without such
        a baseline or without a speed are left out.
    """
    if runs.empty:
        return runs
    each, keys = runs.explode("experiments"), ["experiments", *_PLACE]
    speeds = each[each["variant"] == "weighted_mean"].groupby(keys)["steps_per_second"].median()
    baseline = each.join(speeds.rename("baseline"), on=keys)["baseline"].groupby(level=0).first()
    return runs.assign(time=baseline / runs["steps_per_second"]).dropna(subset=["time"])


def paper_table(recipes: Sequence[Recipe], runs: pd.DataFrame, assumption: Assumption) -> pd.DataFrame:
    """What the paper's protocol would take: training alone, by operations, a row per experiment.

    On eight GPUs eight runs go on side by side; a run is not split.

    Args:
        recipes: at paper scale; runs that an earlier one has too are not counted again.
        runs: from :func:`recorded`; the rate of those on a GPU is used for models of their kind.
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
        operations = step * recipe.schedule.steps
        each = operations / rate
        counted = f"{_number(count, 'run')}, {step / 1e12:.2g} TFLOP a step, {operations / 1e18:.2g} EFLOP a run"
        times = (duration(each), duration(count * each), duration(math.ceil(count / 8) * each))
        rows.append((f"**{recipe.experiment}**", counted, *times, origin))
    return pd.DataFrame(rows, columns=_PAPER)


def gpu_rate(runs: pd.DataFrame, task: str, assumption: Assumption) -> tuple[float, str]:
    """Operations per second of one GPU on a kind of model, and where that is known from.

    That is the median over the recorded runs on the device, and in the precision, that most of them have.
    """
    known = _rates(_gpu(runs), task)
    if known.empty:
        return assumption.rate, "estimate, not measured"
    most = known.loc[known["runs"].idxmax()]
    return float(most["rate"]), f"recorded rate of smaller models in {most['precision']} on {most['device']}"


def core_table(recipes: Sequence[Recipe], runs: pd.DataFrame) -> pd.DataFrame:
    """What one run of the paper's protocol would take on one core, for the page: a row per processor and precision.

    Args:
        recipes: at paper scale.
        runs: from :func:`recorded`; the rates of those with one thread on a CPU are used for models of their kind.
    """
    rows = []
    for recipe in recipes:
        name, known = f"**{recipe.experiment}**, {recipe.precision}", _core_times(recipe, runs)
        for row in known.itertuples():
            rate = f"{_flops(row.rate)} in {row.precision}, {_number(row.runs, 'run')}"
            time = f"{duration(row.seconds)} ({duration(row.least)} to {duration(row.most)})"
            rows.append((name, row.device.removeprefix("cpu: "), rate, time))
        if known.empty:
            rows.append((name, NOT_RECORDED, "", ""))
    return pd.DataFrame(rows, columns=_CORE)


def one_core(recipe: Recipe, runs: pd.DataFrame) -> str:
    """The times of :func:`core_table` for one recipe as text: from one row's median to another's, if there are more."""
    seconds = _core_times(recipe, runs)["seconds"]
    if seconds.empty:
        return NOT_RECORDED
    return " to ".join(dict.fromkeys((duration(seconds.min()), duration(seconds.max()))))


def _core_times(recipe: Recipe, runs: pd.DataFrame) -> pd.DataFrame:
    """See :func:`_rates`, with ``seconds``, ``least`` and ``most`` of one run of the recipe at those rates."""
    operations = training_step(recipe.task, recipe.batch_size) * recipe.schedule.steps
    alone = runs[runs["device"].str.startswith("cpu") & (runs["threads"] == 1)] if len(runs) else runs
    known = _rates(alone, type(recipe.task).__name__)
    times = {"seconds": "rate", "least": "fastest", "most": "slowest"}
    return known.assign(**{time: operations / known[rate] for time, rate in times.items()})


def _rates(runs: pd.DataFrame, task: str) -> pd.DataFrame:
    """What one process reached on a kind of model, a row per device and precision.

    Returns:
        Columns ``device``, ``precision``, ``rate`` (the median), ``slowest`` and ``fastest``, in operations per second,
        and ``runs``, their number.
    """
    alike = runs[(runs["task"] == task) & runs["rate"].notna()] if len(runs) else runs
    if alike.empty:
        return pd.DataFrame({name: [] for name in ("device", "precision", "rate", "slowest", "fastest", "runs")})
    groups = alike.assign(rate=alike["rate"] / alike["processes"]).groupby(["device", "precision"], sort=False)
    return groups["rate"].agg(rate="median", slowest="min", fastest="max", runs="size").reset_index()


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


def _flops(rate: float) -> str:
    """Operations per second, to three digits."""
    return f"{rate / 1e12:.3g} TFLOP/s" if rate >= 1e12 else f"{rate / 1e9:.3g} GFLOP/s"


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
