"""The experiments beyond the paper: names of scaled sums, and that runs are shared with MOVi-C (6, 7)."""

import json

import pytest
import torch

from slotnorm import make_normalization
from slotnorm.normalization import WeightedSum, is_known, scale_factor, scaled_name
from slotnorm.training.spec import Data, RunSpec, SpecError
from slotnorm_book.chapter_parameters import check_normalization
from slotnorm_book.checkout import RECORDS
from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.experiments.recipes.recipe import SCALES


@pytest.fixture
def _described(monkeypatch) -> None:
    """Data are named and not opened, so that the paper's recipe can be read without them."""
    monkeypatch.setattr(
        "slotnorm_book.experiments.data_sources.Source.describe",
        lambda self, most=None: Data(self.data, self.part, most),
    )


@pytest.mark.parametrize("factor", [1 / 64, 1 / 16, 0.25, 1.0, 4.0, 1e-6, 1e9])
def test_a_scale_has_one_name_that_gives_it_back(factor):
    name = scaled_name(factor)
    assert scale_factor(name) == factor
    assert is_known(name)


@pytest.mark.parametrize(
    "name",
    [
        *(f"weighted_sum@{text}" for text in ("1", "0.250", "0", "-1", "inf", "nan", "", "x", "1/4")),
        "layer_norm@2",
        "2",
        "",
    ],
)
def test_other_spellings_are_no_names(name):
    assert scale_factor(name) is None
    assert not is_known(name)
    with pytest.raises(ValueError, match="unknown normalization"):
        make_normalization(name, 4)


@pytest.mark.parametrize(
    ("text", "right"), [("0.250", "@0.25"), ("1e-1", "@0.1"), ("1.0", ""), ("0.1234567", "@0.123457")]
)
def test_another_spelling_of_a_scale_is_pointed_to_its_name(text, right):
    message = f"'weighted_sum@{text}'; write 'weighted_sum{right}', which has at most six digits"
    with pytest.raises(ValueError, match=f"unknown normalization {message}"):
        make_normalization(f"weighted_sum@{text}", 4)
    with pytest.raises(ValueError, match=f"unknown normalization {message}"):
        check_normalization(f"weighted_sum@{text}")
    spec = recipe("scale", "smoke").runs()[0].to_json()
    with pytest.raises(SpecError, match=f"unknown variant {message}"):
        RunSpec.from_json(spec | {"variant": f"weighted_sum@{text}"})


def test_the_factor_is_c_over_n():
    values, attention = torch.randn(2, 20, 4), torch.rand(2, 3, 20)
    plain, _ = make_normalization("weighted_sum", 4)(values, attention)
    scaled, _ = make_normalization("weighted_sum@0.25", 4)(values, attention)
    torch.testing.assert_close(scaled, 4 * plain, rtol=0, atol=0)  # a power of two moves the exponent alone


def test_a_factor_must_be_positive():
    with pytest.raises(ValueError, match="factor must be positive, got 0"):
        WeightedSum(4, factor=0.0)


def test_unknown_variants_are_refused_as_before():
    spec = recipe("scale", "smoke").runs()[0].to_json()
    assert RunSpec.from_json(spec | {"variant": "weighted_sum@2"}).name.startswith("weighted_sum@2-seed0-")
    with pytest.raises(SpecError, match="unknown variant 'weighted_sum@1'"):
        RunSpec.from_json(spec | {"variant": "weighted_sum@1"})


@pytest.mark.usefixtures("_described")
@pytest.mark.parametrize("scale", SCALES)
def test_the_paper_s_own_scale_is_the_run_of_movi_c(scale):
    seeds = recipe("scale", scale).seeds
    movi = {(run.variant, run.seed): run.name for run in recipe("movi-c-6-7", scale).select(seeds=seeds).runs()}
    scaled = {(run.variant, run.seed): run.name for run in recipe("scale", scale).runs()}
    assert recipe("scale", scale).tests == recipe("movi-c-6-7", scale).tests
    assert {key: scaled[key] for key in movi.keys() & scaled.keys()} == {
        key: name for key, name in movi.items() if key[0] == "weighted_sum"
    }


@pytest.mark.usefixtures("_described")
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", ["many-slots", "iterations"])
def test_the_other_experiments_evaluate_the_runs_of_movi_c(name, scale):
    trained, shown = recipe("movi-c-6-7", scale), recipe(name, scale)
    assert shown.runs() == trained.select(seeds=shown.seeds).runs()
    assert len(shown.seeds) <= 3
    (test,) = shown.tests
    assert test.spec().key == trained.tests[-1].spec().key  # what MOVi-C has evaluated is not evaluated again


def test_committed_runs_keep_their_names():
    """Whatever was added to the variants: the names of the records in the book are hashes of their specs."""
    folders = sorted(path for path in RECORDS.iterdir() if (path / "record.json").exists())
    assert folders
    for folder in folders:
        record = json.loads((folder / "record.json").read_text())
        assert RunSpec.from_json(record["spec"]).name == folder.name
