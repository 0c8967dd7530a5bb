"""The update normalizations: what is done to the update codes between the attention matrix and the slot update.

Each is a class that is made with the slot dimension D and called as :meth:`Normalization.forward` says. The paper's are
in :data:`NORMALIZATIONS`, the simplest alternatives to them in :data:`RIVALS`. Another package adds its own by an entry
point in the group ``slotnorm.normalizations``. Models and runs then know it by name, and ``slotnorm.testing`` checks
it.

Shape letters: B batch, K slots, N input tokens, D slot dimension.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, final

import torch
import torch.distributed as dist
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from slotnorm.arguments import require_mask, require_positive
from slotnorm.initialization import reset_submodules
from slotnorm.numerics import at_least_float32, without_autocast

__all__ = ["NORMALIZATIONS", "RIVALS", "Normalization", "Statistics", "aggregate", "WeightedMean", "LayerNorm"]
__all__ += ["WeightedSum", "BatchNorm", "KDLayerNorm", "ScaledMean", "LearnedSum", "make_normalization", "known_names"]

GROUP = "slotnorm.normalizations"
"""Group of the entry points with which another package adds normalizations."""

Statistics = tuple[Tensor, Tensor]
"""Mean and variance that the first iteration hands to the later ones."""


def aggregate(
    values: Float[Tensor, "batch inputs dim"], attention: Float[Tensor, "batch slots inputs"]
) -> Float[Tensor, "batch slots dim"]:
    r"""Compute unnormalized update codes :math:`\tilde u_k = \sum_n \gamma_{n,k} v_n` (Eq. 3).

    Args:
        values, attention: :math:`v_n`, shape (B, N, D), and :math:`\gamma_{n,k}`, shape (B, K, N).

    Returns:
        Shape (B, K, D); float32 for values in half precision, under autocast too.

    Example:
        >>> aggregate(torch.ones(1, 4, 2), torch.full((1, 3, 4), 0.25)).tolist()
        [[[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]]
    """
    with without_autocast(values.device):
        return at_least_float32(attention) @ at_least_float32(values)


class Normalization(nn.Module, ABC):
    """Base class of the update normalizations; a subclass implements :meth:`normalize`.

    Example:
        >>> class Sum(Normalization):
        ...     def normalize(self, values, attention, statistics, tokens):
        ...         return aggregate(values, attention), None
        >>> Sum()(torch.ones(1, 4, 2), torch.full((1, 1, 4), 0.5))[0].tolist()
        [[[2.0, 2.0]]]
    """

    def forward(
        self,
        values: Float[Tensor, "batch inputs dim"],
        attention: Float[Tensor, "batch slots inputs"],
        statistics: Statistics | None = None,
        mask: Bool[Tensor, "batch inputs"] | None = None,
    ) -> tuple[Float[Tensor, "batch slots dim"], Statistics | None]:
        """Compute the update codes of one iteration.

        Args:
            values: :math:`v_n`, shape (B, N, D).
            attention: :math:`\\gamma_{n,k}`, softmax over the slots, shape (B, K, N).
            statistics: ``None`` in the first iteration of a forward pass, then what that iteration returned.
            mask: true where there is a token, shape (B, N); elsewhere is padding, which changes nothing.

        Returns:
            The update codes :math:`u_k`, shape (B, K, D), and statistics, which only :class:`BatchNorm` has.

        Raises:
            ValueError: if values, attention or mask have another shape, the mask is not bool, or a mask stands in the
                place of the statistics.
        """
        if values.ndim != 3 or attention.ndim != 3 or attention.shape[::2] != values.shape[:2]:
            shapes = f"{tuple(values.shape)} and {tuple(attention.shape)}"
            raise ValueError(f"values and attention must have shapes (B, N, D) and (B, K, N), got {shapes}")
        if isinstance(statistics, Tensor):
            raise ValueError("statistics must be None or what the first iteration returned; give a mask as mask=...")
        if mask is None:
            return self.normalize(values, attention, statistics, values.shape[1])
        require_mask(mask, values)
        values = values.masked_fill(~mask.unsqueeze(2), 0)
        attention = attention.masked_fill(~mask.unsqueeze(1), 0)
        tokens_B11 = mask.sum(dim=1).clamp(min=1).to(at_least_float32(attention).dtype).view(-1, 1, 1)
        return self.normalize(values, attention, statistics, tokens_B11)

    def reset_parameters(self) -> None:
        """Set parameters and buffers to their initial values; a subclass with any of its own extends this."""
        reset_submodules(self)

    @abstractmethod
    def normalize(
        self, values: Tensor, attention: Tensor, statistics: Statistics | None, tokens: int | Tensor
    ) -> tuple[Tensor, Statistics | None]:
        """Compute what :meth:`forward` returns.

        Values and attention are 0 where the mask is false. ``tokens`` is the number N of tokens. With a mask it is a
        tensor of shape (B, 1, 1), the number of each example, at least 1.
        """


@final
class WeightedMean(Normalization):
    r"""The baseline of Locatello et al. (2020): :math:`u_k = \tilde u_k / \sum_n \gamma_{n,k}` (Eq. 4).

    As in the reference implementation ``eps`` is added to every attention weight, so that a slot that wins nothing gets
    the plain mean of the values. Adding :math:`\epsilon \sum_n v_n` after the product gives the same, and needs no
    second (B, K, N) tensor; :math:`\sum_n v_n = \sum_k \tilde u_k`, since attention sums to one over the slots.

    Example:
        >>> values, attention = torch.tensor([[[1.0], [3.0]]]), torch.tensor([[[0.5, 0.0], [0.25, 0.75]]])
        >>> WeightedMean(dim=1)(values, attention)[0].round(decimals=4).tolist()
        [[[1.0], [2.5]]]
    """

    def __init__(self, dim: int, eps: float = 1e-8) -> None:
        super().__init__()
        self.eps = eps

    def normalize(
        self, values: Tensor, attention: Tensor, statistics: Statistics | None, tokens: int | Tensor
    ) -> tuple[Tensor, None]:
        """Divide by the sum of a slot's attention (Eq. 4)."""
        sums_BKD = aggregate(values, attention)
        mass_BK1 = at_least_float32(attention).sum(dim=2, keepdim=True)
        codes_BKD = sums_BKD + self.eps * sums_BKD.sum(dim=1, keepdim=True)
        return codes_BKD / (mass_BK1 + self.eps * tokens), None


@final
class LayerNorm(Normalization):
    r"""Layer normalization shared across slots: :math:`u_k = \mathrm{LayerNorm}(\tilde u_k)` (Sec. 2.1, Eq. 14).

    Example:
        >>> values, attention = torch.tensor([[[1.0, 3.0]]]), torch.tensor([[[1.0], [100.0]]])
        >>> LayerNorm(dim=2)(values, attention)[0].round(decimals=2).tolist()  # the scale is forgotten
        [[[-1.0, 1.0], [-1.0, 1.0]]]
    """

    def __init__(self, dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=eps)

    def normalize(
        self, values: Tensor, attention: Tensor, statistics: Statistics | None, tokens: int | Tensor
    ) -> tuple[Tensor, None]:
        """Apply layer normalization (Sec. 2.1)."""
        codes_BKD = aggregate(values, attention)  # a sum over many tokens may be too large for half precision
        weight, bias = self.norm.weight.to(codes_BKD.dtype), self.norm.bias.to(codes_BKD.dtype)
        return layer_norm(codes_BKD, self.norm.normalized_shape, weight, bias, self.norm.eps), None


@final
class WeightedSum(Normalization):
    r"""The paper's first proposal: :math:`u_k = \tilde u_k / C` with a fixed scale (Sec. 4.1, Algorithm 1).

    With :math:`C = N` the codes are bounded by the values, independently of N (Eq. 11), and they keep the column mean
    of the attention matrix (Prop. 2). With :math:`C = 1` this is Appendix J's "unnormalized" ablation. The paper
    suggests to tune C; other multiples of N have names too, see :func:`make_normalization`.

    Args:
        dim, scale, factor: D, which is not used; C is ``factor * scale``, ``scale`` being N by default.
        power: exponent of N, if no ``scale`` is given.

    Raises:
        ValueError: if the scale or the factor is not positive.

    Example:
        >>> values, attention = torch.tensor([[[1.0], [3.0]]]), torch.tensor([[[0.5, 0.0], [0.25, 0.75]]])
        >>> WeightedSum(dim=1)(values, attention)[0].tolist()
        [[[0.25], [1.25]]]
    """

    def __init__(self, dim: int, scale: float | None = None, factor: float = 1.0, power: float = 1.0) -> None:
        super().__init__()
        if scale is not None and not scale > 0:
            raise ValueError(f"scale must be positive, or None for the number of input tokens; got {scale}")
        if not factor > 0:
            raise ValueError(f"factor must be positive, got {factor}")
        self.scale, self.factor, self.power = scale, factor, power

    def normalize(
        self, values: Tensor, attention: Tensor, statistics: Statistics | None, tokens: int | Tensor
    ) -> tuple[Tensor, None]:
        """Divide by C (Sec. 4.1)."""
        scale = (tokens if self.power == 1 else tokens**self.power) if self.scale is None else self.scale
        return aggregate(values, attention) / (self.factor * scale), None

    def extra_repr(self) -> str:
        """Show the scale in ``print(module)``."""
        shown = f"{self.scale}" if self.scale is not None else "N" if self.power == 1 else f"N^{self.power:g}"
        return f"scale={shown}" if self.factor == 1 else f"scale={self.factor:g} {shown}"


class _ScalarAffine(Normalization):
    """Standardization with one learned scale and one learned shift for all axes, shared by Eq. 13 and its ablation."""

    def __init__(self, dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.alpha = nn.Parameter(torch.ones(()))
        self.beta = nn.Parameter(torch.zeros(()))

    def reset_parameters(self) -> None:
        """Set the scale to one and the shift to zero."""
        nn.init.ones_(self.alpha)
        nn.init.zeros_(self.beta)

    def standardize(self, codes_BKD: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        return self.alpha * (codes_BKD - mean) / torch.sqrt(var + self.eps) + self.beta


@final
class BatchNorm(_ScalarAffine):
    r"""The paper's second proposal: scalar batch statistics of the first iteration (Sec. 4.2, Eqs. 12-13, Algorithm 2).

    In training, mean and variance are taken over the batch, slot and feature axes of the first iteration's
    :math:`\tilde U^{(0)}`; gradients flow through them, and the later iterations of the same forward pass reuse them.
    In evaluation their exponential moving average makes one fixed affine map. When ``torch.distributed`` is
    initialized, the statistics are those of the global batch, and gradients flow through the all-reduce.
    The moving averages stay in single precision when a model is converted to half precision, where the variance of
    many tokens' sums is infinite.

    Args:
        dim, eps: slot dimension D, which is not used; :math:`\epsilon` of Eq. 13.
        momentum: weight of the new batch in the moving average.
        correction: 0 divides by LKD as Algorithm 2 and the authors' code do, 1 by LKD - 1 as Eq. 12 is printed.

    Example:
        >>> codes, statistics = BatchNorm(dim=8)(torch.randn(4, 30, 8), torch.rand(4, 5, 30))
        >>> codes.shape, [tuple(number.shape) for number in statistics]
        (torch.Size([4, 5, 8]), [(), ()])
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, dim: int, eps: float = 1e-5, momentum: float = 0.1, correction: int = 0) -> None:
        super().__init__(dim, eps)
        self.momentum, self.correction = momentum, correction
        self.register_buffer("running_mean", torch.zeros(()))
        self.register_buffer("running_var", torch.ones(()))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> BatchNorm:
        before = self.running_mean, self.running_var
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.running_var.dtype.itemsize < 4 <= before[1].dtype.itemsize:
            where = self.running_var.device
            self.running_mean, self.running_var = (number.to(where, torch.float32) for number in before)
        return self

    def reset_parameters(self) -> None:
        """Set the scale to one, the shift to zero, and the moving averages to those of a new module."""
        super().reset_parameters()
        self.running_mean.zero_()
        self.running_var.fill_(1.0)

    def normalize(
        self, values: Tensor, attention: Tensor, statistics: Statistics | None, tokens: int | Tensor
    ) -> tuple[Tensor, Statistics]:
        """Standardize by the first iteration's statistics, or in evaluation by their moving average (Eq. 13)."""
        codes_BKD = aggregate(values, attention)
        if statistics is None:
            padded = isinstance(tokens, Tensor)
            present_B11 = attention.detach().sum(dim=(1, 2), keepdim=True) > 0 if padded else None
            running = self.running_mean, self.running_var
            statistics = self._batch_statistics(codes_BKD, present_B11) if self.training else running
        return self.standardize(codes_BKD, *statistics), statistics

    def _batch_statistics(self, codes_BKD: Tensor, present_B11: Tensor | None) -> Statistics:
        running = self.running_mean, self.running_var
        if present_B11 is None and not _several_ranks():
            if codes_BKD.numel() <= self.correction:
                return running  # of too few numbers the variance is NaN
            var, mean = torch.var_mean(codes_BKD, correction=self.correction)
        else:
            count, *moments = _counted_moments(codes_BKD, self.correction, present_B11)
            enough = count > self.correction
            mean, var = (new.where(enough, old.to(new.dtype)) for new, old in zip(moments, running, strict=True))
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_(var.to(self.running_var.dtype), self.momentum)
        return mean, var

    def extra_repr(self) -> str:
        """Show the settings in ``print(module)``."""
        return f"eps={self.eps}, momentum={self.momentum}, correction={self.correction}"


def _several_ranks() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


class _SumOverRanks(torch.autograd.Function):
    """The sum of a tensor over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, summand: Tensor) -> Tensor:
        total = summand.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return _SumOverRanks.apply(gradient)


def _counted_moments(codes: Tensor, correction: int, present: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Compute number, mean and variance of all codes (Eq. 12), of all processes if there are several.

    ``present``, shape (B, 1, 1), says which examples have a token; the codes of the others are 0 and do not count.
    """
    total: Callable[[Tensor], Tensor] = _SumOverRanks.apply if _several_ranks() else lambda summed: summed
    counted = torch.ones_like(codes) if present is None else present.to(codes.dtype).expand_as(codes)
    number = total(counted.sum())
    count = number.clamp(min=1 + correction)
    mean = total(codes.sum()) / count
    return number, mean, total(((codes - mean) * counted).square().sum()) / (count - correction)


@final
class KDLayerNorm(_ScalarAffine):
    r"""Appendix J's ablation: Eq. 13 with statistics over slots and features of each instance, at every iteration.

    Nothing is shared across the batch: there is no moving average, and training and evaluation do not differ.

    Example:
        >>> codes, _ = KDLayerNorm(dim=8)(torch.randn(4, 30, 8), torch.rand(4, 5, 30))
        >>> codes.mean(dim=(1, 2)).abs().max().item() < 1e-5  # over slots and features of each instance
        True
    """

    def normalize(
        self, values: Tensor, attention: Tensor, statistics: Statistics | None, tokens: int | Tensor
    ) -> tuple[Tensor, None]:
        """Standardize each instance by its own statistics (App. J)."""
        codes_BKD = aggregate(values, attention)
        var_B11, mean_B11 = torch.var_mean(codes_BKD, dim=(1, 2), keepdim=True, correction=0)
        return self.standardize(codes_BKD, mean_B11, var_B11), None


@final
class ScaledMean(Normalization):
    r"""The weighted mean times :math:`K_\text{train} / K`; the authors' code has it, the paper's text does not.

    It shortens the codes as more slots share the tokens, as the weighted sum does, but takes no account of how many
    tokens each slot has won. With the slots of the training it is the weighted mean, so a model that was trained with
    the weighted mean can be evaluated with this one.

    Args:
        dim, eps: as in :class:`WeightedMean`.
        train_slots: :math:`K_\text{train}`.

    Raises:
        ValueError: if the number of slots in training is not given or below 1.

    Example:
        >>> values, attention = torch.tensor([[[1.0], [3.0]]]), torch.tensor([[[0.5, 0.0], [0.25, 0.75]]])
        >>> ScaledMean(dim=1, train_slots=1)(values, attention)[0].round(decimals=4).tolist()
        [[[0.5], [1.25]]]
    """

    def __init__(self, dim: int, train_slots: int | None, eps: float = 1e-8) -> None:
        super().__init__()
        if train_slots is None:
            raise ValueError("scaled_mean needs num_slots, the number of slots in training")
        require_positive(num_slots=train_slots)
        self.mean, self.train_slots = WeightedMean(dim, eps), train_slots

    def normalize(
        self, values: Tensor, attention: Tensor, statistics: Statistics | None, tokens: int | Tensor
    ) -> tuple[Tensor, None]:
        """Divide by the sum of a slot's attention and by K, and multiply by the number of slots in training."""
        codes_BKD, _ = self.mean.normalize(values, attention, statistics, tokens)
        return codes_BKD * (self.train_slots / attention.shape[1]), None

    def extra_repr(self) -> str:
        """Show the number of slots in training in ``print(module)``."""
        return f"train_slots={self.train_slots}"


@final
class LearnedSum(Normalization):
    r"""The weighted sum with a learned scalar: :math:`u_k = \alpha \tilde u_k / N`, :math:`\alpha` being 1 at first.

    Example:
        >>> values, attention = torch.tensor([[[1.0], [3.0]]]), torch.tensor([[[0.5, 0.0], [0.25, 0.75]]])
        >>> LearnedSum(dim=1)(values, attention)[0].tolist()
        [[[0.25], [1.25]]]
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(()))

    def reset_parameters(self) -> None:
        """Set the scale to one."""
        nn.init.ones_(self.alpha)

    def normalize(
        self, values: Tensor, attention: Tensor, statistics: Statistics | None, tokens: int | Tensor
    ) -> tuple[Tensor, None]:
        """Divide by N and multiply by the learned scale."""
        return self.alpha * aggregate(values, attention) / tokens, None


NORMALIZATIONS: dict[str, Callable[[int], Normalization]] = {
    "weighted_mean": WeightedMean,
    "layer_norm": LayerNorm,
    "weighted_sum": WeightedSum,
    "batch_norm": BatchNorm,
    "kd_layer_norm": KDLayerNorm,
    "unnormalized": partial(WeightedSum, scale=1.0),
}
"""Name to constructor, in the paper's order. First the four variants of Section 5, then Appendix J's two ablations."""

RIVALS: dict[str, Callable[[int, int | None], Normalization]] = {
    "scaled_mean": ScaledMean,
    "weighted_sum@sqrt": lambda dim, num_slots: WeightedSum(dim, power=0.5),
    "weighted_sum@learned": lambda dim, num_slots: LearnedSum(dim),
}
"""Name to constructor, called with D and the number of slots in training. These are not in the paper and test it."""


def scaled_name(factor: float) -> str:
    """Return the name of the weighted sum with C = factor · N; for a factor of 1 it is the paper's own."""
    return "weighted_sum" if factor == 1 else f"weighted_sum@{factor:g}"


def scale_factor(name: str) -> float | None:
    """Return C / N of the weighted sum of that name; ``None`` for a name that :func:`scaled_name` does not return."""
    if name == "weighted_sum":
        return 1.0
    try:
        factor = float(name.removeprefix("weighted_sum@"))
    except ValueError:
        return None
    return factor if 0 < factor < math.inf and name == scaled_name(factor) else None


@cache
def _installed() -> dict[str, EntryPoint]:
    """Find other packages' normalizations, without loading them; none can take a name of this package's."""
    found = {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in NORMALIZATIONS | RIVALS}
    return {name: entry for name, entry in found.items() if scale_factor(name) is None}


def known_names() -> list[str]:
    """List the names in :data:`NORMALIZATIONS` and :data:`RIVALS`, then those that other packages have installed.

    Example:
        >>> known_names()[:6] == list(NORMALIZATIONS)
        True
    """
    return [*NORMALIZATIONS, *RIVALS, *_installed()]


def is_known(name: str) -> bool:
    """Return whether :func:`make_normalization` knows the name."""
    return name in known_names() or scale_factor(name) is not None


def describe_unknown(kind: str, name: str) -> str:
    """Say that a name is unknown, and which names there are, or how the scale in it has to be written."""
    prefix, _, number = name.partition("@")
    try:
        factor = float(number) if prefix == "weighted_sum" else 0.0
    except ValueError:
        factor = 0.0
    if 0 < factor < math.inf:
        return f"unknown {kind} {name!r}; write {scaled_name(factor)!r}, which has at most six digits"
    return f"unknown {kind} {name!r}; there are {', '.join(known_names())}"


def make_normalization(normalization: str | Normalization, dim: int, num_slots: int | None = None) -> Normalization:
    """Make the normalization of that name for slots of ``dim`` features; return an instance as it is.

    Names are :func:`known_names`, and ``weighted_sum@0.25`` for C = N / 4, likewise for any other multiple of N.
    ``num_slots`` is the number of slots in training, which only ``scaled_mean`` needs.

    Raises:
        ValueError: for an unknown name (the message lists the known ones) or an object of another class, also if
            another package's entry point makes it, and without ``num_slots`` for ``scaled_mean``.

    Example:
        >>> make_normalization("weighted_sum", dim=64), make_normalization("weighted_sum@0.25", dim=64)
        (WeightedSum(scale=N), WeightedSum(scale=0.25 N))
    """
    if isinstance(normalization, Normalization):
        return normalization
    if not isinstance(normalization, str):
        raise ValueError(f"normalization must be a name or a slotnorm.Normalization, got {normalization!r}")
    if normalization in NORMALIZATIONS:
        return NORMALIZATIONS[normalization](dim)
    if normalization in RIVALS:
        return RIVALS[normalization](dim, num_slots)
    if normalization in _installed():
        return _make_installed(_installed()[normalization], dim)
    factor = scale_factor(normalization)
    if factor is None:
        raise ValueError(describe_unknown("normalization", normalization))
    return WeightedSum(dim, factor=factor)


def _make_installed(entry: EntryPoint, dim: int) -> Normalization:
    made = entry.load()(dim)
    if not isinstance(made, Normalization):
        raise ValueError(f"{entry.name!r}: its entry point {entry.value} makes no slotnorm.Normalization, but {made!r}")
    return made
