"""Parameters of other implementations: the outputs are theirs, and what does not fit is named."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from slot_attention import SlotAttention as LucidrainsSlotAttention
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, layer_norm, linear

from slotnorm import NORMALIZATIONS, SlotAttention
from slotnorm.models import ConvAutoencoder, FeatureAutoencoder, SetPredictor
from slotnorm.weights import load_weights, read_arrays
from tests.helpers.paths import ROOT

Arrays = dict[str, Tensor]
FIXTURES = ROOT / "tests" / "data" / "fixtures" / "weights"
ZERO = torch.zeros(1, 1, 4)
NO_INITIAL_SLOTS = {"SlotAttention_0/slots_mu": ZERO, "SlotAttention_0/slots_log_sigma": ZERO}
"""SAVi's corrector has none."""


def drawn(seed: int = 0, /, **shapes: tuple[int, ...]) -> Arrays:
    """Arrays of these shapes, whose names have ``__`` for dots."""
    generator = torch.Generator().manual_seed(seed)
    names = (name.replace("__", ".") for name in shapes)
    return {
        name: torch.randn(shape, generator=generator).double()
        for name, shape in zip(names, shapes.values(), strict=True)
    }


def authors_slot_attention(D: int = 4, H: int = 6) -> Arrays:
    """A state dict in the layout of the paper's authors, for tokens of D features."""
    affine = {
        f"{norm}__{leaf}": (D,) for norm in ("norm_input", "norm_slots", "norm_pre_ff") for leaf in ("weight", "bias")
    }
    maps = {f"to_{letter}__weight": (D, D) for letter in "qkv"}
    gru = {"gru__kernel": (D, 3 * D), "gru__recurrent_kernel": (D, 3 * D), "gru__bias": (2, 3 * D)}
    mlp = {"mlp__0__weight": (H, D), "mlp__0__bias": (H,), "mlp__2__weight": (D, H), "mlp__2__bias": (D,)}
    return drawn(slots_mu=(1, 1, D), slots_logsigma=(1, 1, D), **affine, **maps, **gru, **mlp)


AUTHORS: dict[str, Arrays] = {
    "weighted_mean": {},
    "weighted_sum": {},
    "unnormalized": {},
    "layer_norm": drawn(1, update_ln__weight=(4,), update_ln__bias=(4,)),
    "kd_layer_norm": drawn(1, update_ln__gamma=(1,), update_ln__beta=(1,)),
    "batch_norm": {
        **drawn(1, update_normalizer__gamma=(1, 1, 1, 1), update_normalizer__beta=(1, 1, 1, 1)),
        "update_normalizer.means": torch.tensor([0.3]).double(),
        "update_normalizer.variances": torch.tensor([2.0]).double(),
    },
}
"""Normalization to the arrays that it adds, in evaluation."""


def authors_update(a: Arrays, name: str, v: Tensor, attn: Tensor) -> Tensor:
    codes = attn @ v
    match name:
        case "weighted_mean":
            return ((attn + 1e-8) / (attn + 1e-8).sum(-1, keepdim=True)) @ v
        case "weighted_sum":
            return codes / v.shape[1]
        case "layer_norm":
            return layer_norm(codes, (4,), a["update_ln.weight"], a["update_ln.bias"])
        case "kd_layer_norm":
            return a["update_ln.gamma"] * layer_norm(codes, codes.shape[1:]) + a["update_ln.beta"]
        case "batch_norm":
            scaled = (codes - a["update_normalizer.means"]) / (a["update_normalizer.variances"] + 1e-5).sqrt()
            return scaled * a["update_normalizer.gamma"][0] + a["update_normalizer.beta"][0]
    return codes


def authors_forward(a: Arrays, x: Tensor, slots: Tensor, normalization: str = "weighted_mean") -> Tensor:
    """Slots after three iterations."""
    D = slots.shape[-1]

    def normed(name: str, t: Tensor) -> Tensor:
        return layer_norm(t, (D,), a[f"{name}.weight"], a[f"{name}.bias"])

    k, v = (normed("norm_input", x) @ a[f"to_{letter}.weight"].T for letter in "kv")
    for _ in range(3):
        q = normed("norm_slots", slots) @ a["to_q.weight"].T / D**0.5
        codes = authors_update(a, normalization, v, (q @ k.mT).softmax(1))
        of_codes = (codes @ a["gru.kernel"] + a["gru.bias"][0]).split(D, dim=-1)
        of_slots = (slots @ a["gru.recurrent_kernel"] + a["gru.bias"][1]).split(D, dim=-1)
        z, r = (torch.sigmoid(of_codes[i] + of_slots[i]) for i in (0, 1))
        slots = (1 - z) * torch.tanh(of_codes[2] + r * of_slots[2]) + z * slots
        hidden = linear(normed("norm_pre_ff", slots), a["mlp.0.weight"], a["mlp.0.bias"]).relu()
        slots = slots + linear(hidden, a["mlp.2.weight"], a["mlp.2.bias"])
    return slots


