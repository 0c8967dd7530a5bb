"""Arranges the tables of the experiments so that variants can be compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import pandas as pd

from slotnorm_book.claims.comparisons import (
    ANYTHING,
    F_ARI_MARGIN,
    LOSS_MARGIN,
    PRECISION_MARGIN,
    Comparison,
    MissingEvidenceError,
    Panel,
    Source,
    UndecidableError,
)
from slotnorm_book.experiments.results import Results
from slotnorm_book.statistics.bootstrap import Bootstrap, samples
from slotnorm_book.statistics.found_objects import found_by_run, nearest_slots, with_found_objects
from slotnorm_book.statistics.spatial_runs import flag_spatial_runs, without_spatial
from slotnorm_book.statistics.summaries import Share

FEWEST_SCENES = 10
"""An object count with fewer scenes is left out: a resample might have none."""
POSSIBLE = {
    "f_ari": (-0.5, 1.0),
    "ari": (-0.5, 1.0),
    "found_objects": (-1.5, 1.5),
    "background_share": (0.0, 1.0),
    "precision": (0.0, 1.0),
}
"""Measure to its least and largest value; losses have none. An adjusted Rand index is never below -0.5."""
NOT_ABOUT_OBJECTS = ("loss",)
"""Measures of the scenes that say nothing about finding objects and need no control."""


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

    def without_spatial(self) -> Evidence:
        """Return the same without spatial runs, which the paper leaves out."""
        runs = flag_spatial_runs(self.scenes, self.train_slots)
        return replace(self, scenes=without_spatial(self.scenes, runs), sets=without_spatial(self.sets, runs))


class Findings:
    """The evidence of all experiments, from which the measures of claims make panels; each panel is made once.

    A run that has not been evaluated for a measure, or lacks the control ``blind_f_ari`` where the measure is about
    finding objects, counts as not evaluated.

    Args:
        evidence: by experiment, with every run.
        resamples: of the bootstrap.
        spatial_runs: whether to use spatial runs too; they are counted either way.
        controls: whether measures about finding objects need the control.
        instead: measure to the one that panels over slots or objects have in its place.
    """

    def __init__(
        self,
        evidence: Mapping[str, Evidence],
        resamples: int,
        *,
        spatial_runs: bool = False,
        controls: bool = True,
        instead: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._all_runs, self._resamples, self._controls, self._instead = evidence, resamples, controls, instead
        self._evidence = (
            dict(evidence) if spatial_runs else {name: one.without_spatial() for name, one in evidence.items()}
        )
        self._all = (
            self
            if spatial_runs
            else Findings(evidence, resamples, spatial_runs=True, controls=controls, instead=instead)
        )
        self._panels: dict[tuple[object, ...], Panel] = {}
        self._found: dict[tuple[str, str], dict[str, float]] = {}

    def over_slots(
        self, experiment: str | Sequence[str], measure: str, test: str, *, spatial_runs: bool = False
    ) -> Panel:
        """Return a measure over slot counts.

        Args:
            experiment: one name, or several; then variants are named ``experiment/variant``.
            measure: column of the scores.
            test: label of the test set.
            spatial_runs: whether to use spatial runs in any case, for a claim that says that models find no objects.
        """
        chosen = self._all if spatial_runs else self
        return chosen._panel(experiment, measure, "slots", lambda rows: rows[rows["test"] == test], test)

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
        panel = Panel(
            bootstrap,
            tuple(int(slots) for _, slots in places),
            (),
            Source((experiment,), possible=POSSIBLE["precision"], margin=PRECISION_MARGIN),
            all_spatial=self._all_spatial(experiment, rows),
        )
        return [
            replace(
                panel,
                chosen=tuple(map(int, np.flatnonzero(places.get_level_values(0) == threshold))),
                source=replace(panel.source, measures=(f"ap@{threshold:g}",)),
            )
            for threshold in thresholds
        ]

    def single_runs(self, experiment: str, measure: str, test: str, slots: int, variant: str) -> list[Comparison]:
        """Estimate a measure of each run of a variant, with an interval over scenes alone."""
        rows = self._evaluated(experiment, measure)
        rows = rows[(rows["test"] == test) & (rows["slots"] == slots)]
        possible = POSSIBLE.get(measure, ANYTHING)
        source = Source((experiment,), test, (measure,), possible)
        if variant in self._all_spatial(experiment, rows):
            nothing = Bootstrap({variant: np.full((1, 1, 1), np.nan)}, 1)
            return [Panel(nothing, (slots,), (0,), source, all_spatial=frozenset([variant])).levels(variant)[0]]
        rows = rows[rows["variant"] == variant]
        if rows.empty:
            raise MissingEvidenceError(f"{experiment}: no run of {variant} on {test} with {slots} slots")
        (values,) = samples(rows, measure).values()
        single = {
            f"{variant} seed {seed}": scores[None] for seed, scores in zip(np.unique(rows["seed"]), values, strict=True)
        }
        bootstrap = Bootstrap(single, self._resamples, fixed_runs=True)
        return [
            Comparison(
                bootstrap.estimate(lambda mean: mean[..., 0], run),
                source,
                (run,),
                (variant,),
                possible,
                f"{slots} slots",
                (1,),
            )
            for run in single
        ]

    def spatial_share(self, experiment: str, variants: Sequence[str], at_least: int) -> Share:
        """Count how many runs of these variants are spatial.

        Args:
            experiment: name of the experiment.
            variants: whose runs.
            at_least: runs of each variant, as many as the paper has.

        Raises:
            MissingEvidenceError: a variant has fewer runs that were evaluated for the control.
        """
        one = self._all_runs[experiment]
        runs = flag_spatial_runs(one.scenes, one.train_slots)
        runs = runs[runs["found_objects"].notna()]
        for variant in variants:
            if (count := int((runs["variant"] == variant).sum())) < at_least:
                raise MissingEvidenceError(f"{experiment}: {count} of {at_least} runs of {variant} with blind_f_ari")
        chosen = runs[runs["variant"].isin(variants)]
        return Share(int(chosen["spatial"].sum()), len(chosen), len(variants))

    def found_objects(self, experiment: str, test: str) -> dict[str, float]:
        """Return the mean found objects over runs and scenes of each variant, at the slots of its training.

        A variant of which every run is spatial has the mean of those; one that lacks the control is left out.
        """
        if (experiment, test) not in self._found:
            found = dict[str, float]()
            for one in (self._all_runs[experiment], self._evidence[experiment]):
                runs = found_by_run(one.scenes[one.scenes["test"] == test], one.train_slots)
                means = runs.groupby("variant", sort=False)["found_objects"].mean().dropna()
                found |= {str(name): float(value) for name, value in means.items()}
            self._found[experiment, test] = found
        return self._found[experiment, test]

    def mean_precision(self, experiment: str, measure: str) -> dict[str, float]:
        """Return the mean over runs of each variant's precision at one distance, at the slots of the training."""
        rows = self._rows(experiment, "sets")
        rows = rows[rows["measure"] == measure]
        nearest = nearest_slots(rows["slots"], self._evidence[experiment].train_slots)
        means = rows[rows["slots"] == nearest].groupby("variant", sort=False)["value"].mean()
        return {str(name): float(value) for name, value in means.items()}

    def _rows(self, experiment: str, table: str) -> pd.DataFrame:
        if getattr(self._all_runs[experiment], table).empty:
            raise MissingEvidenceError(f"{experiment}: no run")
        rows: pd.DataFrame = getattr(self._evidence[experiment], table)
        if rows.empty:
            raise UndecidableError(f"{experiment}: every run is spatial")
        return rows

    def _evaluated(self, experiment: str, measure: str) -> pd.DataFrame:
        """Return the rows of the runs that were evaluated for a measure, and for its control where it needs one."""
        rows = with_found_objects(self._rows(experiment, "scenes"))
        needed = [measure]
        if self._controls and measure not in NOT_ABOUT_OBJECTS:
            needed.append("blind_f_ari")
        for column in needed:
            if column not in rows:
                raise MissingEvidenceError(f"{experiment}: no run has been evaluated for {column}")
            whole = rows[column].notna().groupby([rows["variant"], rows["seed"]]).transform("all")
            rows = rows[whole]
            if rows.empty:
                raise MissingEvidenceError(f"{experiment}: no run has been evaluated for {column}")
        return rows

    def _all_spatial(self, experiment: str, rows: pd.DataFrame) -> frozenset[str]:
        """Return the variants that have runs, of which every one is left out because it is spatial."""
        every = set(self._all_runs[experiment].scenes.get("variant", pd.Series(dtype=str)))
        kept = set(self._evidence[experiment].scenes.get("variant", pd.Series(dtype=str)))
        return frozenset(map(str, every - kept - set(rows["variant"])))

    def _panel(
        self,
        experiment: str | Sequence[str],
        measure: str,
        setting: str,
        choose: Callable[[pd.DataFrame], pd.DataFrame],
        test: str,
        *rest: object,
    ) -> Panel:
        names = (experiment,) if isinstance(experiment, str) else tuple(experiment)
        measure = self._instead.get(measure, measure)
        key = (names, measure, setting, test, *rest)
        if key not in self._panels:
            frames, left_out = [], set[str]()
            for name in names:
                rows = choose(self._evaluated(name, measure))
                prefix = f"{name}/" if len(names) > 1 else ""
                frames.append(rows.assign(variant=prefix + rows["variant"]))
                left_out |= {prefix + variant for variant in self._all_spatial(name, rows)}
            rows = pd.concat(frames)
            if rows.empty:
                nothing = f"nothing evaluated for {', '.join(map(str, (measure, test, *rest)))}"
                raise MissingEvidenceError(f"{', '.join(names)}: {nothing}")
            panel = make_panel(rows, measure, setting, self._resamples)
            margin = LOSS_MARGIN * float(rows[measure].mean()) if measure == "loss" else F_ARI_MARGIN
            source = Source(names, test, (measure,), POSSIBLE.get(measure, ANYTHING), margin)
            self._panels[key] = replace(panel, source=source, all_spatial=frozenset(left_out))
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
    bootstrap = Bootstrap(samples(rows, measure, setting), resamples)
    source = Source(("",), measures=(measure,), possible=POSSIBLE.get(measure, ANYTHING))
    return Panel(bootstrap, settings, tuple(range(len(settings))), source, setting)
