"""Which runs cut every scene up alike: the criterion for a "spatial" run.

Sec. 5.1 omits runs that "decompose the input spatially instead of object-wise" and tells no more. Here a run is spatial
if, at the slot count it was trained with, its segmentations of consecutive test scenes

- agree by an adjusted Rand index of at least :data:`SPATIAL_AGREEMENT`: a fixed grid or fixed stripes agree by 1,
  whatever the scenes hold, segmentations that follow unrelated scenes by chance, which is 0; half-way is the rule; and
- agree better than they do with the objects of their own scene, which is F-ARI: a run that finds the objects and shares
  the background out by place agrees by up to 0.7 too, and is not spatial.

Both are means over scenes. A run that puts all pixels of every scene into one slot agrees by 1 and has an F-ARI of 0:
it is left out as well. A run that is merely bad is not.
"""

from __future__ import annotations

import pandas as pd

SPATIAL_AGREEMENT = 0.5

RUN = ["variant", "seed"]


def spatial_runs(scenes: pd.DataFrame, slots: int) -> pd.DataFrame:
    """Every run with what decides whether it is spatial.

    Args:
        scenes: one row per run, scene and setting, with ``agreement`` and ``f_ari``.
        slots: the slot count of the training; only rows with it are looked at.

    Returns:
        One row per run: ``variant``, ``seed``, ``agreement``, ``f_ari``, ``spatial``.
    """
    trained = scenes[scenes["slots"] == slots]
    runs = trained.groupby(RUN, sort=False, as_index=False)[["agreement", "f_ari"]].mean()
    spatial = (runs["agreement"] >= SPATIAL_AGREEMENT) & (runs["agreement"] > runs["f_ari"])
    return runs.assign(spatial=spatial)


def without_spatial(table: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """A table of runs without those that :func:`spatial_runs` calls spatial."""
    left_out = pd.MultiIndex.from_frame(runs.loc[runs["spatial"], RUN])
    return table[~pd.MultiIndex.from_frame(table[RUN]).isin(left_out)]


def apart(scenes: pd.DataFrame, slots: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the runs that are not spatial, and rows of those that are; arguments as of :func:`spatial_runs`."""
    runs = spatial_runs(scenes, slots)
    return without_spatial(scenes, runs), without_spatial(scenes, runs.assign(spatial=~runs["spatial"]))
