r"""Objects as vectors of properties: the set predictor's targets and loss (App. I, after Locatello et al., 2020).

An object is 19 numbers in [0, 1]: one-hot shape (3), size (2), material (2) and color (8), then three scaled
coordinates, and a last entry that is 1 for an object and 0 for padding. The order is that of the paper's code.

Shape letters: B batch, K slots, M objects of a scene, absent ones included, P matched pairs, F entries of an object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import huber_loss, pad

__all__ = ["PROPERTY_FIELDS", "COORDINATE_SCALINGS", "CoordinateScaling", "property_targets", "hungarian_huber_loss"]

CLASS_COUNTS = {"shape": 3, "size": 2, "material": 2, "color": 8}
"""Entries of each one-hot code, in their order in the vector."""
NUM_CLASS_ENTRIES = sum(CLASS_COUNTS.values())
COORDINATES = slice(NUM_CLASS_ENTRIES, NUM_CLASS_ENTRIES + 3)
REAL = NUM_CLASS_ENTRIES + 3
NUM_PROPERTIES = REAL + 1
PROPERTY_FIELDS = (*CLASS_COUNTS, "x", "y", "z", "visibility")
"""The arrays of a prepared split that :func:`property_targets` reads."""


@dataclass(frozen=True)
class CoordinateScaling:
    """Scaling of object centers: entries are (p - lowest) / extent for a center p in world units, axis by axis.

    Absent objects have the entries ``absent``.

    Example:
        >>> COORDINATE_SCALINGS["google"].extent
        (6.0, 6.0, 6.0)
    """

    lowest: tuple[float, float, float]
    extent: tuple[float, float, float]
    absent: tuple[float, float, float]


COORDINATE_SCALINGS = {
    "google": CoordinateScaling(lowest=(-3.0, -3.0, -3.0), extent=(6.0, 6.0, 6.0), absent=(0.0, 0.0, 0.0)),
    "authors": CoordinateScaling(lowest=(-3.0, -3.0, 0.35), extent=(6.0, 6.0, 0.35), absent=(0.5, 0.5, -1.0)),
}
"""``"google"``: Locatello et al. (2020), to whom App. I refers; ``"authors"``: the paper's code.

