"""`python -m data_tools COMMAND`: makes and checks the prepared splits that `slotnorm.data` opens."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from data_tools.converters import clevr_command, movi
from data_tools.features import command as features
from data_tools.features.pretraining import command as pretrain
from data_tools.stand_ins import command as synth_command
from data_tools.writing.split_writer import DataError
from data_tools.writing.split_writer import verify as verify_split

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
    """Check prepared splits completely, every checksum included."""
    for folder in splits:
        manifest = verify_split(folder)
        size = sum(path.stat().st_size for path in folder.glob("*.npy"))
        print(f"{folder}: whole: {manifest.name}, {manifest.count:,} scenes, {size / 1e6:,.1f} MB")
        for name, entry in manifest.arrays.items():
            print(f"  {name:<12} {entry.dtype:<8} {entry.shape}")


app.command("clevr")(clevr_command.clevr)
app.command("movi")(movi.movi)
app.command("features")(features.features)
app.command("pretrain")(pretrain.pretrain)
app.command("synth-clevr")(synth_command.synth_clevr)
app.command("synth-movi")(synth_command.synth_movi)


def main() -> None:
    """Run a command; what a user can mend is one line on stderr and exit status 2."""
    try:
        app(prog_name="python -m data_tools")
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
