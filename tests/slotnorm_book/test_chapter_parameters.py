"""The parameters of a chapter: what is right is kept, what is wrong is refused by name before any work."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, Field, ValidationError

from slotnorm import NORMALIZATIONS
from slotnorm_book.chapter_parameters import (
    ChapterParameters,
    ListOf,
    NormalizationName,
    ParameterError,
    SlotCount,
    check_data_exists,
    check_power_of_two,
    read_word,
)


class Example(ChapterParameters):
    """A chapter with a parameter of every kind."""

    data: Annotated[str, AfterValidator(check_data_exists)] = Field(description="what it is run on")
    image_size: Annotated[int, AfterValidator(check_power_of_two)] = Field(
        ge=16, le=128, description="side of the images"
    )
    variants: ListOf[NormalizationName] = Field(description="normalizations")
    steps: int = Field(ge=1, le=500_000, description="training steps")
    learning_rate: float = Field(gt=0, le=1, description="peak learning rate")
    slots: ListOf[SlotCount] = Field(description="slot counts")
    seeds: ListOf[int] | None = Field(description="one run each, or None")


VALID: dict[str, Any] = {
    "seed": 0,
    "device": "cpu",
    "data": "synth-clevr",
    "image_size": 32,
    "variants": ["weighted_mean", "batch_norm"],
    "steps": 3,
    "learning_rate": 4e-4,
    "slots": [5, 7],
    "seeds": None,
}
UNKNOWN_NORMALIZATION = f"unknown normalization 'bn'; there are {', '.join(NORMALIZATIONS)}"


def test_parse_keeps_what_is_right() -> None:
    parsed = Example.parse(VALID)
    assert parsed.slots == (5, 7)
    assert parsed.variants == ("weighted_mean", "batch_norm")
    assert parsed.learning_rate == VALID["learning_rate"]


@pytest.mark.parametrize("part", ["", "test"])
def test_data_may_be_a_prepared_split_or_a_folder_of_them(part: str, tmp_path: Path) -> None:
    (tmp_path / part).mkdir(exist_ok=True)
    (tmp_path / part / "manifest.json").touch()
    assert Example.parse(VALID | {"data": str(tmp_path)}).data == str(tmp_path)


@pytest.mark.parametrize("name", ["clevr.tfrecords", "movi.online.json"])
def test_data_may_be_a_file_that_a_maker_opens(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    assert Example.parse(VALID | {"data": str(tmp_path / name)}).data == str(tmp_path / name)


def test_parameters_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Example.parse(VALID).seed = 1  # type: ignore[misc]


def test_lists_may_be_json_as_papermill_hands_them_over() -> None:
    parsed = Example.parse(VALID | {"slots": "[3, 9]", "variants": '["layer_norm"]'})
    assert parsed.slots == (3, 9)
    assert parsed.variants == ("layer_norm",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "parameter steps = 0: Input should be greater than or equal to 1"),
        ({"steps": 10.5}, "parameter steps = 10.5: Input should be a valid integer"),
        ({"steps": True}, "parameter steps = True: Input should be a valid integer"),
        ({"steps": ""}, "parameter steps = '': Input should be a valid integer"),
        ({"steps": "None"}, "parameter steps = None: Input should be a valid integer"),
        ({"device": "None"}, "parameter device = None: Input should be 'auto', 'cpu', 'cuda' or 'mps'"),
        ({"variants": [""]}, "parameter variants = '': must not be empty\n"),
        ({"steps": "many"}, "parameter steps = 'many': Input should be a valid integer"),
        ({"seed": 2**32}, "parameter seed = 4294967296: Input should be less than or equal to 4294967295"),
        ({"image_size": 48}, "parameter image_size = 48: must be a power of two"),
        ({"device": "tpu"}, "parameter device = 'tpu': Input should be 'auto', 'cpu', 'cuda' or 'mps'"),
        ({"data": "nowhere"}, "parameter data = 'nowhere': there is no file, folder or stand-in 'nowhere'"),
        ({"data": "pyproject.toml"}, "parameter data = 'pyproject.toml': 'pyproject.toml' exists but is neither"),
        ({"data": "tests"}, "parameter data = 'tests': 'tests' exists but is neither"),
        ({"variants": ["bn"]}, f"parameter variants = 'bn': {UNKNOWN_NORMALIZATION}"),
        ({"variants": "batch_norm"}, "parameter variants = 'batch_norm': 'batch_norm' is not a list in JSON, such as"),
        ({"slots": []}, "parameter slots = (): List should have at least 1 item"),
        ({"slots": [5, 257]}, "parameter slots = 257: Input should be less than or equal to 256"),
        ({"slots": [7, 5, 7]}, "parameter slots = (7, 5, 7): must name each once"),
        ({"slots": "[7, 7]"}, "parameter slots = (7, 7): must name each once"),
        ({"variants": ["layer_norm", "layer_norm"]}, "parameter variants = ('layer_norm', 'layer_norm'): must name"),
        ({"seeds": [1, 1]}, "parameter seeds = (1, 1): must name each once"),
        ({"slots": 7}, "parameter slots = 7: Input should be a valid list"),
        ({"learning_rate": float("nan")}, "parameter learning_rate = nan"),
        ({"stepz": 3}, "unknown parameter stepz; do you mean steps?"),
        ({"qqq": 3}, "unknown parameter qqq\n"),
    ],
)
def test_parse_names_parameter_value_and_what_would_be_right(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Example.parse(VALID | change)
    assert str(caught.value).startswith(message)
    assert caught.value.args[0].endswith(Example.describe())


def test_parse_names_every_problem_at_once() -> None:
    with pytest.raises(ParameterError) as caught:
        Example.parse({name: value for name, value in VALID.items() if name != "seed"} | {"steps": -1, "foo": 2})
    problems = str(caught.value).split("\n\n")[0].splitlines()
    assert sorted(line.split(":")[0] for line in problems) == [
        "parameter seed is missing",
        "parameter steps = -1",
        "unknown parameter foo",
    ]


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ParameterError, match=f"no {device.upper()} device is available; use auto or cpu"):
        Example.parse(VALID | {"device": device})


@pytest.mark.parametrize(("available", "device"), [(True, "cuda"), (False, "cpu")])
def test_auto_is_the_best_device(available: bool, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert Example.parse(VALID | {"device": "auto"}).torch_device == torch.device(device)


def test_describe_tells_kind_and_range() -> None:
    text = Example.describe()
    assert "steps" in text
    assert "int ≥ 1 ≤ 500000: training steps" in text
    assert "list of int | None: one run each, or None" in text


def test_from_notebook_reads_the_fields_and_nothing_else() -> None:
    namespace = VALID | {"other": 1, "In": ["", "seed = 0"]}
    assert Example.from_notebook(namespace) == Example.parse(VALID)


def test_from_notebook_refuses_a_name_that_papermill_injected_in_vain() -> None:
    namespace = VALID | {"stepz": 5, "In": ["", "steps = 3", "# Parameters\nsteps = 3\nstepz = 5\n"]}
    with pytest.raises(ParameterError, match=r"^unknown parameter stepz; do you mean steps\?"):
        Example.from_notebook(namespace)


def test_the_paths_that_papermill_injects_are_no_parameters() -> None:
    injected = '# Parameters\nsteps = 5\nPAPERMILL_INPUT_PATH = "a"\nPAPERMILL_OUTPUT_PATH = "b"\n'
    namespace = VALID | {"steps": 5, "PAPERMILL_INPUT_PATH": "a", "PAPERMILL_OUTPUT_PATH": "b", "In": ["", injected]}
    assert Example.from_notebook(namespace).steps == 5


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # papermill's own imports
@pytest.mark.parametrize(
    "word", ["None", "True", "False", "7", "-7", "1_000", "1e-3", ".5", "nan", "runs", "", "[5, 7]", "true", "None "]
)
def test_a_word_is_read_as_papermill_reads_it(word: str) -> None:
    from papermill.cli import _resolve_type

    assert repr(read_word(word)) == repr(_resolve_type(word))


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("seeds", "None", None),
        ("seeds", "null", None),
        ("seeds", "[1, 2]", (1, 2)),
        ("steps", "10", 10),
        ("learning_rate", "1e-3", 1e-3),
        ("device", "cpu", "cpu"),
    ],
)
def test_a_text_is_read_in_one_way(name: str, text: str, value: object) -> None:
    assert getattr(Example.parse(VALID | {name: text}), name) == value
    assert getattr(Example.parse(VALID | {name: read_word(text)}), name) == value


def test_from_notebook_heeds_the_latest_injected_cell_only() -> None:
    history = ["", "# Parameters\nstepz = 5\n", "# Parameters\nsteps = 5\n", "p = Example.from_notebook(globals())"]
    assert Example.from_notebook(VALID | {"steps": 5, "In": history}).steps == 5


@given(steps=st.integers(), slots=st.lists(st.integers(-2, 300), max_size=4))
def test_parse_accepts_exactly_the_documented_ranges(steps: int, slots: list[int]) -> None:
    valid = 1 <= steps <= 500_000 and 0 < len(slots) == len(set(slots)) and all(1 <= count <= 256 for count in slots)
    with nullcontext() if valid else pytest.raises(ParameterError):
        parsed = Example.parse(VALID | {"steps": steps, "slots": slots})
        assert (parsed.steps, parsed.slots) == (steps, tuple(slots))
