"""Checkpoints of training runs: one file, written completely or not at all, from which a run resumes to the bit.

A checkpoint holds the model, Adam's moments, the state of the generator of the initial slots and the curve so far.
Order and augmentation of the data follow from the step and are not stored. The file has three parts: a line with the
SHA-256 of what follows, a line of JSON that names the run and the step, and the tensors in safetensors' format.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from slotnorm.atomic_files import write_whole

FORMAT_VERSION = 4
REMEDY = "remove it to begin that run again"


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used; the message names the file and what to do."""


@dataclass
class Curve:
    """Loss and gradient norm of every step, and F-ARI and its control at the steps at which they were probed."""

    loss: Tensor
    gradient_norm: Tensor
    probe_step: Tensor
    probe_f_ari: Tensor
    probe_blind_f_ari: Tensor

    @classmethod
    def empty(cls) -> Curve:
        """Return the curve of a run that has not begun."""
        steps = torch.zeros(0, dtype=torch.int64, device="cpu")
        return cls(steps.float(), steps.float(), steps, steps.float(), steps.float())


def save_checkpoint(
    path: Path,
    *,
    run: str,
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    curve: Curve,
    elapsed: float,
) -> None:
    """Replace the checkpoint of a run, with the state after ``step`` updates and ``elapsed`` seconds of training.

    Raises:
        OSError: for example on a full disk; the earlier checkpoint stays as it was.
    """
    tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
    tensors |= {f"curve.{key}": value for key, value in vars(curve).items()}
    tensors["generator"] = generator.get_state()
    tensors = {key: value.contiguous() for key, value in tensors.items()}
    about = {"format_version": FORMAT_VERSION, "run": run, "step": step, "elapsed": elapsed}
    content = json.dumps(about).encode() + b"\n" + safetensors.torch.save(tensors)
    write_whole(path, _checksum(content) + b"\n" + content)


def load_checkpoint(
    path: Path, *, run: str, model: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator
) -> tuple[int, Curve, float]:
    """Set model, optimizer and generator to the state in a checkpoint.

    Returns:
        The number of updates done, the curve so far and the seconds of training so far.

    Raises:
        CheckpointError: if the file is damaged, has another format version, or belongs to another run.
    """
    about, content = _read(path)
    if about["run"] != run:
        raise CheckpointError(f"{path}: belongs to the run {about['run']}, not to {run}; {REMEDY}")
    try:
        tensors = safetensors.torch.load(content)
        model.load_state_dict(_below("model.", tensors))
        optimizer.load_state_dict({**optimizer.state_dict(), "state": _states(_below("optimizer.", tensors))})
        generator.set_state(tensors["generator"])
        curve = Curve(**_below("curve.", tensors))
    except (KeyError, TypeError, RuntimeError, ValueError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path}: does not fit this run: {str(error).splitlines()[0]}; {REMEDY}") from None
    return int(about["step"]), curve, float(about["elapsed"])


def read_progress(path: Path) -> int:
    """Return the number of updates that a checkpoint holds, 0 if there is no checkpoint.

    Raises:
        CheckpointError: if the file is damaged or has another format version.
    """
    return int(_read(path)[0]["step"]) if path.exists() else 0


def read_curve(path: Path) -> Curve:
    """Return the curve of an unfinished run, an empty one if there is no checkpoint.

    Raises:
        CheckpointError: if the file is damaged or has another format version.
    """
    if not path.exists():
        return Curve.empty()
    try:
        return Curve(**_below("curve.", safetensors.torch.load(_read(path)[1])))
    except (TypeError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path}: holds no curve: {str(error).splitlines()[0]}; {REMEDY}") from None


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return the JSON line and the serialized tensors of a file whose checksum is right."""
    try:
        checksum, _, content = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error}; {REMEDY}") from None
    if checksum != _checksum(content):
        raise CheckpointError(f"{path}: damaged: its SHA-256 is not the one it was written with; {REMEDY}")
    line, _, tensors = content.partition(b"\n")
    try:
        about = json.loads(line)
    except (ValueError, RecursionError):
        about = None
    if not isinstance(about, dict):
        raise CheckpointError(f"{path}: its second line is no JSON object that names the run and the step; {REMEDY}")
    if (version := about.get("format_version")) != FORMAT_VERSION:
        raise CheckpointError(f"{path}: has format version {version}, this program reads {FORMAT_VERSION}; {REMEDY}")
    step, elapsed = about.get("step"), about.get("elapsed")
    counted = type(step) is int and step >= 0 and isinstance(elapsed, int | float) and 0 <= elapsed < math.inf
    if not counted or not isinstance(about.get("run"), str):
        raise CheckpointError(f"{path}: its second line must name the run, the step and the seconds so far; {REMEDY}")
    return about, tensors


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _states(tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    states: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, _, key = name.partition(".")
        states.setdefault(int(index), {})[key] = value
    return states
