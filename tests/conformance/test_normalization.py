"""What every normalization must satisfy, those of other packages that are installed included."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slotnorm import NORMALIZATIONS, SlotAttention, make_normalization
from slotnorm.normalization import BatchNorm, Normalization, WeightedSum, known_names
from tests.conformance.reference import REFERENCES, SCALED, scalar_statistics, unnormalized_codes

PAPER = (*NORMALIZATIONS, *SCALED)
"""The package's own, whose state is prescribed."""
pytestmark = pytest.mark.parametrize("name", [*known_names(), *SCALED])


def draw(B=2, K=3, N=5, D=4, dtype=torch.float64, seed=0):
    """Values and attention that are no special case."""
    g = torch.Generator().manual_seed(seed)
    values = torch.randn(B, N, D, generator=g, dtype=dtype)
    attention = (2 * torch.randn(B, K, N, generator=g, dtype=dtype)).softmax(dim=1)
    return values, attention


def make(name, dim=4, dtype=torch.float64) -> Normalization:
    return make_normalization(name, dim).to(dtype)


def test_has_a_slow_reference(name):
    assert name in REFERENCES


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("K", "N"), [(1, 1), (1, 7), (3, 1), (64, 5), (7, 4096), (3, 16_384)])
def test_shape_dtype_and_finiteness(name, dtype, K, N):
    values, attention = draw(K=K, N=N, dtype=dtype)
    updates, _ = make(name, dtype=dtype)(values, attention)
    assert updates.shape == (2, K, 4)
    assert updates.dtype == dtype
    assert updates.isfinite().all()


@given(K=st.integers(1, 64), N=st.integers(1, 300), D=st.integers(1, 16), seed=st.integers(0, 10_000))
def test_any_size_is_finite(name, K, N, D, seed):
    values, attention = draw(K=K, N=N, D=D, seed=seed)
    updates, _ = make(name, dim=D)(values, attention)
    assert updates.shape == (2, K, D)
    assert updates.isfinite().all()


def test_agrees_with_the_slow_reference(name):
    values, attention = draw()
    updates, _ = make(name)(values, attention)
    expected = REFERENCES[name](values, attention.mT)
    torch.testing.assert_close(updates, expected, rtol=1e-12, atol=1e-12)  # float64 sums of 5 terms


def test_gradients_agree_with_finite_differences(name):
    values, attention = draw(B=2, K=2, N=3, D=3)
    module = make(name, dim=3)
    parameters = [p.requires_grad_() for p in module.parameters()]

    def updates(v, gamma, *_):
        return module(v, gamma)[0]

    # gradcheck's own tolerance for float64; the later iterations' path is checked in test_attention
    assert torch.autograd.gradcheck(updates, (values.requires_grad_(), attention.requires_grad_(), *parameters))


def test_slot_permutation_equivariance(name):
    values, attention = draw(K=6)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    module = make(name)
    updates, _ = module(values, attention)
    permuted, _ = module(values, attention[:, order])
    torch.testing.assert_close(permuted, updates[:, order], rtol=1e-12, atol=1e-12)  # float64, sums reordered


def test_input_permutation_invariance(name):
    values, attention = draw(N=6)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    module = make(name)
    updates, _ = module(values, attention)
    permuted, _ = module(values[:, order], attention[:, :, order])
    torch.testing.assert_close(permuted, updates, rtol=1e-12, atol=1e-12)  # float64, sums reordered


