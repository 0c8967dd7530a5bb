"""Where a recipe's scenes come from: a prepared split, or something that makes one when it is first asked for.

Makers register themselves under the entry point group ``slotnorm.data``; ``data_tools``, which makes the stand-ins, is
one. So this package opens data and does not know how they are made.

A maker is a module with ``STAND_INS``, names that it knows, and three functions: ``makes(data)`` tells whether it makes
what ``data`` names, ``open_data(data, *, image_size, scenes, seed)`` gives it as a split, and ``identity`` of the same
arguments is a hash of what determines it. What a user can mend these tell by a ``ValueError`` or an ``OSError``, whose
message is a line that names the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from slotnorm.data.splits import Split, SplitError, open_split
from slotnorm.training.spec import Data, SpecError
from slotnorm_book.checkout import ROOT

GROUP = "slotnorm.data"
PARTS = ("train", "validation", "test")


@contextmanager
def _own_errors() -> Iterator[None]:
    """Let an error of a maker, whose classes are not known here, be one of this package."""
    try:
        yield
    except (SpecError, SplitError):
        raise
    except (ValueError, OSError) as error:
        raise SplitError(str(error)) from error


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

    def with_data(self, data: str) -> Source:
        """The same part of other data."""
        return replace(self, data=data)

    @property
    def name(self) -> str:
        """What readers call the data: a stand-in's name, or that of the file or folder."""
        return Path(self.data).name

    @_own_errors()
    def open(self) -> Split:
        """Open the scenes; a maker makes them first, with a progress bar, when it has not yet.

        Raises:
            SplitError: the folder holds no such split, or images of another size; a maker cannot use its input.
            SpecError: ``data`` is neither a folder nor a known name.
        """
        data = resolve_path(self.data)
        maker = _maker(data)
        if maker is not None:
            split: Split = maker.open_data(data, **self._request())
            return split
        split = open_split(self._folder(data))
        self._check(split)
        return split

    @property
    def is_generated(self) -> bool:
        """Whether a maker makes the scenes, which can take its time, or they only have to be opened."""
        return _maker(resolve_path(self.data)) is not None

    @_own_errors()
    def describe(self, max_objects: int | None = None) -> Data:
        """What identifies the scenes in a spec; a stand-in need not be made for it."""
        data = resolve_path(self.data)
        maker = _maker(data)
        if maker is not None:
            return Data(Path(data).name, maker.identity(data, **self._request()), max_objects)
        manifest = open_split(self._folder(data)).manifest
        return Data(manifest.name, manifest.digest, max_objects)

    def _request(self) -> dict[str, Any]:
        return {"image_size": self.image_size, "scenes": self.scenes, "seed": PARTS.index(self.part)}

    def _folder(self, data: str) -> Path:
        folder = Path(data)
        if not folder.is_dir():
            known = ", ".join(list_stand_ins()) or "there are none without data_tools"
            raise SpecError(f"data = {data!r}: no such folder, and no stand-in ({known})")
        return folder if (folder / "manifest.json").exists() else folder / self.part

    def _check(self, split: Split) -> None:
        size = split.arrays["image"].shape[1:3] if "image" in split.arrays else None
        if size is not None and size != (self.image_size, self.image_size):
            raise SplitError(
                f"{split.folder}: has images of {size[0]}x{size[1]} pixels, {self.image_size}x{self.image_size} are "
                f"needed; convert the data again with --size {self.image_size}"
            )


def resolve_path(data: str) -> str:
    """Where ``data`` is: a relative path is looked for in the working directory, then in the checkout's root.

    So a recipe's path means the same file from Jupyter, papermill and the command line, which start elsewhere. What is
    neither, such as a stand-in's name, is left as it is.
    """
    if data in list_stand_ins():
        return data
    places = (base / data for base in (Path.cwd(), ROOT))
    return next((str(place) for place in places if place.exists()), data)


def list_stand_ins() -> list[str]:
    """Names that ``data`` may have instead of a path."""
    return [name for maker in _makers() for name in maker.STAND_INS]


def is_known(data: str) -> bool:
    """Whether ``data`` is a stand-in's name or a path where something is."""
    return data in list_stand_ins() or Path(resolve_path(data)).exists()


def _maker(data: str) -> Any | None:
    return next((maker for maker in _makers() if maker.makes(data)), None)


@cache
def _makers() -> tuple[Any, ...]:
    return tuple(entry.load() for entry in entry_points(group=GROUP))
