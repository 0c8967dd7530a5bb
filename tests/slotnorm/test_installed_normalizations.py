"""Normalizations of other packages are known by their entry points, and loaded when they are made."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest

from slotnorm import NORMALIZATIONS, make_normalization, normalization
from slotnorm.normalization import RIVALS, KDLayerNorm, WeightedMean, WeightedSum, known_names
from slotnorm.tasks import ObjectDiscovery
from slotnorm.training.spec import Data, RunSpec, Schedule, SpecError
from slotnorm_book.experiments.recipes import recipe

GROUP = "slotnorm.normalizations"


@pytest.fixture(autouse=True)
def _two_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    entries = [
        EntryPoint("renamed", "slotnorm.normalization:KDLayerNorm", GROUP),
        EntryPoint("weighted_mean", "slotnorm.normalization:KDLayerNorm", GROUP),
        EntryPoint("weighted_sum@0.5", "slotnorm.normalization:KDLayerNorm", GROUP),
        EntryPoint("lost", "no_such_module:Lost", GROUP),
        EntryPoint("other", "torch.nn:Identity", GROUP),
    ]
    monkeypatch.setattr(normalization, "entry_points", lambda group: entries if group == GROUP else [])
    normalization._installed.cache_clear()
    yield
    normalization._installed.cache_clear()


def test_a_name_is_known_and_made() -> None:
    assert known_names() == [*NORMALIZATIONS, *RIVALS, "renamed", "lost", "other"]
    assert isinstance(make_normalization("renamed", 4), KDLayerNorm)


def test_the_papers_names_are_not_given_away() -> None:
    assert isinstance(make_normalization("weighted_mean", 4), WeightedMean)
    assert isinstance(make_normalization("weighted_sum@0.5", 4), WeightedSum)


def test_an_entry_point_that_makes_no_normalization_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'other': its entry point torch.nn:Identity makes no slotnorm.Normalization"):
        make_normalization("other", 4)


def test_what_cannot_be_loaded_says_so_when_it_is_made() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        make_normalization("lost", 4)


def test_recipes_take_the_name_and_have_none_of_it_themselves() -> None:
    ablations = recipe("ablations", "cpu")
    assert ablations.variants == tuple(NORMALIZATIONS)
    assert ablations.select(["renamed"]).variants == ("renamed",)


def test_an_unknown_name_is_told_all_that_are_known() -> None:
    with pytest.raises(ValueError, match=r"unknown normalization 'rename'.* renamed"):
        make_normalization("rename", 4)
    with pytest.raises(SpecError, match=r"unknown variant 'rename'.* renamed"):
        RunSpec(ObjectDiscovery(), Data("synth-clevr", "fa8e"), "rename", seed=0, schedule=Schedule())
