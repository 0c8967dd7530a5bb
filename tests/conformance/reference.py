"""Slow transcriptions of the paper's equations: loops over b, k, n and d, in Python floats and float64 tensors.

Nothing here is shared with the package. Each function takes values v[b, n, d] and attention gamma[b, n, k] in the
paper's order (the package keeps attention as [b, k, n]) and returns u[b, k, d].
"""

import math
from functools import partial
from importlib.metadata import entry_points

import torch


def unnormalized_codes(v, gamma):
    """Eq. 3."""
    B, N, D = v.shape
    K = gamma.shape[2]
    u = torch.zeros(B, K, D, dtype=torch.float64)
    for b in range(B):
        for k in range(K):
            for n in range(N):
                for d in range(D):
                    u[b, k, d] += gamma[b, n, k] * v[b, n, d]
    return u


def weighted_mean(v, gamma, eps=1e-8):
    """Eq. 4, with the reference implementation's eps on every weight."""
    B, N, _ = v.shape
    u = unnormalized_codes(v, gamma + eps)
    for b in range(B):
        for k in range(gamma.shape[2]):
            u[b, k] /= sum(gamma[b, n, k].item() + eps for n in range(N))
    return u


def layer_norm(v, gamma, eps=1e-5):
    """Sec. 2.1 with Eqs. 14-16 at alpha = 1, beta = 0."""
    u = unnormalized_codes(v, gamma)
    B, K, D = u.shape
    for b in range(B):
        for k in range(K):
            mean = sum(u[b, k].tolist()) / D
            var = sum((x - mean) ** 2 for x in u[b, k].tolist()) / D
            u[b, k] = (u[b, k] - mean) / math.sqrt(var + eps)
    return u


def weighted_sum(v, gamma, scale=None):
    """Sec. 4.1, C = N unless given."""
    return unnormalized_codes(v, gamma) / (v.shape[1] if scale is None else scale)


def unnormalized(v, gamma):
    """App. J."""
    return weighted_sum(v, gamma, scale=1)


def scalar_statistics(u, correction=0):
    """Eq. 12: mean and variance over all L, K and D."""
    entries = u.flatten().tolist()
    mean = sum(entries) / len(entries)
    return mean, sum((x - mean) ** 2 for x in entries) / (len(entries) - correction)


def batch_norm(v, gamma, eps=1e-5):
    """Eq. 13 in the first iteration of training, at alpha = 1, beta = 0."""
    u = unnormalized_codes(v, gamma)
    mean, var = scalar_statistics(u)
    return (u - mean) / math.sqrt(var + eps)


def kd_layer_norm(v, gamma, eps=1e-5):
    """App. J: Eq. 13 with the statistics of each instance."""
    u = unnormalized_codes(v, gamma)
    for b in range(u.shape[0]):
        mean, var = scalar_statistics(u[b])
        u[b] = (u[b] - mean) / math.sqrt(var + eps)
    return u


def scaled_sum(v, gamma, factor):
    """Sec. 4.1 with C = factor · N."""
    return weighted_sum(v, gamma, scale=factor * v.shape[1])


SCALED = {"weighted_sum@0.0625": 1 / 16, "weighted_sum@4": 4.0}
"""Names of weighted sums with another scale, which have no row of their own."""
REFERENCES = {
    "weighted_mean": weighted_mean,
    "layer_norm": layer_norm,
    "weighted_sum": weighted_sum,
    "batch_norm": batch_norm,
    "kd_layer_norm": kd_layer_norm,
    "unnormalized": unnormalized,
    **{name: partial(scaled_sum, factor=factor) for name, factor in SCALED.items()},
    **{entry.name: entry.load() for entry in entry_points(group="slotnorm.references")},
}


def attention(keys, queries):
    """Eqs. 1-2 with temperature sqrt(D); gamma[b, n, k]."""
    B, N, D = keys.shape
    K = queries.shape[1]
    gamma = torch.zeros(B, N, K, dtype=torch.float64)
    for b in range(B):
        for n in range(N):
            scores = [math.exp((keys[b, n] @ queries[b, k]).item() / math.sqrt(D)) for k in range(K)]
            for k in range(K):
                gamma[b, n, k] = scores[k] / sum(scores)
    return gamma


def gru_cell(cell, code, hidden):
    """Cho et al. (2014) as Keras' reset_after form has it; gates r, z, n in torch's order."""
    x = cell.weight_ih @ code + cell.bias_ih
    h = cell.weight_hh @ hidden + cell.bias_hh
    (xr, xz, xn), (hr, hz, hn) = x.chunk(3), h.chunk(3)
    reset, update = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
    return (1 - update) * torch.tanh(xn + reset * hn) + update * hidden


def slot_attention(module, inputs, slots, iterations, normalize):
    """Sec. 2.1 / Algorithm 1 with the parameters of ``module``; ``normalize(v, gamma, iteration)`` gives the codes."""

    def layer_normed(norm, x):
        rows = [(row - row.mean()) / torch.sqrt(row.var(correction=0) + norm.eps) for row in x.flatten(0, 1)]
        return torch.stack(rows).view_as(x) * norm.weight + norm.bias

    x = layer_normed(module.norm_inputs, inputs)
    keys, values = x @ module.to_k.weight.T, x @ module.to_v.weight.T
    for iteration in range(iterations):
        gamma = attention(keys, layer_normed(module.norm_slots, slots) @ module.to_q.weight.T)
        codes = normalize(values, gamma, iteration)
        new = torch.zeros_like(slots)
        for b in range(slots.shape[0]):
            for k in range(slots.shape[1]):
                new[b, k] = gru_cell(module.gru, codes[b, k], slots[b, k])
        first, _, last = module.mlp
        hidden = torch.relu(layer_normed(module.norm_mlp, new) @ first.weight.T + first.bias)
        slots = new + hidden @ last.weight.T + last.bias
    return slots, gamma
