import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from slotnorm_book import notebook
from slotnorm_book.chapters import VmfEm
from slotnorm_book.experiments import provenance
from slotnorm_book.markup import MarkdownTable
from slotnorm_book.notebook import below, glue_values, math_number, run_info, setup, show_table

PARAMETERS = {
    "seed": 0,
    "device": "cpu",
    "points": 64,
    "components": 5,
    "temperature": 0.05,
    "trials": 2,
    "slot_dim": 8,
    "scenes": 50,
    "fit_components": [3],
    "mixtures": 1,
}


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.994, 2, "0.99"),
        (0.0, 2, "0"),
        (0.0001, 2, "0.0001"),
        (1e-9, 2, "$10^{-9}$"),
        (7.84e-16, 2, r"$7.8 \cdot 10^{-16}$"),
        (-2.2e7, 1, r"$-2 \cdot 10^{7}$"),
    ],
)
def test_math_number_writes_exponents_as_powers_of_ten(value: float, digits: int, text: str) -> None:
    assert math_number(value, digits) == text


def test_show_table_rounds_floats_and_leaves_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []
    monkeypatch.setattr(notebook, "display", lambda bundle, **_: shown.append(bundle))
    show_table("tab-x", pd.DataFrame({"slots": [5, 21], "F-ARI": [0.12345, 1.0]}), ".2f")
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in shown[0]["text/markdown"].splitlines()]
    assert cells[2:] == [["5", "0.12"], ["21", "1.00"]]


@pytest.mark.parametrize(("kind", "shown"), [(pd.DataFrame, r"\*\*b\*\* \| c"), (MarkdownTable, "**b** | c")])
def test_show_table_escapes_all_but_a_markdown_table(
    kind: type[pd.DataFrame], shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundles: list[dict[str, str]] = []
    monkeypatch.setattr(notebook, "display", lambda bundle, **_: bundles.append(bundle))
    show_table("tab-x", kind({"**b** | c": ["**b** | c"], "count": [7]}))
    head, _, row = bundles[0]["text/markdown"].splitlines()
    assert [line.rsplit("|", 2)[0].strip(" |") for line in (head, row)] == [shown, shown]


def test_run_info_tells_every_parameter_and_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLOTNORM_COMMIT", "<the commit>")
    text = run_info(VmfEm.parse(PARAMETERS)).data
    assert all(f"<th>{name}</th>" in text for name in VmfEm.model_fields)
    assert "&lt;the commit&gt;" in text
    assert torch.__version__.split("+")[0] in text


def test_run_info_outside_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SLOTNORM_COMMIT", raising=False)
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    assert "unknown: not a git checkout" in run_info(VmfEm.parse(PARAMETERS)).data


def test_setup_seeds_every_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda *_, **__: None)
    draws = []
    for seed in (3, 3, 4):
        setup(seed)
        draws.append((random.random(), np.random.rand(), torch.rand(()).item()))  # noqa: NPY002
    assert draws[0] == draws[1]
    assert all(a != b for a, b in zip(draws[1], draws[2], strict=True))


def test_glue_values_keeps_each_value_under_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, object] = {}
    monkeypatch.setattr(notebook, "glue", lambda key, value, display: kept.update({key: (value, display)}))
    glue_values("movi-6-7", runs="2 of 2", train_slots=7)
    assert kept == {"movi-6-7-runs": ("2 of 2", False), "movi-6-7-train-slots": (7, False)}


@pytest.mark.parametrize(("limit", "text"), [(0.01, "below 0.01"), (1.0, "below 1"), (1e-10, "below 0.0000000001")])
def test_a_rounding_error_is_told_by_its_limit_alone(limit: float, text: str) -> None:
    assert {below(share * limit, limit) for share in (0.0, 0.1, 0.99)} == {text}
    assert below(None, limit) == "(not run)"


@pytest.mark.parametrize("value", [0.01, 3.0, -1e-9, float("nan")])
def test_an_error_outside_its_range_fails(value: float) -> None:
    with pytest.raises(AssertionError, match=r"is not from 0 to below 0\.01"):
        below(value, 0.01)
