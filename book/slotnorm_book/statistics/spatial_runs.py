"""The criterion for a spatial run, which cuts every scene into the same regions.

Sec. 5.1 omits runs that "decompose the input spatially instead of object-wise" and gives no criterion. Here a run is
spatial if, at the evaluated slot count nearest to that of its training and over its experiment's own test sets, its
segmentations

- agree between consecutive test scenes, of different clips, by an adjusted Rand index of at least
  :data:`SPATIAL_AGREEMENT`, which is half-way between a fixed grid, whose index is 1 whatever is in the scenes, and
  segmentations that follow unrelated scenes, whose index is 0; and
- find no objects: their found objects are below :data:`slotnorm_book.statistics.found_objects.LEAST_FOUND`. A run that
  finds the objects and divides the background by place may reach an index of 0.7 too, and is not spatial.

Both are means over scenes. A run that puts all pixels of every scene into one slot has an index of 1 and finds nothing:
it is spatial as well. A run that is merely bad is not. The criterion holds for every data set alike. A run that was
never evaluated for ``blind_f_ari`` cannot be judged and counts as not spatial; no verdict about objects rests on it.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from slotnorm_book.statistics.found_objects import LEAST_FOUND, RUN, nearest_slots, with_found_objects

SPATIAL_AGREEMENT = 0.5


def flag_spatial_runs(scenes: pd.DataFrame, slots: int) -> pd.DataFrame:
    """Decide for every run whether it is spatial.

    Args:
        scenes: one row per run, scene and setting, with ``agreement``, ``f_ari`` and, where it was evaluated,
            ``blind_f_ari``.
        slots: the slot count of the training; of the evaluated ones the nearest is used.

    Returns:
        One row per run: ``variant``, ``seed``, ``agreement``, ``f_ari``, ``found_objects``, ``spatial``.
    """
    measures = ["agreement", "f_ari", "found_objects"]
    if scenes.empty:
        return pd.DataFrame(columns=[*RUN, *measures, "spatial"]).astype({"spatial": bool})
    trained = with_found_objects(scenes[scenes["slots"] == nearest_slots(scenes["slots"], slots)])
    runs = trained.groupby(RUN, sort=False, as_index=False)[measures].mean()
    return runs.assign(spatial=(runs["agreement"] >= SPATIAL_AGREEMENT) & (runs["found_objects"] < LEAST_FOUND))


def flag_by_training(trainings: Mapping[str, tuple[pd.DataFrame, int]]) -> pd.DataFrame:
    """Decide for every run of several trainings whether it is spatial.

    Args:
        trainings: name to the scenes and the slot count that :func:`flag_spatial_runs` takes.

    Returns:
        What that function returns, after a first column ``training``.
    """
    tables = []
    for name, (scenes, slots) in trainings.items():
        runs = flag_spatial_runs(scenes, slots)
        runs.insert(0, "training", name)
        tables.append(runs)
    return pd.concat(tables, ignore_index=True)


def without_spatial(table: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Drop the rows of spatial runs.

    Args:
        table: rows with ``variant`` and ``seed``.
        runs: result of :func:`flag_spatial_runs`.
    """
    if table.empty:
        return table
    left_out = pd.MultiIndex.from_frame(runs.loc[runs["spatial"], RUN])
    return table[~pd.MultiIndex.from_frame(table[RUN]).isin(left_out)]


def split_spatial_runs(scenes: pd.DataFrame, slots: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split a table into the rows of non-spatial and of spatial runs.

    Args:
        scenes: see :func:`flag_spatial_runs`.
        slots: the slot count of the training.
    """
    runs = flag_spatial_runs(scenes, slots)
    return without_spatial(scenes, runs), without_spatial(scenes, runs.assign(spatial=~runs["spatial"]))
