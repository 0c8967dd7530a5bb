"""`python -m data_tools COMMAND` makes and checks the prepared splits that `slotnorm.data` opens.

Each command imports what it needs when it is called, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from data_tools.converters import command as converters
from data_tools.features import command as features
from data_tools.features.pretraining import command as pretraining
from data_tools.stand_ins import command as stand_ins

app = typer.Typer(
    name="data_tools",
    help="Make and check the prepared splits that slotnorm.data opens. Each command explains itself with --help.",
    epilog="Example: python -m data_tools clevr --tfrecord clevr_with_masks_train.tfrecords --out data/clevr",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def verify(
    splits: Annotated[list[Path], typer.Argument(metavar="SPLIT...", help="Folders of prepared splits.")],
) -> None:
    """Check prepared splits completely, including every checksum."""
    from data_tools.writing.split_writer import verify as verify_split

    for folder in splits:
        manifest = verify_split(folder)
        size = sum(path.stat().st_size for path in folder.glob("*.npy"))
        print(f"{folder}: whole: {manifest.name}, {manifest.count:,} scenes, {size / 1e6:,.1f} MB")
        for name, entry in manifest.arrays.items():
            print(f"  {name:<12} {entry.dtype:<8} {entry.shape}")


for _room in (converters, features, pretraining, stand_ins):
    for _name, _command in _room.COMMANDS.items():
        app.command(_name)(_command)


def main() -> None:
    """Run a command. An error of the system or one that the user can correct is one line on stderr, with status 2."""
    try:
        app(prog_name="python -m data_tools")
    except (ValueError, OSError) as error:
        from data_tools.writing.durable import DataError, one_line

        if not isinstance(error, DataError | OSError):
            raise
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
