"""The names of processors: machines of different speed can share the one that they report."""

import pytest

from slotnorm_book.experiments import provenance

SAPPHIRE = "model name\t: Xeon\ncpu family\t: 6\nmodel\t: 143\nflags\t: avx2 avx512f avx512_bf16 amx_tile\n\nmodel\t: 1"


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (SAPPHIRE, "Xeon (6-143, AMX, AVX-512 BF16)"),
        (SAPPHIRE.replace(" amx_tile", ""), "Xeon (6-143, AVX-512 BF16)"),
        ("model name: EPYC\ncpu family: 25\nmodel: 1\nflags: avx avx2", "EPYC (25-1, AVX2)"),
        ("model name: core", "core"),
    ],
)
def test_processors_are_told_apart_by_model_and_instruction_set(told, kind, monkeypatch, tmp_path):
    file = tmp_path / "cpuinfo"
    file.write_text(told)
    monkeypatch.setattr(provenance, "CPUINFO", file)
    assert provenance.processor_kind() == kind


def test_a_system_that_tells_nothing_still_has_a_name(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "CPUINFO", tmp_path / "none")
    assert provenance.processor_kind()
