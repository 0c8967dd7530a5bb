"""The class of recipes: an experiment of the paper at one scale, from which the specs of its runs follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from slotnorm.tasks import Task
from slotnorm.training.spec import Optimizer, Precision, RunSpec, Schedule, SpecError
from slotnorm_book.experiments.data_sources import Source
from slotnorm_book.experiments.test_sets import TestSet

Scale = Literal["smoke", "cpu", "gpu", "paper"]
SCALES: tuple[Scale, ...] = ("smoke", "cpu", "gpu", "paper")

PAPER_VARIANTS = ("weighted_mean", "layer_norm", "weighted_sum", "batch_norm")
"""The variants of Sec. 5, in the paper's order."""
PAPER_SLOT_COUNTS = tuple(range(5, 22, 2))
"""Slot counts of the paper's figures: 5, 7, …, 21."""
PAPER_SCENES = 1280
"""Test scenes of every evaluation (Sec. 5)."""
MANY_SEEDS, SOME_SEEDS, FEW_SEEDS = tuple(range(8)), tuple(range(5)), tuple(range(3))
"""Seeds at the cpu scale: of the experiments that most claims are about, of the others, and beyond the paper."""


@dataclass(frozen=True)
class Recipe:
    """An experiment at one scale. Its variants differ only in the normalization.

    Args:
        experiment: its name, such as ``"clevr-6-7"``: trained on at most 6 objects with 7 slots.
        scale: ``"smoke"``, ``"cpu"``, ``"gpu"`` or ``"paper"``.
        locus: section, figures and tables of the paper.
        task: model and loss.
        train: training scenes.
        max_objects: scenes with more objects are left out of the training.
        schedule, optimizer, batch_size, precision: see :class:`slotnorm.training.spec.RunSpec`.
        tests: test sets on which the trained models are evaluated.
        variants: names of normalizations.
        seeds: one run per variant and seed.

    Example:
        >>> from slotnorm_book.experiments.recipes import recipe
        >>> some = recipe("clevr-6-7", "cpu").select(variants=["weighted_mean", "weighted_sum"], seeds=[0])
        >>> [spec.variant for spec in some.runs()]
        ['weighted_mean', 'weighted_sum']
    """

    experiment: str
    scale: Scale
    locus: str
    task: Task
    train: Source
    max_objects: int | None
    schedule: Schedule
    optimizer: Optimizer
    batch_size: int
    precision: Precision
    tests: tuple[TestSet, ...]
    variants: tuple[str, ...] = PAPER_VARIANTS
    seeds: tuple[int, ...] = FEW_SEEDS

    def runs(self) -> list[RunSpec]:
        """List the specs of the runs, one per variant and seed; the variants of one seed are next to each other."""
        data = self.train.describe(self.max_objects)
        return [
            RunSpec(
                task=self.task,
                data=data,
                variant=variant,
                seed=seed,
                schedule=self.schedule,
                optimizer=self.optimizer,
                batch_size=self.batch_size,
                precision=self.precision,
            )
            for seed in self.seeds
            for variant in self.variants
        ]

    def with_data(self, data: str, test_data: str | None = None) -> Recipe:
        """Return the recipe with other data: folders of prepared splits, or names of stand-ins.

        Args:
            data: data for training.
            test_data: data for evaluation, by default the same.

        Raises:
            SpecError: the recipe is tested on another data set than it trains on, and ``test_data`` is not given.
        """
        others = {test.source.data for test in self.tests} - {self.train.data}
        if others and not test_data:
            raise SpecError(
                f"{self.experiment} trains on {self.train.data} and is tested on {', '.join(sorted(others))}; "
                "name other data for both or for none"
            )
        tests = tuple(replace(test, source=test.source.with_data(test_data or data)) for test in self.tests)
        return replace(self, train=self.train.with_data(data), tests=tests)

    def select(
        self,
        variants: Sequence[str] | None = None,
        seeds: Sequence[int] | None = None,
        slots: Sequence[int] | None = None,
    ) -> Recipe:
        """Return a part of the recipe, or the recipe with other variants, seeds and slot counts.

        Args:
            variants: names of normalizations; ``None`` for those of the recipe.
            seeds: ``None`` for those of the recipe.
            slots: slot counts at evaluation; ``None`` for those of the recipe.

        Raises:
            SpecError: a selection is empty, or names something twice.
        """
        for name, chosen in {"variants": variants, "seeds": seeds, "slots": slots}.items():
            if chosen is not None and not len(chosen):
                raise SpecError(f"{name} must name at least one")
            if chosen is not None and len(set(chosen)) < len(chosen):
                raise SpecError(f"{name} must name each once, got {', '.join(map(str, chosen))}")
        tests = self.tests if slots is None else tuple(replace(test, slots=tuple(slots)) for test in self.tests)
        return replace(
            self,
            variants=self.variants if variants is None else tuple(variants),
            seeds=self.seeds if seeds is None else tuple(seeds),
            tests=tests,
        )
