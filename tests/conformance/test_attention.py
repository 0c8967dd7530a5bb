"""Slot Attention as a whole: what the shipped suite leaves out, batch norm's iterations, and inductor."""

import shutil
import subprocess
import sys

import pytest
import torch

from slotnorm import NORMALIZATIONS, SlotAttention
from slotnorm.normalization import BatchNorm
from slotnorm.testing.conformance import close, draw_tokens
from slotnorm.testing.references import scalar_statistics, slot_attention, unnormalized_codes


def make(name="batch_norm") -> SlotAttention:
    torch.manual_seed(0)
    return SlotAttention(5, 4, num_slots=3, hidden_dim=6, normalization=name).double()


def test_batch_norm_agrees_with_the_slow_reference_through_three_iterations():
    module, (inputs, slots) = make(), draw_tokens()
    batch_statistics = []

    def normalize(v, gamma, iteration):
        codes = unnormalized_codes(v, gamma)
        if iteration == 0:
            batch_statistics[:] = scalar_statistics(codes)
        mean, var = batch_statistics
        return (codes - mean) / (var + 1e-5) ** 0.5

    with torch.no_grad():
        expected_slots, expected_gamma = slot_attention(module, inputs, slots, 3, normalize)
        got_slots, got_attention = module(inputs, slots=slots, iterations=3)
    close(got_slots, expected_slots, 1e-11)  # float64 through 3 iterations
    close(got_attention, expected_gamma.mT, 1e-11)


def test_gradients_flow_through_batch_statistics_into_the_first_iteration():
    module, (inputs, slots) = make(), draw_tokens()
    keys, values = module.keys_and_values(inputs)
    attention = module.attend(slots, keys).detach().requires_grad_()
    _, statistics = module.normalization(values, attention)
    later, _ = module.normalization(values.detach(), attention.detach(), statistics)
    (gradient,) = torch.autograd.grad(later.square().sum(), attention)
    assert gradient.abs().sum() > 0


def test_batch_norm_in_evaluation_uses_its_buffers_at_every_iteration():
    module, (inputs, slots) = make().eval(), draw_tokens()
    module.normalization.running_mean.fill_(0.3)
    module.normalization.running_var.fill_(4.0)

    def fixed_affine_map(v, gamma, iteration):
        return (unnormalized_codes(v, gamma) - 0.3) / (4.0 + 1e-5) ** 0.5

    with torch.no_grad():
        expected, _ = slot_attention(module, inputs, slots, 3, fixed_affine_map)
        got, _ = module(inputs, slots=slots)
    close(got, expected, 1e-11)  # float64 through 3 iterations


def test_batch_norm_updates_its_buffers_once_per_forward_pass():
    one, many = make(), make()
    inputs, slots = draw_tokens()
    one(inputs, slots=slots, iterations=1)
    many(inputs, slots=slots, iterations=5)
    assert torch.equal(one.normalization.running_var, many.normalization.running_var)
    assert isinstance(one.normalization, BatchNorm)
    assert one.normalization.running_var != 1


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_initial_slots_come_from_the_generator(name):
    module, (inputs, _) = make(name), draw_tokens()

    def run(seed):
        return module.eval()(inputs, generator=torch.Generator().manual_seed(seed))[0]

    assert torch.equal(run(3), run(3))
    assert not torch.equal(run(3), run(4))


# Outside pytest, whose shape checks are not part of the module and which turns the compiler's warnings into errors.
INDUCTOR = """
import torch
from slotnorm import SlotAttention

torch.set_num_threads(1)
module = SlotAttention(16, 8, num_slots=7, iterations=1, normalization="weighted_sum").eval()
compiled = torch.compile(module, fullgraph=True)
inputs = torch.randn(4, 20, 16)
with torch.no_grad():
    for batch, num_slots in ((4, 7), (3, 11), (2, 21)):
        slots, _ = compiled(inputs[:batch], num_slots=num_slots)
        assert slots.isfinite().all()
        print(*slots.shape)
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_inductor_compiles_it_for_other_numbers_of_slots_and_batches():
    run = subprocess.run([sys.executable, "-c", INDUCTOR], capture_output=True, text=True, check=False)
    assert run.stdout.splitlines() == ["4 7 8", "3 11 8", "2 21 8"], run.stderr
