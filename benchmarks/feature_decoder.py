"""The perceptron decoder of Table 5, forward and backward, with the mean squared error that it is trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from benchmarks import plain
from benchmarks.counting import Rates, count, measured_rates
from benchmarks.measure import compared, interleaved, judged, peak_memory
from benchmarks.settings import Row, Settings
from slotnorm.models.feature_autoencoder import FeatureDecoder

NAME = "feature decoder"
AIM_TIME = {"cpu": 1.3, "cuda": 3.0}
AIM_MEMORY = 0.4


def measure(settings: Settings) -> Iterator[Row]:
    """Seconds and memory of both forms; on a GPU ours in bf16, since that is what runs are trained in there."""
    cuda = settings.cuda
    B, K, sizes = (2, 3, (9, 8, 12, 16)) if settings.quick else (64 if cuda else 1, 11, (784, 128, 768))
    torch.manual_seed(0)
    ours = FeatureDecoder(*sizes).to(settings.device)
    yardstick = plain.FeatureDecoder(*sizes).to(settings.device)
    yardstick.load_state_dict(ours.state_dict())
    slots, target = (torch.randn(B, n, width, device=settings.device) for n, width in ((K, sizes[1]), sizes[::2]))
    shown = f"B {B}, K {K}, {sizes[0]} x {sizes[2]}"
    for precision, dtype in {"fp32": torch.float32, "bf16": torch.bfloat16}.items():
        forms = {
            "plain": lambda: plain_step(yardstick, slots, target),
            "ours": lambda mixed=precision == "bf16": step(ours, slots, target, mixed),
        }
        rates = measured_rates(settings.device, dtype, settings.quick)
        yield from _rows(precision, shown, forms, settings, _floor(rates, sizes, B, K, precision == "bf16"))


def _rows(
    precision: str, shown: str, forms: dict[str, Callable[[], object]], settings: Settings, floor: str
) -> Iterator[Row]:
    aim = AIM_TIME[settings.device.type] if precision == ("bf16" if settings.cuda else "fp32") else None
    row = Row(NAME, f"time, {precision}", shown, "s", aim=f"≥ {aim}x" if aim else "", floor=floor)
    times = interleaved(forms, settings.rounds(), settings.device)
    yield compared(row, times["plain"], times["ours"], aim)
    memory = [peak_memory(run, settings.device) for run in forms.values()]
    row = Row(NAME, f"peak memory, {precision}", shown, "MiB", aim=f"≤ {AIM_MEMORY}x the memory" if aim else "")
    row = judged(row, *memory, at_least=1 / AIM_MEMORY if aim else None)
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


def plain_step(decoder: nn.Module, slots: Tensor, target: Tensor) -> Tensor:
    """The same of the plain form."""
    slots = slots.clone().requires_grad_()
    decoder.zero_grad()
    nn.functional.mse_loss(decoder(slots)[0], target).backward()
    assert slots.grad is not None
    return slots.grad


def _floor(rates: Rates, sizes: tuple[int, ...], B: int, K: int, mixed: bool) -> str:
    """Of both forms, counted on shapes alone."""

    def prepare(make: Callable[..., nn.Module], take: Callable[..., object]) -> Callable[[], Callable[[], object]]:
        def fake() -> Callable[[], object]:
            module, slots, target = make(*sizes), torch.randn(B, K, sizes[1]), torch.randn(B, sizes[0], sizes[2])
            return lambda: take(module, slots, target)

        return fake

    ours = count(prepare(FeatureDecoder, lambda *arguments: step(*arguments, mixed)))
    yardstick = count(prepare(plain.FeatureDecoder, plain_step))
    return f"ours {rates.told(ours)}; plain {rates.told(yardstick)}"
