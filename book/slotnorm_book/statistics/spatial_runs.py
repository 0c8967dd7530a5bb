"""The criterion for a spatial run, which cuts every scene into the same regions.

Sec. 5.1 omits runs that "decompose the input spatially instead of object-wise" and gives no criterion. Here a run is
spatial if, at the slot count it was trained with, its segmentations of consecutive test scenes

- agree by an adjusted Rand index of at least :data:`SPATIAL_AGREEMENT`, which is half-way between a fixed grid, whose
  index is 1 whatever is in the scenes, and segmentations that follow unrelated scenes, whose index is 0; and
- agree with each other better than with the objects of their own scene, which is F-ARI: a run that finds the objects
  and divides the background by place may reach an index of 0.7 too, and is not spatial.

Both are means over scenes. A run that puts all pixels of every scene into one slot has an index of 1 and an F-ARI of
0: it is spatial as well. A run that is merely bad is not.
"""

from __future__ import annotations

import pandas as pd

SPATIAL_AGREEMENT = 0.5

RUN = ["variant", "seed"]


def flag_spatial_runs(scenes: pd.DataFrame, slots: int) -> pd.DataFrame:
    """Decide for every run whether it is spatial.

    Args:
        scenes: one row per run, scene and setting, with ``agreement`` and ``f_ari``.
        slots: the slot count of the training; other rows are ignored.

    Returns:
        One row per run: ``variant``, ``seed``, ``agreement``, ``f_ari``, ``spatial``.
    """
    trained = scenes[scenes["slots"] == slots]
    runs = trained.groupby(RUN, sort=False, as_index=False)[["agreement", "f_ari"]].mean()
    spatial = (runs["agreement"] >= SPATIAL_AGREEMENT) & (runs["agreement"] > runs["f_ari"])
    return runs.assign(spatial=spatial)


def without_spatial(table: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Drop the rows of spatial runs.

    Args:
        table: rows with ``variant`` and ``seed``.
        runs: result of :func:`flag_spatial_runs`.
    """
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
