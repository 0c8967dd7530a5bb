from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from slotnorm import NORMALIZATIONS
from slotnorm.chapters import CHAPTERS, Clevr, ParameterError, find_data

VALID: dict[str, Any] = {
    "seed": 0,
    "device": "cpu",
    "data": "pyproject.toml",
    "scenes": 16,
    "variants": ["weighted_mean", "batch_norm"],
    "image_size": 32,
    "width": 16,
    "encoder_layers": 3,
    "max_objects": 6,
    "train_slots": 7,
    "steps": 3,
    "batch_size": 2,
    "learning_rate": 4e-4,
    "warmup": 1,
    "slots": [5, 7],
    "iterations_eval": 5,
}
UNKNOWN_NORMALIZATION = f"unknown normalization 'bn'; there are {', '.join(NORMALIZATIONS)}"


def test_parse_keeps_what_is_right() -> None:
    parsed = Clevr.parse(VALID)
    assert parsed.slots == (5, 7)
    assert parsed.variants == ("weighted_mean", "batch_norm")
    assert parsed.learning_rate == VALID["learning_rate"]


def test_parameters_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Clevr.parse(VALID).seed = 1  # type: ignore[misc]


def test_lists_may_be_json_as_papermill_hands_them_over() -> None:
    parsed = Clevr.parse(VALID | {"slots": "[3, 9]", "variants": '["layer_norm"]'})
    assert parsed.slots == (3, 9)
    assert parsed.variants == ("layer_norm",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "parameter steps = 0: Input should be greater than or equal to 1"),
        ({"steps": 10.5}, "parameter steps = 10.5: Input should be a valid integer"),
        ({"steps": True}, "parameter steps = True: Input should be a valid integer"),
        ({"steps": "many"}, "parameter steps = 'many': Input should be a valid integer"),
        ({"seed": 2**32}, "parameter seed = 4294967296: Input should be less than or equal to 4294967295"),
        ({"image_size": 48}, "parameter image_size = 48: must be a power of two"),
        ({"device": "tpu"}, "parameter device = 'tpu': Input should be 'auto', 'cpu', 'cuda' or 'mps'"),
        ({"data": "nowhere"}, "parameter data = 'nowhere': no file or folder 'nowhere'"),
        ({"variants": ["bn"]}, f"parameter variants = 'bn': {UNKNOWN_NORMALIZATION}"),
        ({"variants": "batch_norm"}, "parameter variants = 'batch_norm': 'batch_norm' is no list in JSON, such as"),
        ({"slots": []}, "parameter slots = (): List should have at least 1 item"),
        ({"slots": [5, 65]}, "parameter slots = 65: Input should be less than or equal to 64"),
        ({"slots": 7}, "parameter slots = 7: Input should be a valid list"),
        ({"learning_rate": float("nan")}, "parameter learning_rate = nan"),
        ({"stepz": 3}, "unknown parameter stepz; do you mean steps?"),
        ({"qqq": 3}, "unknown parameter qqq\n"),
    ],
)
def test_parse_names_parameter_value_and_what_would_be_right(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Clevr.parse(VALID | change)
    assert str(caught.value).startswith(message)
    assert caught.value.args[0].endswith(Clevr.describe())


def test_parse_names_every_problem_at_once() -> None:
    with pytest.raises(ParameterError) as caught:
        Clevr.parse({name: value for name, value in VALID.items() if name != "seed"} | {"steps": -1, "foo": 2})
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
    with pytest.raises(ParameterError, match=f"no {device.upper()} device is to be had here; use auto or cpu"):
        Clevr.parse(VALID | {"device": device})


@pytest.mark.parametrize(("available", "device"), [(True, "cuda"), (False, "cpu")])
def test_auto_is_the_best_device(available: bool, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert Clevr.parse(VALID | {"device": "auto"}).torch_device == torch.device(device)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_describe_gives_every_field_a_kind_and_a_meaning(chapter: str) -> None:
    parameters = CHAPTERS[chapter]
    lines = parameters.describe().splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(parameters.model_fields)
    assert all(len(line.split(": ", 1)[1]) > 10 for line in lines)
    assert not any(field.is_required() is False for field in parameters.model_fields.values())


def test_from_notebook_reads_the_fields_and_nothing_else() -> None:
    namespace = VALID | {"other": 1, "In": ["", "seed = 0"]}
    assert Clevr.from_notebook(namespace) == Clevr.parse(VALID)


def test_from_notebook_refuses_a_name_that_papermill_injected_in_vain() -> None:
    namespace = VALID | {"stepz": 5, "In": ["", "steps = 3", "# Parameters\nsteps = 3\nstepz = 5\n"]}
    with pytest.raises(ParameterError, match=r"^unknown parameter stepz; do you mean steps\?"):
        Clevr.from_notebook(namespace)


def test_from_notebook_heeds_the_latest_injected_cell_only() -> None:
    history = ["", "# Parameters\nstepz = 5\n", "# Parameters\nsteps = 5\n", "p = Clevr.from_notebook(globals())"]
    assert Clevr.from_notebook(VALID | {"steps": 5, "In": history}).steps == 5


@given(steps=st.integers(), slots=st.lists(st.integers(-2, 70), max_size=4))
def test_parse_accepts_exactly_the_documented_ranges(steps: int, slots: list[int]) -> None:
    valid = 1 <= steps <= 500_000 and len(slots) > 0 and all(1 <= count <= 64 for count in slots)
    with nullcontext() if valid else pytest.raises(ParameterError):
        parsed = Clevr.parse(VALID | {"steps": steps, "slots": slots})
        assert (parsed.steps, parsed.slots) == (steps, tuple(slots))


def test_find_data_says_what_it_looked_for() -> None:
    with pytest.raises(FileNotFoundError, match="no file or folder 'no/such/file'"):
        find_data("no/such/file")


def test_find_data_looks_in_the_working_directory_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").touch()
    assert find_data("pyproject.toml") == tmp_path / "pyproject.toml"
    assert find_data("LICENSE") == Path(__file__).parents[2] / "LICENSE"
