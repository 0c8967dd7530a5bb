"""The shipped conformance suite on every normalization, those of other packages included, and the paper's settings."""

from functools import partial
from importlib.metadata import entry_points

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from slotnorm import NORMALIZATIONS, SlotAttention, make_normalization
from slotnorm.normalization import RIVALS, BatchNorm, Normalization, known_names
from slotnorm.testing import REFERENCES, NormalizationConformance
from slotnorm.testing.conformance import close, draw, draw_tokens
from slotnorm.testing.references import TRAIN_SLOTS, scalar_statistics, unnormalized_codes, weighted_sum

SCALED = {"weighted_sum@0.0625": 1 / 16, "weighted_sum@4": 4.0}
"""Names of weighted sums with another scale, which have no row of their own."""


def scaled_sum(v: Tensor, gamma: Tensor, factor: float) -> Tensor:
    """Sec. 4.1 with C = factor · N."""
    return weighted_sum(v, gamma, scale=factor * v.shape[1])


ALL_REFERENCES = {
    **REFERENCES,
    **{name: partial(scaled_sum, factor=factor) for name, factor in SCALED.items()},
    **{entry.name: entry.load() for entry in entry_points(group="slotnorm.references")},
}
OURS = (*NORMALIZATIONS, *SCALED, *RIVALS)
"""The package's own, whose state is prescribed."""
every_normalization = pytest.mark.parametrize("name", [*known_names(), *SCALED])
every_one_of_ours = pytest.mark.parametrize("name", OURS)


def make(name: str, dim: int = 4) -> Normalization:
    return make_normalization(name, dim, TRAIN_SLOTS).double()


@every_normalization
class TestConformance(NormalizationConformance):
    @pytest.fixture(autouse=True)
    def _name(self, name: str) -> None:
        self.name = name

    def make(self, dim: int) -> Normalization:
        return make_normalization(self.name, dim, TRAIN_SLOTS)

    def reference(self, v: Tensor, gamma: Tensor) -> Tensor:
        return ALL_REFERENCES[self.name](v, gamma)


@every_normalization
def test_has_a_slow_reference(name):
    assert name in ALL_REFERENCES


@every_normalization
@given(K=st.integers(1, 64), N=st.integers(1, 300), D=st.integers(1, 16), seed=st.integers(0, 10_000))
def test_any_size_is_finite(name, K, N, D, seed):
    values, attention = draw(K=K, N=N, D=D, seed=seed)
    updates, _ = make(name, dim=D)(values, attention)
    assert updates.shape == (2, K, D)
    assert updates.isfinite().all()


@every_one_of_ours
def test_only_batch_norm_has_statistics_and_buffers(name):
    module = make(name)
    _, statistics = module(*draw())
    batch_norm = isinstance(module, BatchNorm)
    assert (statistics is not None) == batch_norm
    assert bool([*module.buffers()]) == batch_norm


def test_batch_norm_reuses_the_statistics_of_the_first_iteration():
    (values, attention), later, module = draw(seed=1), draw(seed=2), make("batch_norm")
    _, statistics = module(values, attention)
    codes = unnormalized_codes(later[0], later[1].mT)
    mean, var = scalar_statistics(unnormalized_codes(values, attention.mT))
    close(module(*later, statistics)[0], (codes - mean) / (var + module.eps) ** 0.5, 1e-12)


def test_batch_norm_keeps_a_moving_average_for_evaluation():
    (values, attention), module = draw(), make("batch_norm")
    assert dict(module.named_buffers()) == {"running_mean": torch.tensor(0.0), "running_var": torch.tensor(1.0)}
    module(values, attention)
    mean, var = scalar_statistics(unnormalized_codes(values, attention.mT))
    assert module.running_mean.item() == pytest.approx(0.1 * mean, rel=1e-12)  # EMA from (0, 1)
    assert module.running_var.item() == pytest.approx(0.9 + 0.1 * var, rel=1e-12)
    assert module.eval()(values, attention)[1] == (module.running_mean, module.running_var)


@every_one_of_ours
def test_only_the_named_parameters_are_learned(name):
    shapes = {key: tuple(p.shape) for key, p in make(name).named_parameters()}
    affine = {"alpha": (), "beta": ()}
    expected = {
        "layer_norm": {"norm.weight": (4,), "norm.bias": (4,)},
        "batch_norm": affine,
        "kd_layer_norm": affine,
        "weighted_sum@learned": {"alpha": ()},
    }
    assert shapes == expected.get(name, {})


@pytest.mark.parametrize(("name", "scale"), [("weighted_sum", 1.0), ("unnormalized", 1 / 5), *SCALED.items()])
def test_weighted_sum_scale_is_what_tells_it_from_the_unnormalized_one(name, scale):
    values, attention = draw(N=5)
    ratio = make("unnormalized")(values, attention)[0] / make(name)(values, attention)[0]
    torch.testing.assert_close(ratio, torch.full_like(ratio, 5.0 * scale))


def test_the_learned_scale_multiplies_the_codes():
    values, attention, module = *draw(), make("weighted_sum@learned")
    before, _ = module(values, attention)
    with torch.no_grad():
        module.alpha.fill_(4.0)
    assert torch.equal(module(values, attention)[0], 4 * before)  # a power of two moves the exponent alone


def test_a_trained_baseline_is_evaluated_with_the_scaled_mean_of_its_slots():
    (inputs, _), baseline = draw_tokens(), SlotAttention(5, 4, num_slots=2).double()
    scaled = SlotAttention(5, 4, num_slots=2, normalization="scaled_mean").double()
    scaled.load_state_dict(baseline.state_dict())
    alike, other = ([m(inputs, K, generator=0)[0] for m in (baseline, scaled)] for K in (2, 4))
    assert torch.equal(*alike)
    assert not torch.allclose(*other)


def test_the_scaled_mean_needs_the_slots_in_training():
    with pytest.raises(ValueError, match="num_slots must be at least 1, got 0"):
        make_normalization("scaled_mean", 4, 0)
    with pytest.raises(ValueError, match="scaled_mean needs num_slots, the number of slots in training"):
        make_normalization("scaled_mean", 4)


def test_representations_of_the_rivals():
    shown = [repr(make_normalization(name, 4, 7)).splitlines() for name in RIVALS]
    assert shown[0][:2] == ["ScaledMean(", "  train_slots=7"]
    assert shown[1:] == [["WeightedSum(scale=N^0.5)"], ["LearnedSum()"]]
