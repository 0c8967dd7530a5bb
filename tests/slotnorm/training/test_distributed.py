"""Batch-norm statistics across ranks: two gloo processes with unequal shares agree with one on the whole batch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from slotnorm import SlotAttention
from slotnorm.normalization import BatchNorm
from slotnorm.testing.conformance import draw

SHARES = (slice(0, 3), slice(3, 5))


def inputs_and_slots():
    g = torch.Generator().manual_seed(0)
    return torch.randn(5, 6, 4, generator=g).double(), torch.randn(5, 3, 4, generator=g).double()


def make() -> SlotAttention:
    torch.manual_seed(0)
    return SlotAttention(4, 4, 3, normalization="batch_norm").double()


def losses(module, inputs, slots):
    new_slots, _ = module(inputs, slots=slots)
    return new_slots.square().sum()


def worker(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    module, (inputs, slots) = make(), inputs_and_slots()
    share = SHARES[rank]
    loss = losses(module, inputs[share], slots[share])
    loss.backward()
    gradient = module.to_v.weight.grad.clone()
    dist.all_reduce(gradient)
    norm = module.normalization
    result = [loss.item(), gradient.tolist(), norm.running_mean.item(), norm.running_var.item()]
    (folder / f"{rank}.json").write_text(json.dumps(result))
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_agree_with_one_process(tmp_path):
    module, (inputs, slots) = make(), inputs_and_slots()
    loss = losses(module, inputs, slots)
    loss.backward()
    mp.spawn(worker, args=(tmp_path,), nprocs=2)
    results = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert sum(r[0] for r in results) == pytest.approx(loss.item(), rel=1e-12)  # float64
    for _, gradient, mean, var in results:
        torch.testing.assert_close(torch.tensor(gradient).double(), module.to_v.weight.grad, rtol=1e-6, atol=1e-8)
        assert mean == pytest.approx(module.normalization.running_mean.item(), rel=1e-12)
        assert var == pytest.approx(module.normalization.running_var.item(), rel=1e-12)


def test_a_process_alone_in_its_group_computes_as_without_a_group():
    expected, _ = BatchNorm(4).double()(*draw())
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        assert torch.equal(BatchNorm(4).double()(*draw())[0], expected)
    finally:
        dist.destroy_process_group()


WITHOUT = """
import sys, torch
torch.distributed.is_available = lambda: False
for name in ("is_initialized", "get_world_size", "all_reduce"):
    delattr(torch.distributed, name)
sys.modules |= {"torch.distributed.nn": None, "torch.distributed.nn.functional": None}
from slotnorm import SlotAttention
SlotAttention(4, 4, 3, normalization="batch_norm")(torch.zeros(2, 5, 4))[0].sum().backward()
"""


@pytest.mark.slow
def test_nothing_needs_a_torch_with_processes():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
