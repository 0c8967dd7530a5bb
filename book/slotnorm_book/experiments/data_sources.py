"""Where a recipe's scenes come from: a prepared split, or a maker that makes a split when it is first opened.

Makers register themselves under the entry point group ``slotnorm.data``. One of them is ``data_tools``, which makes the
stand-ins. So this package opens data without knowing how they are made. :class:`Maker` says what a maker must have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, TypedDict, runtime_checkable

from slotnorm.data.manifest import SplitError
from slotnorm.data.splits import Split, open_split
from slotnorm.training.spec import Data, SpecError
from slotnorm_book.checkout import ROOT

GROUP = "slotnorm.data"
PARTS = ("train", "validation", "test")


class Request(TypedDict):
    """The scenes that a maker is asked for."""

    image_size: int
    scenes: int
    seed: int


@runtime_checkable
class Maker(Protocol):
    """A module that makes splits. It reports problems that the user can fix as ValueError or OSError, with a one-line
    message that names the file.
    """

    STAND_INS: Sequence[str]
    """The names that ``data`` may have besides the paths of files."""

    def makes(self, data: str) -> bool:
        """Return whether it makes the split that ``data`` names."""

    def open_data(self, data: str, *, image_size: int, scenes: int, seed: int) -> Split:
        """Open the split; make it first if needed."""

    def identity(self, data: str, *, image_size: int, scenes: int, seed: int) -> str:
        """Return a hash of everything that determines the split."""


@contextmanager
def _own_errors() -> Iterator[None]:
    """Turn an error of a maker, whose classes are unknown here, into a SplitError."""
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
        part: one of :data:`PARTS`: the subfolder of ``data``; it also determines the seed that a maker gets.
        image_size: side of the images in pixels.
        scenes: number of scenes that a maker makes; ignored for a prepared split.
        chosen: whether somebody named these data in place of the recipe's.
        recorded: what the records of runs say of data that are not here; they can be described, not opened.
    """

    data: str
    part: str
    image_size: int
    scenes: int
    chosen: bool = False
    recorded: Data | None = None

    def with_data(self, data: str) -> Source:
        """Return the source of the same part of other data."""
        return replace(self, data=data, chosen=True, recorded=None)

    @property
    def name(self) -> str:
        """The name of the data for readers: that of the stand-in, file or folder, or the recorded one."""
        return self.recorded.name if self.recorded else Path(self.data).name

    @_own_errors()
    def open(self) -> Split:
        """Open the scenes; if needed, a maker makes them first, with a progress bar.

        Raises:
            SplitError: the folder has no such split, or images of another size, or a maker cannot use its input.
            SpecError: ``data`` is neither a folder nor a known name.
        """
        data = resolve_path(self.data)
        maker = _maker(data)
        if maker is not None:
            return maker.open_data(data, **self._request())
        split = open_split(self._folder(data))
        self._check(split)
        return split

    @property
    def is_generated(self) -> bool:
        """Whether a maker makes the scenes, which can take long; prepared scenes only have to be opened."""
        return _maker(resolve_path(self.data)) is not None

    @_own_errors()
    def describe(self, max_objects: int | None = None) -> Data:
        """Return what identifies the scenes in a specification; no stand-in is made for this."""
        if self.recorded:
            return replace(self.recorded, max_objects=max_objects)
        data = resolve_path(self.data)
        maker = _maker(data)
        if maker is not None:
            return Data(Path(data).name, maker.identity(data, **self._request()), max_objects)
        manifest = open_split(self._folder(data)).manifest
        return Data(manifest.name, manifest.digest, max_objects)

    def _request(self) -> Request:
        return {"image_size": self.image_size, "scenes": self.scenes, "seed": PARTS.index(self.part)}

    def _folder(self, data: str) -> Path:
        folder = Path(data)
        if not folder.is_dir():
            known = ", ".join(list_stand_ins()) or "there are none without data_tools"
            raise SpecError(f"data = {data!r}: no such folder, and no stand-in ({known}){_describe_lost_makers()}")
        return folder if (folder / "manifest.json").exists() else folder / self.part

    def _check(self, split: Split) -> None:
        size = split.arrays["image"].shape[1:3] if "image" in split.arrays else None
        if size is not None and size != (self.image_size, self.image_size):
            raise SplitError(
                f"{split.folder}: has images of {size[0]}x{size[1]} pixels, {self.image_size}x{self.image_size} are "
                f"needed; convert the data again with --size {self.image_size}"
            )


def resolve_path(data: str) -> str:
    """Find a path in the working directory, or else in the root of the checkout.

    So a recipe's path means the same file in Jupyter, papermill and the command line, which start in other folders.
    Other names, such as those of stand-ins, are returned unchanged.
    """
    if data in list_stand_ins():
        return data
    places = (base / data for base in (Path.cwd(), ROOT))
    return next((str(place) for place in places if place.exists()), data)


def list_stand_ins() -> list[str]:
    """List the names that ``data`` may have instead of a path."""
    return [name for maker in _makers() for name in maker.STAND_INS]


def is_known(data: str) -> bool:
    """Return whether ``data`` is the name of a stand-in or an existing path."""
    return data in list_stand_ins() or Path(resolve_path(data)).exists()


def _maker(data: str) -> Maker | None:
    return next((maker for maker in _makers() if maker.makes(data)), None)


@cache
def _makers() -> tuple[Maker, ...]:
    return tuple(loaded for _, loaded in _load_entries() if not isinstance(loaded, str))


def _describe_lost_makers() -> str:
    """Return which makers cannot be used and why, for the message that some data cannot be found."""
    lost = [(name, loaded) for name, loaded in _load_entries() if isinstance(loaded, str)]
    return "".join(f"; the entry point {name} in {GROUP} cannot be used: {reason}" for name, reason in lost)


@cache
def _load_entries() -> tuple[tuple[str, Maker | str], ...]:
    """Load the makers of all packages; in place of one that cannot be loaded there is the reason."""
    loaded: list[tuple[str, Maker | str]] = []
    for entry in entry_points(group=GROUP):
        try:
            maker = entry.load()
            fits = isinstance(maker, Maker)
            loaded.append((entry.name, maker if fits else f"{entry.value} is no Maker"))
        except Exception as error:  # whatever happens while a package of somebody else is imported
            loaded.append((entry.name, f"{type(error).__name__}: {' '.join(str(error).split())}"))
    return tuple(loaded)
