"""Found objects: by how much a segmentation fits its own scene better than other scenes.

The F-ARI of a segmentation that never looks at the picture can be 0.5. ``blind_f_ari`` is the F-ARI of a scene's
segmentation against the objects of four other scenes, their mean, and *found objects* are ``f_ari - blind_f_ari``: 0
for any fixed partition of the image, whatever its F-ARI.
"""

from __future__ import annotations

import pandas as pd

ENOUGH_FOUND = 0.2
"""Found objects of the baseline from which variants can be compared about finding objects."""
LEAST_FOUND = 0.1
"""A variant or run with less finds no objects."""

RUN = ["variant", "seed"]


def nearest_slots(counts: pd.Series, trained: int) -> int:
    """Choose the slot count that is nearest to that of the training, the larger of two that are equally near.

    Most experiments are evaluated with the slots of their training; property prediction (10) and MOVi-D (24) are not.

    Args:
        counts: slot counts of the evaluation, one or more; a count may stand there many times.
        trained: slots in training.
    """
    return min(map(int, counts.unique()), key=lambda slots: (abs(slots - trained), -slots))


def with_found_objects(scenes: pd.DataFrame) -> pd.DataFrame:
    """Add the column ``found_objects``; NaN where a run has not been evaluated for ``blind_f_ari``.

    Args:
        scenes: rows with ``f_ari``; ``blind_f_ari`` may be absent.
    """
    blind = scenes["blind_f_ari"].astype(float) if "blind_f_ari" in scenes else float("nan")
    return scenes.assign(found_objects=scenes["f_ari"] - blind)


def found_by_run(scenes: pd.DataFrame, trained: int) -> pd.DataFrame:
    """Average found objects over the scenes of each run and test set, at the slots of the training.

    Args:
        scenes: one row per run, test set, scene and setting.
        trained: slots in training; see :func:`nearest_slots`.

    Returns:
        One row per run and test set: ``variant``, ``seed``, ``test``, ``found_objects``.
    """
    keys = [*RUN, "test"]
    if scenes.empty:
        return pd.DataFrame(columns=[*keys, "found_objects"])
    rows = scenes[scenes["slots"] == nearest_slots(scenes["slots"], trained)]
    return with_found_objects(rows).groupby(keys, sort=False, as_index=False)["found_objects"].mean()