The latter sets z = -1 for absent objects, which a sigmoid cannot reach; average precision then counts z errors 17-fold.
"""


def property_targets(
    batch: Mapping[str, Tensor], coordinates: str = "google", num_objects: int | None = None
) -> Float[Tensor, "batch objects 19"]:
    """Make the property vectors of a batch's objects.

    Args:
        batch: the arrays :data:`PROPERTY_FIELDS` of a prepared split, each of shape (B, 1 + M) with the background
            first; class numbers count from 1, ``visibility`` is 0 for absent objects.
        coordinates: a name in :data:`COORDINATE_SCALINGS`.
        num_objects: M of the result, by default that of the arrays; absent objects are added or removed. In training
            it is the number of slots, so that every slot has a target.

    Returns:
        float32, shape (B, M, 19), present objects first.

    Raises:
        ValueError: if the scaling is unknown, a class number out of range, or a scene has more than ``num_objects``.

    Example:
        >>> one = {name: torch.tensor([[0, 1]]) for name in PROPERTY_FIELDS}
        >>> property_targets(one, num_objects=10).shape
        torch.Size([1, 10, 19])
    """
    if coordinates not in COORDINATE_SCALINGS:
        raise ValueError(f"coordinates must be one of {sorted(COORDINATE_SCALINGS)}, got {coordinates!r}")
    present_BM1 = (batch["visibility"][:, 1:] > 0).unsqueeze(-1)
    numbers = [torch.arange(1, count + 1, device=present_BM1.device) for count in CLASS_COUNTS.values()]
    one_hot = [batch[name][:, 1:, None] == number for name, number in zip(CLASS_COUNTS, numbers, strict=True)]
    classes_BMF = torch.cat(one_hot, dim=-1) & present_BM1
    if (classes_BMF.sum(-1) != len(CLASS_COUNTS) * present_BM1.squeeze(-1)).any():
        raise ValueError(f"class numbers of visible objects must lie within 1..{list(CLASS_COUNTS.values())}")
    center_BM3 = torch.stack([batch[axis][:, 1:] for axis in "xyz"], dim=-1).float()
    scaling = COORDINATE_SCALINGS[coordinates]
    scaled_BM3 = (center_BM3 - center_BM3.new_tensor(scaling.lowest)) / center_BM3.new_tensor(scaling.extent)
    scaled_BM3 = scaled_BM3.where(present_BM1, scaled_BM3.new_tensor(scaling.absent))
    targets_BMF = torch.cat([classes_BMF.float(), scaled_BM3, present_BM1.float()], dim=-1)
    return _resized(targets_BMF, scaling, num_objects)


def _resized(targets_BMF: Tensor, scaling: CoordinateScaling, num_objects: int | None) -> Tensor:
    """Sort present objects first and make it ``num_objects`` rows."""
    order_BM = targets_BMF[..., REAL].argsort(dim=1, descending=True, stable=True)
    sorted_BMF = targets_BMF.take_along_dim(order_BM.unsqueeze(-1), dim=1)
    if num_objects is None:
        return sorted_BMF
    if sorted_BMF[:, num_objects:, REAL].any():
        raise ValueError(f"a scene has more than num_objects={num_objects} objects: filter the split by max_objects")
    padded_BMF = pad(sorted_BMF, (0, 0, 0, max(0, num_objects - sorted_BMF.shape[1])))
    padded_BMF[:, sorted_BMF.shape[1] :, COORDINATES] = padded_BMF.new_tensor(scaling.absent)
    return padded_BMF[:, :num_objects]


def require_objects(predictions: Tensor, targets: Tensor, entries: int | None = None) -> None:
    """Check shapes (B, K, F) and (B, M, F) with B at least 1 and, if given, that many entries F.

    Raises:
        ValueError: if they do not fit; the message holds both shapes.
    """
    given, wanted = tuple(predictions.shape), tuple(targets.shape)
    fit = len(given) == len(wanted) == 3 and given[0] == wanted[0] > 0 and given[2] == wanted[2]
    if not fit or entries not in (None, given[2]):
        shapes = f"(B, K, {entries or 'F'}) and (B, M, {entries or 'F'}) with B at least 1"
        raise ValueError(f"predictions and targets must have shapes {shapes}, got {given} and {wanted}")


@torch.no_grad()
def match_objects(
    predictions: Float[Tensor, "batch slots entries"], targets: Float[Tensor, "batch objects entries"]
) -> tuple[Int[Tensor, "batch pairs"], Int[Tensor, "batch pairs"]]:
    """Match slots (B, K, F) with objects (B, M, F) so that the sum of mean Huber losses is least, on the CPU.

    Return indices of slots, ascending, and of their objects, each of shape (B, min(K, M)).
    """
    offset_BKMF = predictions.unsqueeze(2) - targets.unsqueeze(1)
    cost_BKM = huber_loss(offset_BKMF, torch.zeros_like(offset_BKMF), reduction="none").mean(dim=-1)
    # SciPy refuses NaN; a diverged model gets an arbitrary matching, and a loss that is not finite.
    matches = [linear_sum_assignment(cost) for cost in cost_BKM.nan_to_num().double().cpu().numpy()]
    slot_BP, object_BP = torch.from_numpy(np.array(matches, dtype=np.int64)).to(targets.device).unbind(dim=1)
    return slot_BP, object_BP


def hungarian_huber_losses(
    predictions: Float[Tensor, "batch slots entries"], targets: Float[Tensor, "batch objects entries"]
) -> Float[Tensor, " batch"]:
    """Compute the loss of every scene, shape (B,); see :func:`hungarian_huber_loss`.

    Raises:
        ValueError: if the shapes do not fit, or there is no scene, slot or object.
    """
    require_objects(predictions, targets)
    if not predictions.shape[1] or not targets.shape[1]:
        shapes = f"{tuple(predictions.shape)} and {tuple(targets.shape)}"
        raise ValueError(f"predictions and targets must have at least one slot and one object, got {shapes}")
    slot_BP, object_BP = match_objects(predictions, targets)
    matched_BPF = predictions.take_along_dim(slot_BP.unsqueeze(-1), dim=1)
    wanted_BPF = targets.take_along_dim(object_BP.unsqueeze(-1), dim=1)
    return huber_loss(matched_BPF, wanted_BPF, reduction="none").mean(dim=(1, 2))


def hungarian_huber_loss(
    predictions: Float[Tensor, "batch slots entries"], targets: Float[Tensor, "batch objects entries"]
) -> Float[Tensor, ""]:
    """Compute the Huber loss (δ = 1), averaged over scenes, matched pairs and entries (App. I).

    If there are more slots than objects, the slots left over cost nothing. Locatello et al. (2020) sum over pairs.

    Args:
        predictions, targets: shapes (B, K, F) and (B, M, F).

    Raises:
        ValueError: if the shapes do not fit, or there is no scene, slot or object.

    Example:
        >>> objects = torch.eye(19)[None, :3]
        >>> hungarian_huber_loss(objects.flip(1), objects).item()
        0.0
    """
    return hungarian_huber_losses(predictions, targets).mean()
