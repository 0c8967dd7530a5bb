"""``slotnorm-book``, also ``python -m slotnorm_book``: the one command of the book's package.

Each command imports what it needs when it is called, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

app = typer.Typer(
    name="slotnorm-book",
    help="List and execute the chapters of the book, train their experiments and judge the claims of the paper.",
    epilog="Example: slotnorm-book sweep clevr-6-7 --scale cpu --store runs",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def chapters() -> None:
    """List the chapters with what each is about."""
    from slotnorm_book.chapters import list_chapters

    print(list_chapters())


@app.command()
def parameters(
    names: Annotated[list[str], typer.Argument(metavar="CHAPTER...", help="Such as 02_clevr, or a notebook's path.")],
) -> None:
    """List the parameters of chapters: meaning, type and default."""
    from slotnorm_book.chapters import list_parameters, select_chapters

    print("\n\n".join(map(list_parameters, select_chapters(names))))


@app.command()
def execute(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[CHAPTER]...", help="Such as 02_clevr; without any, all chapters.")
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="Such as slots='[7, 21]'; may be repeated."),
    ] = None,
    reference: Annotated[
        bool, typer.Option("--reference", help="Run notebooks in place at their defaults: the outputs nbval compares.")
    ] = False,
) -> None:
    """Execute chapters with papermill and put the results into the book.

    book/parameters.json says what the book shows of each chapter; a chapter that is not listed there is shown at its
    defaults, the smoke run. A chapter that fails leaves its partial notebook in _build/failed, and its page as it was.

    Exit status: 0, 1 when a chapter failed, 2 for a wrong request.
    """
    from slotnorm_book.execute import execute_chapters

    sys.exit(execute_chapters(names or [], parameter or [], reference))


@app.command()
def sweep(
    experiment: Annotated[str | None, typer.Argument(help="As --list names it, such as clevr-6-7.")] = None,
    store: Annotated[str | None, typer.Option(help="Folder of the run store.")] = None,
    scale: Annotated[str, typer.Option(help="smoke, cpu, gpu or paper.")] = "cpu",
    variants: Annotated[list[str] | None, typer.Option(help="Only this normalization; may be repeated.")] = None,
    seeds: Annotated[list[int] | None, typer.Option(help="Only this seed; may be repeated.")] = None,
    slots: Annotated[
        list[int] | None, typer.Option(help="Only this slot count at evaluation; may be repeated.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Folder of prepared splits, or the name of a stand-in.")] = None,
    test_data: Annotated[str | None, typer.Option(help="The same for the evaluation, if it is other data.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...; auto is a GPU if there is one.")] = "auto",
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs side by side; by default one per core or GPU.")] = None,
    time_budget: Annotated[float | None, typer.Option(help="Seconds after which to save checkpoints and stop.")] = None,
    executor: Annotated[str, typer.Option(help="local, or ray for a cluster.")] = "local",
    compile: Annotated[
        bool, typer.Option("--compile", help="Compile the training step; on a CPU that needs a C++ compiler.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show which runs exist and which would be made.")] = False,
    list_all: Annotated[bool, typer.Option("--list", help="List all experiments with their scales.")] = False,
) -> None:
    """Train and evaluate the runs of an experiment that a store does not have yet.

    It can be interrupted in any way; the same command goes on. Under torchrun the processes share each run's batches.

    Exit status: 0 when every run is there, 75 when it was stopped and the same command goes on, 1 when a run failed, 2
    for a wrong request. torchrun turns every status but 0 into 1.
    """
    from slotnorm_book.experiments import sweep as sweeps

    if list_all:
        print(sweeps.list_experiments())
        return
    if experiment is None or store is None:
        raise typer.BadParameter("name an experiment and --store FOLDER; --list shows the experiments")
    request = sweeps.Request(store, device, jobs, time_budget, executor, compile, dry_run)
    sys.exit(
        sweeps.run_sweep(sweeps.choose_recipe(experiment, scale, variants, seeds, slots, data, test_data), request)
    )


@app.command()
def verdicts() -> None:
    """Judge the claims on the committed records and write book/verdicts.json, which the tests compare."""
    from slotnorm_book.claims.committed_verdicts import write_verdicts

    print(f"wrote {write_verdicts()}")


def cli() -> None:
    """Run the command line. An error that the user can correct is one line on stderr, with exit status 2."""
    try:
        app(prog_name="slotnorm-book")
    except Exception as error:
        from slotnorm_book.errors import USER_ERRORS

        if not isinstance(error, USER_ERRORS):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    cli()
