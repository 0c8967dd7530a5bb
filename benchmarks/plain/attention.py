"""Slot Attention as Sec. 2.1 and the left-hand side of Algorithm 1 have it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SlotAttention(nn.Module):
    """Weighted mean, eps on every attention weight; biases of q, k and v left out as in Locatello et al. (2020)."""

    def __init__(self, input_dim: int, slot_dim: int, hidden_dim: int, iterations: int = 3) -> None:
        super().__init__()
        self.iterations = iterations
        self.norm_inputs = nn.LayerNorm(input_dim)
        self.norm_slots = nn.LayerNorm(slot_dim)
        self.norm_mlp = nn.LayerNorm(slot_dim)
        self.to_q = nn.Linear(slot_dim, slot_dim, bias=False)
        self.to_k = nn.Linear(input_dim, slot_dim, bias=False)
        self.to_v = nn.Linear(input_dim, slot_dim, bias=False)
        self.gru = nn.GRUCell(slot_dim, slot_dim)
        self.mlp = nn.Sequential(
            nn.Linear(slot_dim, hidden_dim), nn.ReLU(inplace=True), nn.Linear(hidden_dim, slot_dim)
        )
        self.slots_mu = nn.Parameter(torch.zeros(1, 1, slot_dim))
        self.slots_log_sigma = nn.Parameter(torch.zeros(1, 1, slot_dim))

    def forward(self, inputs: Tensor, noise: Tensor, iterations: int | None = None) -> tuple[Tensor, Tensor]:
        """Slots and attention (B, K, N) from tokens (B, N, input_dim) and standard normal noise (B, K, D)."""
        slots = self.slots_mu + torch.exp(self.slots_log_sigma) * noise
        inputs = self.norm_inputs(inputs)
        k, v = self.to_k(inputs), self.to_v(inputs)
        for _ in range(iterations or self.iterations):
            previous = slots
            q = self.to_q(self.norm_slots(slots))
            dots = torch.einsum("bid,bjd->bij", q, k) * q.shape[-1] ** -0.5
            attention = dots.softmax(dim=1)
            weights = (attention + 1e-8) / (attention + 1e-8).sum(dim=-1, keepdim=True)
            updates = torch.einsum("bjd,bij->bid", v, weights)
            slots = self.gru(updates.reshape(-1, updates.shape[-1]), previous.reshape(-1, previous.shape[-1]))
            slots = slots.reshape(previous.shape)
            slots = slots + self.mlp(self.norm_mlp(slots))
        return slots, attention
