"""``slotnorm-book``, also ``python -m slotnorm_book``: the command of the book's package.

Each command imports what it needs only when it is called, so that ``--help`` is fast.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

app = typer.Typer(
    name="slotnorm-book",
    help="List and execute the chapters of the book, train their experiments and judge the claims of the paper.",
    epilog="""\b
Examples:
  slotnorm-book chapters
  slotnorm-book execute 02_clevr
  slotnorm-book sweep clevr-6-7 --scale cpu --store runs

`slotnorm-book COMMAND --help` explains a command.""",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command(epilog="`slotnorm-book parameters CHAPTER` lists what can be set in a chapter.")
def chapters() -> None:
    """List the chapters of the book."""
    from slotnorm_book.chapters import list_chapters

    print(list_chapters())


@app.command(
    short_help="List the parameters of chapters.",
    epilog="""\b
Examples:
  slotnorm-book parameters 02_clevr
  slotnorm-book parameters notebooks/02_clevr.ipynb notebooks/03_movi_c.ipynb""",
)
def parameters(
    names: Annotated[list[str], typer.Argument(metavar="CHAPTER", help="Names as 02_clevr, or paths of notebooks.")],
) -> None:
    """List the parameters of chapters: meaning, type and default."""
    from slotnorm_book.chapters import list_parameters, select_chapters

    print("\n\n".join(map(list_parameters, select_chapters(names))))


@app.command(
    short_help="Execute chapters for the book.",
    epilog="""\b
Examples:
  slotnorm-book execute                                  every chapter
  slotnorm-book execute 02_clevr -p slots='[7, 11, 21]'
  slotnorm-book execute 02_clevr -p scale=cpu -p store=runs -p missing=report

The exit status is 0, 1 if a chapter failed, or 2 if the request was wrong.""",
)
def execute(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CHAPTER", help="Names as 02_clevr, or paths of notebooks.", show_default="all chapters"
        ),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter", "-p", metavar="NAME=VALUE", help="Set a parameter; may be repeated. Lists are JSON."
        ),
    ] = None,
    reference: Annotated[
        bool,
        typer.Option("--reference", help="Instead, run the notebooks in place, as the outputs that the tests compare."),
    ] = False,
) -> None:
    """Execute chapters with papermill and save them as pages of the book, in book/chapters.

    book/parameters.json has the parameters with which the book shows a chapter; a chapter that is not in it is shown
    at its defaults, a run of seconds. If a chapter fails, its page stays as it was, and what was executed is in
    _build/failed.
    """
    from slotnorm_book.execute import execute_chapters

    raise typer.Exit(execute_chapters(names or [], parameter or [], reference))


@app.command(
    short_help="Train and evaluate the runs of an experiment.",
    epilog="""\b
Examples:
  slotnorm-book sweep --list
  slotnorm-book sweep clevr-6-7 --scale cpu --store runs --dry-run
  slotnorm-book sweep clevr-6-7 --scale cpu --store runs
  slotnorm-book sweep clevr-6-7 --store runs --variants layer_norm --seeds 0
  slotnorm-book sweep --all --scale cpu --store book/results
  torchrun --nproc-per-node 4 -m slotnorm_book sweep clevr-6-7 --store runs

