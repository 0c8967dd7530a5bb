"""Where and how a run was made. The record of a run keeps it beside the spec; it does not decide the result."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("slotnorm", "torch", "numpy")
CPUINFO = Path("/proc/cpuinfo")
_VECTORS = {"avx512_bf16": "AVX-512 BF16", "avx512f": "AVX-512", "avx2": "AVX2"}
"""Flag of ``/proc/cpuinfo`` to the vector instructions that it stands for, the newest first."""


def collect_provenance(
    device: torch.device,
    *,
    seconds: float,
    steps: int,
    data_digest: str,
    ranks: int = 1,
    compiled: bool = False,
) -> dict[str, Any]:
    """Collect commit, versions, device, time and memory of a run.

    Args:
        device: the device of the training.
        seconds: training time, summed over interruptions.
        steps: number of updates.
        data_digest: digest of the manifest of the training scenes, which includes their checksums.
        ranks: number of processes.
        compiled: whether the training step was compiled.
    """
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": os.environ.get("SLOTNORM_COMMIT") or git_commit(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "processes": ranks,
        "compiled": compiled,
        "seconds": round(seconds, 1),
        "steps_per_second": round(steps / seconds, 3) if seconds > 0 else None,
        "peak_gpu_memory": peak,
        "data_digest": data_digest,
    }


def device_name(device: torch.device) -> str:
    """Return the name of the GPU, or of the processor."""
    if device.type == "cuda" and torch.cuda.is_available():
        return torch.cuda.get_device_name(device)
    return f"{device.type}: {_processor()}"


def git_commit() -> str:
    """Return the commit of the code, and whether there are local changes."""
    command = ["git", "describe", "--always", "--dirty=, with local changes", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown: not a git checkout"
    return done.stdout.strip()


def processor_kind() -> str:
    """Return the name of the processor with family, model and instruction sets: ``"AMD EPYC (26-2, AVX-512 BF16)"``.

    Cloud machines of different speed share a name. Where the system tells no more than the name, it is all there is.
    """
    about = _cpuinfo()
    flags = about.get("flags", "").split()
    vectors = [name for flag, name in _VECTORS.items() if flag in flags][:1]
    matrices = ["AMX"] if "amx_tile" in flags else []
    model = [f"{about['cpu family']}-{about['model']}"] if {"cpu family", "model"} <= about.keys() else []
    told = ", ".join(model + matrices + vectors)
    return f"{_processor()} ({told})" if told else _processor()


def _processor() -> str:
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def _cpuinfo() -> dict[str, str]:
    """Read what Linux tells of the first core; empty elsewhere."""
    try:
        core = CPUINFO.read_text(encoding="utf-8").split("\n\n", 1)[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in core.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
