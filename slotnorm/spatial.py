"""Which runs cut every scene up alike: the criterion for a "spatial" run.

Sec. 5.1 omits runs that "decompose the input spatially instead of object-wise" and tells no more. Here a run is spatial
if the segmentations of consecutive test scenes, at the slot count it was trained with, agree in the mean by an adjusted
Rand index of at least :data:`SPATIAL_AGREEMENT`. A fixed grid or fixed stripes agree by 1, whatever the scenes hold,
and segmentations that follow unrelated scenes by no more than chance, which is 0, plus what a shared background adds:
half-way is the rule. It does not look at F-ARI, so it cannot prefer a variant for being good. A run that puts all
pixels of every scene into one slot agrees by 1 too, and is left out as well.
"""

from __future__ import annotations

import pandas as pd

SPATIAL_AGREEMENT = 0.5

RUN = ["variant", "seed"]


def spatial_runs(scenes: pd.DataFrame, slots: int) -> pd.DataFrame:
    """Every run with its mean agreement and whether that makes it spatial.

    Args:
        scenes: one row per run, scene and setting, with ``agreement``.
        slots: the slot count of the training; only rows with it are looked at.

    Returns:
        One row per run: ``variant``, ``seed``, ``agreement``, ``spatial``.
    """
    trained = scenes[scenes["slots"] == slots]
    runs = trained.groupby(RUN, sort=False, as_index=False)["agreement"].mean()
    return runs.assign(spatial=runs["agreement"] >= SPATIAL_AGREEMENT)


def without_spatial(table: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """A table of runs without those that :func:`spatial_runs` calls spatial."""
    left_out = pd.MultiIndex.from_frame(runs.loc[runs["spatial"], RUN])
    return table[~pd.MultiIndex.from_frame(table[RUN]).isin(left_out)]
