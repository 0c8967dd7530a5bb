"""Loads parameters that other implementations of Slot Attention have written.

Layouts, which are recognized by the names of the arrays:

- the paper's authors (PyTorch): Slot Attention, and as a whole their autoencoder of pictures, their autoencoder of
  features and their set predictor;
- the package ``slot-attention`` of lucidrains (PyTorch): its ``SlotAttention``, whose linear maps have biases;
- Locatello et al. (2020) (Keras): Slot Attention, from the names and arrays of ``tf.train.load_checkpoint``. Their
  strided convolutions pad differently from the paper's, so their whole autoencoder does not fit;
- SAVi (Flax): the corrector, one head, from its tree of parameters with names joined by ``/``;
- this package: every ``state_dict``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from slotnorm.attention import SlotAttention
from slotnorm.models import ConvAutoencoder, FeatureAutoencoder, SetPredictor, SlotModel

__all__ = ["load_weights", "read_arrays"]

Module = TypeVar("Module", bound=SlotAttention | SlotModel[Any])
Renamed = Sequence[tuple[str, str]]
"""Patterns of names, with dots between the parts, and what replaces them, one after the other."""

_INSIDE = re.compile(r"^.*\b(?:slot_attention|SlotAttention_0)\.")
"""What stands before a name of Slot Attention in the file of a whole model."""
_QUERIES = re.compile(r"^(.*\.|)(?:to_q|project_q|general_dense_q_0)\.(?:weight|kernel)$")
"""The map to the queries, and what stands before a name of Slot Attention whatever its attribute is called."""

_SLOT_ATTENTION: Renamed = (
    # PyTorch
    (r"^slots_logsigma$", "slots_log_sigma"),
    (r"^norm_input\.", "norm_inputs."),
    (r"^norm_pre_ff\.", "norm_mlp."),
    (r"^update_ln\.(weight|bias)$", r"normalization.norm.\1"),
    (r"^update_(?:ln|normalizer)\.gamma$", "normalization.alpha"),
    (r"^update_(?:ln|normalizer)\.beta$", "normalization.beta"),
    (r"^update_normalizer\.means$", "normalization.running_mean"),
    (r"^update_normalizer\.variances$", "normalization.running_var"),
    # Keras
    (r"^project_([qkv])\.", r"to_\1."),
    (r"^mlp\.layer_with_weights-0\.", "mlp.0."),
    (r"^mlp\.layer_with_weights-1\.", "mlp.2."),
    # Flax
    (r"^.*\bstate_init$", "slots_mu"),
    (r"^general_dense_([qkv])_0\.", r"to_\1."),
    (r"^LayerNorm_0\.", "norm_slots."),
    (r"^LayerNorm_1\.", "norm_inputs."),
    (r"^MLP_0\.LayerNorm_0\.", "norm_mlp."),
    (r"^MLP_0\.dense_mlp_0\.", "mlp.0."),
    (r"^MLP_0\.dense_mlp_1\.", "mlp.2."),
    (r"^GRU_0\.GRUCell_0\.", "gru."),
)
_ENCODER: Renamed = (
    (r"^(?:encoder_cnn|cnn_encoder)\.", "encoder.convs."),
    (r"^(?:encoder_pos|pos_embed)\.dense\.", "encoder.position.project."),
    (r"^(?:encoder_pos|pos_embed)\.pos_embedding$", "encoder.position.ramps"),
    (r"^layer_norm\.", "encoder.head.0."),
    (r"^feature_mlp\.0\.", "encoder.head.1."),
    (r"^feature_mlp\.2\.", "encoder.head.3."),
)
_MODELS: Mapping[type, Renamed] = {
    ConvAutoencoder: (
        *_ENCODER,
        (r"^decoder_pos\.dense\.", "decoder.position.project."),
        (r"^decoder_pos\.pos_embedding$", "decoder.position.ramps"),
        (r"^decoder_cnn\.", "decoder.layers."),
    ),
    SetPredictor: (*_ENCODER, (r"^mlp\.", "head.")),
    FeatureAutoencoder: (
        (r"^feature_layer_norm\.", "encoder.0."),
        (r"^feature_mlp\.0\.", "encoder.1."),
        (r"^feature_mlp\.2\.", "encoder.3."),
        (r"^mlp_decoder\.decoder_pos_encoding$", "decoder.positions"),
        (r"^mlp_decoder\.mlp_decoder\.0\.", "decoder.first."),
        (r"^mlp_decoder\.mlp_decoder\.2\.", "decoder.middle.0."),
        (r"^mlp_decoder\.mlp_decoder\.4\.", "decoder.middle.1."),
    ),
}
"""Names of the authors' models outside Slot Attention."""
_LEFT_OUT = re.compile(
    r"^(?:optimizer|global_step|save_counter|_CHECKPOINTABLE_OBJECT_GRAPH)\b|\.OPTIMIZER_SLOT\."
    r"|^encoder\.(?:cls_token|pos_embed|patch_embed|blocks|norm)\b"
)
"""What stands in files beside the parameters: the state of training, and a frozen vision transformer."""
_EPS = {"gamma": ("Keras", 1e-3), "scale": ("Flax", 1e-6)}
"""A layer normalization's name for its scale, to the framework and the epsilon it has by default."""
_LEAVES = {"gamma": "weight", "scale": "weight", "beta": "bias"}


