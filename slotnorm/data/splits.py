"""Opens prepared splits without copying, checks and filters them, and makes batches on the training device.

A split is a folder of ``.npy`` arrays and a ``manifest.json``, made by ``python -m data_tools``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from slotnorm.arguments import require_positive
from slotnorm.data.loader import Batch, Compute, Loader, RowGatherer, as_input, in_order
from slotnorm.data.manifest import Manifest, SplitError, open_array, read_manifest

FLIPPABLE = ("image", "segmentation")


@dataclass(frozen=True, eq=False)
class Split(Dataset[dict[str, Tensor]]):
    """A prepared split or a part of one: memory-mapped arrays and the indices of its rows.

    It is a data set of PyTorch too: ``DataLoader(split, batch_size=64, shuffle=True)`` makes batches of all arrays, in
    as many processes as it is asked for. :meth:`loader` is faster and can resume.

    The arrays and their names are described in ``data_tools.writing.split_writer``; ``image`` is uint8 (N, H, W, 3),
    ``segmentation`` uint8 (N, H, W) with 0 the background, ``num_objects`` and ``scene_id`` int64 (N,).

    Example:
        >>> split = open_split(FOLDER).filter(max_objects=2)
        >>> len(split), split["num_objects"].tolist(), split.loader(batch_size=2, seed=0)[0]["image"].shape
        (6, [1, 2, 1, 2, 1, 2], torch.Size([2, 3, 8, 8]))
    """

    folder: Path
    manifest: Manifest
    arrays: Mapping[str, npt.NDArray[Any]]
    index: npt.NDArray[np.int64]
    computed: Mapping[str, Compute] = field(default_factory=dict)
    """Further entries of a batch, computed from its images; see ``with_features``."""

    def __len__(self) -> int:
        return len(self.index)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle a mapped array as its file, which is opened again, and any other with its content."""
        held = {name: None if isinstance(array, np.memmap) else array for name, array in self.arrays.items()}
        return _mapped_again, (self.folder.absolute(), self.manifest, held, self.index, self.computed)

    @overload
    def __getitem__(self, key: str) -> npt.NDArray[Any]: ...
    @overload
    def __getitem__(self, key: int) -> dict[str, Tensor]: ...
    def __getitem__(self, key: str | int) -> npt.NDArray[Any] | dict[str, Tensor]:
        """Copy one array to memory, shape (len(self), *item), or return all arrays of one scene as tensors.

        The tensors are as in :class:`Loader`, ``image`` being (3, H, W) in [-1, 1].
        """
        if isinstance(key, str):
            return np.asarray(self._select_arrays((key,))[key][self.index])
        row = self.index[key]
        scene = {name: torch.from_numpy(np.array(array[row])) for name, array in self.arrays.items()}
        return {name: as_input(name, tensor[None])[0] for name, tensor in scene.items()}

    def filter(self, *, min_objects: int = 0, max_objects: int | None = None) -> Split:
        """Keep the scenes with ``min_objects`` to ``max_objects`` objects, both included, without copying.

        The paper's CLEVR6 is ``filter(max_objects=6)``.

        Raises:
            SplitError: if no scene is left.
        """
        objects = self["num_objects"]
        if not len(objects):
            raise SplitError(f"{self.folder}: has no scenes to filter")
        most = int(objects.max()) if max_objects is None else max_objects
        keep = (objects >= min_objects) & (objects <= most)
        if not keep.any():
            present = f"those here have {objects.min()} to {objects.max()}"
            raise SplitError(f"{self.folder}: no scene has {min_objects} to {most} objects; {present}")
        return replace(self, index=self.index[keep])

    def select(self, positions: Sequence[int] | npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Split:
        """Select the scenes at the given positions, in that order, or those where a mask is true, without copying.

        Raises:
            ValueError: if the positions are neither whole numbers nor a mask of the split's length.
        """
        chosen = np.asarray(positions)
        mask = chosen.dtype == np.bool_
        whole = chosen.dtype.kind in "iu" or not chosen.size  # NumPy takes [] for floats
        if chosen.ndim != 1 or not (len(chosen) == len(self) if mask else whole):
            wanted = f"positions must be whole numbers, (n,), or a mask, ({len(self)},)"
            raise ValueError(f"{wanted}; got {chosen.dtype} of shape {chosen.shape}")
        return replace(self, index=self.index[chosen if mask else chosen.astype(np.int64)])

    def with_features(self, backbone: Compute, about: Mapping[str, Any]) -> Split:
        """Add ``features`` that batches hold, computed from their images; a scene, ``split[0]``, does not have them.

        Args:
            backbone: maps images in [-1, 1], (B, 3, H, W), to features, without gradients; a module is moved to the
                batches' device and put into evaluation mode.
            about: everything that determines the features; it becomes part of the digest that names the data.
        """
        canonical = json.dumps([self.manifest.digest, dict(about)], sort_keys=True, separators=(",", ":"))
        manifest = replace(self.manifest, digest=hashlib.sha256(canonical.encode()).hexdigest())
        return replace(self, manifest=manifest, computed={"features": backbone})

    def loader(
        self,
        *,
        batch_size: int,
        seed: int,
        device: torch.device | str = "cpu",
        fields: Sequence[str] = ("image",),
        flip: bool = False,
        resident: bool | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> Loader:
        """Make shuffled training batches, addressed by step: ``loader[step]["image"]``.

        Args:
            batch_size, seed, rank, world_size: see :class:`Loader`.
            device, fields: where the batches go, and the arrays in them.
            flip: whether to flip scenes left to right at random; only ``image`` and ``segmentation`` can be flipped.
            resident: whether to keep the data in the device's memory; ``None``: on a GPU if they fit.

        Raises:
            SplitError: if there is no scene, or the split does not have one of the arrays.
            ValueError: if ``flip`` is combined with other fields, or the processes cannot share a batch equally.
        """
        if flip and (others := sorted(set(fields) - {*FLIPPABLE, *self.computed})):
            wanted = f"use fields from {list(FLIPPABLE)} or flip=False"
            raise ValueError(f"flip=True would leave {others} unflipped: {wanted}")
        if not len(self):
            raise SplitError(f"{self.folder}: has no scenes to make batches of")
        rows = self._gatherer(fields, device, resident)
        return Loader(rows, batch_size=batch_size, seed=seed, flip=flip, rank=rank, world_size=world_size)

    def batches(
        self, *, batch_size: int, device: torch.device | str = "cpu", fields: Sequence[str] = ("image", "segmentation")
    ) -> Iterator[Batch]:
        """Yield every scene once, in order, for evaluation; batches as in :class:`Loader`, the last may be smaller.

        Raises:
            SplitError: if the split does not have one of the arrays.
            ValueError: if ``batch_size`` is below 1.
        """
        require_positive(batch_size=batch_size)
        return in_order(self._gatherer(fields, device, resident=False), batch_size)

    def require(self, *fields: str) -> None:
        """Check that batches can hold these arrays.

        Raises:
            SplitError: naming the first array that is missing.
        """
        self._select_arrays(self._stored(fields))

    def _gatherer(self, fields: Sequence[str], device: torch.device | str, resident: bool | None) -> RowGatherer:
        computed = {name: self.computed[name] for name in fields if name in self.computed}
        arrays = self._select_arrays(self._stored(fields))
        return RowGatherer(arrays, self.index, torch.device(device), resident, computed, fields)

    def _stored(self, fields: Sequence[str]) -> list[str]:
        """List the arrays that these fields are read or computed from."""
        if isinstance(fields, str):
            raise ValueError(f"fields must be a list of names, such as [{fields!r}], got {fields!r}")
        stored = [name for name in fields if name not in self.computed]
        return stored if len(stored) == len(fields) or "image" in stored else [*stored, "image"]

    def _select_arrays(self, fields: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        if missing := [name for name in fields if name not in self.arrays]:
            raise SplitError(f"{self.folder}: has no array {missing[0]!r}; it has {sorted(self.arrays)}")
        return {name: self.arrays[name] for name in fields}


def open_split(folder: str | Path) -> Split:
    """Open a prepared split: map its arrays into memory and compare types, shapes and sizes with the manifest.

    ``python -m data_tools verify FOLDER`` compares the checksums too.

    Raises:
        SplitError: naming the file that is missing, damaged, or different from the manifest.

    Example:
        >>> sorted(open_split(FOLDER).arrays)
        ['image', 'num_objects', 'scene_id', 'segmentation', 'x']
    """
    folder = Path(folder)
    manifest = read_manifest(folder / "manifest.json")
    arrays = {name: open_array(folder / f"{name}.npy", entry) for name, entry in manifest.arrays.items()}
    if missing := {"num_objects", "scene_id"} - arrays.keys():
        raise SplitError(f"{folder / 'manifest.json'}: lists no array {min(missing)!r}, which every split has")
    for name, array in arrays.items():
        if array.shape[:1] != (manifest.count,):
            raise SplitError(
                f"{folder / name}.npy: has shape {array.shape}, its manifest counts {manifest.count} items"
            )
    for name in {"num_objects", "scene_id", "clip_id"} & arrays.keys():
        if arrays[name].dtype.kind not in "iu" or arrays[name].ndim != 1:
            held = f"{arrays[name].dtype} {arrays[name].shape}"
            raise SplitError(f"{folder / name}.npy: holds {held}, it must be a whole number for each scene, (N,)")
    _check_pictures(folder, arrays)
    return Split(folder, manifest, arrays, np.arange(manifest.count))


def _mapped_again(folder: Path, manifest: Manifest, held: Mapping[str, npt.NDArray[Any] | None], *rest: Any) -> Split:
    arrays = {
        name: open_array(folder / f"{name}.npy", manifest.arrays[name]) if array is None else array
        for name, array in held.items()
    }
    return Split(folder, manifest, arrays, *rest)


def _check_pictures(folder: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Check the types and shapes of images and masks."""
    image, masks = arrays.get("image"), arrays.get("segmentation")
    if image is not None and (image.dtype != np.uint8 or image.ndim != 4 or image.shape[3] != 3):
        raise SplitError(f"{folder / 'image.npy'}: holds {image.dtype} {image.shape}, images are uint8 (N, H, W, 3)")
    if masks is not None and (masks.dtype.kind not in "iu" or masks.ndim != 3):
        held = f"{masks.dtype} {masks.shape}"
        raise SplitError(f"{folder / 'segmentation.npy'}: holds {held}, masks are whole numbers (N, H, W)")
    if image is not None and masks is not None and masks.shape != image.shape[:3]:
        sizes = f"{masks.shape[1]}x{masks.shape[2]} pixels, those of its images {image.shape[1]}x{image.shape[2]}"
        raise SplitError(f"{folder / 'segmentation.npy'}: has masks of {sizes}; they must be of one size")
