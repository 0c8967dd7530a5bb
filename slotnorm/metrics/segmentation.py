r"""Agreement of a segmentation with the ground truth: adjusted Rand index, its two halves and its control.

Edge cases follow scikit-learn's ``adjusted_rand_score``. Two identical partitions score 1 even if they have one cluster
or no pixel at all, so an empty foreground scores 1. A single ground-truth object that is split over slots scores 0.

Shape letters: B batch, P pixels, R ground-truth labels, C predicted labels.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor
from torch.nn.functional import pad

from slotnorm.numerics import in_double_precision, move_result

MAX_LABELS = 1024
OTHERS = 4
"""Other scenes with which the control compares a segmentation."""
PIXELS_AT_ONCE = 2**17
"""Pixels counted in one go on a CPU: few enough for its cache."""
IMAGES_AT_ONCE = (2**31 - 1) // MAX_LABELS**2
"""Images counted in one go: few enough for 32 bits to number every pair of labels of each."""


def contingency(
    true: Integer[Tensor, "batch *pixels"], pred: Integer[Tensor, "batch *pixels"]
) -> Int[Tensor, "batch true_labels pred_labels"]:
    """Count the pixels of every pair of labels.

    Args:
        true, pred: ground-truth and predicted labels from 0, both of shape (B, ...).

    Returns:
        Counts of shape (B, R, C), where R and C are one more than the largest label of the batch.

    Raises:
        ValueError: if the shapes differ or hold no image, or a label is not a whole number from 0 to 1023.

    Example:
        >>> contingency(torch.tensor([[0, 0, 1, 1]]), torch.tensor([[0, 2, 2, 2]])).tolist()
        [[[1, 0, 1], [0, 0, 2]]]
    """
    require_labels("true", true)
    require_labels("pred", pred)
    if true.shape != pred.shape:
        raise ValueError(f"label maps must have one shape; true is {tuple(true.shape)}, pred is {tuple(pred.shape)}")
    batch = true.shape[0]
    true_BP, pred_BP = true.reshape(batch, -1), pred.reshape(batch, -1)
    fitting = PIXELS_AT_ONCE // max(1, true_BP.shape[1]) if true.device.type == "cpu" else batch
    at_once = max(1, min(fitting, batch, IMAGES_AT_ONCE))
    room = torch.empty(2, at_once, true_BP.shape[1], dtype=torch.int32, device=true.device)
    chunks = zip(torch.split(true_BP, at_once), torch.split(pred_BP, at_once), strict=True)
    parts = [_counts(*chunk, room[:, : len(chunk[0])]) for chunk in chunks]
    rows, columns = (max(part.shape[axis] for part in parts) for axis in (1, 2))
    return torch.cat([pad(part, (0, columns - part.shape[2], 0, rows - part.shape[1])) for part in parts])


def require_labels(name: str, labels: Tensor) -> None:
    """Check that these are label maps, at least one; raise a ValueError that names the argument."""
    if labels.is_floating_point() or labels.is_complex():
        raise ValueError(f"{name} must hold whole numbers as labels, got {labels.dtype}")
    if labels.ndim < 2 or not len(labels):
        raise ValueError(f"{name} must have shape (B, ...) with B at least 1, got {tuple(labels.shape)}")


def _counts(true_BP: Tensor, pred_BP: Tensor, room_2BP: Tensor) -> Tensor:
    """Count in a part of the batch; ``room`` is overwritten, since allocating memory takes longer than the counting."""
    rows, columns = _label_count("true", true_BP), _label_count("pred", pred_BP)
    batch, cells = len(true_BP), len(true_BP) * rows * columns
    cell_BP = room_2BP[0].copy_(true_BP)
    torch.add(room_2BP[1].copy_(pred_BP), cell_BP, alpha=columns, out=cell_BP)
    cell_BP += torch.arange(batch, device=true_BP.device, dtype=cell_BP.dtype)[:, None] * (rows * columns)
    return torch.bincount(cell_BP.flatten(), minlength=cells).view(batch, rows, columns)


def _label_count(name: str, labels: Tensor) -> int:
    if labels.numel() == 0:
        return 1
    on_cpu = labels.device.type == "cpu"  # where NumPy is faster
    smallest, largest = map(int, (labels.numpy().min(), labels.numpy().max()) if on_cpu else torch.aminmax(labels))
    if smallest < 0 or largest >= MAX_LABELS:
        raise ValueError(f"{name} labels must lie in 0..{MAX_LABELS - 1}, got {smallest}..{largest}")
    return largest + 1


def _pairs(counts_BRC: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Count pairs of pixels that are together in both partitions, only in the true, only in the other, in none."""
    counts_BRC = in_double_precision(counts_BRC)
    total_B = counts_BRC.sum(dim=(1, 2))
    same_both_B = counts_BRC.square().sum(dim=(1, 2))
    same_true_B = counts_BRC.sum(dim=2).square().sum(dim=1)
    same_pred_B = counts_BRC.sum(dim=1).square().sum(dim=1)
    tp, fn, fp = same_both_B - total_B, same_true_B - same_both_B, same_pred_B - same_both_B
    return tp, fn, fp, total_B.square() - same_true_B - fp


