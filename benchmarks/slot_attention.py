"""Slot Attention alone: how time and memory grow with slots and tokens, what is kept, and 128 slots at 128 x 128."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks import plain
from benchmarks.measure import compared, interleaved, judged, measurable, peak_memory
from benchmarks.settings import Row, Settings
from slotnorm import SlotAttention
from slotnorm.models import ConvAutoencoder

NAME = "slot attention"
DIM, HIDDEN, ITERATIONS = 64, 128, 3
AIM = 1.2
GIB = 2**10
CARD_GIB = 24
LINEAR = 1.15
"""Largest growth exponent that still passes for linear, since caches get fewer hits as sizes grow."""


def measure(settings: Settings) -> Iterator[Row]:
    """The forms compared, growth in K and N, what is kept, and the largest case."""
    for size in [(2, 3, 16)] if settings.quick else [(4, 11, 1024), (4, 11, 4096)]:
        yield _both_forms(*size, settings)
    slots, tokens = ((2, 4), (16, 32)) if settings.quick else ((16, 32, 64, 128), (2048, 4096, 8192, 16_384))
    yield from _growth("K", [(K, tokens[1]) for K in slots], settings)
    yield from _growth("N", [(slots[-2], N) for N in tokens], settings)
    yield _kept(slots[0], tokens[0])
    yield _many_slots(settings)


def _setup(B: int, K: int, N: int, device: torch.device) -> tuple[SlotAttention, Tensor, Tensor]:
    torch.manual_seed(0)
    module = SlotAttention(DIM, DIM, K, ITERATIONS, HIDDEN).to(device)
    return module, torch.randn(B, N, DIM, device=device), torch.randn(B, K, DIM, device=device)


def step(module: SlotAttention, inputs: Tensor, noise: Tensor) -> None:
    """Forward and backward pass."""
    module.zero_grad()
    slots, _ = module(inputs, slots=module.initial_slots(noise))
    slots.square().sum().backward()


def _both_forms(B: int, K: int, N: int, settings: Settings) -> Row:
    module, inputs, noise = _setup(B, K, N, settings.device)
    yardstick = plain.SlotAttention(DIM, DIM, HIDDEN, ITERATIONS).to(settings.device)
    yardstick.load_state_dict(module.state_dict())

    def plain_step() -> None:
        yardstick.zero_grad()
        yardstick(inputs, noise)[0].square().sum().backward()

    forms = {"plain": plain_step, "ours": lambda: step(module, inputs, noise)}
    times = interleaved(forms, settings.rounds(), settings.device)
    memory = {name: peak_memory(run, settings.device) for name, run in forms.items()}
    row = Row(NAME, "forward and backward", f"B {B}, K {K}, N {N}", "s", aim=f"≥ {AIM}x")
    row = compared(row, times["plain"], times["ours"], AIM)
    if memory["ours"] is None or memory["plain"] is None:
        return row
    return replace(row, note=f"memory {memory['ours']:.0f} MiB, plain {memory['plain']:.0f} MiB")


def _growth(axis: str, sizes: Sequence[tuple[int, int]], settings: Settings) -> Iterator[Row]:
    """Exponent of the growth of time along one axis, from the smallest to the largest size."""
    setups = {f"{K} x {N}": _setup(1, K, N, settings.device) for K, N in sizes}
    forms = {name: (lambda setup=setup: step(*setup)) for name, setup in setups.items()}
    calls = interleaved(forms, settings.rounds(), settings.device)
    times = {name: min(measurable(call.seconds) for call in made) for name, made in calls.items()}
    first, *_, last = times
    factor = math.prod(sizes[-1]) / math.prod(sizes[0])
    exponent = math.log(times[last] / times[first]) / math.log(factor)
    told = ", ".join(f"{name}: {1e3 * least:.1f} ms" for name, least in times.items())
    yield Row(
        NAME,
        f"growth with {axis}",
        f"B 1, K x N from {first} to {last}",
        "exponent",
        ours=exponent,
        aim="at most linear",
        met=None if settings.quick else exponent <= LINEAR,
        note=told,
    )


def kept(module: SlotAttention, inputs: Tensor, noise: Tensor) -> int:
    """Tensors of K·N numbers a scene that a forward pass keeps for its backward pass."""
    K, N = noise.shape[1], inputs.shape[1]
    storages: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        if set(tensor.shape[1:]) == {K, N}:
            storages[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = module(inputs, slots=module.initial_slots(noise))
    del result
    return len(storages)


def _kept(K: int, N: int) -> Row:
    module, inputs, noise = _setup(2, K, N, torch.device("cpu"))
    each = kept(module, inputs, noise) / ITERATIONS
    what, aim = "(B, K, N) tensors kept an iteration", "1, the softmax's own"
    return Row(NAME, what, f"B 2, K {K}, N {N}", "tensors", ours=each, aim=aim, met=each == 1)


def _many_slots(settings: Settings) -> Row:
    """One training step of the whole model at the paper's size but for its slots, in bf16."""
    B, K, sizes = (2, 5, (16, 5, 8, 8, 2)) if settings.quick else (2, 128, (128, 128))
    torch.manual_seed(0)
    model = ConvAutoencoder(*sizes).to(settings.device)
    image = torch.rand(B, 3, sizes[0], sizes[0], device=settings.device)

    def whole_step() -> None:
        with torch.autocast(settings.device.type, torch.bfloat16):
            result = model(image)
        torch.nn.functional.mse_loss(result.reconstruction, image).backward()

    size = f"B {B}, K {K}, N {sizes[0] ** 2}"
    memory = peak_memory(whole_step, settings.device)
    row = Row(NAME, "peak memory of a step of Tables 2 and 3 with many slots, bf16", size, "GiB", aim=f"≤ {CARD_GIB}")
    if memory is None:
        return replace(row, note="not measured: this system does not tell a process its peak")
    return replace(judged(row, None, memory / GIB), met=memory / GIB <= CARD_GIB)
