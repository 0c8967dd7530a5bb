"""Batch-norm statistics across ranks: two gloo processes with unequal shares agree with one on the whole batch."""

import json
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from slotnorm import SlotAttention

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


def worker(rank: int, port: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
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
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    mp.spawn(worker, args=(port, tmp_path), nprocs=2)
    results = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert sum(r[0] for r in results) == pytest.approx(loss.item(), rel=1e-12)  # float64
    for _, gradient, mean, var in results:
        torch.testing.assert_close(torch.tensor(gradient).double(), module.to_v.weight.grad, rtol=1e-6, atol=1e-8)
        assert mean == pytest.approx(module.normalization.running_mean.item(), rel=1e-12)
        assert var == pytest.approx(module.normalization.running_var.item(), rel=1e-12)
