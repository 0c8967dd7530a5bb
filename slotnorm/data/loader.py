"""Makes batches on the training device, addressed by step: ``loader[step]`` is a pure function of (seed, step)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool
from torch import Tensor, nn

from slotnorm.arguments import require_whole

RESIDENT_SHARE = 0.5  # of the free device memory that the data may take; the rest is the model's
Batch = dict[str, Tensor]
Compute = Callable[[Tensor], Tensor]


class Loader:
    """Endless shuffled batches; :meth:`slotnorm.data.Split.loader` makes one.

    ``loader[step]`` depends only on the data, the batch size, the seed and the step. Epochs are permutations of the
    data put end to end, so that every scene is seen equally often for any batch size. A batch is a dict of tensors on
    the device: ``image`` float32 (B, 3, H, W) in [-1, 1], ``segmentation`` and other integer arrays int64, floating
    arrays float32. The data are kept in the device's memory if they fit; otherwise a thread reads ahead.

    Args:
        rows: gathers the scenes of a batch.
        batch_size: scenes in a step, over all processes.
        seed: of order and flips.
        flip: whether each scene is flipped left to right with probability 1/2.
        rank, world_size: number of this process, and how many share each batch equally.

    Raises:
        ValueError: if a number is not whole or the seed negative, the processes cannot share the batch equally, or the
            rank is not below ``world_size``.

    Example:
        >>> from slotnorm.data import open_split
        >>> loader = open_split(FOLDER).loader(batch_size=4, seed=0, flip=True)
        >>> loader[0]["image"].shape, bool((loader[7]["image"] == loader[7]["image"]).all())  # a step has one batch
        (torch.Size([4, 3, 8, 8]), True)
    """

    def __init__(
        self, rows: RowGatherer, *, batch_size: int, seed: int, flip: bool = False, rank: int = 0, world_size: int = 1
    ) -> None:
        require_whole(batch_size=batch_size, seed=seed, rank=rank, world_size=world_size)
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        if batch_size < 1 or world_size < 1 or batch_size % world_size or not 0 <= rank < world_size:
            wanted = "batch_size must be a positive multiple of world_size and rank below world_size"
            raise ValueError(f"{wanted}, got {batch_size=}, {world_size=}, {rank=}")
        self._rows = rows
        self._batch_size, self._seed, self._flip = batch_size, seed, flip
        self._share = slice(rank * batch_size // world_size, (rank + 1) * batch_size // world_size)
        self._staged: Callable[[int], Any] = self._stage if rows.resident else Ahead(self._stage)

    @property
    def resident(self) -> bool:
        """Whether the data are in the device's memory."""
        return bool(self._rows.resident)

    def __getitem__(self, step: int) -> Batch:
        if step < 0:
            raise IndexError(f"steps count from 0, got {step}")
        return self._rows.deliver(*self._staged(step))

    def _stage(self, step: int) -> tuple[Batch, Tensor | None]:
        positions, flips = _order(self._seed, step, self._batch_size, len(self._rows))
        staged = self._rows.stage(positions[self._share])
        return staged, self._rows.pin(flips[self._share]) if self._flip else None


@dataclass
class RowGatherer:
    """Gathers rows of arrays in two halves: ``stage`` on the host in any thread, ``deliver`` on the device.

    Args:
        arrays: arrays by name, items first, usually memory-mapped.
        rows: indices of the rows that belong to the data.
        device: where batches go.
        resident: whether to keep the rows in the device's memory; ``None``: on a GPU if they fit.
        computed: further entries of a batch by name: functions of the delivered ``image``, called on the device without
            gradients; a module is put into evaluation mode.
        fields: names of the arrays and computed entries in a batch; by default all.
    """

    arrays: Mapping[str, npt.NDArray[Any]]
    rows: npt.NDArray[np.int64]
    device: torch.device
    resident: bool | None = None
    computed: Mapping[str, Compute] = field(default_factory=dict)
    fields: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.resident is None:
            self.resident = _fits(self.arrays, len(self.rows), self.device)
        for compute in self.computed.values():
            if isinstance(compute, nn.Module):
                compute.to(self.device).eval()
        self.fields = tuple(self.fields or (*self.arrays, *self.computed))
        uploaded = self.arrays if self.resident else {}
        self._stored = {key: _upload(array, self.rows, self.device) for key, array in uploaded.items()}

    def __len__(self) -> int:
        return len(self.rows)

    def stage(self, positions: npt.NDArray[np.int64]) -> Batch:
        """Gather what is sent to the device: the items, or only their positions if the data are there."""
        if self.resident:
            return {"positions": self.pin(positions)}
        return {key: self.pin(array[self.rows[positions]]) for key, array in self.arrays.items()}

    def pin(self, array: npt.NDArray[Any]) -> Tensor:
        """Copy an array to a tensor, in pinned memory if the device is a GPU, so that sending it need not wait."""
        tensor = torch.from_numpy(np.array(array))
        return tensor.pin_memory() if self.device.type == "cuda" else tensor

    def deliver(self, staged: Batch, flips: Bool[Tensor, " batch"] | None = None) -> Batch:
        """Make the batch on the device; scenes whose entry of ``flips``, shape (B,), is true are flipped."""
        moved = {key: tensor.to(self.device, non_blocking=True) for key, tensor in staged.items()}
        if self.resident:
            moved = {key: stored[moved["positions"]] for key, stored in self._stored.items()}
        if flips is not None:
            flipped = flips.to(self.device, non_blocking=True)
            moved = {key: _flipped(tensor, flipped) for key, tensor in moved.items()}
        batch = {key: as_input(key, tensor) for key, tensor in moved.items()}
        with torch.no_grad():
            batch |= {key: compute(batch["image"]) for key, compute in self.computed.items()}
        return {key: batch[key] for key in self.fields}


