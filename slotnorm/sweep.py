"""``python -m slotnorm.sweep EXPERIMENT``: train and evaluate what a store lacks of a recipe.

Interrupted in any way, the same command goes on. Under ``torchrun`` the processes share each run's batches.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any

from slotnorm.extras import needs

with needs("train"):
    import typer

    from slotnorm.data import SplitError
    from slotnorm.interruption import EXIT_GO_ON
    from slotnorm.recipes import EXPERIMENTS, SCALES, Recipe, recipe
    from slotnorm.runs import RunError
    from slotnorm.spec import SpecError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
USER_ERRORS = (SpecError, SplitError, RunError)


def listing() -> str:
    """The experiments with their loci and sizes, one a line and scale."""
    lines = []
    for name in EXPERIMENTS:
        for scale in SCALES:
            r = recipe(name, scale)
            size = f"{len(r.variants)} variants x {len(r.seeds)} seeds, {r.schedule.steps:,} steps of {r.batch_size}"
            lines.append(f"{name:<16} {scale:<6} {size:<52} {r.train.data:<18} {r.locus}")
    return "\n".join(lines)


def _show_list(value: bool) -> bool:
    if value:
        print(listing())
        raise typer.Exit
    return value


@app.command()
def main(
    experiment: Annotated[str, typer.Argument(help=f"One of {', '.join(EXPERIMENTS)}.")],
    store: Annotated[str, typer.Option(help="Folder of the run store.")],
    scale: Annotated[str, typer.Option(help=f"One of {', '.join(SCALES)}.")] = "cpu",
    variants: Annotated[list[str] | None, typer.Option(help="Only this normalization; may be repeated.")] = None,
    seeds: Annotated[list[int] | None, typer.Option(help="This seed; may be repeated.")] = None,
    slots: Annotated[list[int] | None, typer.Option(help="This slot count at evaluation; may be repeated.")] = None,
    data: Annotated[str | None, typer.Option(help="Folder of prepared splits, or a stand-in's name.")] = None,
    test_data: Annotated[str | None, typer.Option(help="The same for the evaluation, if not the same data.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...; auto is a GPU if there is one.")] = "auto",
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs side by side; by default one per core, or 1.")] = None,
    time_budget: Annotated[float | None, typer.Option(help="Seconds after which to stop in good order.")] = None,
    executor: Annotated[str, typer.Option(help="local, or ray for a cluster.")] = "local",
    compile_: Annotated[
        bool, typer.Option("--compile", help="Compile the training step; on a CPU that needs a C++ compiler.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what there is and what would be done.")] = False,
    list_: Annotated[bool, typer.Option("--list", callback=_show_list, is_eager=True, help="All recipes.")] = False,
) -> None:
    """Train and evaluate what the store lacks of an experiment.

    Exit status: 0 when everything is there, 75 when it was stopped and the same command goes on, 1 when a run failed, 2
    for a wrong request. torchrun makes 1 of every status but 0.
    """
    chosen = recipe(experiment, scale).select(variants or None, seeds or None, slots or None)
    chosen = chosen.over(data or chosen.train.data, test_data) if data or test_data else chosen
    sys.exit(run(chosen, store, _device(device, executor), jobs, time_budget, executor, dry_run, compile_))


def run(
    chosen: Recipe,
    store: str,
    device: str,
    workers: int | None = None,
    time_budget: float | None = None,
    executor: str = "local",
    dry_run: bool = False,
    compile: bool = False,
) -> int:
    """Do what the command line says; returns the exit status."""
    from slotnorm.engine import Execution, check_data
    from slotnorm.plan import plan
    from slotnorm.store import RunStore

    todo = plan(chosen, store, device)
    if os.environ.get("RANK", "0") == "0":
        print(todo.text, flush=True)
    if dry_run or not todo.jobs:
        return 0
    RunStore(store).check_writable()
    check_data(chosen)
    execution = Execution(device, compile)
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        return _together(todo.jobs, store, execution, time_budget)
    return _side_by_side(todo.jobs, store, execution, workers, time_budget, executor)


def _side_by_side(
    jobs: Sequence[Any], store: str, execution: Any, workers: int | None, time_budget: float | None, executor: str
) -> int:
    from slotnorm.interruption import Stop

    execute = _executor(executor)
    with Stop(time_budget) as stop:
        outcome = execute(jobs, store, execution, workers, stop)
    for name, reason in outcome.failed.items():
        print(f"{name} failed: {reason}", file=sys.stderr)
    print(f"{len(outcome.done)} done, {len(outcome.stopped)} to go on with, {len(outcome.failed)} failed")
    return 1 if outcome.failed else EXIT_GO_ON if outcome.stopped else 0


def _executor(name: str) -> Callable[[Sequence[Any], str, Any, int | None, Callable[[], bool]], Any]:
    if name == "ray":
        from slotnorm.cluster import run_on_cluster

        return run_on_cluster
    if name == "local":
        from slotnorm.workers import run_side_by_side

        return run_side_by_side
    raise SpecError(f"executor must be local or ray, got {name!r}")


def _together(jobs: Sequence[Any], store: str, execution: Any, time_budget: float | None) -> int:
    """Every process of ``torchrun`` takes its share of each run's batches, one run after the other."""
    import torch
    import torch.distributed as dist

    from slotnorm.engine import obtain
    from slotnorm.interruption import Stop
    from slotnorm.store import RunStore
    from slotnorm.training import Interrupted

    cuda = execution.device.startswith("cuda")
    where = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device(execution.device)
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        with Stop(time_budget) as stop:
            for job in jobs:
                obtain(job, RunStore(store), replace(execution, device=where, stop=stop))
    except Interrupted as stopped:
        print(f"{stopped}; the same command goes on", file=sys.stderr)
        return EXIT_GO_ON
    finally:
        dist.destroy_process_group()
    return 0


def _device(name: str, executor: str) -> str:
    """The device's name, if it is to be had: here, or perhaps on a node of Ray's cluster."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        here = torch.get_device_module(device).device_count()
    except RuntimeError:
        raise SpecError(f"device must be auto, cpu, cuda or the like, got {name!r}") from None
    if executor != "ray" and (device.index or 0) >= here:
        raise SpecError(f"device = {name!r}: is not to be had here; use auto or cpu")
    return name


def cli() -> None:
    """Run the command line; what a user can mend is one line on stderr and exit status 2."""
    try:
        app(prog_name="python -m slotnorm.sweep")
    except USER_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    cli()
