r"""Slot Attention (Locatello et al., 2020; Sec. 2.1) with an exchangeable update normalization.

Shape letters: B batch, K slots, N input tokens, D slot dimension.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from slotnorm.arguments import require_mask, require_positive, require_whole
from slotnorm.initialization import glorot_, reset_submodules
from slotnorm.normalization import Normalization, make_normalization
from slotnorm.numerics import at_least_float32, without_autocast

__all__ = ["SlotAttention"]


class SlotAttention(nn.Module):
    r"""Refines K slots that compete for N input tokens (Sec. 2.1, Eqs. 1-4).

    Every iteration takes the softmax of the scaled dot products *over the slots* (Eqs. 1-2), aggregates values with it
    (Eq. 3), normalizes them (Eq. 4 or one of its alternatives) and updates the slots with a GRU and a residual MLP.

    Autocast is switched off inside. Early in training, slots differ by less than half precision can resolve, and a
    model whose slots are rounded to the same numbers takes far longer to give each slot an object of its own.

    Args:
        input_dim, slot_dim: features of an input token; features D of slots, keys, queries and values.
        num_slots, iterations: slots K and refinement steps by default; both may differ at every call.
        hidden_dim: width of the residual MLP; 128 for CLEVR, 512 for MOVi.
        normalization: a name that :func:`~slotnorm.normalization.make_normalization` knows, or a module of your own.
        eps: added to the variance in the three layer normalizations; the TensorFlow reference has 1e-3.
        bias: whether the maps to queries, keys and values have biases; the paper's have none.
        initial_slots: ``"gaussian"``, the authors', with one learned mean and deviation; ``"learned"``, a parameter for
            each of the K slots, so that a call with another K needs ``slots``.

    Raises:
        ValueError: if a size or count is below 1, or the normalization or the kind of initial slots is unknown.

    Example:
        >>> attention = SlotAttention(input_dim=64, slot_dim=64, num_slots=7, normalization="weighted_sum")
        >>> slots, masks = attention(torch.randn(2, 100, 64), num_slots=11, iterations=5)
        >>> slots.shape, masks.shape
        (torch.Size([2, 11, 64]), torch.Size([2, 11, 100]))
    """

    def __init__(
        self,
        input_dim: int,
        slot_dim: int,
        num_slots: int,
        iterations: int = 3,
        hidden_dim: int = 128,
        normalization: str | Normalization = "weighted_mean",
        eps: float = 1e-5,
        bias: bool = False,
        initial_slots: str = "gaussian",
    ) -> None:
        super().__init__()
        if initial_slots not in ("gaussian", "learned"):
            raise ValueError(f"initial_slots must be 'gaussian' or 'learned', got {initial_slots!r}")
        require_positive(input_dim=input_dim, slot_dim=slot_dim, num_slots=num_slots, hidden_dim=hidden_dim)
        require_positive(iterations=iterations)
        self.input_dim, self.num_slots, self.iterations = input_dim, num_slots, iterations
        self.norm_inputs = nn.LayerNorm(input_dim, eps=eps)
        self.norm_slots, self.norm_mlp = nn.LayerNorm(slot_dim, eps=eps), nn.LayerNorm(slot_dim, eps=eps)
        self.to_q = nn.Linear(slot_dim, slot_dim, bias=bias)
        self.to_k = nn.Linear(input_dim, slot_dim, bias=bias)
        self.to_v = nn.Linear(input_dim, slot_dim, bias=bias)
        with torch.random.fork_rng(devices=[]):  # whatever it draws, the weights below stay the same
            self.normalization = make_normalization(normalization, slot_dim, num_slots)
        self.gru = nn.GRUCell(slot_dim, slot_dim)
        self.mlp = nn.Sequential(nn.Linear(slot_dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, slot_dim))
        learned = initial_slots == "learned"
        self.slots_mu = nn.Parameter(torch.empty(1, num_slots if learned else 1, slot_dim))
        self.slots_log_sigma = None if learned else nn.Parameter(torch.empty(1, 1, slot_dim))
        self._draw()

    def reset_parameters(self) -> None:
        r"""Draw all parameters anew, as the reference implementation does, and reset all buffers.

        Glorot-uniform kernels and zero biases; the GRU's recurrent kernel is orthogonal as one (D, 3D) matrix;
        :math:`\mu` and :math:`\log\sigma` of the initial slots are uniform in :math:`\pm\sqrt{3/D}`; learned ones are
        standard normal.
        """
        reset_submodules(self)
        self._draw()

    def _draw(self) -> None:
        for layers in (self.to_q, self.to_k, self.to_v, self.mlp):
            layers.apply(glorot_)
        nn.init.xavier_uniform_(self.gru.weight_ih)
        nn.init.orthogonal_(self.gru.weight_hh)
        nn.init.zeros_(self.gru.bias_ih)
        nn.init.zeros_(self.gru.bias_hh)
        if self.slots_log_sigma is None:
            nn.init.normal_(self.slots_mu)
        else:
            nn.init.xavier_uniform_(self.slots_mu)
            nn.init.xavier_uniform_(self.slots_log_sigma)

    def forward(
        self,
        inputs: Float[Tensor, "batch inputs input_dim"],
        num_slots: int | None = None,
        iterations: int | None = None,
        slots: Float[Tensor, "batch slots dim"] | None = None,
        generator: torch.Generator | int | None = None,
        mask: Bool[Tensor, "batch inputs"] | None = None,
    ) -> tuple[Float[Tensor, "batch slots dim"], Float[Tensor, "batch slots inputs"]]:
        """Refine slots and return them with the attention of the last iteration.

        Args:
            inputs: input tokens before layer normalization, shape (B, N, input_dim).
            num_slots, iterations: K and refinement steps in this call.
            slots: initial slots, shape (B, K, D); random ones by default.
            generator: draws the random initial slots, on the device of the module. If it is a seed, every example
                begins with the same slots, whatever the batch and the device. As one graph (``torch.compile`` with
                ``fullgraph``, ``torch.export``) give ``slots`` instead.
            mask: true where there is a token, shape (B, N); elsewhere is padding, whose content has no effect.

        Returns:
            The slots, shape (B, K, D), and the attention, shape (B, K, N), which sums to one over the slots and is zero
            at padding.

        Raises:
            ValueError: if a count is below 1, a count or the seed is not a whole number, there are no input tokens, or
                inputs, mask or initial slots have another shape.
        """
        iterations = self.iterations if iterations is None else iterations
        require_positive(iterations=iterations)
        if inputs.ndim != 3 or not inputs.shape[1] or inputs.shape[2] != self.input_dim:
            asked = f"inputs must have shape (B, N, {self.input_dim}) with N at least 1"
            raise ValueError(f"{asked}, got {tuple(inputs.shape)}")
        if mask is not None:
            require_mask(mask, inputs)
            inputs = inputs.masked_fill(~mask.unsqueeze(2), 0)  # NaN in the padding would reach the gradients
        slots_BKD = self._initial_slots(inputs, num_slots, slots, generator)
        with without_autocast(inputs.device):
            keys_BND, values_BND = self.keys_and_values(inputs.to(self.slots_mu.dtype))
            statistics = None
            for _ in range(iterations):
                attn_BKN = self.attend(slots_BKD, keys_BND)
                codes_BKD, statistics = self.normalization(values_BND, attn_BKN, statistics, mask)
                slots_BKD = self.update(slots_BKD, codes_BKD)
        return slots_BKD, attn_BKN if mask is None else attn_BKN.masked_fill(~mask.unsqueeze(1), 0)

    def initial_slots(self, noise: Float[Tensor, "batch slots dim"]) -> Float[Tensor, "batch slots dim"]:
        r"""Make initial slots :math:`\mu + \exp(\log\sigma)\,\epsilon` from standard normal noise, all (B, K, D).

        Learned ones do not depend on the noise.

        Raises:
            ValueError: if the slots are learned and their number is another.
        """
        if self.slots_log_sigma is not None:
            return self.slots_mu + self.slots_log_sigma.exp() * noise
        if noise.shape[1] != self.num_slots:
            raise ValueError(f"{self.num_slots} initial slots are learned: for {noise.shape[1]} give slots, (B, K, D)")
        return self.slots_mu.expand_as(noise)

    def keys_and_values(
        self, inputs: Float[Tensor, "batch inputs input_dim"]
    ) -> tuple[Float[Tensor, "batch inputs dim"], Float[Tensor, "batch inputs dim"]]:
        """Compute keys and values of the layer-normalized tokens, each (B, N, D); they do not depend on the slots."""
        normed = self.norm_inputs(inputs)
        return self.to_k(normed), self.to_v(normed)

    def attend(
        self, slots: Float[Tensor, "batch slots dim"], keys: Float[Tensor, "batch inputs dim"]
    ) -> Float[Tensor, "batch slots inputs"]:
        """Compute attention (Eqs. 1, 2), shape (B, K, N), at least in single precision.

        It is a softmax over the slots, shape (B, K, D), at temperature √D; the keys have shape (B, N, D).
        """
        queries_BKD = self.to_q(self.norm_slots(slots)) * keys.shape[-1] ** -0.5
        return at_least_float32(queries_BKD @ keys.mT).softmax(dim=1)

    def update(
        self, slots: Float[Tensor, "batch slots dim"], codes: Float[Tensor, "batch slots dim"]
    ) -> Float[Tensor, "batch slots dim"]:
        """Update the slots from the update codes by a GRU and a residual MLP (Sec. 2.1). All shapes (B, K, D)."""
        hidden: Tensor = self.gru(codes.flatten(0, 1).to(slots.dtype), slots.flatten(0, 1))
        new_slots = hidden.view_as(slots).to(slots.dtype)
        residual: Tensor = self.mlp(self.norm_mlp(new_slots))
        return new_slots + residual.to(slots.dtype)

    def _initial_slots(
        self, inputs: Tensor, num_slots: int | None, slots: Tensor | None, generator: torch.Generator | int | None
    ) -> Tensor:
        batch, dim = inputs.shape[0], self.slots_mu.shape[-1]
        if num_slots is not None:
            require_positive(num_slots=num_slots)
        if slots is not None:
            given = tuple(slots.shape)
            count = num_slots or (given[1] if len(given) == 3 and given[1] else "K")
            if given != (batch, count, dim):
                raise ValueError(f"initial slots must have shape ({batch}, {count}, {dim}), got {given}")
            return slots.to(self.slots_mu.dtype)
        shape = batch, num_slots or self.num_slots, dim
        if generator is not None and not isinstance(generator, torch.Generator):
            require_whole(generator=generator)
            seeded = torch.Generator("cpu").manual_seed(int(generator))
            noise_KD = torch.randn(shape[1:], generator=seeded, device="cpu", dtype=torch.float32)
            return self.initial_slots(noise_KD.to(self.slots_mu).expand(shape))
        # torch.compile cannot trace generator=None
        source: dict[str, Any] = {} if generator is None else {"generator": generator}
        return self.initial_slots(torch.randn(shape, **source, device=self.slots_mu.device, dtype=self.slots_mu.dtype))
