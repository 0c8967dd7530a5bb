"""The criterion for spatial runs, on segmentations that are spatial, object-wise, and neither."""

import pandas as pd
import pytest
import torch
from torch import Tensor

from slotnorm.metrics.segmentation import adjusted_rand_index, foreground_adjusted_rand_index
from slotnorm_book.statistics.found_objects import LEAST_FOUND
from slotnorm_book.statistics.spatial_runs import (
    SPATIAL_AGREEMENT,
    flag_by_training,
    flag_spatial_runs,
    split_spatial_runs,
    without_spatial,
)


def table(agreements: dict[tuple[str, int], float], found: float = 0.05) -> pd.DataFrame:
    rows = [
        (variant, seed, slots, value if slots == 7 else 1 - value, 0.5, 0.5 - found)
        for (variant, seed), value in agreements.items()
        for slots in (5, 7)
    ]
    return pd.DataFrame(rows, columns=["variant", "seed", "slots", "agreement", "f_ari", "blind_f_ari"])


RUNS = table({("batch_norm", 0): 0.9, ("batch_norm", 1): 0.1, ("weighted_mean", 0): SPATIAL_AGREEMENT})


def test_a_run_is_spatial_by_its_agreement_at_the_training_slot_count() -> None:
    runs = flag_spatial_runs(RUNS, slots=7)
    assert list(runs["variant"] + runs["seed"].astype(str)) == ["batch_norm0", "batch_norm1", "weighted_mean0"]
    assert list(runs["spatial"]) == [True, False, True]
    assert list(flag_spatial_runs(RUNS, slots=5)["spatial"]) == [False, True, True]


def test_where_the_training_slots_were_not_evaluated_the_nearest_count_decides() -> None:
    assert list(flag_spatial_runs(RUNS, slots=24)["spatial"]) == [True, False, True]
    assert list(flag_spatial_runs(RUNS, slots=6)["spatial"]) == [True, False, True]


def test_a_run_that_finds_objects_is_not_spatial() -> None:
    assert not flag_spatial_runs(table({("batch_norm", 0): 0.9}, found=LEAST_FOUND + 0.01), slots=7)["spatial"].any()
    assert flag_spatial_runs(table({("batch_norm", 0): 0.9}, found=LEAST_FOUND - 0.01), slots=7)["spatial"].all()


@pytest.mark.parametrize("lacking", ["column", "values"])
def test_a_run_without_the_control_cannot_be_called_spatial(lacking: str) -> None:
    old = RUNS.drop(columns="blind_f_ari") if lacking == "column" else RUNS.assign(blind_f_ari=float("nan"))
    assert not flag_spatial_runs(old, slots=7)["spatial"].any()


def test_means_are_over_scenes_and_the_first_has_none() -> None:
    scenes = pd.DataFrame({"variant": "a", "seed": 0, "slots": 7, "agreement": [float("nan"), 0.2, 0.6], "f_ari": 0.5})
    assert flag_spatial_runs(scenes, 7)["agreement"].item() == 0.4


def test_leaving_out_takes_whole_runs() -> None:
    left = without_spatial(RUNS, flag_spatial_runs(RUNS, slots=7))
    assert set(zip(left["variant"], left["seed"], strict=True)) == {("batch_norm", 1)}
    assert len(left) == 2


def test_runs_of_several_trainings_are_judged_by_the_slots_of_each() -> None:
    runs = flag_by_training({"few": (RUNS, 7), "many": (RUNS, 5)})
    assert list(runs["training"]) == ["few"] * 3 + ["many"] * 3
    assert list(runs["spatial"]) == [True, False, True, False, True, True]


def test_nothing_to_judge_leaves_everything() -> None:
    nothing = flag_spatial_runs(RUNS.iloc[:0], slots=7)
    assert len(nothing) == 0
    assert len(without_spatial(RUNS, nothing)) == len(RUNS)


def _is_spatial(truth: Tensor, segmentation: Tensor) -> bool:
    agreement = adjusted_rand_index(segmentation[:-1], segmentation[1:])
    f_ari, blind = (
        foreground_adjusted_rand_index(scenes, segmentation)[1:].numpy() for scenes in (truth, truth.roll(1, 0))
    )
    scenes = pd.DataFrame({"agreement": agreement.numpy(), "f_ari": f_ari, "blind_f_ari": blind})
    return bool(flag_spatial_runs(scenes.assign(variant="a", seed=0, slots=7), slots=7)["spatial"].item())


def _discs(count: int, generator: torch.Generator) -> Tensor:
    """Scenes of five discs on a background that is label 0, shape (count, 32, 32)."""
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    scenes = torch.zeros(count, 32, 32, dtype=torch.long)
    for scene in scenes:
        for label in range(1, 6):
            row, column = torch.randint(4, 28, (2,), generator=generator)
            scene[(rows - row) ** 2 + (columns - column) ** 2 < 16] = label
    return scenes


def test_segmentations_of_either_kind(generator: torch.Generator) -> None:
    """Stripes whose slots change places and borders wobble; objects on a whole, a halved and a shared background."""
    truth, column, row = _discs(20, generator), torch.arange(32), torch.arange(32)[:, None]
    stripes = torch.stack([((column + shift % 2) // 5 + shift) % 7 for shift in range(20)])
    assert _is_spatial(truth, stripes[:, None].expand(20, 32, 32))
    assert _is_spatial(truth, torch.zeros_like(truth))
    for background in (0 * column, column // 16, column // 11 + 3 * (row // 16)):
        assert not _is_spatial(truth, torch.where(truth == 0, 10 + background, truth))


def test_a_bad_run_is_not_yet_a_spatial_one(generator: torch.Generator) -> None:
    noise = torch.randint(7, (20, 32, 32), generator=generator)
    assert not _is_spatial(_discs(20, generator), noise)


def test_runs_are_split_whole() -> None:
    object_wise, spatial = split_spatial_runs(RUNS, slots=7)
    assert set(zip(object_wise["variant"], object_wise["seed"], strict=True)) == {("batch_norm", 1)}
    assert set(zip(spatial["variant"], spatial["seed"], strict=True)) == {("batch_norm", 0), ("weighted_mean", 0)}
    assert len(object_wise) + len(spatial) == len(RUNS)
    assert [len(part) for part in split_spatial_runs(RUNS.iloc[:0], slots=7)] == [0, 0]
