"""Test sets: which scenes trained models are evaluated on, and with which slots and iterations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from slotnorm import evaluation
from slotnorm.data.splits import Split
from slotnorm.evaluation import Evaluation
from slotnorm.models import SlotModel
from slotnorm.tasks import Task
from slotnorm.training.spec import ID_LENGTH, Data, SpecError, digest
from slotnorm_book.experiments.data_sources import Source


def select(split: Split, spec: EvaluationSpec) -> Split:
    """Select the scenes of an evaluation from a split.

    Raises:
        SpecError: the split has too few suitable scenes.
    """
    chosen = split.filter(max_objects=spec.data.max_objects)
    if len(chosen) < spec.scenes:
        raise SpecError(f"{spec.label}: {split.folder} has {len(chosen)} suitable scenes, {spec.scenes} are asked for")
    if spec.draw is None:
        return chosen.select(np.arange(spec.scenes))
    bits = np.random.PCG64(spec.draw).random_raw(len(chosen))  # NumPy keeps this stream across versions
    return chosen.select(np.sort(np.argsort(bits, kind="stable")[: spec.scenes]))


def first_scenes(test: TestSet, scenes: int, slots: Sequence[int]) -> tuple[Split, EvaluationSpec]:
    """Select the first scenes of a test set, to be evaluated from the same initial slots as in the whole test set.

    Args:
        test: the test set.
        scenes: number of scenes, at most those of the test set.
        slots: slot counts.

    Returns:
        The scenes, and the specification of their evaluation.
    """
    split = select(test.source.open(), test.spec()).select(np.arange(scenes))
    return split, EvaluationSpec(test.label, test.spec().data, scenes, tuple(slots), test.iterations)


@dataclass(frozen=True)
class TestSet:
    """Scenes that trained models are evaluated on.

    Args:
        label: the paper's name, such as ``"CLEVR10"``.
        source: where the scenes come from.
        scenes: number of scenes.
        max_objects: scenes with more are left out.
        slots: slot counts.
        iterations: Slot Attention iterations.
        draw: seed with which the scenes are drawn; ``None`` takes the first ones.

    Example:
        >>> from slotnorm_book.experiments.recipes import recipe
        >>> [(test.label, test.max_objects, test.scenes) for test in recipe("clevr-6-7", "paper").tests]
        [('CLEVR6', 6, 1280), ('CLEVR10', None, 1280)]
    """

    __test__ = False  # not a test, though pytest would think so

    label: str
    source: Source
    scenes: int
    max_objects: int | None
    slots: tuple[int, ...]
    iterations: tuple[int, ...]
    draw: int | None = None

    def spec(self) -> EvaluationSpec:
        """Return the specification of the evaluation, which a run's record keeps."""
        data = self.source.describe(self.max_objects)
        return EvaluationSpec(self.label, data, self.scenes, self.slots, self.iterations, draw=self.draw)


@dataclass(frozen=True)
class EvaluationSpec:
    """The scenes, slots and iterations of an evaluation.

    Args:
        label: the name in tables, such as ``"CLEVR10"``.
        data: the data that the scenes are from.
        scenes: number of scenes.
        slots: slot counts.
        iterations: Slot Attention iterations, each evaluated at every slot count.
        seed: of the initial slots.
        draw: seed with which the scenes are drawn without replacement from those that the filter leaves; ``None`` takes
            the first ones.

    Raises:
        SpecError: a setting is impossible.

    Example:
        >>> data = Data("synth-clevr", "fa8e")
        >>> test = EvaluationSpec("CLEVR10", data, scenes=1280, slots=(7, 11, 21), iterations=(3,))
        >>> len(test.key)
        12
    """

    label: str
    data: Data
    scenes: int
    slots: tuple[int, ...]
    iterations: tuple[int, ...]
    seed: int = 0
    draw: int | None = None

    def __post_init__(self) -> None:
        if not self.slots or min(self.slots) < 1 or not self.iterations or min(self.iterations) < 1:
            raise SpecError(f"{self.label}: slots and iterations must be at least 1 each, got {self}")
        if len(set(self.slots)) < len(self.slots) or len(set(self.iterations)) < len(self.iterations):
            raise SpecError(f"{self.label}: slots and iterations must be named once each, got {self}")
        if self.scenes < 1 or self.seed < 0:
            raise SpecError(f"{self.label}: scenes must be at least 1 and seed not negative, got {self}")

    @property
    def key(self) -> str:
        """A hash of the scenes and the seed of the initial slots, whatever the slot counts and iterations."""
        chosen = {"data": asdict(self.data), "scenes": self.scenes, "draw": self.draw}
        return digest({**chosen, "seed": self.seed})[:ID_LENGTH]


def evaluate(
    task: Task, model: SlotModel[Any], split: Split, spec: EvaluationSpec, *, batch_size: int = 64, bar: bool = True
) -> Evaluation:
    """Evaluate a model on the scenes of a test set; each row has the key of the specification in ``evaluation``.

    Args:
        task: the task that the model was trained on.
        model: put in evaluation mode; its device is used.
        split: the data that the test set is a part of.
        spec: the test set.
        batch_size: scenes at a time; halved as often as the GPU's memory asks for, which changes values by rounding at
            most.
        bar: whether to show a progress bar.

    Raises:
        SpecError: the data has too few scenes.
    """
    scenes = select(split, spec)
    measure = partial(
        evaluation.evaluate,
        task,
        model,
        scenes,
        slots=spec.slots,
        iterations=spec.iterations,
        seed=spec.seed,
        label=spec.label,
        bar=bar,
    )
    try:
        found = measure(batch_size=batch_size)
    except torch.OutOfMemoryError:
        if batch_size == 1:
            raise
        found = None
    if found is None:  # only here is the memory free, to which the error refers
        return evaluate(task, model, split, spec, batch_size=batch_size // 2, bar=bar)
    for table in (found.scenes, found.sets):
        table.insert(0, "evaluation", spec.key)
    return found
