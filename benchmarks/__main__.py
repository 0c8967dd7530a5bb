"""Speed and memory beside straightforward forms of the same computations, and what the rest of the project takes.

    python -m benchmarks                                    some minutes; what `make bench` runs
    python -m benchmarks --only "training step" --device cuda
    python -m benchmarks --only data --tensorflow PYTHON    beside the TensorFlow of another environment
    python -m benchmarks --quick                            a minute: whether everything turns, nothing of the speed

Every ratio is taken within one run, from medians of repeats in turn. Times on a processor are processor seconds of one
thread, so that other programs on the machine take little from them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}  # before torch is imported

import torch

from benchmarks import (
    beginning,
    evaluation,
    feature_decoder,
    readers,
    report,
    scores,
    side_by_side,
    slot_attention,
    training_step,
)
from benchmarks.settings import BF16_BESIDE_FP32, Row, Settings, Subject
from slotnorm_book.experiments.provenance import git_commit
from slotnorm_book.process_memory import keep_freed_memory

SUBJECTS: dict[str, Subject] = {
    module.NAME: module.measure
    for module in (
        training_step,
        feature_decoder,
        slot_attention,
        evaluation,
        scores,
        beginning,
        side_by_side,
        readers,
    )
}
ON_A_GPU = {
    training_step.NAME: {
        f"CLEVR, Tables 2 and 3, {BF16_BESIDE_FP32}": "≥ 4.0x",
        f"MOVi-C, Tables 4 and 5, {BF16_BESIDE_FP32}": "≥ 4.0x",
        "share of the card's limit, and of the time that it idles": "told",
    },
    feature_decoder.NAME: {f"time, {BF16_BESIDE_FP32}": "≥ 3.0x"},
}
"""What is wanted on a GPU, at the paper's batch size of 64: by how much ours in bf16 beats the authors' way, fp32."""


QUICK = "A quick run shows that everything turns. Its numbers say nothing about speed."


def measured(name: str, settings: Settings) -> Iterator[Row]:
    """Rows of a subject, told on stderr while they come; a quick run judges nothing."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    for found in SUBJECTS[name](settings):
        row = replace(found, met=None) if settings.quick else found
        print(f"  {report.line(row)}", file=sys.stderr, flush=True)
        yield row
    if not torch.cuda.is_available():
        for what, aim in ON_A_GPU.get(name, {}).items():
            yield Row(name, what, "on a GPU, B 64", "", aim=aim, note="not measured: no GPU")


def has_tensorflow(python: str) -> bool:
    """Whether an interpreter can import TensorFlow."""
    try:
        return subprocess.run([python, "-c", "import tensorflow"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=SUBJECTS, help="a subject; may be repeated")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where models are timed")
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes: whether everything turns, nothing of the speed"
    )
    parser.add_argument("--repeats", type=int, default=3, help="of every form, in turn")
    parser.add_argument("--tensorflow", metavar="PYTHON", help="an interpreter with TensorFlow, which parses CLEVR")
    parser.add_argument("--json", type=Path, metavar="FILE", help="file to keep the numbers in, by device and subject")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and keep what was asked for; returns the exit status."""
    options = parse_arguments(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("not measured: no GPU")
        return 2
    if options.repeats < 1:
        print("--repeats must be at least 1", file=sys.stderr)
        return 2
    if options.quick and options.json:
        print("--quick measures no speed, so there is nothing for --json to keep", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    keep_freed_memory()  # as in every process that trains; the plain forms have it too
    if options.tensorflow and not has_tensorflow(options.tensorflow):
        print(f"--tensorflow: {options.tensorflow} is no Python that can import tensorflow", file=sys.stderr)
        return 2
    settings = Settings(torch.device(options.device), options.quick, options.repeats, options.tensorflow)
    commit = git_commit()  # before the first write of --json, which is a local change itself
    for name in options.only or SUBJECTS:
        about = report.machine(settings) | {"commit": commit}
        rows = list(measured(name, settings))
        about["load_after"] = round(os.getloadavg()[0], 2)
        print(report.markdown(rows, about), flush=True)
        if options.quick:
            print(QUICK, flush=True)
        if options.json:
            report.write(options.json, name, rows, about)
    return 0


if __name__ == "__main__":
    sys.exit(main())
