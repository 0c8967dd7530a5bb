"""Arranges the tables of the experiments so that variants can be compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from slotnorm_book.claims.comparisons import MissingEvidenceError, Panel
from slotnorm_book.experiments.results import Results
from slotnorm_book.statistics.bootstrap import Bootstrap, Estimate, samples
from slotnorm_book.statistics.spatial_runs import flag_spatial_runs, without_spatial
from slotnorm_book.statistics.summaries import Share

FEWEST_SCENES = 10
"""An object count with fewer scenes is left out: a resample might have none."""


@dataclass(frozen=True)
class Evidence:
    """The tables of one experiment, as in :class:`slotnorm_book.experiments.results.Results`.

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
        """Return the tables of a recipe's results."""
        return cls(results.scenes, results.sets, results.recipe.task.num_slots, results.recipe.scale)


def leave_out_spatial(evidence: Mapping[str, Evidence]) -> dict[str, Evidence]:
    """Leave spatial runs out of object discovery on CLEVR, as the paper does.

    On MOVi the paper mentions none. There a model that finds the objects divides the background by place: the
    baseline's own runs come near to :data:`slotnorm_book.statistics.spatial_runs.SPATIAL_AGREEMENT`.
    """
    return {
        name: replace(one, scenes=without_spatial(one.scenes, flag_spatial_runs(one.scenes, one.train_slots)))
        if name.startswith("clevr") and len(one.scenes)
        else one
        for name, one in evidence.items()
    }


class Findings:
    """The evidence of all experiments, from which the measures of claims make panels; each panel is made once.

    Args:
        evidence: by experiment, for the panels.
        all_runs: the same with spatial runs, which are counted in it.
        resamples: of the bootstrap.
    """

    def __init__(self, evidence: Mapping[str, Evidence], all_runs: Mapping[str, Evidence], resamples: int) -> None:
        self._evidence, self._all_runs, self._resamples = evidence, all_runs, resamples
        self._panels: dict[tuple[object, ...], Panel] = {}

    def over_slots(self, experiment: str | Sequence[str], measure: str, test: str) -> Panel:
        """Return a measure over slot counts. Variants of several experiments are named ``experiment/variant``."""
        return self._panel(experiment, measure, "slots", lambda rows: rows[rows["test"] == test], test)

    def over_objects(self, experiment: str, measure: str, test: str, slots: int) -> Panel:
        """Return a measure over object counts from 3 to 10, at one slot count."""

        def choose(rows: pd.DataFrame) -> pd.DataFrame:
            rows = rows[(rows["test"] == test) & (rows["slots"] == slots) & rows["objects"].between(3, 10)]
            scenes = rows.drop_duplicates("scene_id")["objects"].value_counts()
            return rows[rows["objects"].isin(scenes.index[scenes >= FEWEST_SCENES])]

        return self._panel(experiment, measure, "objects", choose, test, slots)

    def precision(self, experiment: str, thresholds: Sequence[float]) -> list[Panel]:
        """Return average precision over slot counts, one panel per distance threshold.

        There is one number per run for all scenes together, so the bootstrap draws only seeds.
        """
        rows = self._rows(experiment, "sets")
        rows = rows.assign(distance=rows["measure"].str.removeprefix("ap@").astype(float), scene_id=0)
        places = rows.set_index(["distance", "slots"]).index.unique().sort_values()
        bootstrap = Bootstrap(samples(rows, "value", ["distance", "slots"]), self._resamples)
        settings = tuple(int(slots) for _, slots in places)
        chosen = [tuple(np.flatnonzero(places.get_level_values(0) == threshold)) for threshold in thresholds]
        return [Panel(bootstrap, settings, tuple(map(int, places))) for places in chosen]

    def single_runs(self, experiment: str, measure: str, test: str, slots: int, variant: str) -> list[Estimate]:
        """Estimate a measure of each run of a variant, with an interval over scenes alone."""
        rows = self._rows(experiment, "scenes")
        rows = rows[(rows["test"] == test) & (rows["slots"] == slots) & (rows["variant"] == variant)]
        if rows.empty:
            raise MissingEvidenceError(f"{experiment}: no run of {variant} on {test} with {slots} slots")
        (values,) = samples(rows, measure).values()
        single = {str(run): scores[None] for run, scores in enumerate(values)}
        bootstrap = Bootstrap(single, self._resamples, fixed_runs=True)
        return [bootstrap.estimate(lambda mean: mean[..., 0], run) for run in single]

    def spatial_share(self, experiment: str, variants: Sequence[str]) -> Share:
        """Count how many runs of these variants are spatial."""
        one = self._all_runs[experiment]
        runs = flag_spatial_runs(one.scenes, one.train_slots)
        missing = set(variants) - set(runs["variant"])
        if missing:
            raise MissingEvidenceError(f"{experiment}: no run of {', '.join(sorted(missing))}")
        chosen = runs[runs["variant"].isin(variants)]
        return Share(int(chosen["spatial"].sum()), len(chosen))

    def _rows(self, experiment: str, table: str) -> pd.DataFrame:
        rows: pd.DataFrame = getattr(self._evidence[experiment], table)
        if rows.empty:
            raise MissingEvidenceError(f"{experiment}: no run")
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
                nothing = f"nothing evaluated for {', '.join(map(str, (measure, *rest)))}"
                raise MissingEvidenceError(f"{', '.join(names)}: {nothing}")
            self._panels[key] = make_panel(rows, measure, setting, self._resamples)
        return self._panels[key]


def make_panel(rows: pd.DataFrame, measure: str, setting: str, resamples: int) -> Panel:
    """Arrange the scores of a tidy table over a setting.

    Args:
        rows: one row per run, scene and setting, with ``variant``, ``seed`` and ``scene_id``.
        measure: column of the score.
        setting: column of the setting, such as ``slots``.
        resamples: of the bootstrap.
    """
    settings = tuple(int(value) for value in np.unique(rows[setting]))
    return Panel(Bootstrap(samples(rows, measure, setting), resamples), settings, tuple(range(len(settings))))
