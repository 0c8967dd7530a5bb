"""Chapters: every field is described; those with an experiment find recipe, store and runs."""

import ast
from typing import Any

import pytest
from typer.testing import CliRunner

from slotnorm_book.__main__ import app
from slotnorm_book.chapters import CHAPTERS, Clevr, Explorer, MoviD, ParameterError
from slotnorm_book.checkout import NOTEBOOKS
from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.notebook_files import default_expressions
from tests.helpers.command import command

VALID: dict[str, Any] = {
    "seed": 0,
    "device": "cpu",
    "scale": "smoke",
    "store": None,
    "missing": "report",
    "variants": None,
    "seeds": None,
    "slots": None,
    "data": None,
}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_describe_gives_every_field_a_kind_and_a_meaning(chapter: str) -> None:
    parameters = CHAPTERS[chapter]
    lines = parameters.describe().splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(parameters.model_fields)
    assert all(len(line.split(": ", 1)[1]) > 10 for line in lines)
    assert not any(field.is_required() is False for field in parameters.model_fields.values())


def test_parameters_that_are_none_are_the_recipe_s() -> None:
    assert Clevr.parse(VALID).recipe("clevr-6-7") == recipe("clevr-6-7", "smoke")


def test_parameters_select_a_part_of_the_recipe() -> None:
    chosen = Clevr.parse(VALID | {"variants": ["layer_norm"], "seeds": [4, 5], "slots": [3]}).recipe("clevr-6-7")
    assert [(run.variant, run.seed) for run in chosen.runs()] == [("layer_norm", 4), ("layer_norm", 5)]
    assert {test.slots for test in chosen.tests} == {(3,)}


@pytest.mark.parametrize("scale", ["cpu", "gpu", "paper"])
def test_only_a_smoke_run_goes_without_a_store(scale: str) -> None:
    with pytest.raises(ParameterError, match=f"parameter store = None: the {scale} scale needs the folder of a run"):
        Clevr.parse(VALID | {"scale": scale})


@pytest.mark.parametrize("word", ["None", "null"])
def test_a_store_of_the_word_none_is_no_folder(word: str) -> None:
    chapter = Clevr.parse(VALID | {"store": word, "variants": word, "data": word})
    assert (chapter.store, chapter.variants, chapter.data) == (None, None, None)


@pytest.mark.parametrize("name", ["store", "data"])
@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_text_names_nothing(name: str, text: str) -> None:
    with pytest.raises(ParameterError, match=f"^parameter {name} = '{text}': must not be empty; None is the default"):
        Clevr.parse(VALID | {name: text})


def test_a_folder_may_have_a_number_for_a_name() -> None:
    assert Clevr.parse(VALID | {"store": "7"}).store == "7"


def test_data_that_are_not_here_can_be_named_where_runs_are_only_shown() -> None:
    assert Clevr.parse(VALID | {"missing": "report", "data": "gone"}).data == "gone"
    with pytest.raises(ParameterError, match="parameter data = 'gone': there is no file, folder or stand-in 'gone'"):
        Clevr.parse(VALID | {"missing": "train", "data": "gone"})


@pytest.mark.parametrize(("data", "test_data"), [("synth-movi-c-features", None), (None, "synth-movi-d-features")])
def test_the_transfer_is_given_both_data_sets_or_none(data: str | None, test_data: str | None) -> None:
    with pytest.raises(ParameterError, match="data and test_data must be given together"):
        MoviD.parse(VALID | {"data": data, "test_data": test_data})


def test_the_transfer_is_tested_on_the_data_given_for_the_test() -> None:
    given = {"data": "synth-movi-d-features", "test_data": "synth-movi-c-features"}
    recipe = MoviD.parse(VALID | given).recipe("movi-d-6-7")
    assert (recipe.train.data, [test.source.data for test in recipe.tests]) == (given["data"], [given["test_data"]])


@pytest.mark.parametrize("chapter", ["08_claims", "09_cost", "91_paper_versus_code"])
def test_a_page_about_several_data_sets_takes_no_data(chapter: str) -> None:
    defaults = default_expressions(NOTEBOOKS / f"{chapter}.ipynb")
    values = {name: ast.literal_eval(expression) for name, expression in defaults.items()}
    assert CHAPTERS[chapter].parse(values)
    with pytest.raises(ParameterError, match="unknown parameter data"):
        CHAPTERS[chapter].parse(values | {"data": "synth-clevr"})


def test_the_explorer_takes_data_for_experiments_on_one_data_set() -> None:
    one = VALID | {"scenes": 2, "data": "synth-clevr"}
    assert Explorer.parse(one | {"experiments": ["clevr-6-7", "clevr-6-11"]})
    with pytest.raises(ParameterError, match="name experiments on one data set"):
        Explorer.parse(one | {"experiments": ["clevr-6-7", "movi-c-6-7"]})
    with pytest.raises(ParameterError, match="name experiments on one data set"):
        Explorer.parse(one | {"experiments": ["movi-d-6-7"]})


def test_missing_runs_are_reported(tmp_path) -> None:
    results = Clevr.parse(VALID | {"store": str(tmp_path / "runs")}).results("clevr-6-7")
    assert results.runs == ()
    assert results.description == "0 of 2 runs at smoke scale"
    assert [spec.variant for spec in results.missing] == ["weighted_mean", "weighted_sum"]
    assert results.scenes.empty
    assert not (tmp_path / "runs").exists()


def test_a_temporary_store_goes_with_its_chapter() -> None:
    chapter = Clevr.parse(VALID)
    folder = chapter.run_store.local
    assert folder is not None
    assert folder.is_dir()
    chapter.temporary.cleanup()
    assert not folder.exists()


def test_the_command_lists_every_chapter_with_what_it_is_about() -> None:
    said = CliRunner().invoke(app, ["chapters"]).stdout
    lines = [line.split(maxsplit=1) for line in said.splitlines() if line.startswith("  ")]
    assert dict(lines) == {name: str(chapter.__doc__).splitlines()[0] for name, chapter in CHAPTERS.items()}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_command_lists_every_parameter_with_the_notebook_s_default(chapter: str) -> None:
    said = CliRunner().invoke(app, ["parameters", f"notebooks/{chapter}.ipynb"]).stdout.splitlines()
    names = list(CHAPTERS[chapter].model_fields)
    assert [line.split()[0] for line in said[2:-2:2]] == names
    defaults = dict(zip(names, (line.split("; default ")[1] for line in said[3:-2:2]), strict=True))
    assert defaults["seed"] == "0"
    assert defaults.get("scale", "'smoke'") == "'smoke'"


def test_the_command_knows_no_other_chapter(monkeypatch, capsys) -> None:
    assert command(monkeypatch, "parameters", "99_none") == 2
    assert capsys.readouterr().err.startswith("error: unknown chapter '99_none'; there are 01_vmf_em, ")
