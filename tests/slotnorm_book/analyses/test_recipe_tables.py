"""The tables of model and protocol say what the paper's Tables 2 to 5 and Appendices E, F and I say."""

import pytest

from slotnorm_book.analyses.recipe_tables import model_table, protocol_table
from slotnorm_book.experiments.recipes import EXPERIMENTS, recipe


def column(table, name: str) -> dict[str, str]:
    return dict(zip(table.iloc[:, 0], table[name], strict=True))


def test_the_layers_of_tables_2_and_3() -> None:
    paper = column(model_table(recipe("clevr-6-7", "cpu")), "paper")
    assert paper["encoder"] == "4 × conv 5×5 to 64, positions, layer norm, 2 × linear to 64"
    assert paper["decoder, for each slot"] == (
        "positions, 4 × transposed conv 5×5 stride 2 to 64, transposed conv 5×5 to 64, transposed conv 3×3 to 4"
    )
    assert paper["Slot Attention"].endswith("slots of 64, GRU, perceptron of 128")


def test_the_layers_of_tables_4_and_5() -> None:
    paper = column(model_table(recipe("movi-c-6-7", "cpu")), "paper")
    assert paper["encoder"] == "layer norm, linear to 768, linear to 128"
    assert paper["decoder, for each slot"] == "positions, 3 × linear to 1024, linear to 769"
    assert paper["Slot Attention"].endswith("slots of 128, GRU, perceptron of 512")


def test_the_layers_of_property_prediction() -> None:
    paper = column(model_table(recipe("properties", "cpu")), "paper")
    assert paper["encoder"].startswith("conv 5×5 to 64, 2 × conv 5×5 stride 2 to 64, conv 5×5 to 64, positions")
    assert paper["predictor, for each slot"] == "linear to 64, linear to 19"


def test_the_protocol_of_appendix_e() -> None:
    paper = column(protocol_table(recipe("clevr-6-7", "cpu")), "paper")
    assert paper["steps"] == "500,000"
    assert paper["peak of the learning rate"] == "0.000373"
    assert paper["objects in a training scene"] == "at most 6"
    assert paper["slots at evaluation"] == "5, 7, 9, 11, 13, 15, 17, 19, 21"
    assert paper["iterations at evaluation"] == "5"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_what_differs_is_bold_and_nothing_else(name: str) -> None:
    table = protocol_table(recipe(name, "smoke"))
    assert table["here"].str.startswith("**").any()
    for paper, here in zip(table["paper"], table["here"], strict=True):
        assert here.startswith("**") == (here.strip("*") != paper)
    alike = protocol_table(recipe(name, "paper"))
    assert not alike["here"].str.startswith("**").any()
