"""What verdicts are drawn from: the tables of the experiments, arranged so that variants can be compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from slotnorm_book.claims.comparisons import LackingError, Panel
from slotnorm_book.experiments.results import Results
from slotnorm_book.statistics.bootstrap import Bootstrap, Estimate, samples
from slotnorm_book.statistics.spatial_runs import spatial_runs, without_spatial
from slotnorm_book.statistics.summaries import Share

FEWEST_SCENES = 10
"""An object count with fewer scenes is left out: a resample might have none."""


@dataclass(frozen=True)
class Evidence:
    """The tables of one experiment, as :class:`slotnorm_book.experiments.results.Results` has them.

    Args:
        scenes: one row per run, scene and setting.
        sets: one row per run, setting and measure of all scenes together.
        train_slots: slots in training.
        scale: of the recipe.
    """

    scenes: pd.DataFrame
    sets: pd.DataFrame
    train_slots: int
    scale: str

    @classmethod
    def of(cls, results: Results) -> Evidence:
        """The tables of a recipe's results."""
        return cls(results.scenes, results.sets, results.recipe.task.num_slots, results.recipe.scale)


def leave_out_spatial(evidence: Mapping[str, Evidence]) -> dict[str, Evidence]:
    """Object discovery on CLEVR without its spatial runs.

    The paper leaves such runs out there and mentions none on MOVi, where a model that finds the objects shares the
    background out by place: the baseline's own runs come near to
    :data:`slotnorm_book.statistics.spatial_runs.SPATIAL_AGREEMENT`.
    """
    return {
        name: replace(one, scenes=without_spatial(one.scenes, spatial_runs(one.scenes, one.train_slots)))
        if name.startswith("clevr") and len(one.scenes)
        else one
        for name, one in evidence.items()
    }


class Findings:
    """All experiments, from which panels are made on demand and kept.

    Args:
        evidence: by experiment; spatial runs are left out of the panels if that is what is handed over.
        everything: with every run.
        resamples: of the bootstrap.
    """

    def __init__(self, evidence: Mapping[str, Evidence], everything: Mapping[str, Evidence], resamples: int) -> None:
        self.evidence, self.everything, self.resamples = evidence, everything, resamples
        self._panels: dict[tuple[object, ...], Panel] = {}

    def over_slots(self, experiment: str | Sequence[str], measure: str, test: str) -> Panel:
        """A measure over slot counts. Variants of several experiments are called ``experiment/variant``."""
        return self._panel(experiment, measure, "slots", lambda rows: rows[rows["test"] == test], test)

    def over_objects(self, experiment: str, measure: str, test: str, slots: int) -> Panel:
        """A measure over object counts from 3 to 10, at one slot count."""

        def choose(rows: pd.DataFrame) -> pd.DataFrame:
            rows = rows[(rows["test"] == test) & (rows["slots"] == slots) & rows["objects"].between(3, 10)]
            scenes = rows.drop_duplicates("scene_id")["objects"].value_counts()
            return rows[rows["objects"].isin(scenes.index[scenes >= FEWEST_SCENES])]

        return self._panel(experiment, measure, "objects", choose, test, slots)

    def precision(self, experiment: str, thresholds: Sequence[float]) -> list[Panel]:
        """Average precision over slot counts, a panel per distance; with one number per run, only seeds are drawn."""
        rows = self._rows(experiment, "sets")
        rows = rows.assign(distance=rows["measure"].str.removeprefix("ap@").astype(float), scene_id=0)
        places = rows.set_index(["distance", "slots"]).index.unique().sort_values()
        bootstrap = Bootstrap(samples(rows, "value", ["distance", "slots"]), self.resamples)
        settings = tuple(int(slots) for _, slots in places)
        chosen = [tuple(np.flatnonzero(places.get_level_values(0) == threshold)) for threshold in thresholds]
        return [Panel(bootstrap, settings, tuple(map(int, places))) for places in chosen]

    def runs(self, experiment: str, measure: str, test: str, slots: int, variant: str) -> list[Estimate]:
        """A measure of each run of a variant, with an interval over scenes alone."""
        rows = self._rows(experiment, "scenes")
        rows = rows[(rows["test"] == test) & (rows["slots"] == slots) & (rows["variant"] == variant)]
        if rows.empty:
            raise LackingError(f"{experiment}: no run of {variant} on {test} with {slots} slots")
        (values,) = samples(rows, measure).values()
        single = {str(run): scores[None] for run, scores in enumerate(values)}
        bootstrap = Bootstrap(single, self.resamples, fixed_runs=True)
        return [bootstrap.estimate(lambda mean: mean[..., 0], run) for run in single]

    def spatial(self, experiment: str, variants: Sequence[str]) -> Share:
        """How many runs of these variants are spatial."""
        one = self.everything[experiment]
        runs = spatial_runs(one.scenes, one.train_slots)
        lacking = set(variants) - set(runs["variant"])
        if lacking:
            raise LackingError(f"{experiment}: no run of {', '.join(sorted(lacking))}")
        chosen = runs[runs["variant"].isin(variants)]
        return Share(int(chosen["spatial"].sum()), len(chosen))

    def _rows(self, experiment: str, table: str) -> pd.DataFrame:
        rows: pd.DataFrame = getattr(self.evidence[experiment], table)
        if rows.empty:
            raise LackingError(f"{experiment}: no run")
        return rows

    def _panel(
        self,
        experiment: str | Sequence[str],
        measure: str,
        setting: str,
        choose: Callable[[pd.DataFrame], pd.DataFrame],
        *rest: object,
    ) -> Panel:
        names = (experiment,) if isinstance(experiment, str) else tuple(experiment)
        key = (names, measure, setting, *rest)
        if key not in self._panels:
            frames = {name: choose(self._rows(name, "scenes")) for name in names}
            if len(names) > 1:
                frames = {name: rows.assign(variant=name + "/" + rows["variant"]) for name, rows in frames.items()}
            rows = pd.concat(frames.values())
            if rows.empty:
                raise LackingError(f"{', '.join(names)}: nothing evaluated for {', '.join(map(str, (measure, *rest)))}")
            settings = tuple(int(value) for value in np.unique(rows[setting]))
            bootstrap = Bootstrap(samples(rows, measure, setting), self.resamples)
            self._panels[key] = Panel(bootstrap, settings, tuple(range(len(settings))))
        return self._panels[key]
