"""The cost of the recorded runs: times, speeds and rates from their records. Energy is not recorded."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from slotnorm_book.analyses.flops import count_training_flops
from slotnorm_book.analyses.quantities import format_count, format_duration, format_rate
from slotnorm_book.experiments.results import Results
from slotnorm_book.experiments.run_store import Run
from slotnorm_book.markup import MarkdownTable, escape_markdown

NOT_RECORDED = "no run is recorded"
_CPU = "cpu: "
_PLACE = ["device", "threads", "processes"]
_COLUMNS = ["experiment", "device", "training of a run", "training of all", "steps per second"]


def tabulate_runs(results: Mapping[str, Results]) -> pd.DataFrame:
    """Tabulate finished runs, one row each; a run that several experiments show has one row.

    The operations are those of the baseline for every variant, as the normalizations differ only by pointwise work.

    Args:
        results: of each experiment, by its name.

    Returns:
        Columns ``experiment`` (the first that shows the run), ``experiments`` (all that show it, a tuple), ``task``,
        ``variant``, ``seed``, ``precision`` of the training step, ``device``, ``threads`` of each of the ``processes``,
        ``steps``, ``seconds`` of training, ``steps_per_second``, ``operations`` per step, ``rate`` in operations per
        second over all processes, ``memory`` (peak of the card in bytes, ``None`` on a CPU).
    """
    rows: dict[str, dict[str, object]] = {}
    shown_by: dict[str, tuple[str, ...]] = {}
    for experiment, found in results.items():
        for run in found.runs:
            name = run.spec.name
            shown_by[name] = (*shown_by.get(name, ()), experiment)
            if name not in rows:
                rows[name] = {"experiment": experiment, **_make_row(run)}
    return pd.DataFrame([{**row, "experiments": shown_by[name]} for name, row in rows.items()])


def _make_row(run: Run) -> dict[str, object]:
    spec, about = run.spec, run.provenance
    operations = count_training_flops(spec.task, spec.batch_size)
    speed = float(about["steps_per_second"] or "nan")
    return {
        "task": type(spec.task).__name__,
        "variant": spec.variant,
        "seed": spec.seed,
        "precision": spec.precision,
        "device": about["device"],
        "threads": about["threads"],
        "processes": about["processes"],
        "steps": spec.schedule.steps,
        "seconds": float(about["seconds"]),
        "steps_per_second": speed,
        "operations": operations,
        "rate": operations * speed,
        "memory": about["peak_gpu_memory"],
    }


def recorded_cost_table(runs: pd.DataFrame) -> MarkdownTable:
    """Tabulate for the page what each experiment took: a row per experiment, kind of device and precision.

    Runs on different processors stand in one row, which names these; each kind of GPU has a row of its own.

    Args:
        runs: from :func:`tabulate_runs`.
    """
    if runs.empty:
        return MarkdownTable([(NOT_RECORDED, "", "", "", "")], columns=_COLUMNS)
    rows = []
    kinds = runs.assign(kind=runs["device"].mask(runs["device"].str.startswith(_CPU), _CPU))
    for (experiment, _, *shape, precision), group in kinds.groupby(
        ["experiment", "kind", "threads", "processes", "precision"], sort=False
    ):
        seconds = group["seconds"]
        middle, least, most = (format_duration(time) for time in (seconds.median(), seconds.min(), seconds.max()))
        speed, rate = f"{group['steps_per_second'].median():.3g}", format_rate(group["rate"].median())
        name = f"**{escape_markdown(experiment)}**: {format_count(len(group), 'run')}"
        each, total = f"{middle} ({least} to {most})", format_duration(seconds.sum())
        place = _describe_place(escape_markdown(name_devices(group["device"])), *shape)
        rows.append((name, place, each, total, f"{speed}, {rate} in {escape_markdown(precision)}"))
    return MarkdownTable(rows, columns=_COLUMNS)


def name_devices(devices: pd.Series) -> str:
    """Write the name of each of the devices once, such as ``"cpu: a core or another"``."""
    first, *others = devices.unique()
    return " or ".join([first, *(name.removeprefix(_CPU) for name in others)])


def _describe_place(devices: str, threads: int, processes: int) -> str:
    where = f"{devices}, {format_count(threads, 'thread')}"
    return where if processes == 1 else f"{where} in each of {processes} processes"


def compare_with_baseline(runs: pd.DataFrame) -> pd.DataFrame:
    """Compare the time of a step with that of the baseline of the same experiment on the same device.

    The number of threads and processes must be the same, too.

    Args:
        runs: from :func:`tabulate_runs`.

    Returns:
        The columns of ``runs``, and ``time``: the time of a step divided by the median over those baseline runs. Runs
        without such a baseline and runs without a recorded speed are left out.
    """
    if runs.empty:
        return runs
    each, keys = runs.explode("experiments"), ["experiments", *_PLACE]
    speeds = each[each["variant"] == "weighted_mean"].groupby(keys)["steps_per_second"].median()
    baseline = each.join(speeds.rename("baseline"), on=keys)["baseline"].groupby(level=0).first()
    return runs.assign(time=baseline / runs["steps_per_second"]).dropna(subset=["time"])


def describe_total(runs: pd.DataFrame) -> str:
    """Return the training time of all runs, one after the other, as text."""
    return format_duration(float(runs["seconds"].sum())) if len(runs) else NOT_RECORDED


def count_gpu_runs(runs: pd.DataFrame) -> int:
    """Count the runs that were trained on a GPU."""
    return len(select_gpu_runs(runs))


def select_gpu_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Select the runs that were trained on a GPU."""
    return runs[~runs["device"].str.startswith("cpu")] if len(runs) else runs
