"""A training run that was interrupted: one safetensors file, whole or absent, from which it goes on to the bit.

It holds the model, Adam's moments, the state of the generator of the initial slots and the curve so far; its metadata
say which run and step. Order and augmentation of the data follow from the step, so nothing of them is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor, nn

from slotnorm.atomic_files import write_whole

FORMAT_VERSION = 2


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used; the message names the file and what to do."""


@dataclass
class Curve:
    """What a run recorded, one entry per step; a probe is a measurement of F-ARI every some hundred steps."""

    loss: Tensor
    gradient_norm: Tensor
    probe_step: Tensor
    probe_f_ari: Tensor

    @classmethod
    def empty(cls) -> Curve:
        """The curve of a run that has not begun."""
        return cls(torch.zeros(0), torch.zeros(0), torch.zeros(0, dtype=torch.int64), torch.zeros(0))


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
    """Replace the checkpoint at ``path`` in one step.

    Args:
        path: the file.
        run: name of the run, checked when it is loaded.
        step: updates done.
        model, optimizer, generator, curve: their state after that many updates.
        elapsed: seconds of training so far.

    Raises:
        OSError: such as a full disk; the earlier checkpoint is as it was.
    """
    tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
    tensors |= {f"curve.{key}": value for key, value in vars(curve).items()}
    tensors["generator"] = generator.get_state()
    tensors = {key: value.contiguous() for key, value in tensors.items()}
    about = json.dumps({"format_version": FORMAT_VERSION, "run": run, "step": step, "elapsed": elapsed})
    write_whole(path, save(tensors, metadata={"about": about, "sha256": _checksum(about, tensors)}))


def load_checkpoint(
    path: Path, *, run: str, model: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator
) -> tuple[int, Curve, float]:
    """Set model, optimizer and generator to what the checkpoint holds.

    Returns:
        Updates done, the curve so far and the seconds that they took.

    Raises:
        CheckpointError: the file is damaged, of another format version, or of another run.
    """
    about, tensors = _read(path)
    remedy = "remove it to begin that run again"
    if about.get("format_version") != FORMAT_VERSION:
        version = about.get("format_version")
        raise CheckpointError(f"{path}: is of format version {version}, this is {FORMAT_VERSION}; {remedy}")
    if about["run"] != run:
        raise CheckpointError(f"{path}: belongs to the run {about['run']}, not to {run}; {remedy}")
    try:
        model.load_state_dict(_below("model.", tensors))
        optimizer.load_state_dict({**optimizer.state_dict(), "state": _states(_below("optimizer.", tensors))})
        generator.set_state(tensors["generator"])
        curve = Curve(**_below("curve.", tensors))
    except (KeyError, TypeError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path}: does not fit this run: {str(error).splitlines()[0]}; {remedy}") from None
    return int(about["step"]), curve, float(about["elapsed"])


def read_progress(path: Path) -> int:
    """Updates that a checkpoint holds; 0 where there is none.

    Raises:
        CheckpointError: the file is damaged.
    """
    return int(_read(path)[0].get("step", 0)) if path.exists() else 0


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            about = json.loads(metadata.get("about", "{}"))
            if about.get("format_version") == FORMAT_VERSION and (
                metadata.get("sha256") != _checksum(metadata["about"], tensors)
            ):
                raise ValueError("its SHA-256 is not the one it was written with")
            return about, tensors
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path}: damaged: {error}; remove it to begin that run again") from None


def _checksum(about: str, tensors: Mapping[str, Tensor]) -> str:
    return hashlib.sha256(about.encode() + save(dict(tensors))).hexdigest()


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _states(tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    states: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, _, key = name.partition(".")
        states.setdefault(int(index), {})[key] = value
    return states
