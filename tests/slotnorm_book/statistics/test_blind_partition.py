"""The blind partition: what it must find, what it cannot, and that all of its cells are there."""

import pytest
import torch

from slotnorm.metrics import blind_foreground_adjusted_rand_index, foreground_adjusted_rand_index
from slotnorm_book.statistics.blind_partition import fit_blind_partition, mean_f_ari

SIZE = 12


def quarters() -> torch.Tensor:
    """Return scenes whose four objects lie in the same quarters under shuffled labels, with background between."""
    generator = torch.Generator().manual_seed(0)
    place = torch.arange(SIZE).div(SIZE // 2, rounding_mode="floor")
    quarter = 2 * place[:, None] + place
    scenes = torch.stack([(1 + torch.randperm(4, generator=generator))[quarter] for _ in range(8)])
    return scenes * (torch.rand(scenes.shape, generator=generator) < 0.7)


def test_objects_that_always_lie_at_the_same_places_are_found_blindly():
    truths = quarters()
    assert mean_f_ari(truths, fit_blind_partition(truths, 4)) > 0.9


@pytest.mark.parametrize("cells", [1, 2, 7, 21])
def test_every_cell_owns_a_pixel(cells):
    partition = fit_blind_partition(quarters(), cells, moves=30)
    assert partition.shape == (SIZE, SIZE)
    assert partition.unique().tolist() == list(range(cells))


def test_the_search_improves_what_it_started_from():
    truths = quarters()
    start, end = (mean_f_ari(truths, fit_blind_partition(truths, 4, moves=moves)) for moves in (0, 200))
    assert end > start


def test_a_blind_partition_finds_nothing_by_its_control(generator):
    truths = torch.randint(0, 5, (40, SIZE, SIZE), generator=generator)
    same = fit_blind_partition(truths, 5, moves=10).expand(truths.shape)
    found = foreground_adjusted_rand_index(truths, same) - blind_foreground_adjusted_rand_index(truths, same)
    assert abs(found.mean().item()) < 0.01


@pytest.mark.parametrize("cells", [0, SIZE**2 + 1])
def test_an_impossible_number_of_cells_is_refused(cells):
    with pytest.raises(ValueError, match=f"cells must lie in 1..{SIZE**2}"):
        fit_blind_partition(quarters(), cells)


def test_no_scenes_are_refused():
    with pytest.raises(ValueError, match="there must be a scene"):
        fit_blind_partition(torch.zeros(0, SIZE, SIZE, dtype=torch.long), 3)