class Ahead:
    """Calls ``make(step)`` in a thread for the next steps while the current one is used."""

    def __init__(self, make: Callable[[int], Any], steps: int | None = None, depth: int = 2) -> None:
        self._make, self._steps, self._depth = make, steps, depth
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="slotnorm-batches")
        self._pending: dict[int, Future[Any]] = {}

    def __call__(self, step: int) -> Any:
        """Return ``make(step)``; for consecutive steps it is ready."""
        end = step + 1 + self._depth
        wanted = range(step, end if self._steps is None else min(end, self._steps))
        for stale in self._pending.keys() - set(wanted):
            self._pending.pop(stale).cancel()
        for key in wanted:
            if key not in self._pending:
                self._pending[key] = self._pool.submit(self._make, key)
        return self._pending.pop(step).result()


def in_order(rows: RowGatherer, batch_size: int) -> Iterator[Batch]:
    """Yield every item once, in order; the last batch may be smaller."""
    parts = [np.arange(start, min(start + batch_size, len(rows))) for start in range(0, len(rows), batch_size)]
    staged = Ahead(lambda step: rows.stage(parts[step]), len(parts))
    for step in range(len(parts)):
        yield rows.deliver(staged(step))


@lru_cache(maxsize=4)
def _epoch(seed: int, epoch: int, n: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    # Raw bits of PCG64 and a stable sort: NumPy keeps these streams, unlike Generator.permutation's, across versions.
    bits = np.random.PCG64(np.random.SeedSequence((seed, epoch)))
    return np.argsort(bits.random_raw(n), kind="stable"), bits.random_raw(n) >> np.uint64(63) == 1


def _order(seed: int, step: int, batch: int, n: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    places = np.arange(step * batch, (step + 1) * batch)
    positions, flips = np.empty(batch, np.int64), np.empty(batch, np.bool_)
    for epoch in range(int(places[0]) // n, int(places[-1]) // n + 1):
        here = places // n == epoch
        order, flipped = _epoch(seed, epoch, n)
        positions[here], flips[here] = order[places[here] % n], flipped[places[here] % n]
    return positions, flips


def _fits(arrays: Mapping[str, npt.NDArray[Any]], count: int, device: torch.device) -> bool:
    if device.type != "cuda":
        return False
    needed = sum(count * array[0].nbytes for array in arrays.values())
    free, _ = torch.cuda.mem_get_info(device)
    return bool(needed <= RESIDENT_SHARE * free)


def _upload(array: npt.NDArray[Any], rows: npt.NDArray[np.int64], device: torch.device, chunk: int = 1024) -> Tensor:
    like = torch.from_numpy(np.array(array[:1]))
    stored = torch.empty((len(rows), *array.shape[1:]), dtype=like.dtype, device=device)
    for start in range(0, len(rows), chunk):
        stored[start : start + chunk] = torch.from_numpy(array[rows[start : start + chunk]])
    return stored


def _flipped(tensor: Tensor, flips: Tensor) -> Tensor:
    return torch.where(flips.view(-1, *[1] * (tensor.ndim - 1)), tensor.flip(2), tensor)


def as_input(key: str, tensor: Tensor) -> Tensor:
    """Convert a stored array to what models take: pictures (B, H, W, 3) to (B, 3, H, W) in [-1, 1]."""
    if key == "image":
        return tensor.permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1
    return tensor.float() if tensor.is_floating_point() else tensor.long()