def draw_call(N: int = 7, D: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(2, N, D, generator=generator).double(), torch.randn(2, 3, D, generator=generator).double()


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)  # float64 through three iterations


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_the_authors_slot_attention_with_every_normalization(name: str) -> None:
    arrays, (inputs, slots) = authors_slot_attention() | AUTHORS[name], draw_call()
    module = load_weights(SlotAttention(4, 4, 3, hidden_dim=6, normalization=name).double().eval(), arrays)
    close(module(inputs, slots=slots)[0], authors_forward(arrays, inputs, slots, name))
    assert torch.equal(module.slots_log_sigma, arrays["slots_logsigma"])


def test_lucidrains_slot_attention() -> None:
    torch.manual_seed(0)
    theirs = LucidrainsSlotAttention(3, 8, hidden_dim=16).double()
    module = load_weights(SlotAttention(8, 8, 3, hidden_dim=16, bias=True).double(), theirs.state_dict())
    inputs = torch.randn(2, 9, 8).double()
    outputs = []
    for function in (theirs, lambda x: module(x)[0]):
        torch.manual_seed(1)  # of the initial slots
        outputs.append(function(inputs))
    close(*outputs)


@pytest.mark.parametrize(("framework", "eps"), [("keras", 1e-3), ("flax", 1e-6)])
def test_what_keras_and_flax_have_written_and_computed(framework: str, eps: float) -> None:
    arrays, call = read_arrays(FIXTURES / f"{framework}.npz"), read_arrays(FIXTURES / f"{framework}_call.npz")
    module = SlotAttention(5, 4, num_slots=3, hidden_dim=6, eps=eps)
    load_weights(module, arrays | (NO_INITIAL_SLOTS if framework == "flax" else {}))
    close(module(call["inputs"], slots=call["slots"])[0], call["outputs"], 1e-4)  # float32 through three iterations


@pytest.mark.parametrize(("framework", "eps"), [("keras", "0.001"), ("flax", "1e-06")])
def test_another_epsilon_is_named(framework: str, eps: str) -> None:
    with pytest.raises(ValueError, match=rf"eps=1e-05, in {framework.title()} eps={eps}"):
        load_weights(SlotAttention(5, 4, 3, hidden_dim=6), FIXTURES / f"{framework}.npz")


def coordinates(size: int) -> Tensor:
    i, j = torch.meshgrid(torch.linspace(0, 1, size), torch.linspace(0, 1, size), indexing="ij")
    return torch.stack([i, j, 1 - i, 1 - j], dim=-1).double()


def conv(inside: int, outside: int, size: int = 5) -> dict[str, tuple[int, ...]]:
    return {"weight": (outside, inside, size, size), "bias": (outside,)}


def turned(inside: int, outside: int, size: int = 5) -> dict[str, tuple[int, ...]]:
    return {"weight": (inside, outside, size, size), "bias": (outside,)}


def dense(inside: int, outside: int) -> dict[str, tuple[int, ...]]:
    return {"weight": (outside, inside), "bias": (outside,)}


def layers(**shapes: dict[str, tuple[int, ...]]) -> Arrays:
    return drawn(2, **{f"{layer}__{leaf}": shape for layer, leaves in shapes.items() for leaf, shape in leaves.items()})


def of_slot_attention(arrays: Arrays) -> Arrays:
    return {f"slot_attention.{name}": tensor for name, tensor in arrays.items()}


NORM = {"weight": (4,), "bias": (4,)}
HEAD = {"layer_norm": NORM, "feature_mlp__0": dense(4, 4), "feature_mlp__2": dense(4, 4)}


def authors_tokens(a: Arrays, features: Tensor, position: str) -> Tensor:
    ramps = linear(coordinates(features.shape[-1]), a[f"{position}.dense.weight"], a[f"{position}.dense.bias"])
    x = (features + ramps.permute(2, 0, 1)).permute(0, 2, 3, 1).flatten(1, 2)
    x = layer_norm(x, (4,), a["layer_norm.weight"], a["layer_norm.bias"], 1e-3)
    x = linear(x, a["feature_mlp.0.weight"], a["feature_mlp.0.bias"]).relu()
    return linear(x, a["feature_mlp.2.weight"], a["feature_mlp.2.bias"])


