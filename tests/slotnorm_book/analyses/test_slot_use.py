"""The text about unoccupied slots."""

import pandas as pd

from slotnorm_book.analyses.slot_use import describe_unoccupied

NAMES = {"weighted_mean": "Baseline"}


def rows(**used: list[float]) -> pd.DataFrame:
    """Two scenes per run with so many slots in use, one more than in the other; a run per seed, with seven slots."""
    return pd.DataFrame(
        {"variant": variant, "seed": seed, "slots": 7, "slots_in_use": value + half}
        for variant, values in used.items()
        for seed, value in enumerate(values)
        for half in (-0.5, 0.5)
    )


def test_unoccupied_slots_are_the_median_over_runs_of_the_mean_over_scenes() -> None:
    table = rows(weighted_mean=[4.0, 6.5, 7.0], other=[5.0])
    assert describe_unoccupied(table, 7, NAMES) == "0.5 of 7 (Baseline), 2.0 of 7 (other)"


def test_what_is_not_there_is_said() -> None:
    table = rows(weighted_mean=[4.0])
    assert describe_unoccupied(table, 11, NAMES) == "not evaluated with 11 slots"
    assert describe_unoccupied(table.iloc[:0], 7, NAMES) == "not run"
