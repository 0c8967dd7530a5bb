"""Stand-ins for CLEVR and MOVi, drawn on this machine: their names, and the module that draws each.

A stand-in is a module here with a function `prepare(out, *, count, size, seed, ...)` that draws a prepared split, and a
row of `PICTURES`. The row makes its name a command of `python -m data_tools` and a value of a chapter's `data`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

RENDERER = 1
"""Version of everything that decides a pixel; raise it when the same arguments give another picture."""


@dataclass(frozen=True)
class StandIn:
    """A stand-in: the module that draws it, a line about it, and how it is drawn."""

    module: str
    """Name of the module in this package, which is imported only to draw, because torch takes seconds."""
    shows: str
    size: int
    """Side of the pictures in pixels, unless another is asked for."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the module's `prepare` that every call passes."""

    def prepare(self, out: Path, **request: Any) -> Path:
        """Draw a prepared split in the folder `out` and return it; an interrupted call resumes where it stopped.

        Args:
            out: Folder of the split.
            request: Arguments of the module's `prepare`: `count`, `size`, `seed` and others.

        Raises:
            DataError: An argument is out of range.
            SplitWriteError: `out` holds something else, is being written, or the disk is full.
        """
        prepare = import_module(f"{__name__}.{self.module}").prepare
        return Path(prepare(out, **self.options, **request))


PICTURES = {
    "synth-clevr": StandIn("clevr", "3 to 10 spheres, cubes and cylinders on a grey plane, instead of CLEVR", 64),
    "synth-movi-c": StandIn(
        "movi",
        "3 to 10 large textured objects that lie on or fall to a floor, instead of MOVi-C",
        128,
        {"variant": "c"},
    ),
    "synth-movi-d": StandIn(
        "movi", "11 to 23 textured objects that lie on or fall to a floor, instead of MOVi-D", 128, {"variant": "d"}
    ),
}
"""Stand-ins by name. None of them is the data set that it replaces."""