def picture_autoencoder() -> Arrays:
    convs = {"encoder_cnn__0": conv(3, 4), "encoder_cnn__2": conv(4, 4), "encoder_pos__dense": dense(4, 4)}
    decoder = {f"decoder_cnn__{i}": turned(4, 4) for i in (0, 2)} | {"decoder_cnn__4": turned(4, 4, 3)}
    arrays = layers(**convs, **HEAD, **decoder, decoder_pos__dense=dense(4, 4))
    ramps = {"encoder_pos.pos_embedding": coordinates(16), "decoder_pos.pos_embedding": coordinates(8)}
    return arrays | ramps | of_slot_attention(authors_slot_attention())


def test_the_authors_autoencoder_of_pictures() -> None:
    a, slots = picture_autoencoder(), draw_call()[1]
    image = torch.rand(2, 3, 16, 16).double()
    x = image
    for i in (0, 2):
        x = conv2d(x, a[f"encoder_cnn.{i}.weight"], a[f"encoder_cnn.{i}.bias"], padding=2).relu()
    slots_ = authors_forward(authors_slot_attention(), authors_tokens(a, x, "encoder_pos"), slots)
    ramps = linear(coordinates(8), a["decoder_pos.dense.weight"], a["decoder_pos.dense.bias"]).permute(2, 0, 1)
    x = slots_.flatten(0, 1)[:, :, None, None] + ramps
    settings = {0: {"stride": 2, "padding": 2, "output_padding": 1}, 2: {"padding": 2}, 4: {"padding": 1}}
    for i, setting in settings.items():
        x = conv_transpose2d(x, a[f"decoder_cnn.{i}.weight"], a[f"decoder_cnn.{i}.bias"], **setting)
        x = x if i == 4 else x.relu()
    rgb, alpha = x.unflatten(0, (2, 3)).split([3, 1], dim=2)
    model = load_weights(ConvAutoencoder(16, 3, 4, channels=4, encoder_layers=2, hidden_dim=6).double(), a)
    out = model(image, slots=slots)
    close(out.slots, slots_)
    close(out.reconstruction, (rgb * alpha.softmax(1)).sum(1))


def test_the_authors_set_predictor() -> None:
    convs = {f"cnn_encoder__{2 * i}": conv(4 if i else 3, 4) for i in range(4)}
    a = layers(**convs, **HEAD, pos_embed__dense=dense(4, 4), mlp__0=dense(4, 4), mlp__2=dense(4, 19))
    a |= {"pos_embed.pos_embedding": coordinates(4)} | of_slot_attention(authors_slot_attention())
    image, slots = torch.rand(2, 3, 16, 16).double(), draw_call()[1]
    x = image
    for i, stride in enumerate((1, 2, 2, 1)):
        x = conv2d(x, a[f"cnn_encoder.{2 * i}.weight"], a[f"cnn_encoder.{2 * i}.bias"], stride, padding=2).relu()
    x = authors_forward(authors_slot_attention(), authors_tokens(a, x, "pos_embed"), slots)
    expected = linear(
        linear(x, a["mlp.0.weight"], a["mlp.0.bias"]).relu(), a["mlp.2.weight"], a["mlp.2.bias"]
    ).sigmoid()
    model = load_weights(SetPredictor(16, 3, 4, channels=4, hidden_dim=6).double(), a)
    close(model(image, slots=slots).predictions, expected)


def feature_autoencoder() -> Arrays:
    mlp = {"feature_mlp__0": dense(5, 5), "feature_mlp__2": dense(5, 4)}
    decoder = {f"mlp_decoder__mlp_decoder__{i}": dense(4 if i == 0 else 7, 6 if i == 6 else 7) for i in (0, 2, 4, 6)}
    arrays = layers(feature_layer_norm={"weight": (5,), "bias": (5,)}, **mlp, **decoder)
    backbone = {"encoder.cls_token": torch.zeros(1, 1, 3), "encoder.blocks.0.norm1.weight": torch.zeros(3)}
    return (
        arrays
        | drawn(3, mlp_decoder__decoder_pos_encoding=(1, 1, 9, 4))
        | backbone
        | of_slot_attention(authors_slot_attention())
    )