@pytest.mark.parametrize("case", ["constant tokens", "zero tokens", "one token", "a slot that wins nothing"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_degenerate_inputs_have_finite_updates_and_gradients(name, case, dtype):
    values, attention = draw(K=4, N=1 if case == "one token" else 6, dtype=dtype)
    if case == "constant tokens":
        values = values[:, :1].expand(-1, 6, -1).clone()
    elif case == "zero tokens":
        values = torch.zeros_like(values)
    elif case == "a slot that wins nothing":
        attention[:, 0] = 0
    values.requires_grad_()
    updates, _ = make(name, dtype=dtype)(values, attention.requires_grad_())
    updates.square().sum().backward()
    assert updates.isfinite().all()
    assert values.grad.isfinite().all()
    assert attention.grad.isfinite().all()


def test_bfloat16_autocast_keeps_single_precision_codes(name):
    values, attention = draw(K=7, N=256, dtype=torch.float32)
    module = make(name, dtype=torch.float32)
    exact, _ = copy.deepcopy(module)(values, attention)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        updates, statistics = module(values.bfloat16(), attention)
    assert updates.dtype == torch.float32
    assert statistics is None or all(s.dtype == torch.float32 for s in statistics)
    # bfloat16 keeps 8 bits: values are rounded by up to 2^-8 of their size, and nothing else is
    torch.testing.assert_close(updates, exact, rtol=3e-2, atol=3e-2 * exact.abs().max().item())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_codes_of_half_precision_are_those_of_its_copy_in_single(name, dtype):
    values, attention = (tensor.to(dtype) for tensor in draw(K=7, N=256, dtype=torch.float32))
    exact, _ = make(name, dtype=torch.float32)(values.float(), attention.float())
    codes, _ = make(name, dtype=torch.float32)(values, attention)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast, _ = make(name, dtype=torch.float32)(values.float(), attention.float())
    torch.testing.assert_close(codes, exact)
    torch.testing.assert_close(under_autocast, exact)


def test_statistics_of_the_first_iteration_are_reused(name):
    first, later = draw(seed=1), draw(seed=2)
    module = make(name)
    _, statistics = module(*first)
    reused, handed_on = module(*later, statistics)
    fresh, _ = make(name)(*later)
    if isinstance(module, BatchNorm):
        codes = unnormalized_codes(later[0], later[1].mT)
        mean, var = scalar_statistics(unnormalized_codes(first[0], first[1].mT))
        torch.testing.assert_close(reused, (codes - mean) / (var + module.eps) ** 0.5, rtol=1e-12, atol=1e-12)
    elif name in PAPER:
        assert statistics is None
    if statistics is None:
        assert torch.equal(reused, fresh)
    else:
        assert handed_on is statistics
        assert not torch.allclose(reused, fresh)


def test_training_and_evaluation(name):
    values, attention = draw()
    module = make(name)
    before = {key: value.clone() for key, value in module.named_buffers()}
    trained, _ = module(values, attention)
    after_training = {key: value.clone() for key, value in module.named_buffers()}
    evaluated, statistics = module.eval()(values, attention)
    assert all(torch.equal(value, after_training[key]) for key, value in module.named_buffers())
    if isinstance(module, BatchNorm):
        mean, var = scalar_statistics(unnormalized_codes(values, attention.mT))
        assert before == {"running_mean": torch.tensor(0.0), "running_var": torch.tensor(1.0)}
        assert after_training["running_mean"].item() == pytest.approx(0.1 * mean, rel=1e-12)  # EMA from (0, 1)
        assert after_training["running_var"].item() == pytest.approx(0.9 + 0.1 * var, rel=1e-12)
        assert statistics == (module.running_mean, module.running_var)
    elif name in PAPER:
        assert not before
    if not before:
        assert torch.equal(trained, evaluated)


def test_state_dict_round_trip(name):
    values, attention = draw()
    source, target = make(name), make(name)
    for parameter in source.parameters():
        torch.nn.init.normal_(parameter)
    source(values, attention)  # moves the running statistics, where there are any
    target.load_state_dict(source.state_dict())
    assert torch.equal(source.eval()(values, attention)[0], target.eval()(values, attention)[0])


def test_every_parameter_has_a_gradient(name):
    values, attention = draw()
    module = make(name)
    updates, _ = module(values.requires_grad_(), attention)
    updates.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


def test_only_the_named_parameters_are_learned(name):
    if name not in PAPER:
        pytest.skip("another package's parameters are its own affair")
    shapes = {key: tuple(p.shape) for key, p in make(name).named_parameters()}
    affine = {"alpha": (), "beta": ()}
    expected = {
        "layer_norm": {"norm.weight": (4,), "norm.bias": (4,)},
        "batch_norm": affine,
        "kd_layer_norm": affine,
    }
    assert shapes == expected.get(name, {})


def test_codes_do_not_depend_on_the_batch_in_evaluation(name):
    values, attention = draw(B=3)
    module = make(name).eval()
    together, _ = module(values, attention)
    alone, _ = module(values[1:2], attention[1:2])
    torch.testing.assert_close(together[1:2], alone, rtol=1e-12, atol=1e-12)  # float64 products of other shapes


def test_weighted_sum_scale_is_what_tells_it_from_the_unnormalized_one(name):
    module = make(name)
    values, attention = draw(N=5)
    if isinstance(module, WeightedSum):
        ratio = make("unnormalized")(values, attention)[0] / module(values, attention)[0]
        expected = {"weighted_sum": 5.0, **{scaled: 5.0 * factor for scaled, factor in SCALED.items()}}.get(name, 1.0)
        torch.testing.assert_close(ratio, torch.full_like(ratio, expected))
    else:
        assert name not in ("weighted_sum", "unnormalized")


def test_runs_in_slot_attention(name):
    module = SlotAttention(input_dim=6, slot_dim=4, num_slots=3, normalization=name)
    slots, attention = module(torch.randn(2, 9, 6), num_slots=5, iterations=2)
    assert slots.shape == (2, 5, 4)
    assert attention.shape == (2, 5, 9)
