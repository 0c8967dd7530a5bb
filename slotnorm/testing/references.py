"""Slow transcriptions of the paper's equations: loops over b, k, n and d, in Python floats and float64 tensors.

They share no code with the rest of the package. Each reference takes values v[b, n, d] and attention gamma[b, n, k] in
the paper's order of axes (the package keeps attention as [b, k, n]) and returns update codes u[b, k, d].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import Tensor

Reference = Callable[[Tensor, Tensor], Tensor]


def unnormalized_codes(v: Tensor, gamma: Tensor) -> Tensor:
    """Compute Eq. 3."""
    (B, N, D), K = v.shape, gamma.shape[2]
    u = torch.zeros(B, K, D, dtype=torch.float64)
    for b, k, n, d in product(range(B), range(K), range(N), range(D)):
        u[b, k, d] += gamma[b, n, k] * v[b, n, d]
    return u


def weighted_mean(v: Tensor, gamma: Tensor, eps: float = 1e-8) -> Tensor:
    """Compute Eq. 4, with the reference implementation's eps on every weight."""
    u = unnormalized_codes(v, gamma + eps)
    for b, k in product(range(u.shape[0]), range(u.shape[1])):
        u[b, k] /= sum(gamma[b, n, k].item() + eps for n in range(v.shape[1]))
    return u


def layer_norm(v: Tensor, gamma: Tensor) -> Tensor:
    """Compute Sec. 2.1 with Eq. 14 at alpha = 1, beta = 0."""
    u = unnormalized_codes(v, gamma)
    for b, k in product(range(u.shape[0]), range(u.shape[1])):
        u[b, k] = standardized(u[b, k])
    return u


def weighted_sum(v: Tensor, gamma: Tensor, scale: float | None = None) -> Tensor:
    """Compute Sec. 4.1; C is N by default, and 1 in the ablation of App. J."""
    return unnormalized_codes(v, gamma) / (v.shape[1] if scale is None else scale)


def scalar_statistics(u: Tensor, correction: int = 0) -> tuple[float, float]:
    """Compute mean and variance over all entries (Eq. 12); a correction of 0 divides as Algorithm 2 does."""
    entries = u.flatten().tolist()
    mean = sum(entries) / len(entries)
    return mean, sum((x - mean) ** 2 for x in entries) / (len(entries) - correction)


def standardized(u: Tensor, eps: float = 1e-5) -> Tensor:
    """Compute Eq. 13 with the statistics of ``u``, at alpha = 1, beta = 0."""
    mean, var = scalar_statistics(u)
    return (u - mean) / math.sqrt(var + eps)


def batch_norm(v: Tensor, gamma: Tensor) -> Tensor:
    """Compute Eq. 13 in the first iteration of training."""
    return standardized(unnormalized_codes(v, gamma))


def kd_layer_norm(v: Tensor, gamma: Tensor) -> Tensor:
    """Compute the ablation of App. J: Eq. 13 with the statistics of each instance."""
    return torch.stack([standardized(u) for u in unnormalized_codes(v, gamma)])


TRAIN_SLOTS = 7
"""Slots in training for which :data:`REFERENCES` computes the scaled mean."""


def scaled_mean(v: Tensor, gamma: Tensor, train_slots: int = TRAIN_SLOTS) -> Tensor:
    """Compute the weighted mean times K_train / K, as the authors' code does."""
    return weighted_mean(v, gamma) * train_slots / gamma.shape[2]


REFERENCES: dict[str, Reference] = {
    "weighted_mean": weighted_mean,
    "layer_norm": layer_norm,
    "weighted_sum": weighted_sum,
    "batch_norm": batch_norm,
    "kd_layer_norm": kd_layer_norm,
    "unnormalized": lambda v, gamma: weighted_sum(v, gamma, scale=1.0),
    "scaled_mean": scaled_mean,
    "weighted_sum@sqrt": lambda v, gamma: weighted_sum(v, gamma, scale=math.sqrt(v.shape[1])),
    "weighted_sum@learned": weighted_sum,
}
"""Name of a normalization to its slow reference."""


def attention(keys: Tensor, queries: Tensor) -> Tensor:
    """Compute Eqs. 1-2 with temperature sqrt(D); gamma[b, n, k]."""
    (B, N, D), K = keys.shape, queries.shape[1]
    gamma = torch.zeros(B, N, K, dtype=torch.float64)
    for b, n in product(range(B), range(N)):
        scores = [math.exp((keys[b, n] @ queries[b, k]).item() / math.sqrt(D)) for k in range(K)]
        gamma[b, n] = torch.tensor([score / sum(scores) for score in scores], dtype=torch.float64)
    return gamma


def gru_cell(cell: Any, code: Tensor, hidden: Tensor) -> Tensor:
    """Compute Cho et al. (2014) in Keras' reset_after form; gates r, z, n in torch's order."""
    xr, xz, xn = (cell.weight_ih @ code + cell.bias_ih).chunk(3)
    hr, hz, hn = (cell.weight_hh @ hidden + cell.bias_hh).chunk(3)
    reset, update = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
    new: Tensor = (1 - update) * torch.tanh(xn + reset * hn) + update * hidden
    return new


def layer_normed(norm: Any, x: Tensor) -> Tensor:
    """Compute a layer normalization with the parameters of ``norm``, row by row."""
    rows = [(row - row.mean()) / torch.sqrt(row.var(correction=0) + norm.eps) for row in x.flatten(0, 1)]
    normed: Tensor = torch.stack(rows).view_as(x) * norm.weight + norm.bias
    return normed


def slot_attention(
    module: Any, inputs: Tensor, slots: Tensor, iterations: int, normalize: Callable[[Tensor, Tensor, int], Tensor]
) -> tuple[Tensor, Tensor]:
    """Compute Algorithm 1 with the parameters of ``module``; ``normalize(v, gamma, iteration)`` returns the codes."""
    x = layer_normed(module.norm_inputs, inputs)
    keys, values = x @ module.to_k.weight.T, x @ module.to_v.weight.T
    first, _, last = module.mlp
    for iteration in range(iterations):
        gamma = attention(keys, layer_normed(module.norm_slots, slots) @ module.to_q.weight.T)
        codes = normalize(values, gamma, iteration)
        rows = [gru_cell(module.gru, *row) for row in zip(codes.flatten(0, 1), slots.flatten(0, 1), strict=True)]
        new = torch.stack(rows).view_as(slots)
        hidden = torch.relu(layer_normed(module.norm_mlp, new) @ first.weight.T + first.bias)
        slots = new + hidden @ last.weight.T + last.bias
    return slots, gamma