The exit status is 0 if every run is there, 75 if the sweep was stopped and the same command continues it, 1 if a run
failed, or 2 if the request was wrong. torchrun turns every status except 0 into 1.""",
)
def sweep(
    experiment: Annotated[
        str | None, typer.Argument(metavar="EXPERIMENT", help="Name from --list, such as clevr-6-7.")
    ] = None,
    store: Annotated[str | None, typer.Option(metavar="FOLDER", help="Folder in which the runs are kept.")] = None,
    scale: Annotated[str, typer.Option(metavar="SCALE", help="Size of the runs: smoke, cpu, gpu or paper.")] = "cpu",
    variants: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Train only this normalization; may be repeated."),
    ] = None,
    seeds: Annotated[
        list[int] | None, typer.Option(metavar="SEED", help="Train only with this seed; may be repeated.")
    ] = None,
    slots: Annotated[
        list[int] | None, typer.Option(metavar="COUNT", help="Evaluate only with this many slots; may be repeated.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="Folder of prepared splits, or the name of a stand-in.")
    ] = None,
    test_data: Annotated[
        str | None, typer.Option(metavar="DATA", help="Other data for the evaluation, given in the same way.")
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="cpu, cuda or the like; auto is a GPU if there is one.")
    ] = "auto",
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="COUNT", help="Runs at the same time.", show_default="one per core, or one on a GPU"
        ),
    ] = None,
    time_budget: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Save checkpoints and stop after this time.")
    ] = None,
    executor: Annotated[
        str, typer.Option(metavar="EXECUTOR", help="local for this machine, ray for a cluster.")
    ] = "local",
    compile: Annotated[
        bool, typer.Option("--compile", help="Compile the training step; needs a C++ compiler on a CPU.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show which runs exist and how long the others take; train nothing.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Sweep all experiments, every one with a seed before any with the next.")
    ] = False,
    list_all: Annotated[bool, typer.Option("--list", help="List all experiments and their sizes.")] = False,
) -> None:
    """Train and evaluate the runs of an experiment, or of all, that a store does not have yet.

    The sweep can be interrupted at any time; the same command continues it. The same command in several processes that
    see the folder shares the runs among them. Under torchrun, the processes share the batches of each run.
    """
    from slotnorm.training.spec import SpecError
    from slotnorm_book.chapter_parameters import NOTHING
    from slotnorm_book.experiments import sweep as sweeps

    if list_all:
        print(sweeps.list_experiments())
        return
    if (experiment is None) != every or store in (None, "", *NOTHING):
        example = "slotnorm-book sweep clevr-6-7 --scale cpu --store runs"
        raise SpecError(f"name an experiment, or --all, and a store, as in `{example}`; --list shows the experiments")
    if every and (variants or seeds or slots or data or test_data):
        raise SpecError("--all takes the recipes as they are, so it goes without variants, seeds, slots and data")
    chosen = [sweeps.choose_recipe(experiment, scale, variants, seeds, slots, data, test_data)] if experiment else []
    request = sweeps.Request(store, device, jobs, time_budget, executor, compile, dry_run)
    raise typer.Exit(sweeps.run_sweep(chosen or sweeps.choose_all_recipes(scale), request))


@app.command(
    short_help="Copy finished runs into the book's records.",
    epilog="""\b
Examples:
  slotnorm-book keep runs
  slotnorm-book keep runs --commit
  slotnorm-book keep runs --most 500                     runs of the paper scale take more than the default""",
)
def keep(
    store: Annotated[str, typer.Argument(metavar="STORE", help="Folder in which the runs are.")],
    commit: Annotated[bool, typer.Option("--commit", help="Commit them, and nothing else, with git.")] = False,
    most: Annotated[
        float | None,
        typer.Option(metavar="MB", help="Megabytes that the records may take in all.", min=0, show_default="60"),
    ] = None,
) -> None:
    """Copy the finished runs of a store into book/results, except those that are there.

    Runs with seed 0, and baselines trained with 7 slots, are copied with their weights, of the others the tables.
    Given now and then, while a sweep goes on, it keeps what is done from being lost with the machine.
    """
    from slotnorm_book import checkout
    from slotnorm_book.experiments.keep import MOST_MB, keep_runs

    names = keep_runs(store, checkout.RECORDS, commit=commit, most=MOST_MB if most is None else most)
    print("\n".join([*names, f"{len(names)} runs kept{' and committed' if commit and names else ''}"]))


@app.command(short_help="Judge the claims on the committed records.")
def verdicts() -> None:
    """Judge the claims on the committed records and write book/verdicts.json, which the tests compare."""
    from slotnorm_book.claims.committed_verdicts import write_verdicts

    print(f"wrote {write_verdicts()}")


@app.command(
    short_help="Compute the blind floors of the test sets.",
    epilog="""\b
Examples:
  slotnorm-book floors
  slotnorm-book floors clevr-6-7 --scale paper""",
)
def floors(
    experiments: Annotated[
        list[str] | None,
        typer.Argument(metavar="EXPERIMENT", help="Whose test sets.", show_default="all experiments"),
    ] = None,
    scale: Annotated[str, typer.Option(metavar="SCALE", help="Size of the runs: smoke, cpu, gpu or paper.")] = "cpu",
) -> None:
    """Fit the best segmentations that never see a picture, and write their F-ARI to book/floors.json, in minutes.

    Floors that the file has are kept. Where a recipe's test set has changed, it is computed anew.
    """
    from slotnorm_book.analyses.blind_floors import write_floors

    print(f"wrote {write_floors(experiments or (), scale)}")


def cli() -> None:
    """Run the command line. An error that the user can correct is one line on stderr, with exit status 2."""
    try:
        sys.exit(app(sys.argv[1:] or ["--help"], prog_name="slotnorm-book", standalone_mode=False))
    except Exception as error:
        message = _describe(error)
        if message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        sys.exit(2)


def _describe(error: Exception) -> str | None:
    """Return the message of an error that the user can correct, or ``None`` for other errors."""
    if format_message := getattr(error, "format_message", None):  # a usage error, of click or of typer's copy of it
        return str(format_message())
    from slotnorm_book.errors import USER_ERRORS

    if isinstance(error, USER_ERRORS):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:  # a folder that is read-only, a full disk, …
        return f"{error.filename}: {error.strerror}"
    return None


if __name__ == "__main__":
    cli()
