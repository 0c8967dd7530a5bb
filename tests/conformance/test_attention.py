"""Slot Attention as a whole, under every normalization."""

import copy
import subprocess
import sys

import pytest
import torch

from slotnorm import NORMALIZATIONS, SlotAttention
from slotnorm.normalization import BatchNorm, known_names
from tests.conformance.reference import REFERENCES, SCALED, scalar_statistics, slot_attention, unnormalized_codes

every_normalization = pytest.mark.parametrize("name", [*known_names(), *SCALED])


def make(name="weighted_mean", dtype=torch.float64, dim=4, **options) -> SlotAttention:
    torch.manual_seed(0)
    return SlotAttention(5, dim, num_slots=3, hidden_dim=6, normalization=name, **options).to(dtype)


def draw(B=2, N=6, K=3, dtype=torch.float64, dim=4):
    g = torch.Generator().manual_seed(1)
    return torch.randn(B, N, 5, generator=g, dtype=dtype), torch.randn(B, K, dim, generator=g, dtype=dtype)


@every_normalization
@pytest.mark.parametrize("iterations", [1, 3])
def test_agrees_with_the_slow_reference(name, iterations):
    module, (inputs, slots) = make(name), draw()

    batch_statistics = []

    def normalize(v, gamma, iteration):
        if name != "batch_norm":
            return REFERENCES[name](v, gamma)
        codes = unnormalized_codes(v, gamma)
        if iteration == 0:
            batch_statistics[:] = scalar_statistics(codes)
        mean, var = batch_statistics
        return (codes - mean) / (var + 1e-5) ** 0.5

    with torch.no_grad():
        statistics = module.normalization(torch.randn(2, 6, 4).double(), torch.rand(2, 3, 6).double())[1]
        if statistics is not None and name != "batch_norm" and iterations > 1:
            pytest.skip("the slow reference of another package is of the first iteration")
        expected_slots, expected_gamma = slot_attention(module, inputs, slots, iterations, normalize)
        got_slots, got_attention = module(inputs, slots=slots, iterations=iterations)
    torch.testing.assert_close(got_slots, expected_slots, rtol=1e-11, atol=1e-11)  # float64 through 3 iterations
    torch.testing.assert_close(got_attention, expected_gamma.mT, rtol=1e-11, atol=1e-11)


@every_normalization
def test_gradients_through_all_iterations_agree_with_finite_differences(name):
    module, (inputs, slots) = make(name, dim=3), draw(B=1, N=3, K=2, dim=3)

    def run(x, s):
        return module(x, slots=s, iterations=2)

    assert torch.autograd.gradcheck(run, (inputs.requires_grad_(), slots.requires_grad_()))


def test_gradients_flow_through_batch_statistics_into_the_first_iteration():
    module, (inputs, slots) = make("batch_norm"), draw()
    keys, values = module.keys_and_values(inputs)
    attention = module.attend(slots, keys).detach().requires_grad_()
    _, statistics = module.normalization(values, attention)
    later, _ = module.normalization(values.detach(), attention.detach(), statistics)
    (gradient,) = torch.autograd.grad(later.square().sum(), attention)
    assert gradient.abs().sum() > 0


@every_normalization
def test_slot_permutation_equivariance_and_input_permutation_invariance(name):
    module, (inputs, slots) = make(name), draw(K=5)
    new_slots, attention = module(inputs, slots=slots)
    slot_order, input_order = torch.tensor([4, 2, 0, 1, 3]), torch.tensor([5, 0, 3, 1, 4, 2])
    permuted_slots, permuted_attention = module(inputs[:, input_order], slots=slots[:, slot_order])
    torch.testing.assert_close(permuted_slots, new_slots[:, slot_order], rtol=1e-10, atol=1e-10)  # float64, reordered
    torch.testing.assert_close(permuted_attention, attention[:, slot_order][:, :, input_order], rtol=1e-10, atol=1e-10)


@every_normalization
@pytest.mark.parametrize(("K", "N"), [(1, 1), (64, 1), (1, 64), (64, 64), (11, 16_384)])
def test_any_cardinality_at_any_call(name, K, N):
    module = make(name, dtype=torch.float32)
    inputs, _ = draw(N=N, dtype=torch.float32)
    slots, attention = module(inputs, num_slots=K, iterations=2)
    assert slots.shape == (2, K, 4)
    assert attention.shape == (2, K, N)
    assert slots.isfinite().all()
    torch.testing.assert_close(attention.sum(1), torch.ones(2, N))  # softmax over the slots, float32


