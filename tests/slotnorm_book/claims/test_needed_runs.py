"""How many runs each claim needs: by the comparison that needs the most, at the paper's effect or at the margin."""

from dataclasses import replace

import numpy as np
import pytest

from slotnorm_book.claims.evidence import Evidence, Findings
from slotnorm_book.claims.ledger import RESULT_CLAIMS
from slotnorm_book.claims.needed_runs import NO_SPREAD, Need, find_need, needs_table
from slotnorm_book.claims.paper_passes import NO_NUMBERS, draw_evidence
from tests.slotnorm_book.claims.worlds import evidence

CLEVR = evidence(1)["clevr-6-7"]


def need_of_r2(one: Evidence) -> Need:
    return find_need(RESULT_CLAIMS["R2"], Findings({"clevr-6-7": one}, 100, spatial_runs=True, controls=False))


def test_runs_that_scatter_more_need_more_of_them() -> None:
    def scattered(size: float) -> Evidence:
        scenes = CLEVR.scenes
        return replace(CLEVR, scenes=scenes.assign(f_ari=scenes["f_ari"] + size * (scenes["seed"] - 2)))

    few, some, many = (need_of_r2(scattered(size)) for size in (0.001, 0.006, 0.03))
    assert few.runs < some.runs < many.runs
    assert (few.effect, few.of) == (0.02, "the margin")
    assert some.comparison.endswith("11 slots")


def test_runs_without_the_control_tell_the_spread_as_well() -> None:
    old = replace(CLEVR, scenes=CLEVR.scenes.drop(columns="blind_f_ari"))
    assert need_of_r2(old).runs == need_of_r2(CLEVR).runs


def test_one_seed_has_no_spread() -> None:
    need = need_of_r2(replace(CLEVR, scenes=CLEVR.scenes[CLEVR.scenes["seed"] == 0]))
    assert np.isnan(need.runs)
    assert str(need) == NO_SPREAD


def test_a_variant_whose_runs_are_all_spatial_has_no_spread() -> None:
    scenes = CLEVR.scenes
    spatial = scenes["variant"] == "weighted_sum"
    cut = scenes.assign(
        agreement=scenes["agreement"].where(~spatial, 0.9),
        blind_f_ari=scenes["blind_f_ari"].where(~spatial, scenes["f_ari"]),
    )
    one = {"clevr-6-7": replace(CLEVR, scenes=cut)}
    assert np.isnan(find_need(RESULT_CLAIMS["R2"], Findings(one, 100)).runs)


def test_where_the_paper_prints_numbers_the_effect_is_its_own() -> None:
    need = find_need(RESULT_CLAIMS["R12"], Findings(draw_evidence(np.random.default_rng(0)), 100))
    assert need.of == "the paper"
    assert need.effect == pytest.approx(0.797 - 0.709)
    assert need.comparison.startswith("movi-d-6-7/weighted_sum / movi-d-6-11/weighted_sum")


def test_the_table_has_a_row_per_claim_and_says_what_is_missing() -> None:
    table = needs_table({"clevr-6-7": CLEVR, "clevr-6-11": evidence(1)["clevr-6-11"]}).set_index("claim")
    assert list(table.index) == list(RESULT_CLAIMS)
    assert table.loc["R7", "where"] == "no runs of movi-c-10-11"
    assert table.loc["R1", "the paper's own numbers pass"] == NO_NUMBERS
    assert table.loc["R12", "the paper's own numbers pass"].endswith("of 20 draws")
    assert int(table.loc["R2", "runs needed"]) >= 2
    assert table.loc["R17", "of"] == "the paper"
    assert table.loc["R6", ["runs needed", "to see", "of"]].tolist() == ["1", "", ""], "of runs as they are"