def load_weights(module: Module, source: str | Path | Mapping[str, Any]) -> Module:
    """Load parameters and buffers that another implementation has written, and return the module.

    Args:
        module: Slot Attention, whose parameters are also found in the file of a whole model, or one of
            ``slotnorm.models``. Its sizes and its normalization have to be those of the file.
        source: a file, see :func:`read_arrays`, or a mapping from names to arrays or to further mappings, as of Flax.

    Raises:
        ValueError: if an array is left over, missing or of another shape. The message names all of them, and nothing
            has been loaded. Also if the file holds several Slot Attentions, or cannot be read.

    Example:
        >>> arrays = dict(SlotAttention(8, 8, num_slots=3).state_dict())
        >>> arrays["slots_logsigma"] = arrays.pop("slots_log_sigma")  # as the authors call it
        >>> attention = load_weights(SlotAttention(8, 8, num_slots=3), arrays)
        >>> torch.equal(attention.slots_log_sigma, arrays["slots_logsigma"])
        True
    """
    arrays = source if isinstance(source, Mapping) else read_arrays(source)
    found = {name: _tensor(name, array) for name, array in _plain_names(arrays)}
    state, problems = _translate(module, found)
    expected = module.state_dict()
    for name, tensor in module.named_buffers():
        if name in expected or name not in state or _squeezed(state[name]) != _squeezed(tensor):
            continue
        if torch.allclose(state[name].reshape(tensor.shape).to(tensor), tensor, atol=1e-6):
            del state[name]  # computed, and the same in the file
    for name in sorted(state.keys() | expected.keys()):
        if name not in expected:
            problems.append(f"no place for {name} {tuple(state[name].shape)}")
        elif name not in state:
            problems.append(f"no {name} {tuple(expected[name].shape)}")
        elif _squeezed(state[name]) != _squeezed(expected[name]):
            problems.append(f"{name} is {tuple(state[name].shape)}, not {tuple(expected[name].shape)}")
        else:
            state[name] = state[name].reshape(expected[name].shape)
    if problems:
        where = "the arrays do" if isinstance(source, Mapping) else f"{source} does"
        raise ValueError(f"{where} not fit this {type(module).__name__}: {'; '.join(problems)}")
    module.load_state_dict(state)
    return module


def read_arrays(path: str | Path) -> dict[str, Tensor]:
    """Read named arrays from a file, without running code that it may contain.

    Args:
        path: ``.safetensors``, ``.npz``, or ``.pth``, ``.pt`` or ``.ckpt``, which ``torch.load`` reads with
            ``weights_only=True``: a state dict, or a dictionary one of whose entries is a state dict.

    Raises:
        ValueError: if the file is of another kind, damaged, or holds something else.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     np.savez(Path(folder) / "slots.npz", slots_mu=np.zeros((1, 1, 4)))
        ...     read_arrays(Path(folder) / "slots.npz")["slots_mu"].shape
        torch.Size([1, 1, 4])
    """
    path = Path(path)
    if path.suffix not in (".safetensors", ".npz", ".pth", ".pt", ".ckpt"):
        raise ValueError(f"{path} must be .safetensors, .npz, .pth, .pt or .ckpt")
    with path.open("rb") as file:  # outside of what follows: a missing file is not a damaged one
        try:
            if path.suffix == ".safetensors":
                return load_file(path)
            if path.suffix == ".npz":
                with np.load(file, allow_pickle=False) as arrays:
                    return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
            content = torch.load(file, map_location="cpu", weights_only=True)
        except UnpicklingError as error:
            advice = "save the state dict alone, as in torch.save(model.state_dict(), path)"
            raise ValueError(f"{path} holds more than tensors, which is not read: {advice}, or is damaged") from error
        except Exception as error:  # the readers promise no kind of error
            found = f"{type(error).__name__} {error}"
            raise ValueError(f"{path} cannot be read as {path.suffix}, or is damaged: {found}") from error
    inside = (
        [part for part in (content, *content.values()) if _is_state_dict(part)] if isinstance(content, dict) else []
    )
    if len(inside) != 1:
        keys = list(content) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{path} must hold one state dict, and holds {keys}")
    return dict(inside[0])


def _is_state_dict(part: object) -> bool:
    return isinstance(part, Mapping) and bool(part) and all(isinstance(value, Tensor) for value in part.values())


def _tensor(name: str, array: Any) -> Tensor:
    try:
        return torch.as_tensor(array)
    except (RuntimeError, TypeError, ValueError):
        raise ValueError(f"{name} is no array, but {array!r}") from None


