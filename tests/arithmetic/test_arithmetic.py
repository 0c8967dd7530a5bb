"""What `make test-arithmetic` relies on: environments that exist, results that move as rounding does, a report read."""

import os
from pathlib import Path

import torch
from numpy._core._multiarray_umath import __cpu_features__

from tests.arithmetic.__main__ import failures, table
from tests.arithmetic.environments import environments, numpy_without, process_environment
from tests.arithmetic.hook.sitecustomize import OtherRounding

REPORT = """<testsuites><testsuite>
<testcase classname="notebooks.07_beyond" name="Cell 0"/>
<testcase classname="notebooks.07_beyond" name="Cell 9"><failure>0.0002 is not 0.0005</failure></testcase>
<testcase classname="tests.claims.test_claims" name="test_it[R1]"><error>no fixture</error></testcase>
</testsuite></testsuites>"""


def test_other_rounding_moves_products_by_units_in_the_last_place() -> None:
    for dtype in (torch.float32, torch.float64):
        a = torch.randn(6, 5, generator=torch.Generator().manual_seed(1), dtype=dtype)
        plain = a @ a.T
        with OtherRounding(4):
            moved, again = a @ a.T, a @ a.T
        assert torch.equal(moved, again)
        assert not torch.equal(moved, plain)
        torch.testing.assert_close(moved, plain, rtol=8 * torch.finfo(dtype).eps, atol=0)  # 4 units and their rounding


def test_other_rounding_moves_gradients_and_inference_too() -> None:
    layer, x = torch.nn.Linear(5, 3), torch.randn(2, 5)
    (plain,) = torch.autograd.grad(layer(x).square().sum(), layer.weight)
    with OtherRounding(4):
        (moved,) = torch.autograd.grad(layer(x).square().sum(), layer.weight)
    assert not torch.equal(moved, plain)
    with torch.inference_mode():
        plain = x @ x.T
        with OtherRounding(4):
            assert not torch.equal(x @ x.T, plain)


def test_other_rounding_leaves_whole_numbers_exact() -> None:
    counts = torch.arange(12.0).reshape(3, 4)
    with OtherRounding(4):
        assert torch.equal(counts @ counts.T, torch.tensor([[14.0, 38, 62], [38, 126, 214], [62, 214, 366]]))


def test_numpy_is_asked_to_leave_out_only_what_this_processor_has() -> None:
    for level in ("X86_V2", "X86_V3"):
        disabled = numpy_without(level).get("NPY_DISABLE_CPU_FEATURES", "").split()
        assert level not in disabled
        assert all(__cpu_features__[name] for name in disabled)


def test_at_least_four_environments_are_known_and_the_first_is_this_machine_s_own() -> None:
    native, *others = environments()
    assert process_environment(native).items() - os.environ.items() <= {("PYTHONPATH", native_path())}
    assert len(others) >= 4
    assert all(each.variables for each in others)


def native_path() -> str:
    return str(Path(__file__).parent / "hook")


def test_failed_cells_are_named_as_jupyter_counts_them(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    assert failures(report) == ["07_beyond In [10]", "tests.claims.test_claims::test_it[R1]"]


def test_the_table_has_a_line_for_each_environment() -> None:
    lines = table({"native": [], "AVX2": ["07_beyond In [10]", "b"], "two": ["skipped: one core"]}).splitlines()
    assert lines == ["native  nothing moved", "AVX2    07_beyond In [10]; b", "two     skipped: one core"]
