"""The conformance suite: what every normalization must satisfy, alone and inside Slot Attention.

Shape letters: B batch, K slots, N input tokens, D slot dimension.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from unittest import TestCase

import torch
from torch import Tensor, nn

from slotnorm.attention import SlotAttention
from slotnorm.normalization import Normalization
from slotnorm.testing.compilation import assert_compiles, assert_exports, made_without_memory, without_shape_checks
from slotnorm.testing.references import slot_attention

SIZES = ((1, 1), (1, 7), (3, 1), (64, 1), (64, 5), (64, 64), (7, 4096), (3, 16_384))  # slots K, tokens N
PRECISIONS = (torch.float32, torch.float64)
ORDER = torch.tensor([3, 0, 5, 1, 4, 2])


class NormalizationConformance(ABC):
    """Tests of one normalization; a subclass says how to make it and what it should compute.

    Example:
        >>> from slotnorm.normalization import WeightedMean
        >>> from slotnorm.testing.references import weighted_mean
        >>> class TestWeightedMean(NormalizationConformance):
        ...     make, reference = staticmethod(WeightedMean), staticmethod(weighted_mean)
        >>> TestWeightedMean().test_agrees_with_the_slow_reference()
    """

    @abstractmethod
    def make(self, dim: int) -> Normalization:
        """Make the normalization for slots of ``dim`` features."""

    @abstractmethod
    def reference(self, v: Tensor, gamma: Tensor) -> Tensor:
        """Compute the first iteration's codes in training, u[b, k, d], slowly from v[b, n, d] and gamma[b, n, k]."""

    def module(self, dim: int = 4, dtype: torch.dtype = torch.float64) -> Normalization:
        """Make it with the same parameters at every call."""
        torch.manual_seed(0)
        return self.make(dim).to(dtype)

    def attention(self, dim: int = 4, dtype: torch.dtype = torch.float64) -> SlotAttention:
        """Make Slot Attention on tokens of 5 features with the normalization."""
        torch.manual_seed(0)
        return SlotAttention(5, dim, num_slots=3, hidden_dim=6, normalization=self.make(dim)).to(dtype)

    def test_shape_dtype_and_finiteness(self) -> None:
        for dtype in PRECISIONS:
            for K, N in SIZES:
                codes, _ = self.module(dtype=dtype)(*draw(K=K, N=N, dtype=dtype))
                assert (codes.shape, codes.dtype) == ((2, K, 4), dtype), f"{K} slots, {N} tokens, {dtype}: {codes}"
                finite(f"{K} slots, {N} tokens, {dtype}", codes=codes)

    def test_agrees_with_the_slow_reference(self) -> None:
        values, attention = draw()
        close(self.module()(values, attention)[0], self.reference(values, attention.mT), 1e-12)  # float64 sums of 5

    def test_gradients_agree_with_finite_differences(self) -> None:
        module, pair = self.module(dim=3), draw(B=2, K=2, N=3, D=3)
        leaves = (*(tensor.requires_grad_() for tensor in pair), *module.parameters())
        assert torch.autograd.gradcheck(lambda v, gamma, *_: module(v, gamma)[0], leaves)  # its tolerance for float64

    def test_treats_slots_and_tokens_as_sets(self) -> None:
        module, (values, attention) = self.module(), draw(K=6, N=6)
        codes, _ = module(values, attention)
        close(module(values, attention[:, ORDER])[0], codes[:, ORDER], 1e-12)  # sums reordered
        close(module(values[:, ORDER], attention[:, :, ORDER])[0], codes, 1e-12)

    def test_degenerate_inputs_have_finite_codes_and_gradients(self) -> None:
        for dtype in PRECISIONS:
            values, attention = draw(K=4, N=6, dtype=dtype)
            cases = {
                "constant tokens": (values[:, :1].repeat(1, 6, 1), attention),
                "zero tokens": (torch.zeros_like(values), attention),
                "one token": (values[:, :1], attention[:, :, :1]),
                "a slot that wins nothing": (values, attention.index_fill(1, torch.tensor(0), 0.0)),
            }
            for case, pair in cases.items():
                values_, attention_ = (tensor.clone().requires_grad_() for tensor in pair)
                codes, _ = self.module(dtype=dtype)(values_, attention_)
                codes.square().sum().backward()
                finite(f"{case}, {dtype}", codes=codes, by_values=values_.grad, by_attention=attention_.grad)

    def test_codes_of_half_precision_are_those_of_its_copy_in_single(self) -> None:
        for dtype in (torch.bfloat16, torch.float16):
            half = [tensor.to(dtype) for tensor in draw(K=7, N=256, dtype=torch.float32)]
            single = [tensor.float() for tensor in half]
            exact, _ = self.module(dtype=torch.float32)(*single)
            torch.testing.assert_close(self.module(dtype=torch.float32)(*half)[0], exact)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                for pair in (half, single):
                    codes, statistics = self.module(dtype=torch.float32)(*pair)
                    assert {tensor.dtype for tensor in (codes, *(statistics or ()))} == {torch.float32}
                    torch.testing.assert_close(codes, exact)

    def test_converted_to_half_precision_after_training_it_agrees_on_many_tokens(self) -> None:
        values, attention = draw(K=7, N=1024, dtype=torch.float32)
        values, attention = (100 * values).half(), attention.half()
        module = self.module(dtype=torch.float32)
        for _ in range(20):
            module(values.float(), attention.float())
        exact, _ = module.eval()(values.float(), attention.float())
        for dtype, closeness in ((torch.float16, 1e-3), (torch.bfloat16, 1e-2)):
            codes, _ = copy.deepcopy(module).to(dtype)(values, attention)
            torch.testing.assert_close(codes, exact, rtol=closeness, atol=closeness)

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

    def test_evaluation_changes_no_buffer_and_depends_on_no_other_scene(self) -> None:
        module, (values, attention) = self.module(), draw(B=3)
        trained, _ = module(values, attention)
        before = copy.deepcopy(dict(module.named_buffers()))
        evaluated, _ = module.eval()(values, attention)
        for key, value in module.named_buffers():
            assert torch.equal(value, before[key]), f"evaluation changes the buffer {key}"
        assert before or torch.equal(trained, evaluated), "without buffers, training and evaluation must not differ"
        close(module(values[1:2], attention[1:2])[0], evaluated[1:2], 1e-12)  # float64 products of other shapes

    def test_every_parameter_has_a_gradient(self) -> None:
        module, (values, attention) = self.module(), draw()
        module(values.requires_grad_(), attention)[0].square().sum().backward()
        finite("gradients", **{name: p.grad for name, p in module.named_parameters()})

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
        module, (inputs, slots), slot_order = self.attention(), draw_tokens(K=5), torch.tensor([4, 2, 0, 1, 3])
        new_slots, attention = module(inputs, slots=slots)
        permuted_slots, permuted_attention = module(inputs[:, ORDER], slots=slots[:, slot_order])
        close(permuted_slots, new_slots[:, slot_order], 1e-10)  # float64, sums reordered
        close(permuted_attention, attention[:, slot_order][:, :, ORDER], 1e-10)

    def test_slot_attention_takes_any_number_of_slots_and_tokens(self) -> None:
        module = self.attention(dtype=torch.float32)
        for K, N in SIZES:
            slots, attention = module(draw_tokens(N=N, dtype=torch.float32)[0], num_slots=K, iterations=2)
            assert (slots.shape, attention.shape) == ((2, K, 4), (2, K, N)), f"{K} slots, {N} tokens: other shapes"
            finite(f"{K} slots, {N} tokens", slots=slots)
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
            gradients = {name: p.grad for name, p in module.named_parameters() if not name.startswith("slots_")}
            finite(case, new_slots=new_slots, **gradients)

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
        finite("in bfloat16", new_slots=new_slots)

    def test_a_state_dict_holds_all_that_evaluation_needs(self) -> None:
        source, target, (inputs, slots) = self.attention(), self.attention(), draw_tokens()
        for parameter in source.parameters():
            nn.init.normal_(parameter)
        source(inputs, slots=slots)  # moves the running statistics, if there are any
        target.load_state_dict(source.state_dict())
        assert torch.equal(source.eval()(inputs, slots=slots)[0], target.eval()(inputs, slots=slots)[0])

    def test_made_without_memory_and_reset_it_is_usable(self) -> None:
        finite("normalization", **made_without_memory(lambda: self.make(4)).state_dict())
        module, (inputs, slots) = made_without_memory(self.attention), draw_tokens()
        for training in (True, False):
            finite("slots", slots=module.train(training)(inputs, slots=slots)[0])

    def test_slot_attention_compiles_as_one_graph_for_any_batch_slots_and_iterations(self) -> None:
        module, (small, middle, large) = self.attention(), [draw_tokens(B=B)[0] for B in (2, 3, 4)]
        varied = [(small, {"iterations": 2}), (middle, {"num_slots": 5, "iterations": 1}), (large, {"num_slots": 8})]
        assert_compiles(module, varied, backend="eager")
        assert_compiles(
            module.eval(), [(small, {"num_slots": 4}), (large, {"num_slots": 8})], backend="eager", dynamic=True
        )

    def test_slot_attention_is_exported_for_any_batch(self) -> None:
        assert_exports(self.attention(), (draw_tokens()[0], {}), (draw_tokens(B=5)[0], {}))

    def test_padding_changes_no_code_whatever_it_holds(self) -> None:
        values, attention = draw(B=2, N=9)
        expected, _ = self.module()(values[:, :5], attention[:, :, :5])
        for junk in (1e6, torch.nan, torch.inf):
            padded, weights = values.clone(), attention.clone()
            padded[:, 5:], weights[:, :, 5:] = junk, junk
            codes, _ = self.module()(padded, weights, mask=mask_of(9, 5, 5))
            close(codes, expected, 1e-12)  # float64, sums reordered

    def test_padded_scenes_are_those_that_are_computed_alone(self) -> None:
        module, (inputs, slots) = self.attention().eval(), draw_tokens(B=3)
        counts = (6, 1, 4)
        new_slots, attention = module(inputs, slots=slots, mask=mask_of(6, *counts))
        for b, count in enumerate(counts):
            alone = module(inputs[b : b + 1, :count], slots=slots[b : b + 1])
            close(new_slots[b : b + 1], alone[0], 1e-10)  # float64 through 3 iterations
            close(attention[b : b + 1, :, :count], alone[1], 1e-10)
            assert (attention[b, :, count:] == 0).all(), "padding has attention"

    def test_training_with_padding_is_training_without_it(self) -> None:
        inputs, slots = draw_tokens()
        junk = torch.full((2, 3, 5), torch.nan, dtype=inputs.dtype)
        plain, padded = self.attention(), self.attention()
        expected, _ = plain(inputs, slots=slots)
        got, _ = padded(torch.cat([inputs, junk], dim=1), slots=slots, mask=mask_of(9, 6, 6))
        close(got, expected, 1e-10)  # float64 through 3 iterations
        for new_slots in (expected, got):
            new_slots.square().sum().backward()
        gradients = [[p.grad for p in module.parameters() if p.grad is not None] for module in (padded, plain)]
        assert len(gradients[0]) == len([*plain.parameters()]) - 2  # initial slots were given
        torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-9)
        close_states(padded, plain)

    def test_a_scene_that_is_all_padding_is_finite_and_changes_no_other(self) -> None:
        inputs, slots = draw_tokens()
        empty = torch.cat([inputs, inputs[:1]]), torch.cat([slots, slots[:1]])
        plain, padded = self.attention(), self.attention()
        expected, _ = plain(inputs, slots=slots)
        got, _ = padded(empty[0], slots=empty[1], mask=mask_of(6, 6, 6, 0))
        close(got[:2], expected, 1e-10)  # float64 through 3 iterations
        got.square().sum().backward()
        finite("a scene without tokens", slots=got, gradient=padded.to_v.weight.grad)
        close_states(padded, plain)

    def test_a_batch_that_is_all_padding_changes_no_buffer(self) -> None:
        module, (values, attention) = self.module(), draw()
        module(values, attention)
        before = copy.deepcopy(module)
        codes, _ = module(values.requires_grad_(), attention, mask=mask_of(5, 0, 0))
        codes.square().sum().backward()
        finite("a batch without tokens", codes=codes, by_values=values.grad)
        for found, expected in zip(module.buffers(), before.buffers(), strict=True):
            assert torch.equal(found, expected), "padding moves a buffer"

    def test_half_precision_counts_padded_tokens_exactly(self) -> None:
        values, attention = (tensor.bfloat16() for tensor in draw(K=7, N=600, dtype=torch.float32))
        module = self.module(dtype=torch.float32)
        expected, _ = module.eval()(values[:, :515], attention[:, :, :515])
        torch.testing.assert_close(module(values, attention, mask=mask_of(600, 515, 515))[0], expected)

    def test_other_shapes_and_masks_that_are_not_bool_are_refused(self) -> None:
        module, (values, attention) = self.module(), draw()
        mask = mask_of(5, 4, 5)
        cases: list[tuple[tuple[Tensor, Tensor, Tensor | None], str]] = [
            ((values[:, None], attention[:, None], None), r"\(B, N, D\) and \(B, K, N\), got \(2, 1, 5, 4\) and"),
            ((values[0], attention[0], None), r"got \(5, 4\) and \(3, 5\)"),
            ((values, attention[:1], None), r"got \(2, 5, 4\) and \(1, 3, 5\)"),
            ((values, attention.mT, None), r"got \(2, 5, 4\) and \(2, 5, 3\)"),
            ((values, attention, mask[:1]), r"mask must be bool of shape \(2, 5\)"),
            ((values, attention, mask.double()), "mask must be bool of shape .*; got torch.float64"),
        ]
        for (values_, attention_, mask_), message in cases:
            with without_shape_checks(), TestCase().assertRaisesRegex(ValueError, message):  # noqa: PT027
                module(values_, attention_, mask=mask_)
        with without_shape_checks(), TestCase().assertRaisesRegex(ValueError, "give a mask as mask="):  # noqa: PT027
            module(values, attention, mask)

    def test_a_mask_compiles_and_is_exported(self) -> None:
        calls = [(draw_tokens(B=B)[0], {"mask": mask_of(6, *range(2, B + 2))}) for B in (2, 4)]
        assert_compiles(self.attention(), calls, backend="eager")
        assert_exports(self.attention(), *calls)


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


def mask_of(N: int, *counts: int) -> Tensor:
    """Make a mask, shape (B, N), of examples that have so many tokens, the first ones."""
    return torch.arange(N) < torch.tensor(counts)[:, None]


def close_states(found: nn.Module, expected: nn.Module) -> None:
    """Check that the buffers of two modules agree up to rounding in double precision."""
    for found_buffer, expected_buffer in zip(found.buffers(), expected.buffers(), strict=True):
        close(found_buffer, expected_buffer, 1e-11)


def close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    """Check that two tensors agree up to an absolute and relative tolerance."""
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def finite(case: str, **tensors: Tensor | None) -> None:
    """Check that all tensors are there and finite; the message names the case and the tensor."""
    for name, tensor in tensors.items():
        assert tensor is not None and tensor.isfinite().all(), f"{case}: {name} is not finite"  # noqa: PT018
