"""EM as a segmenter: scenes whose parts are plain directions, and tables like those of models."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import normalize

from slotnorm.data.splits import Split
from slotnorm.metrics.segmentation import adjusted_rand_index
from slotnorm_book.analyses.em_segmentation import (
    ITERATIONS,
    TEMPERATURES,
    TOLERANCE,
    choose_temperature,
    describe_em_beside,
    fit_scenes,
    join_on_shared_scenes,
    project_to_sphere,
    segment,
    segment_with_em,
)
from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.theory.em import fit
from slotnorm_book.theory.vmf import sample
from slotnorm_book.variants import EM, EM_EQUAL


def halves(size: int = 8, dim: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """A grid whose left and right halves scatter around two directions, and the truth in twice its resolution."""
    labels = torch.zeros(size, size, dtype=torch.long)
    labels[:, size // 2 :] = 1
    directions = torch.eye(dim, dtype=torch.float64)[labels.flatten()]
    points = sample(directions, 0.02, torch.Generator().manual_seed(0))
    return points, labels.repeat_interleave(2, 0).repeat_interleave(2, 1)


@pytest.mark.parametrize("estimate_weights", [True, False])
def test_two_halves_are_told_apart(estimate_weights):
    points, truth = halves()
    generator = torch.Generator().manual_seed(3)
    found = segment(points[None], 2, generator=generator, temperature=0.05, estimate_weights=estimate_weights, size=16)
    assert adjusted_rand_index(truth[None], found).item() > 0.95  # a bilinear border may move by a pixel


@pytest.mark.parametrize("estimate_weights", [True, False])
def test_many_scenes_at_once_are_fitted_like_each_alone(estimate_weights, generator):
    points = normalize(torch.randn(5, 40, 6, dtype=torch.float64, generator=generator), dim=-1)
    points[3] = points[3, :1]  # converges at once, and leaves the batch before the others
    draws = torch.Generator().manual_seed(7)
    chosen = [torch.randperm(40, generator=draws)[:4] for _ in points]
    found = fit_scenes(points, torch.stack([p[c] for p, c in zip(points, chosen, strict=True)]), 0.1, estimate_weights)
    draws = torch.Generator().manual_seed(7)
    for scene, result in zip(points, found, strict=True):
        alone = fit(scene, 4, draws, 0.1, estimate_weights, iterations=ITERATIONS, tolerance=TOLERANCE)
        torch.testing.assert_close(result, alone.responsibilities)


def test_points_are_layer_normalized_and_of_unit_length():
    points = project_to_sphere(torch.randn(2, 5, 7) * 3 + 1)
    torch.testing.assert_close(points.norm(dim=-1), torch.ones(2, 5))
    torch.testing.assert_close(points.sum(dim=-1), torch.zeros(2, 5), atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def split() -> Split:
    return recipe("movi-c-6-7", "smoke").train.open()


def test_a_run_is_a_function_of_its_seed_and_looks_like_a_models():
    test = recipe("movi-c-6-7", "smoke").tests[-1]
    table = segment_with_em(test, scenes=2, counts=[3, 5], seeds=[0, 1], temperature=0.1)
    again = segment_with_em(test, scenes=2, counts=[5], seeds=[1], temperature=0.1)
    assert len(table) == 2 * 2 * 2 * 2
    assert set(table["variant"]) == {EM, EM_EQUAL}
    same = table[(table["seed"] == 1) & (table["slots"] == 5)].reset_index(drop=True)
    pd.testing.assert_frame_equal(same, again)
    assert set(table["test"]) == {test.label}
    assert table["f_ari"].notna().all()


def test_the_temperature_is_one_of_the_grid_and_the_best(split):
    assert choose_temperature(split, scenes=2, num_components=4) in TEMPERATURES


def test_models_are_shown_on_the_scenes_and_counts_of_em():
    rows = {"test": "T", "f_ari": 0.5}
    em = pd.DataFrame([{"variant": EM, "slots": 5, "scene_id": 1, **rows}])
    models = pd.DataFrame(
        [{"variant": "batch_norm", "slots": k, "scene_id": s, **rows} for k in (5, 7) for s in (1, 2)]
        + [{"variant": "batch_norm", "slots": 5, "scene_id": 1, **rows, "test": "other"}]
    )
    table = join_on_shared_scenes(models, em)
    assert table[["variant", "slots", "scene_id"]].to_numpy().tolist() == [["batch_norm", 5, 1], [EM, 5, 1]]
    pd.testing.assert_frame_equal(join_on_shared_scenes(pd.DataFrame(), em), em)
    assert np.isfinite(table["f_ari"]).all()


def test_em_is_described_beside_the_variant_with_the_highest_f_ari():
    rows = [
        {"variant": name, "seed": 0, "slots": slots, "scene_id": 0, "f_ari": f_ari, "blind_f_ari": 0.25}
        for name, f_ari in {EM: 0.75, EM_EQUAL: 0.8, "weighted_mean": 0.5, "batch_norm": 0.625}.items()
        for slots in (7, 21)
    ]
    table = pd.DataFrame(rows)
    table.loc[table["slots"] == 7, "f_ari"] = 0.3
    assert describe_em_beside(table, 21, {"batch_norm": "Batch Norm"}) == (
        "EM that estimates its weights has a mean F-ARI of 0.75 (found objects 0.50), the variant with the highest, "
        "Batch Norm, 0.62 (found objects 0.38)"
    )
    assert describe_em_beside(table[table["variant"] == EM], 21, {}) == "no models are there to compare EM with"
