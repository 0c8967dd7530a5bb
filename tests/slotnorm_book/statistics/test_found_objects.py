"""Found objects: nothing for a partition that never looks, almost everything for the truth."""

import pandas as pd
import pytest
import torch

from slotnorm.metrics.segmentation import foreground_adjusted_rand_index
from slotnorm_book.statistics.found_objects import found_by_run, nearest_slots, with_found_objects


def scenes(generator: torch.Generator, segmentation_of: str) -> pd.DataFrame:
    """Scenes of five squares at random places, segmented by the truth or by a grid that never looks."""
    truth = torch.zeros(40, 32, 32, dtype=torch.long)
    for scene in truth:
        for label, cell in enumerate(torch.randperm(16, generator=generator)[:5], start=1):
            row, column = 8 * int(cell // 4), 8 * int(cell % 4)
            scene[row : row + 6, column : column + 6] = label
    place = torch.arange(32) // 11
    segmentation = truth if segmentation_of == "truth" else (3 * place[:, None] + place).expand(truth.shape)
    own = foreground_adjusted_rand_index(truth, segmentation)
    blind = torch.stack([foreground_adjusted_rand_index(truth.roll(k, 0), segmentation) for k in (1, 2, 3, 4)]).mean(0)
    table = pd.DataFrame({"f_ari": own.numpy(), "blind_f_ari": blind.numpy()})
    return table.assign(variant="a", seed=0, test="t", slots=9, scene_id=range(40))


def test_a_blind_partition_finds_nothing_and_the_truth_nearly_everything(generator: torch.Generator) -> None:
    blind, seen = (found_by_run(scenes(generator, which), 9)["found_objects"].item() for which in ("grid", "truth"))
    assert blind == pytest.approx(0, abs=0.01)
    assert scenes(generator, "grid")["f_ari"].mean() > 0.3
    assert seen > 0.6


@pytest.mark.parametrize(
    ("counts", "trained", "nearest"), [([5, 7, 9], 7, 7), ([7, 9, 11, 13], 10, 11), ([24], 7, 24), ([5, 9], 7, 9)]
)
def test_the_nearest_slot_count_stands_for_that_of_the_training(counts: list[int], trained: int, nearest: int) -> None:
    assert nearest_slots(pd.Series(counts), trained) == nearest


def test_means_are_over_the_scenes_of_each_run_and_test_set() -> None:
    rows = [(seed, test, slots, 0.5 + 0.1 * seed) for seed in (0, 1) for test in "ab" for slots in (7, 9) for _ in "xy"]
    table = pd.DataFrame(rows, columns=["seed", "test", "slots", "f_ari"]).assign(variant="v")
    table["blind_f_ari"] = 0.1 * (table["slots"] == 7)
    found = found_by_run(table, 7)
    assert list(found["found_objects"]) == pytest.approx([0.4, 0.4, 0.5, 0.5])
    assert list(found["test"]) == ["a", "b", "a", "b"]
    assert len(found_by_run(table.iloc[:0], 7)) == 0


def test_without_the_control_found_objects_are_unknown() -> None:
    table = pd.DataFrame({"f_ari": [0.5, 0.6]})
    assert with_found_objects(table)["found_objects"].isna().all()
