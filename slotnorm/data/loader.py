"""Batches on the training device, addressed by step: ``loader[step]`` is a pure function of (seed, step)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool
from torch import Tensor, nn

RESIDENT_SHARE = 0.5  # of the free device memory that the data may take; the rest is the model's
Batch = dict[str, Tensor]
Compute = Callable[[Tensor], Tensor]


class Loader:
    """Endless shuffled batches: ``loader[step]`` depends on the data, the batch size, the seed and the step alone.

    Epochs are permutations of the data put end to end, so that every scene is seen equally often whatever the batch
    size. A batch is a dict of tensors on the device: ``image`` float32 (B, 3, H, W) in [-1, 1], ``segmentation`` and
    other integer arrays int64, floating arrays float32. Each scene is flipped left to right with probability 1/2 if
    ``flip``. The data lie in the device's memory when they fit; else a thread reads ahead into pinned memory.

    Args:
        source: where the items come from; :meth:`slotnorm.data.Split.loader` makes one.
        batch_size: scenes in a step, over all processes.
        seed: of order and flips.
        flip: whether scenes are flipped at random.
        rank: this process.
        world_size: processes that share each batch equally.

    Raises:
        ValueError: for a batch size that the processes cannot share, or a rank that there is not.

    Example:
        >>> from slotnorm.data import open_split
        >>> loader = open_split(FOLDER).loader(batch_size=4, seed=0, flip=True)
        >>> loader[0]["image"].shape, bool((loader[7]["image"] == loader[7]["image"]).all())  # a step has one batch
        (torch.Size([4, 3, 8, 8]), True)
    """

    def __init__(
        self, source: Source, *, batch_size: int, seed: int, flip: bool = False, rank: int = 0, world_size: int = 1
    ) -> None:
        if batch_size < 1 or batch_size % world_size or not 0 <= rank < world_size:
            raise ValueError(
                "batch_size must be a positive multiple of world_size and rank below world_size, "
                f"got {batch_size=}, {world_size=}, {rank=}"
            )
        self._source = source
        self._batch_size = batch_size
        self._seed = seed
        self._flip = flip
        self._share = slice(rank * batch_size // world_size, (rank + 1) * batch_size // world_size)
        self._staged: Callable[[int], tuple[Batch, Tensor | None]] = self._stage
        if not source.resident:
            self._staged = Ahead(self._stage)

    @property
    def resident(self) -> bool:
        """Whether the data lie in the device's memory."""
        return self._source.resident

    @property
    def steps_per_epoch(self) -> float:
        """Batches that make one pass over the data; rarely a whole number."""
        return len(self._source) / self._batch_size

    def __getitem__(self, step: int) -> Batch:
        if step < 0:
            raise IndexError(f"steps count from 0, got {step}")
        staged, flips = self._staged(step)
        return self._source.deliver(staged, flips)

    def _stage(self, step: int) -> tuple[Batch, Tensor | None]:
        positions, flips = _order(self._seed, step, self._batch_size, len(self._source))
        staged = self._source.stage(positions[self._share])
        return staged, self._source.pin(flips[self._share]) if self._flip else None


class Source:
    """Rows of some arrays, gathered in two halves: ``stage`` on the host in any thread, ``deliver`` on the device.

    Args:
        arrays: Arrays by name, items first, usually memory-mapped.
        rows: The rows that belong to the data; positions count along it.
        device: Where batches go.
        resident: Whether to keep the rows in the device's memory; None: on a GPU when they fit.
        computed: What a batch holds besides, by name: functions of ``image`` as delivered, called on the device.
        fields: What a batch holds of both; None: everything.
    """

    def __init__(
        self,
        arrays: Mapping[str, npt.NDArray[Any]],
        rows: npt.NDArray[np.int64],
        device: torch.device,
        resident: bool | None = None,
        computed: Mapping[str, Compute] | None = None,
        fields: Sequence[str] | None = None,
    ) -> None:
        self.arrays = arrays
        self.rows = rows
        self.device = device
        self.resident = _fits(arrays, len(rows), device) if resident is None else resident
        self.computed = {key: _on(device, compute) for key, compute in (computed or {}).items()}
        self.fields = tuple(fields or (*arrays, *self.computed))
        self._stored = {key: _upload(array, rows, device) for key, array in arrays.items() if self.resident}

    def __len__(self) -> int:
        return len(self.rows)

    def stage(self, positions: npt.NDArray[np.int64]) -> Batch:
        """What has to travel to the device: the items, or only their positions when the data are there."""
        if self.resident:
            return {"positions": self.pin(positions)}
        return {key: self.pin(array[self.rows[positions]]) for key, array in self.arrays.items()}

    def pin(self, array: npt.NDArray[Any]) -> Tensor:
        """A tensor of its own that a copy to the device need not wait for."""
        tensor = torch.from_numpy(np.array(array))
        return tensor.pin_memory() if self.device.type == "cuda" else tensor

    def deliver(self, staged: Batch, flips: Bool[Tensor, " batch"] | None = None) -> Batch:
        """The batch on the device, turned left to right where ``flips`` says so."""
        moved = {key: tensor.to(self.device, non_blocking=True) for key, tensor in staged.items()}
        if self.resident:
            moved = {key: stored[moved["positions"]] for key, stored in self._stored.items()}
        if flips is not None:
            on_device = flips.to(self.device, non_blocking=True)
            moved = {key: _flipped(tensor, on_device) for key, tensor in moved.items()}
        batch = {key: _as_input(key, tensor) for key, tensor in moved.items()}
        batch |= {key: compute(batch["image"]) for key, compute in self.computed.items()}
        return {key: batch[key] for key in self.fields}


class Ahead:
    """Calls ``make(step)`` in a thread for the next steps while the current one is being used."""

    def __init__(self, make: Callable[[int], Any], steps: int | None = None, depth: int = 2) -> None:
        self._make, self._steps, self._depth = make, steps, depth
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="slotnorm-batches")
        self._pending: dict[int, Future[Any]] = {}

    def __call__(self, step: int) -> Any:
        """What ``make(step)`` returns; calls for consecutive steps find it ready."""
        end = step + 1 + self._depth
        wanted = range(step, end if self._steps is None else min(end, self._steps))
        for stale in self._pending.keys() - set(wanted):
            self._pending.pop(stale).cancel()
        for key in wanted:
            if key not in self._pending:
                self._pending[key] = self._pool.submit(self._make, key)
        return self._pending.pop(step).result()


def in_order(source: Source, batch_size: int) -> Iterator[Batch]:
    """Every item once, in order; the last batch may be smaller."""
    steps = -(-len(source) // batch_size)
    everything = np.arange(len(source))
    staged = Ahead(lambda step: source.stage(everything[step * batch_size : (step + 1) * batch_size]), steps)
    for step in range(steps):
        yield source.deliver(staged(step))


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


def _on(device: torch.device, compute: Compute) -> Compute:
    return compute.to(device) if isinstance(compute, nn.Module) else compute


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


def _as_input(key: str, tensor: Tensor) -> Tensor:
    if key == "image":
        return tensor.permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1
    return tensor.float() if tensor.is_floating_point() else tensor.long()
