"""The arithmetic of other machines, as far as this one can imitate it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path

import torch
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

HOOK = Path(__file__).with_name("hook")
NOISE = 4
"""Units in the last place: what single sums of a few hundred terms differ by between processors."""


@dataclass(frozen=True)
class Environment:
    """Variables that make libraries compute as on another machine.

    Args:
        name: what the table calls it.
        variables: added to the environment of the tests and of the notebooks' kernels.
        skipped: why this machine cannot have it, or nothing.
    """

    name: str
    variables: dict[str, str] = field(default_factory=dict)
    skipped: str = ""


def numpy_without(level: str) -> dict[str, str]:
    """Return what turns off the instructions above ``level`` that this NumPy would use on this processor.

    NumPy warns about a name that it does not know or the processor does not have, and pytest takes warnings for errors.

    Args:
        level: one of NumPy's names, such as ``X86_V3``; it stays on.
    """
    above = __cpu_dispatch__[__cpu_dispatch__.index(level) + 1 :] if level in __cpu_dispatch__ else __cpu_dispatch__
    used = [name for name in above if __cpu_features__.get(name)]
    return {"NPY_DISABLE_CPU_FEATURES": " ".join(used)} if used else {}


def environments() -> list[Environment]:
    """Return every environment, those too that this machine cannot have."""
    x86 = platform.machine() in {"x86_64", "AMD64"}
    no_x86 = "" if x86 else f"{platform.machine()} has no instructions of x86"
    no_avx512 = "" if torch.backends.cpu.get_cpu_capability() == "AVX512" else "this processor has nothing above AVX2"
    sse41 = {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}
    sse41 |= {"OPENBLAS_CORETYPE": "Nehalem"} | numpy_without("X86_V2")
    avx2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
    avx2 |= {"OPENBLAS_CORETYPE": "Haswell"} | numpy_without("X86_V3")
    threads = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "ARITHMETIC_THREADS": "2"}
    threads |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}  # spinning on busy cores takes many times longer
    one_core = "" if (os.cpu_count() or 1) > 1 else "this machine has one core"
    return [
        Environment("native"),
        Environment("SSE4.1", sse41, no_x86),
        Environment("AVX2", avx2, no_x86 or no_avx512),
        Environment("two threads", threads, one_core),
        Environment("other rounding", {"ARITHMETIC_NOISE": str(NOISE)}),
    ]


def process_environment(environment: Environment) -> dict[str, str]:
    """Return all variables of a process in this environment."""
    return os.environ | {"PYTHONPATH": str(HOOK)} | environment.variables
