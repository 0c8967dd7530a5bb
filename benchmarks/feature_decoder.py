"""The perceptron decoder of Table 5, forward and backward, with the mean squared error that it is trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from benchmarks import plain
from benchmarks.counting import count, measured_rates
from benchmarks.measure import compared, interleaved, judged, peak_memory
from benchmarks.settings import BF16_BESIDE_FP32, PRECISIONS, Row, Settings
from slotnorm.models.feature_autoencoder import FeatureDecoder

NAME = "feature decoder"
AIM_TIME = {"cpu": 1.3, "cuda": 3.0}
AIM_MEMORY = 0.4


def measure(settings: Settings) -> Iterator[Row]:
    """Seconds and memory of both forms in each precision, and on a GPU of ours in bf16 beside the plain form in fp32.

    The aims are those of fp32 on a processor, and of the last comparison on a GPU.
    """
    cuda = settings.cuda
    B, K, sizes = (2, 3, (9, 8, 12, 16)) if settings.quick else (64 if cuda else 1, 11, (784, 128, 768))
    torch.manual_seed(0)
    ours = FeatureDecoder(*sizes).to(settings.device)
    yardstick = plain.FeatureDecoder(*sizes).to(settings.device)
    yardstick.load_state_dict(ours.state_dict())
    slots, target = (torch.randn(B, n, width, device=settings.device) for n, width in ((K, sizes[1]), sizes[::2]))
    forms: dict[str, Callable[[], object]] = {}
    for precision in PRECISIONS:
        mixed = precision == "bf16"
        forms[f"plain {precision}"] = lambda mixed=mixed: plain_step(yardstick, slots, target, mixed)
        forms[f"ours {precision}"] = lambda mixed=mixed: step(ours, slots, target, mixed)
    times = interleaved(forms, settings.rounds(), settings.device)
    memory = {name: peak_memory(run, settings.device) for name, run in forms.items()}
    floor = _floor(settings, sizes, B, K)
    shown = f"B {B}, K {K}, {sizes[0]} x {sizes[2]}"
    pairs = [(p, p, p) for p in PRECISIONS] + [("fp32", "bf16", BF16_BESIDE_FP32)] * cuda
    aimed = pairs[-1] if cuda else pairs[0]
    for pair in pairs:
        (theirs, own, told), wanted = pair, pair == aimed
        aim = AIM_TIME[settings.device.type] if wanted else None
        row = Row(NAME, f"time, {told}", shown, "s", aim=f"≥ {aim}x" if aim else "", floor=floor)
        yield compared(row, times[f"plain {theirs}"], times[f"ours {own}"], aim)
        row = Row(NAME, f"peak memory, {told}", shown, "MiB", aim=f"≤ {AIM_MEMORY}x the memory" if wanted else "")
        both = memory[f"plain {theirs}"], memory[f"ours {own}"]
        row = judged(row, *both, at_least=1 / AIM_MEMORY if wanted else None)
        yield row if row.ratio else replace(row, note="not measured: this system does not tell a process its peak")


def step(decoder: FeatureDecoder, slots: Tensor, target: Tensor, mixed: bool = False) -> Tensor:
    """Loss and all gradients, as in training; returns the gradient of the slots."""
    slots = slots.clone().requires_grad_()
    decoder.zero_grad()
    with torch.autocast(slots.device.type, torch.bfloat16, enabled=mixed):
        loss = decoder.loss(slots, target)
    loss.backward()
    assert slots.grad is not None
    return slots.grad


def plain_step(decoder: nn.Module, slots: Tensor, target: Tensor, mixed: bool = False) -> Tensor:
    """The same of the plain form."""
    slots = slots.clone().requires_grad_()
    decoder.zero_grad()
    with torch.autocast(slots.device.type, torch.bfloat16, enabled=mixed):
        loss = nn.functional.mse_loss(decoder(slots)[0], target)
    loss.backward()
    assert slots.grad is not None
    return slots.grad


def _floor(settings: Settings, sizes: tuple[int, ...], B: int, K: int) -> str:
    """Of both forms, counted on shapes alone in fp32."""

    def prepare(make: Callable[..., nn.Module], take: Callable[..., object]) -> Callable[[], Callable[[], object]]:
        def fake() -> Callable[[], object]:
            module, slots, target = make(*sizes), torch.randn(B, K, sizes[1]), torch.randn(B, sizes[0], sizes[2])
            return lambda: take(module, slots, target)

        return fake

    rates = measured_rates(settings.device, settings.quick)
    ours, yardstick = count(prepare(FeatureDecoder, step)), count(prepare(plain.FeatureDecoder, plain_step))
    return f"ours {rates.told(ours)}; plain {rates.told(yardstick)}"
