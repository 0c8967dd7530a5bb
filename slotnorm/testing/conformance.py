"""The conformance suite: what every normalization must satisfy, alone and inside Slot Attention.

Shape letters: B batch, K slots, N input tokens, D slot dimension.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from slotnorm.attention import SlotAttention
from slotnorm.normalization import Normalization
from slotnorm.testing.references import slot_attention

SIZES = ((1, 1), (1, 7), (3, 1), (64, 1), (64, 5), (64, 64), (7, 4096), (3, 16_384))
"""Slots K and tokens N."""
PRECISIONS = (torch.float32, torch.float64)


class NormalizationConformance(ABC):
    """Tests of one normalization; a subclass says how to make it and what it should compute.

    Example:
        >>> from slotnorm.normalization import WeightedMean
        >>> from slotnorm.testing.references import weighted_mean
        >>> class TestWeightedMean(NormalizationConformance):
        ...     def make(self, dim):
        ...         return WeightedMean(dim)
        ...     def reference(self, v, gamma):
        ...         return weighted_mean(v, gamma)
        >>> TestWeightedMean().test_agrees_with_the_slow_reference()
    """

    @abstractmethod
    def make(self, dim: int) -> Normalization:
        """Make the normalization for slots of ``dim`` features."""

    @abstractmethod
    def reference(self, v: Tensor, gamma: Tensor) -> Tensor:
        """Compute the first iteration's codes in training, u[b, k, d], slowly from v[b, n, d] and gamma[b, n, k]."""

    def module(self, dim: int = 4, dtype: torch.dtype = torch.float64) -> Normalization:
        """Make the normalization with the same parameters at every call."""
        torch.manual_seed(0)
        return self.make(dim).to(dtype)

    def attention(self, dim: int = 4, dtype: torch.dtype = torch.float64) -> SlotAttention:
        """Make Slot Attention on tokens of 5 features with the normalization."""
        torch.manual_seed(0)
        return SlotAttention(5, dim, num_slots=3, hidden_dim=6, normalization=self.make(dim)).to(dtype)

    def test_shape_dtype_and_finiteness(self) -> None:
        for dtype in PRECISIONS:
            for K, N in SIZES:
                updates, _ = self.module(dtype=dtype)(*draw(K=K, N=N, dtype=dtype))
                assert updates.shape == (2, K, 4), f"{K} slots, {N} tokens: the codes have shape {updates.shape}"
                assert updates.dtype == dtype, f"values in {dtype} give codes in {updates.dtype}"
                assert updates.isfinite().all(), f"{K} slots, {N} tokens, {dtype}: codes are not finite"

    def test_agrees_with_the_slow_reference(self) -> None:
        values, attention = draw()
        updates, _ = self.module()(values, attention)
        close(updates, self.reference(values, attention.mT), 1e-12)  # float64 sums of 5 terms

    def test_gradients_agree_with_finite_differences(self) -> None:
        values, attention = (tensor.requires_grad_() for tensor in draw(B=2, K=2, N=3, D=3))
        module = self.module(dim=3)
        leaves = (values, attention, *module.parameters())
        assert torch.autograd.gradcheck(lambda v, gamma, *_: module(v, gamma)[0], leaves)  # its tolerance for float64

    def test_permuted_slots_permute_the_codes(self) -> None:
        values, attention = draw(K=6)
        order, module = torch.tensor([3, 0, 5, 1, 4, 2]), self.module()
        close(module(values, attention[:, order])[0], module(values, attention)[0][:, order], 1e-12)  # sums reordered

    def test_permuted_tokens_change_nothing(self) -> None:
        values, attention = draw(N=6)
        order, module = torch.tensor([3, 0, 5, 1, 4, 2]), self.module()
        close(module(values[:, order], attention[:, :, order])[0], module(values, attention)[0], 1e-12)

    def test_degenerate_inputs_have_finite_updates_and_gradients(self) -> None:
        for dtype in PRECISIONS:
            values, attention = draw(K=4, N=6, dtype=dtype)
            nothing = attention.clone()
            nothing[:, 0] = 0
            cases = {
                "constant tokens": (values[:, :1].repeat(1, 6, 1), attention),
                "zero tokens": (torch.zeros_like(values), attention),
                "one token": (values[:, :1], attention[:, :, :1]),
                "a slot that wins nothing": (values, nothing),
            }
            for case, pair in cases.items():
                leaves = [tensor.clone().requires_grad_() for tensor in pair]
                updates, _ = self.module(dtype=dtype)(*leaves)
                assert updates.isfinite().all(), f"{case}, {dtype}: codes are not finite"
                for gradient in torch.autograd.grad(updates.square().sum(), leaves):
                    assert gradient.isfinite().all(), f"{case}, {dtype}: a gradient is not finite"

    def test_bfloat16_autocast_keeps_single_precision_codes(self) -> None:
        values, attention = draw(K=7, N=256, dtype=torch.float32)
        exact, _ = self.module(dtype=torch.float32)(values, attention)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            updates, statistics = self.module(dtype=torch.float32)(values.bfloat16(), attention)
        for tensor in (updates, *(statistics or ())):
            assert tensor.dtype == torch.float32, f"under autocast codes or statistics are in {tensor.dtype}"
        # bfloat16 keeps 8 bits: values are rounded by up to 2^-8 of their size, and nothing else is
        torch.testing.assert_close(updates, exact, rtol=3e-2, atol=3e-2 * exact.abs().max().item())

    def test_codes_of_half_precision_are_those_of_its_copy_in_single(self) -> None:
        for dtype in (torch.bfloat16, torch.float16):
            values, attention = (tensor.to(dtype) for tensor in draw(K=7, N=256, dtype=torch.float32))
            exact, _ = self.module(dtype=torch.float32)(values.float(), attention.float())
            torch.testing.assert_close(self.module(dtype=torch.float32)(values, attention)[0], exact)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                under_autocast, _ = self.module(dtype=torch.float32)(values.float(), attention.float())
            torch.testing.assert_close(under_autocast, exact)

    def test_statistics_of_the_first_iteration_are_reused(self) -> None:
        later, module = draw(seed=2), self.module()
        _, statistics = module(*draw(seed=1))
        reused, handed_on = module(*later, statistics)
        fresh, _ = self.module()(*later)
        if statistics is None:
            assert torch.equal(reused, fresh), "without statistics an iteration depends on the one before it"
        else:
            assert handed_on is statistics, "a later iteration replaces the statistics"
            assert not torch.allclose(reused, fresh), "the statistics have no effect"

    def test_evaluation_changes_no_buffer(self) -> None:
        values, attention = draw()
        module = self.module()
        trained, _ = module(values, attention)
        before = {key: value.clone() for key, value in module.named_buffers()}
        evaluated, _ = module.eval()(values, attention)
        for key, value in module.named_buffers():
            assert torch.equal(value, before[key]), f"evaluation changes the buffer {key}"
        assert before or torch.equal(trained, evaluated), "without buffers, training and evaluation must not differ"

    def test_codes_do_not_depend_on_the_batch_in_evaluation(self) -> None:
        values, attention = draw(B=3)
        module = self.module().eval()
        alone, _ = module(values[1:2], attention[1:2])
        close(module(values, attention)[0][1:2], alone, 1e-12)  # float64 products of other shapes

    def test_state_dict_holds_all_that_evaluation_needs(self) -> None:
        values, attention = draw()
        source, target = self.module(), self.module()
        for parameter in source.parameters():
            nn.init.normal_(parameter)
        source(values, attention)  # moves the running statistics, if there are any
        target.load_state_dict(source.state_dict())
        assert torch.equal(source.eval()(values, attention)[0], target.eval()(values, attention)[0])

    def test_every_parameter_has_a_gradient(self) -> None:
        module, (values, attention) = self.module(), draw()
        module(values.requires_grad_(), attention)[0].square().sum().backward()
        for name, p in module.named_parameters():
            assert p.grad is not None and p.grad.isfinite().all(), f"{name} has no finite gradient"  # noqa: PT018

    def test_slot_attention_agrees_with_the_slow_reference(self) -> None:
        module, (inputs, slots) = self.attention(), draw_tokens()
        with torch.no_grad():
            remembers = module.normalization(*draw())[1] is not None
            for iterations in (1,) if remembers else (1, 3):  # the reference is that of the first iteration
                expected = slot_attention(module, inputs, slots, iterations, lambda v, g, _: self.reference(v, g))
                got_slots, got_attention = module(inputs, slots=slots, iterations=iterations)
                close(got_slots, expected[0], 1e-11)  # float64 through 3 iterations
                close(got_attention, expected[1].mT, 1e-11)

    def test_gradients_through_all_iterations_agree_with_finite_differences(self) -> None:
        module = self.attention(dim=3)
        inputs, slots = (tensor.requires_grad_() for tensor in draw_tokens(B=1, N=3, K=2, D=3))
        assert torch.autograd.gradcheck(lambda x, s: module(x, slots=s, iterations=2), (inputs, slots))

    def test_slot_attention_treats_slots_and_tokens_as_sets(self) -> None:
        module, (inputs, slots) = self.attention(), draw_tokens(K=5)
        slot_order, token_order = torch.tensor([4, 2, 0, 1, 3]), torch.tensor([5, 0, 3, 1, 4, 2])
        new_slots, attention = module(inputs, slots=slots)
        permuted_slots, permuted_attention = module(inputs[:, token_order], slots=slots[:, slot_order])
        close(permuted_slots, new_slots[:, slot_order], 1e-10)  # float64, sums reordered
        close(permuted_attention, attention[:, slot_order][:, :, token_order], 1e-10)

    def test_slot_attention_takes_any_number_of_slots_and_tokens(self) -> None:
        module = self.attention(dtype=torch.float32)
        for K, N in SIZES:
            slots, attention = module(draw_tokens(N=N, dtype=torch.float32)[0], num_slots=K, iterations=2)
            assert (slots.shape, attention.shape) == ((2, K, 4), (2, K, N)), f"{K} slots, {N} tokens: other shapes"
            assert slots.isfinite().all(), f"{K} slots, {N} tokens: slots are not finite"
            torch.testing.assert_close(attention.sum(1), torch.ones(2, N))  # softmax over the slots, float32

    def test_degenerate_tokens_have_finite_slots_and_gradients(self) -> None:
        inputs, slots = draw_tokens(dtype=torch.float32)
        cases = {
            "constant tokens": (torch.full_like(inputs, 0.5), slots),
            "one token": (inputs[:, :1], slots),
            "identical slots": (inputs, torch.zeros_like(slots)),
            "huge tokens": (inputs * 1e12, slots),
        }
        for case, (tokens, initial) in cases.items():
            module = self.attention(dtype=torch.float32)
            new_slots, _ = module(tokens, slots=initial)
            new_slots.square().sum().backward()
            assert new_slots.isfinite().all(), f"{case}: slots are not finite"
            for name, p in module.named_parameters():
                assert p.grad is None or p.grad.isfinite().all(), f"{case}: the gradient of {name} is not finite"

    def test_slot_attention_under_bfloat16_autocast_stays_in_single_precision(self) -> None:
        module, (inputs, slots) = self.attention(dtype=torch.float32), draw_tokens(N=64, dtype=torch.float32)
        exact, _ = copy.deepcopy(module)(inputs, slots=slots)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            new_slots, attention = module(inputs, slots=slots)
        new_slots.sum().backward()
        assert module.to_q.weight.grad is not None
        assert {t.dtype for t in (attention, new_slots, module.to_q.weight.grad)} == {torch.float32}
        # a correlation, since three bfloat16 iterations have no useful bound per entry
        assert torch.corrcoef(torch.stack([exact.flatten(), new_slots.flatten()]))[0, 1] > 0.99

    def test_a_whole_module_in_bfloat16_is_finite(self) -> None:
        inputs, slots = draw_tokens(dtype=torch.bfloat16)
        new_slots, _ = self.attention(dtype=torch.bfloat16)(inputs, slots=slots)
        assert new_slots.dtype == torch.bfloat16
        assert new_slots.isfinite().all()

    def test_a_state_dict_of_slot_attention_restores_it(self) -> None:
        source, target, (inputs, slots) = self.attention(), self.attention(), draw_tokens()
        target.reset_parameters()
        source(inputs, slots=slots)
        target.load_state_dict(source.state_dict())
        assert torch.equal(source.eval()(inputs, slots=slots)[0], target.eval()(inputs, slots=slots)[0])


def draw(
    B: int = 2, K: int = 3, N: int = 5, D: int = 4, dtype: torch.dtype = torch.float64, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Draw values (B, N, D) and attention (B, K, N) that are no special case."""
    g = torch.Generator().manual_seed(seed)
    values = torch.randn(B, N, D, generator=g, dtype=dtype)
    return values, (2 * torch.randn(B, K, N, generator=g, dtype=dtype)).softmax(dim=1)


def draw_tokens(
    B: int = 2, N: int = 6, K: int = 3, D: int = 4, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """Draw input tokens (B, N, 5) and initial slots (B, K, D)."""
    g = torch.Generator().manual_seed(1)
    return torch.randn(B, N, 5, generator=g, dtype=dtype), torch.randn(B, K, D, generator=g, dtype=dtype)


def close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    """Check that two tensors agree up to an absolute and relative tolerance."""
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
