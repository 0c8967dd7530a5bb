"""A short training in two processes, each with its half of every batch; writes what rank 0 ended with."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file

from slotnorm.data.splits import Loader, open_split
from slotnorm.training.loop import Watch, train
from slotnorm.training.spec import Optimizer, RunSpec, Schedule
from tests.helpers import tiny


def spec(variant: str) -> RunSpec:
    """With an ε that keeps Adam from scaling the rounding errors of gradients that are zero up to the step size."""
    schedule = Schedule(steps=20, peak=1e-3, warmup=5)
    return tiny.spec(variant=variant, schedule=schedule, optimizer=Optimizer(epsilon=1e-3, clip_norm=1.0))


class Doubled:
    """Batches in double precision."""

    def __init__(self, batches: Loader) -> None:
        self.batches = batches

    def __getitem__(self, step: int) -> dict[str, torch.Tensor]:
        return {name: array.double() for name, array in self.batches[step].items()}


def result(variant: str, split: Path, rank: int = 0, ranks: int = 1) -> dict[str, torch.Tensor]:
    """Curve, weights and running statistics of a training.

    In double precision, in which another order of sums cannot be seen: in single, some processors move a gradient norm
    by 1e-5 of itself.
    """
    run = spec(variant)
    torch.set_default_dtype(torch.float64)
    try:
        done = train(run, Doubled(tiny.loader(open_split(split), run, rank, ranks)), watch=Watch(bar=False))
    finally:
        torch.set_default_dtype(torch.float32)
    curve = {"loss": done.curve.loss, "gradient_norm": done.curve.gradient_norm}
    return curve | {key: value.contiguous() for key, value in done.model.state_dict().items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    split, out = map(Path, sys.argv[1:3])
    dist.init_process_group("gloo")
    for variant in sys.argv[3:]:
        tensors = result(variant, split, dist.get_rank(), dist.get_world_size())
        save_file(tensors, out / f"{variant}-{dist.get_rank()}.safetensors")
    dist.destroy_process_group()