def _plain_names(arrays: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Join the parts of the names by dots and leave out what no model needs."""
    for name, array in arrays.items():
        if isinstance(array, Mapping):
            yield from _plain_names({f"{name}/{inner}": held for inner, held in array.items()})
            continue
        plain = name.replace("/", ".").removesuffix(":0").removesuffix(".ATTRIBUTES.VARIABLE_VALUE").rstrip(".")
        plain = plain.replace("_orig_mod.", "").removeprefix("module.")  # of torch.compile and data parallelism
        if not _LEFT_OUT.search(plain):
            yield plain, array


def _translate(module: SlotAttention | SlotModel[Any], found: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return the arrays under this package's names, and what else speaks against the module."""
    before = _before_slot_attention(found)
    inside = {before.sub("", name): tensor for name, tensor in found.items() if before.match(name)}
    if isinstance(module, SlotAttention):
        inside |= {name: tensor for name, tensor in found.items() if not inside or name.endswith("state_init")}
        return _of_slot_attention(module, inside)
    state = _renamed(_MODELS.get(type(module), ()), {n: t for n, t in found.items() if not before.match(n)})
    for leaf in ("weight", "bias"):
        if (last := state.pop(f"mlp_decoder.mlp_decoder.6.{leaf}", None)) is not None:
            state[f"decoder.last.{leaf}"] = last.roll(-1, dims=0)  # the authors' alpha logit comes first
    inside, problems = _of_slot_attention(module.slot_attention, inside)
    return state | {f"slot_attention.{name}": tensor for name, tensor in inside.items()}, problems


def _before_slot_attention(names: Collection[str]) -> re.Pattern[str]:
    """Return what stands before the names of the only Slot Attention; raise a ValueError if there are several."""
    groups = {match[1] for name in names if (match := _QUERIES.match(name))}
    recurrent = {name.rpartition(part)[0] for name in names for part in ("gru.", "GRU_0.") if part in name}
    inside = sorted(groups & recurrent)
    if len(inside) > 1:
        raise ValueError(f"the arrays are those of several Slot Attentions, load one of them: {', '.join(inside)}")
    usual = not inside or _INSIDE.fullmatch(inside[0])
    return _INSIDE if usual else re.compile(f"^{re.escape(inside[0])}")


def _of_slot_attention(module: SlotAttention, found: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    arrays, problems = _with_torch_gates(_renamed(_SLOT_ATTENTION, found)), []
    has = getattr(module.norm_inputs, "eps", None)
    for leaf, (framework, eps) in _EPS.items():
        if f"norm_inputs.{leaf}" in arrays and has != eps:
            problems.append(f"the layer normalizations have eps={has}, in {framework} eps={eps}")
    state = {}
    for name, tensor in arrays.items():
        part, _, leaf = name.rpartition(".")
        if leaf == "kernel":
            one_head = tensor.squeeze(1) if tensor.ndim == 3 else tensor
            state[f"{part}.weight"] = one_head.mT if one_head.ndim == 2 else tensor
        elif part.startswith("norm_"):
            state[f"{part}.{_LEAVES.get(leaf, leaf)}"] = tensor
        else:
            state[name] = tensor
    return state, problems


def _renamed(patterns: Renamed, arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for old, tensor in arrays.items():
        name = old
        for pattern, replacement in patterns:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    return renamed


def _with_torch_gates(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert a GRU with one kernel, whose gates are in the order z, r, n, or with one for each gate, as in Flax."""
    gru = {name.removeprefix("gru."): tensor for name, tensor in arrays.items() if name.startswith("gru.")}
    if all(f"{side}{gate}.kernel" in gru for side in "ih" for gate in "zrn") and "hn.bias" in gru:
        kernel, recurrent = (torch.cat([gru[f"{side}{gate}.kernel"] for gate in "zrn"], dim=1) for side in "ih")
        zero = torch.zeros_like(gru["hn.bias"])
        biases = [torch.cat([gru.get(f"{side}{gate}.bias", zero) for gate in "zrn"]) for side in "ih"]
    elif {"kernel", "recurrent_kernel", "bias"} == gru.keys() and gru["bias"].ndim == 2:
        kernel, recurrent, biases = gru["kernel"], gru["recurrent_kernel"], list(gru["bias"])
    else:
        return arrays
    rows = {"weight_ih": kernel.mT, "weight_hh": recurrent.mT, "bias_ih": biases[0], "bias_hh": biases[1]}
    for name, tensor in rows.items():
        update, reset, new = tensor.chunk(3)
        rows[name] = torch.cat([reset, update, new])
    others = {name: tensor for name, tensor in arrays.items() if not name.startswith("gru.")}
    return others | {f"gru.{name}": tensor for name, tensor in rows.items()}


def _squeezed(tensor: Tensor) -> tuple[int, ...]:
    return tuple(size for size in tensor.shape if size != 1)