def _adjusted_rand_index(counts_BRC: Tensor) -> Tensor:
    """Compute Hubert & Arabie (1985) from contingency counts by the pair confusion matrix, in double precision."""
    tp, fn, fp, tn = _pairs(counts_BRC)
    ari_B = 2 * (tp * tn - fn * fp) / ((tp + fn) * (fn + tn) + (tp + fp) * (fp + tn))
    return move_result(torch.where((fn == 0) & (fp == 0), 1.0, ari_B), counts_BRC.device)


def adjusted_rand_index(
    true: Integer[Tensor, "batch *pixels"], pred: Integer[Tensor, "batch *pixels"]
) -> Float[Tensor, " batch"]:
    """Compute the ARI of every image, background included (Hubert & Arabie, 1985).

    Args:
        true, pred: ground-truth and predicted labels from 0, both of shape (B, H, W) or (B, P).

    Returns:
        float64, shape (B,): 1 for identical partitions, 0 expected by chance.

    Example:
        >>> adjusted_rand_index(torch.tensor([[0, 0, 1, 1]]), torch.tensor([[5, 5, 2, 2]])).item()
        1.0
    """
    return _adjusted_rand_index(contingency(true, pred))


def foreground_adjusted_rand_index(
    true: Integer[Tensor, "batch *pixels"], pred: Integer[Tensor, "batch *pixels"]
) -> Float[Tensor, " batch"]:
    """Compute the F-ARI of every image: the ARI of its foreground, pixels with a true label above 0 (Sec. 5).

    Args:
        true, pred: labels as in :func:`adjusted_rand_index`; a true label of 0 is background, a predicted one is not.

    Returns:
        float64, shape (B,); 1 for an image without foreground.

    Example:
        >>> foreground_adjusted_rand_index(torch.tensor([[0, 0, 1, 2]]), torch.tensor([[3, 4, 3, 4]])).item()
        1.0
    """
    return _adjusted_rand_index(contingency(true, pred)[:, 1:])


def adjusted_precision_and_recall(
    true: Integer[Tensor, "batch *pixels"], pred: Integer[Tensor, "batch *pixels"]
) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """Compute the two values whose harmonic mean is the ARI: the adjusted Wallace indices (Pinto et al., 2008).

    Precision falls where a slot holds several objects, recall where an object is split over slots. Both are 1 if
    nothing of this kind happens, and 0 is expected by chance.

    Args:
        true, pred: labels as in :func:`adjusted_rand_index`.

    Returns:
        Precision and recall, float64, each of shape (B,).

    Example:
        >>> true, pred = torch.tensor([[0, 0, 0, 1, 1, 1]]), torch.tensor([[0, 0, 1, 2, 2, 3]])
        >>> precision, recall = adjusted_precision_and_recall(true, pred)
        >>> precision.item(), round(recall.item(), 3)
        (1.0, 0.231)
    """
    counts_BRC = contingency(true, pred)
    tp, fn, fp, tn = _pairs(counts_BRC)
    product = tp * tn - fn * fp
    precision_B = torch.where(fp == 0, 1.0, product / ((tp + fp) * (fp + tn)))
    recall_B = torch.where(fn == 0, 1.0, product / ((tp + fn) * (fn + tn)))
    return move_result(precision_B, counts_BRC.device), move_result(recall_B, counts_BRC.device)


def blind_foreground_adjusted_rand_index(
    true: Integer[Tensor, "scenes *pixels"],
    pred: Integer[Tensor, "scenes *pixels"],
    clips: Integer[Tensor, " scenes"] | None = None,
) -> Float[Tensor, " scenes"]:
    """Compute the control of the F-ARI: each segmentation against the ground truth of other scenes.

    The four other scenes lie S / 5, 2 S / 5, 3 S / 5 and 4 S / 5 places further on in the test set, which begins again
    after its end; a set with fewer scenes has fewer of them.

    A model that ignores its input has the same F-ARI on its own scene as on another one. What a segmentation owes to
    its scene is the F-ARI minus this value.

    Args:
        true, pred: labels of all scenes of a test set, as in :func:`foreground_adjusted_rand_index`, shape (S, ...).
        clips: number of the clip that each scene is a frame of, shape (S,); if one of the other scenes is of the same
            clip, the next one of another clip takes its place. By default every scene is a clip of its own.

    Returns:
        float64, shape (S,): the mean over the other scenes; NaN if there is none.

    Raises:
        ValueError: see :func:`contingency`; and if ``clips`` has another shape.

    Example:
        >>> true = torch.tensor([[1, 1, 2, 2], [1, 2, 1, 2]])
        >>> blind_foreground_adjusted_rand_index(true, true).tolist()
        [-0.5, -0.5]
    """
    scenes = len(true)
    if clips is None:
        clips = torch.arange(scenes, device=true.device)
    if clips.shape != (scenes,):
        raise ValueError(f"clips must have shape ({scenes},), got {tuple(clips.shape)}")
    places = sorted({place * scenes // (OTHERS + 1) for place in range(1, OTHERS + 1)} - {0})
    if not places or bool((clips == clips[0]).all()):
        return foreground_adjusted_rand_index(true, pred) * torch.nan
    blind = [foreground_adjusted_rand_index(true[_scenes_further_on(clips, place)], pred) for place in places]
    return torch.stack(blind).mean(dim=0)


def _scenes_further_on(clips: Tensor, place: int) -> Tensor:
    """Find for each scene the first one of another clip that lies ``place`` or more places further on."""
    found = torch.arange(len(clips), device=clips.device).roll(-place)
    while (same := clips[found] == clips).any():
        found = found.where(~same, (found + 1) % len(clips))
    return found
