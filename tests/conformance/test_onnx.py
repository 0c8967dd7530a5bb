"""Exported to ONNX and run in onnxruntime, Slot Attention and a whole model compute what they compute in torch."""

from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from slotnorm import SlotAttention
from slotnorm.models import ConvAutoencoder
from slotnorm.testing.compilation import without_shape_checks
from slotnorm.testing.conformance import mask_of

ANY = torch.export.Dim.DYNAMIC
AXES = {"inputs": {0: ANY}, "slots": {0: ANY, 1: ANY}, "mask": {0: ANY}}
"""Axes that may differ between the calls: the batch and the number of slots."""


def draw(B: int, K: int, shape: tuple[int, ...], mask: bool) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(B)
    slots = torch.randn(B, K, 4, generator=generator)
    masks = {"mask": mask_of(shape[0], *range(2, 2 + B))} if mask else {}
    return {"inputs": torch.rand(B, *shape, generator=generator), "slots": slots, **masks}


def assert_runs_in_onnxruntime(module: nn.Module, shape: tuple[int, ...], path: Path, mask: bool = False) -> None:
    example, *calls = (draw(B, K, shape, mask) for B, K in ((2, 3), (1, 3), (4, 7)))
    axes: dict[str, Any] = {name: AXES[name] for name in example}
    with without_shape_checks(), torch.no_grad():
        module.eval()
        torch.onnx.export(module, (), path, kwargs=example, dynamo=True, dynamic_shapes=axes, verbose=False)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for call in calls:
            outputs = session.run(None, {name: tensor.numpy() for name, tensor in call.items()})
            expected = tuple(module(**call))
            torch.testing.assert_close(tuple(map(torch.from_numpy, outputs)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["weighted_mean", "weighted_sum", "batch_norm", "scaled_mean"])
def test_slot_attention_with_a_mask_and_other_batches_and_numbers_of_slots(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = SlotAttention(5, 4, num_slots=3, hidden_dim=6, normalization=name)
    module(torch.rand(8, 6, 5))  # moves the running statistics, if there are any
    assert_runs_in_onnxruntime(module, (6, 5), tmp_path / "module.onnx", mask=True)


@pytest.mark.slow
def test_an_autoencoder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = ConvAutoencoder(16, 3, 4, channels=5, encoder_layers=2, hidden_dim=7, normalization="weighted_sum")
    assert_runs_in_onnxruntime(module, (3, 16, 16), tmp_path / "autoencoder.onnx")
