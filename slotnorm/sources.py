"""Where a recipe's scenes come from: a prepared split, or something that makes one when it is first asked for.

Makers register themselves under the entry point group ``slotnorm.data``; ``data_tools``, which makes the stand-ins, is
one. So this package opens data and does not know how they are made.

A maker is a module with ``STAND_INS``, names that it knows, and three functions: ``makes(data)`` tells whether it makes
what ``data`` names, ``open_data(data, *, image_size, scenes, seed)`` gives it as a split, and ``identity`` of the same
arguments is a hash of what determines it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from slotnorm.data import Split, SplitError, open_split
from slotnorm.spec import Data, SpecError

GROUP = "slotnorm.data"
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Source:
    """Scenes of one part of a data set.

    Args:
        data: folder of prepared splits, or a name that a maker knows.
        part: one of :data:`PARTS`: subfolder of ``data``, and what a maker's seed follows from.
        image_size: side of the images in pixels.
        scenes: how many a maker makes; a prepared split has as many as it has.
    """

    data: str
    part: str
    image_size: int
    scenes: int

    def over(self, data: str) -> Source:
        """The same part of other data."""
        return replace(self, data=data)

    def open(self) -> Split:
        """Open the scenes; a maker makes them first, with a progress bar, when it has not yet.

        Raises:
            SplitError: the folder holds no such split, or images of another size.
            SpecError: ``data`` is neither a folder nor a known name.
        """
        maker = _maker(self.data)
        if maker is not None:
            split: Split = maker.open_data(self.data, **self._request())
            return split
        split = open_split(self._folder())
        self._check(split)
        return split

    def describe(self, max_objects: int | None = None) -> Data:
        """What identifies the scenes in a spec; a stand-in need not be made for it."""
        maker = _maker(self.data)
        if maker is not None:
            return Data(Path(self.data).name, maker.identity(self.data, **self._request()), max_objects)
        manifest = open_split(self._folder()).manifest
        return Data(manifest.name, manifest.digest, max_objects)

    def _request(self) -> dict[str, Any]:
        return {"image_size": self.image_size, "scenes": self.scenes, "seed": PARTS.index(self.part)}

    def _folder(self) -> Path:
        folder = Path(self.data)
        if not folder.is_dir():
            known = ", ".join(name for maker in _makers() for name in maker.STAND_INS)
            raise SpecError(f"data = {self.data!r}: no such folder, and no stand-in ({known or 'without data_tools'})")
        return folder if (folder / "manifest.json").exists() else folder / self.part

    def _check(self, split: Split) -> None:
        size = split.arrays["image"].shape[1:3] if "image" in split.arrays else None
        if size is not None and size != (self.image_size, self.image_size):
            raise SplitError(
                f"{split.folder}: has images of {size[0]}x{size[1]} pixels, {self.image_size}x{self.image_size} are "
                f"needed; convert the data again with --size {self.image_size}"
            )


def _maker(data: str) -> Any | None:
    return next((maker for maker in _makers() if maker.makes(data)), None)


@cache
def _makers() -> tuple[Any, ...]:
    return tuple(entry.load() for entry in entry_points(group=GROUP))