@every_normalization
@pytest.mark.parametrize("case", ["constant tokens", "one token", "identical slots", "huge tokens"])
def test_degenerate_inputs_have_finite_slots_and_gradients(name, case):
    module = make(name, dtype=torch.float32)
    inputs, slots = draw(dtype=torch.float32)
    inputs, slots = {
        "constant tokens": (torch.full_like(inputs, 0.5), slots),
        "one token": (inputs[:, :1], slots),
        "identical slots": (inputs, torch.zeros_like(slots)),
        "huge tokens": (inputs * 1e12, slots),
    }[case]
    new_slots, _ = module(inputs, slots=slots)
    new_slots.square().sum().backward()
    assert new_slots.isfinite().all()
    assert all(p.grad.isfinite().all() for p in module.parameters() if p.grad is not None)


@every_normalization
def test_bfloat16_autocast(name):
    module = make(name, dtype=torch.float32)
    inputs, slots = draw(N=64, dtype=torch.float32)
    exact, _ = copy.deepcopy(module)(inputs, slots=slots)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        new_slots, attention = module(inputs, slots=slots)
    new_slots.sum().backward()
    assert attention.dtype == torch.float32
    assert new_slots.dtype == torch.float32
    assert module.to_q.weight.grad.dtype == torch.float32
    # a correlation, since three bfloat16 iterations have no useful bound per entry
    assert torch.corrcoef(torch.stack([exact.flatten(), new_slots.flatten()]))[0, 1] > 0.99


@every_normalization
def test_a_whole_module_in_bfloat16(name):
    module = make(name, dtype=torch.bfloat16)
    inputs, slots = draw(dtype=torch.bfloat16)
    new_slots, _ = module(inputs, slots=slots)
    assert new_slots.dtype == torch.bfloat16
    assert new_slots.isfinite().all()


@every_normalization
def test_state_dict_round_trip(name):
    source, (inputs, slots) = make(name), draw()
    source(inputs, slots=slots)
    torch.manual_seed(7)
    target = SlotAttention(5, 4, num_slots=3, hidden_dim=6, normalization=name).double()
    target.load_state_dict(source.state_dict())
    assert torch.equal(source.eval()(inputs, slots=slots)[0], target.eval()(inputs, slots=slots)[0])


def test_batch_norm_in_evaluation_uses_its_buffers_at_every_iteration():
    module, (inputs, slots) = make("batch_norm").eval(), draw()
    module.normalization.running_mean.fill_(0.3)
    module.normalization.running_var.fill_(4.0)

    def fixed_affine_map(v, gamma, iteration):
        return (unnormalized_codes(v, gamma) - 0.3) / (4.0 + 1e-5) ** 0.5

    with torch.no_grad():
        expected, _ = slot_attention(module, inputs, slots, 3, fixed_affine_map)
        got, _ = module(inputs, slots=slots)
    torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-11)  # float64 through 3 iterations


def test_batch_norm_updates_its_buffers_once_per_forward_pass():
    one, many = make("batch_norm"), make("batch_norm")
    inputs, slots = draw()
    one(inputs, slots=slots, iterations=1)
    many(inputs, slots=slots, iterations=5)
    assert torch.equal(one.normalization.running_var, many.normalization.running_var)
    assert isinstance(one.normalization, BatchNorm)
    assert one.normalization.running_var != 1


@every_normalization
def test_initial_slots_come_from_the_generator(name):
    module, (inputs, _) = make(name), draw()

    def run(seed):
        return module.eval()(inputs, generator=torch.Generator().manual_seed(seed))[0]

    assert torch.equal(run(3), run(3))
    assert not torch.equal(run(3), run(4))


# torch.compile runs outside pytest: the shape checks that pytest switches on are not part of the module.
COMPILE = """
import torch
from slotnorm import NORMALIZATIONS, SlotAttention

torch.set_num_threads(1)
inputs = torch.randn(2, 6, 5)
for name in NORMALIZATIONS:
    module, reference = (SlotAttention(5, 4, 3, iterations=2, normalization=name) for _ in range(2))
    reference.load_state_dict(module.state_dict())
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    for K in (3, 8) if name == "batch_norm" else (3,):
        slots = torch.randn(2, K, 4)
        got, expected = compiled(inputs, slots=slots)[0], reference(inputs, slots=slots)[0]
        (got.sum() + expected.sum()).backward()
        torch.testing.assert_close(got, expected)
        torch.testing.assert_close(module.to_v.weight.grad, reference.to_v.weight.grad)
    torch.testing.assert_close(dict(module.named_buffers()), dict(reference.named_buffers()))
    print(name)
"""


@pytest.mark.slow
def test_compiles_without_a_graph_break():
    run = subprocess.run([sys.executable, "-c", COMPILE], capture_output=True, text=True)
    assert run.stdout.split() == list(NORMALIZATIONS), run.stderr