def test_the_authors_autoencoder_of_features() -> None:
    a, slots = feature_autoencoder(), draw_call()[1]
    features = torch.randn(2, 9, 5).double()
    x = layer_norm(features, (5,), a["feature_layer_norm.weight"], a["feature_layer_norm.bias"])
    x = linear(x, a["feature_mlp.0.weight"], a["feature_mlp.0.bias"]).relu()
    x = linear(x, a["feature_mlp.2.weight"], a["feature_mlp.2.bias"])
    x = authors_forward(authors_slot_attention(), x, slots).unsqueeze(2) + a["mlp_decoder.decoder_pos_encoding"]
    for i in (0, 2, 4, 6):
        x = linear(x, a[f"mlp_decoder.mlp_decoder.{i}.weight"], a[f"mlp_decoder.mlp_decoder.{i}.bias"])
        x = x if i == 6 else x.relu()
    model = load_weights(FeatureAutoencoder(3, 5, 3, 4, decoder_dim=7, hidden_dim=6).double(), a)
    close(model(features, slots=slots).reconstruction, (x[..., :1].softmax(1) * x[..., 1:]).sum(1))


def test_slot_attention_alone_is_taken_from_a_whole_model() -> None:
    module = load_weights(SlotAttention(4, 4, 3, hidden_dim=6).double(), picture_autoencoder())
    assert torch.equal(module.to_k.weight, authors_slot_attention()["to_k.weight"])


@pytest.mark.parametrize("where", ["attention.", "model.net.slots_of.", "slot_attention.inner."])
def test_slot_attention_is_found_whatever_its_attribute_is_called(where: str) -> None:
    arrays = {f"{where}{name}": tensor for name, tensor in authors_slot_attention().items()}
    arrays |= drawn(3, decoder__to_q__weight=(4, 4), slot_attention_head__weight=(4, 4))
    module = load_weights(SlotAttention(4, 4, 3, hidden_dim=6).double(), arrays)
    assert torch.equal(module.to_k.weight, authors_slot_attention()["to_k.weight"])


def test_of_several_slot_attentions_none_is_taken() -> None:
    arrays = {f"{who}.{name}": t for who in ("student", "teacher") for name, t in authors_slot_attention().items()}
    with pytest.raises(ValueError, match=r"several Slot Attentions, load one of them: student\., teacher\."):
        load_weights(SlotAttention(4, 4, 3, hidden_dim=6), arrays)


