r"""Random instances on which claims are measured: parameters, inputs, mixtures, and the update codes they give.

Shape letters: B batch, K slots or components, N input tokens, D dimension, S slots of all scenes together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from slotnorm.attention import SlotAttention
from slotnorm.normalization import BatchNorm, Normalization, make_normalization
from slotnorm_book.theory.propositions import layer_norm_hull
from slotnorm_book.theory.vmf import VonMisesFisherMixture


def random_slot_attention(
    dim: int, generator: torch.Generator, normalization: str | Normalization = "weighted_sum", sharpness: float = 3.0
) -> SlotAttention:
    r"""Draw a Slot Attention module in double precision, with every parameter from a density.

    A new module has a LayerNorm shift of zero, for which Prop. 2 does not hold; here it is not zero.

    Args:
        dim: features of tokens and slots, D.
        generator: source of the parameters.
        normalization: as for :class:`slotnorm.attention.SlotAttention`.
        sharpness: scale of the query map; the larger, the more a token prefers one slot.
    """
    module = SlotAttention(dim, dim, num_slots=1, normalization=normalization).double().requires_grad_(False)
    for parameter in module.parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.copy_(noise * (dim**-0.5 if parameter.ndim == 2 else 0.3))
    for norm in (part for part in module.modules() if isinstance(part, nn.LayerNorm)):
        norm.weight.add_(1.0)
    module.to_q.weight.mul_(sharpness)
    return module


def random_slots(
    num_slots: int, dim: int, generator: torch.Generator, batch: int = 1
) -> Float[Tensor, "batch slots dim"]:
    """Draw standard normal slots."""
    return torch.randn(batch, num_slots, dim, generator=generator, dtype=torch.float64)


def random_mixture(
    num_components: int, dim: int, temperature: float, generator: torch.Generator, tries: int = 200
) -> VonMisesFisherMixture:
    """Draw a mixture with distant directions and unequal weights.

    Args:
        num_components: K.
        dim: dimension of the points' ambient space.
        temperature: shared by the components.
        generator: source of directions and weights.
        tries: number of sets of uniform directions; the one whose closest pair is farthest apart is taken.
    """
    directions = torch.randn(tries, num_components, dim, generator=generator, dtype=torch.float64)
    directions = nn.functional.normalize(directions, dim=2)
    cosines = directions @ directions.mT - 2 * torch.eye(num_components, dtype=torch.float64)
    distant = directions[cosines.amax(dim=(1, 2)).argmin()]
    weights = 0.2 - torch.rand(num_components, generator=generator, dtype=torch.float64).log()
    return VonMisesFisherMixture(distant, weights / weights.sum(), temperature)


def random_tokens(num_inputs: int, dim: int, generator: torch.Generator) -> Float[Tensor, "1 inputs dim"]:
    """Draw the tokens of a scene: points of a mixture of five components, which slots can bind to."""
    points, _ = random_mixture(5, dim, 0.5 / dim, generator, tries=1).sample(num_inputs, generator)
    return points[None]


@dataclass(frozen=True, eq=False)
class CodeSamples:
    """Update codes of many scenes and the column means that a function of them should give.

    Args:
        codes: per normalization, shape (S, D).
        column_means: shape (S,).
    """

    codes: Mapping[str, Float[Tensor, "slots dim"]]
    column_means: Float[Tensor, " slots"]


def sample_codes(
    module: SlotAttention,
    normalizations: Sequence[str],
    slot_counts: Sequence[int],
    scenes: int,
    num_inputs: int,
    generator: torch.Generator,
) -> CodeSamples:
    """Compute codes of several normalizations for the same attention, over scenes with random tokens and slots.

    Args:
        module: its maps are used; its own normalization is not.
        normalizations: names in :data:`slotnorm.normalization.NORMALIZATIONS`; in evaluation mode, at their initial
            parameters.
        slot_counts: each scene draws one of them.
        scenes: how many scenes.
        num_inputs: tokens of a scene.
        generator: source of tokens, slots and slot counts.
    """
    dim = module.to_v.out_features
    norms = {name: make_normalization(name, dim).double().eval() for name in normalizations}
    codes: dict[str, list[Tensor]] = {name: [] for name in norms}
    means = []
    for _ in range(scenes):
        chosen = slot_counts[int(torch.randint(len(slot_counts), (), generator=generator))]
        keys_BND, values_BND = module.keys_and_values(random_tokens(num_inputs, dim, generator))
        attn_BKN = module.attend(random_slots(chosen, dim, generator), keys_BND)
        for name, norm in norms.items():
            codes[name].append(norm(values_BND, attn_BKN, None)[0][0].detach())
        means.append(attn_BKN[0].mean(dim=1))
    return CodeSamples({name: torch.cat(parts) for name, parts in codes.items()}, torch.cat(means))


def measure_what_codes_tell(
    module: SlotAttention,
    normalizations: Sequence[str],
    slot_counts: Sequence[int],
    scenes: int,
    num_inputs: int,
    generator: torch.Generator,
) -> pd.DataFrame:
    """Measure how the update codes of random scenes depend on the share of the tokens that a slot has won.

    All normalizations see the same attention. Batch norm's running statistics are those of the scenes with the first
    slot count, as after a training with that many slots.

    Args:
        module: its maps are used; its own normalization is not.
        normalizations: names of normalizations; in evaluation mode, at their initial parameters.
        slot_counts: numbers of slots, the one of the training first.
        scenes: scenes for each of them.
        num_inputs: tokens of a scene.
        generator: source of tokens and slots.

    Returns:
        A row per normalization and slot: ``normalization``, ``slots``, ``share``, the column mean of the attention, and
        ``component``, that of the code along the offset a of the values (Lemma 2), in units of its length.
    """
    dim = module.to_v.out_features
    offset = layer_norm_hull(module.norm_inputs, module.to_v).offset
    norms = {name: make_normalization(name, dim).double() for name in normalizations}
    tables = []
    for count in slot_counts:
        tokens = torch.cat([random_tokens(num_inputs, dim, generator) for _ in range(scenes)])
        keys_BND, values_BND = module.keys_and_values(tokens)
        attn_BKN = module.attend(random_slots(count, dim, generator, scenes), keys_BND)
        for name, norm in norms.items():
            if isinstance(norm, BatchNorm) and count == slot_counts[0]:
                norm.momentum = 1.0  # the running statistics become those of this batch
                norm.train()(values_BND, attn_BKN)
            along = norm.eval()(values_BND, attn_BKN)[0].detach() @ offset / offset.square().sum()
            share = attn_BKN.mean(dim=2)
            columns = {"share": share.flatten().numpy(), "component": along.flatten().numpy()}
            tables.append(pd.DataFrame(columns).assign(normalization=name, slots=count))
    return pd.concat(tables, ignore_index=True)