@pytest.mark.parametrize("where", ["_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_names_of_compiled_and_of_parallel_modules(where: str) -> None:
    source = SetPredictor(16, 3, 4, channels=4)
    inside = {
        name.replace("slot_attention.", "slot_attention._orig_mod."): t for name, t in source.state_dict().items()
    }
    target = load_weights(SetPredictor(16, 3, 4, channels=4), {f"{where}{name}": t for name, t in inside.items()})
    torch.testing.assert_close(dict(target.state_dict()), dict(source.state_dict()), rtol=0, atol=0)


def test_the_packages_own_state_dicts() -> None:
    for make in (
        lambda: SlotAttention(5, 4, 3, normalization="batch_norm", eps=1e-3),
        lambda: ConvAutoencoder(16, 3, 4, channels=4, encoder_layers=2),
        lambda: FeatureAutoencoder(3, 5, 3, 4, decoder_dim=7),
        lambda: SetPredictor(16, 3, 4, channels=4),
    ):
        source, target = make(), make()
        load_weights(target, source.state_dict())
        torch.testing.assert_close(dict(target.state_dict()), dict(source.state_dict()), rtol=0, atol=0)


def test_a_parameter_with_a_row_for_each_slot_is_that_of_learned_initial_slots() -> None:
    learned = {"params/initializer/state_init": torch.randn(3, 4)}
    module = SlotAttention(5, 4, num_slots=3, hidden_dim=6, eps=1e-6, initial_slots="learned")
    load_weights(module, read_arrays(FIXTURES / "flax.npz") | learned)
    assert torch.equal(module.slots_mu[0], learned["params/initializer/state_init"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"to_q.bias": torch.zeros(4)}, "no place for to_q.bias (4,)"),
        ({"to_q.weight": None}, "no to_q.weight (4, 4)"),
        ({"to_q.weight": torch.zeros(8, 4)}, "to_q.weight is (8, 4), not (4, 4)"),
        ({"gru.bias": torch.zeros(12)}, "no place for gru.bias (12,)"),  # Keras' GRU with reset_after=False
        ({"update_ln.weight": torch.zeros(4)}, "no place for normalization.norm.weight (4,)"),
        ({"group_bn.weight": torch.zeros(4)}, "no place for group_bn.weight (4,)"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(change: Arrays, message: str) -> None:
    arrays = {name: t for name, t in (authors_slot_attention() | change).items() if t is not None}
    module = SlotAttention(4, 4, 3, hidden_dim=6)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(ValueError, match="the arrays do not fit this SlotAttention: .*" + re.escape(message)):
        load_weights(module, arrays)
    torch.testing.assert_close(dict(module.state_dict()), before, rtol=0, atol=0)


def test_the_names_in_a_tree_are_joined() -> None:
    arrays = authors_slot_attention()
    tree = {"params": {"corrector": {**arrays}}}
    flat, nested = (load_weights(SlotAttention(4, 4, 3, hidden_dim=6), given).state_dict() for given in (arrays, tree))
    torch.testing.assert_close(dict(nested), dict(flat), rtol=0, atol=0)
    with pytest.raises(ValueError, match="slots_mu is no array, but None"):
        load_weights(SlotAttention(4, 4, 3), {"slots_mu": None})


def test_ramps_of_another_picture_size_are_named() -> None:
    arrays = dict(ConvAutoencoder(32, 3, 4, channels=4, encoder_layers=2).state_dict())
    arrays["encoder.position.ramps"] = torch.zeros(32, 32, 4)
    with pytest.raises(ValueError, match=re.escape("no place for encoder.position.ramps (32, 32, 4)")):
        load_weights(ConvAutoencoder(16, 3, 4, channels=4, encoder_layers=2), arrays)


def test_a_kernel_of_several_heads_does_not_fit() -> None:
    arrays = read_arrays(FIXTURES / "flax.npz") | NO_INITIAL_SLOTS
    name = "params/SlotAttention_0/general_dense_q_0/kernel"
    with pytest.raises(ValueError, match=re.escape("to_q.weight is (4, 2, 2), not (4, 4)")):
        load_weights(SlotAttention(5, 4, 3, hidden_dim=6, eps=1e-6), arrays | {name: arrays[name].reshape(4, 2, 2)})


def test_a_learned_position_embedding_does_not_fit() -> None:
    model = ConvAutoencoder(16, 3, 4, channels=4, encoder_layers=2, hidden_dim=6)
    with pytest.raises(ValueError, match=re.escape("no place for encoder.position.ramps (16, 16, 4)")):
        load_weights(model, picture_autoencoder() | {"encoder_pos.pos_embedding": torch.rand(16, 16, 4)})


def test_every_kind_of_file_holds_the_same(tmp_path: Path) -> None:
    arrays = authors_slot_attention()
    save_file(arrays, tmp_path / "a.safetensors")
    np.savez(tmp_path / "a.npz", **{name: tensor.numpy() for name, tensor in arrays.items()})
    torch.save(arrays, tmp_path / "a.pth")
    torch.save({"model": arrays, "step": 3}, tmp_path / "a.pt")
    for suffix in ("safetensors", "npz", "pth", "pt"):
        torch.testing.assert_close(read_arrays(tmp_path / f"a.{suffix}"), arrays, rtol=0, atol=0)


@pytest.mark.parametrize("suffix", ["safetensors", "npz", "pth"])
def test_an_empty_or_damaged_file_is_named_and_a_missing_one_is_missing(tmp_path: Path, suffix: str) -> None:
    path, arrays = tmp_path / f"a.{suffix}", authors_slot_attention()
    with pytest.raises(FileNotFoundError):
        read_arrays(path)
    save_file(arrays, tmp_path / "a.safetensors")
    np.savez(tmp_path / "a.npz", **{name: tensor.numpy() for name, tensor in arrays.items()})
    torch.save(arrays, tmp_path / "a.pth")
    whole = path.read_bytes()
    for content in (b"", whole[:40], whole[: len(whole) // 2], whole[:-100], b"junk" * 50, bytes(200) + whole[200:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=re.escape(str(path)) + ".*damaged"):
            read_arrays(path)


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


def test_no_code_of_a_file_is_run(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    torch.save({"w": Evil(trap)}, tmp_path / "a.pth")
    np.savez(tmp_path / "a.npz", w=np.array([Evil(trap)], dtype=object))
    with pytest.raises(
        ValueError, match=r"a\.pth holds more than tensors, which is not read: save the state dict alone"
    ):
        read_arrays(tmp_path / "a.pth")
    with pytest.raises(ValueError, match="allow_pickle"):
        read_arrays(tmp_path / "a.npz")
    assert not trap.exists()


def test_other_contents_are_refused(tmp_path: Path) -> None:
    arrays = {"w": torch.zeros(1)}
    torch.save({"model": arrays, "ema": arrays}, tmp_path / "two.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"two\.pth must hold one state dict, and holds \['model', 'ema'\]"):
        read_arrays(tmp_path / "two.pth")
    with pytest.raises(ValueError, match=r"list\.pth must hold one state dict, and holds list"):
        read_arrays(tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"a\.h5 must be \.safetensors, \.npz"):
        read_arrays(tmp_path / "a.h5")
