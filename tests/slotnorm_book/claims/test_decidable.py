"""What cannot be decided: models that find no objects have curves, and the curves say nothing about objects."""

from collections.abc import Callable
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from slotnorm_book.claims.claim import Verdict
from slotnorm_book.claims.claims_page import render_board
from slotnorm_book.claims.evidence import Evidence
from slotnorm_book.claims.judge import judge
from slotnorm_book.claims.ledger import RESULT_CLAIMS
from slotnorm_book.claims.tables import criterion_lines, ledger_table, summarize_verdicts
from slotnorm_book.figures.claims import draw_forest
from tests.slotnorm_book.claims.worlds import evidence

Spoil = Callable[[pd.DataFrame], pd.DataFrame]
LOSSES = {"R13", "R18", "R19", "R28", "R29", "R30"}
COUNTS = {"R17", "R27"}
WORLD = evidence(1)


def with_found(found: float, *variants: str) -> Spoil:
    """Return what gives these variants, or all, this many found objects; their F-ARI stays."""

    def spoil(scenes: pd.DataFrame) -> pd.DataFrame:
        chosen = scenes["variant"].isin(variants or scenes["variant"].unique())
        return scenes.assign(blind_f_ari=scenes["blind_f_ari"].where(~chosen, scenes["f_ari"] - found))

    return spoil


def judged(spoil: Spoil, *experiments: str, **options: bool) -> dict[str, Verdict]:
    """Judge what rests on these experiments alone, or everything, after their tables were spoilt."""
    world = dict(WORLD)
    for name in experiments or world:
        world[name] = replace(world[name], scenes=spoil(world[name].scenes))
    chosen = [
        name for name, claim in RESULT_CLAIMS.items() if not experiments or set(experiments) & {*claim.experiments}
    ]
    return {verdict.claim.id: verdict for verdict in judge(world, chosen, resamples=100, **options)}


def test_where_the_baseline_finds_too_little_nothing_about_objects_can_be_decided() -> None:
    verdicts = judged(with_found(0.19, "weighted_mean"))
    undecided = {name for name, verdict in verdicts.items() if verdict.outcome == "not decidable"}
    assert undecided == set(RESULT_CLAIMS) - LOSSES - COUNTS - {"R15"}
    assert verdicts["R2"].reason == (
        "clevr-6-7: weighted_mean finds too few objects on CLEVR6 (0.190, 0.2 asked); "
        "clevr-6-7: weighted_mean finds too few objects on CLEVR10 (0.190, 0.2 asked)"
    )
    assert not verdicts["R2"].measurements
    assert verdicts["R2"].was_run
    assert not verdicts["R2"].was_judged


def test_enough_is_enough() -> None:
    assert {verdict.outcome for verdict in judged(with_found(0.21, "weighted_mean")).values()} == {"reproduced"}


def test_a_flat_curve_of_a_variant_that_finds_nothing_is_no_robustness() -> None:
    verdict = judged(with_found(0.09, "weighted_sum"), "clevr-6-7")["R1"]
    assert verdict.outcome == "not decidable"
    assert set(verdict.undecidable) == {"weighted_sum_loss", "advantage"}
    assert set(verdict.measurements) == {"baseline_loss", "layer_norm_loss", "batch_norm_loss", "advantage"}
    assert "weighted_sum finds no objects on CLEVR10 (0.090, 0.1 asked)" in verdict.reason
    lines = criterion_lines(verdict)
    assert lines[2].startswith("⊘ F-ARI weighted sum loses: not decidable, clevr-6-7: weighted\\_sum finds no objects")
    assert "; elsewhere not decidable: clevr-6-7: weighted\\_sum" in lines[4]


def test_one_comparison_that_fails_contradicts_what_cannot_be_decided_otherwise() -> None:
    def worse(scenes: pd.DataFrame) -> pd.DataFrame:
        lost = 0.5 * (scenes["variant"] == "batch_norm")
        return with_found(0.09, "weighted_sum")(scenes.assign(f_ari=scenes["f_ari"] - lost, blind_f_ari=0.0))

    verdict = judged(worse, "clevr-6-7", spatial_runs=True)["R2"]
    assert verdict.outcome == "contradicted"
    assert set(verdict.undecidable) == {"weighted_sum_gain"}


def test_claims_that_a_variant_finds_nothing_need_no_objects_of_it() -> None:
    verdict = judged(with_found(0.0, "unnormalized"), "ablations")["R16"]
    assert verdict.outcome == "reproduced", verdict.reason


def test_a_variant_whose_runs_are_all_spatial_leaves_nothing_to_decide() -> None:
    def spatial(scenes: pd.DataFrame) -> pd.DataFrame:
        return with_found(0.0, "batch_norm")(scenes.assign(agreement=np.where(scenes["variant"] == "batch_norm", 1, 0)))

    verdicts = judged(spatial, "movi-c-6-7")
    assert verdicts["R21"].outcome == "not decidable"
    assert verdicts["R21"].undecidable == {"batch_norm_gain": "movi-c-6-7: every run of batch_norm is spatial"}
    assert verdicts["R22"].outcome == "reproduced"


def test_the_spatial_rule_exempts_no_data_set() -> None:
    def spatial(scenes: pd.DataFrame) -> pd.DataFrame:
        bad = (scenes["variant"] == "batch_norm") & (scenes["seed"] < 2)
        scenes = scenes.assign(agreement=np.where(bad, 1, 0), f_ari=scenes["f_ari"].where(~bad, 0.1))
        return scenes.assign(blind_f_ari=np.where(bad, 0.1, scenes["blind_f_ari"]))

    for name, claim in (("movi-c-6-7", "R21"), ("properties", "R14"), ("movi-d-6-7", "R12")):
        assert judged(spatial, name)[claim].outcome == "reproduced"
        assert judged(spatial, name, spatial_runs=True)[claim].outcome != "reproduced"


def test_no_run_at_all_but_spatial_ones() -> None:
    def spatial(scenes: pd.DataFrame) -> pd.DataFrame:
        return with_found(0.0)(scenes.assign(agreement=1.0))

    verdict = judged(spatial, "clevr-6-7")["R2"]
    assert (verdict.outcome, verdict.reason) == ("not decidable", "clevr-6-7: every run is spatial")


@pytest.mark.parametrize("lacking", ["column", "values"])
def test_runs_without_the_control_count_as_not_evaluated(lacking: str) -> None:
    def old(scenes: pd.DataFrame) -> pd.DataFrame:
        return scenes.drop(columns="blind_f_ari") if lacking == "column" else scenes.assign(blind_f_ari=np.nan)

    verdicts = judged(old)
    assert {name for name, verdict in verdicts.items() if verdict.outcome == "not run"} == (
        set(RESULT_CLAIMS) - LOSSES - {"R15"}
    )
    assert verdicts["R2"].missing == "clevr-6-7: no run has been evaluated for blind_f_ari"
    assert {verdicts[name].outcome for name in LOSSES} == {"reproduced"}


def test_runs_with_the_control_are_used_beside_old_ones() -> None:
    def half(scenes: pd.DataFrame) -> pd.DataFrame:
        old = scenes["seed"] < 2
        return scenes.assign(f_ari=scenes["f_ari"].where(~old, 0.0), blind_f_ari=scenes["blind_f_ari"].where(~old))

    assert judged(half, "movi-c-6-7")["R21"].outcome == "reproduced"


def _with_precision(one: Evidence, measure: str, scale: float, *variants: str) -> Evidence:
    chosen = (one.sets["measure"] == measure) & (one.sets["variant"].isin(variants) if variants else True)
    return replace(one, sets=one.sets.assign(value=one.sets["value"].where(~chosen, one.sets["value"] * scale)))


def test_shares_of_a_precision_that_is_almost_zero_cannot_be_decided() -> None:
    one = WORLD["properties"]
    (verdict,) = judge({"properties": _with_precision(one, "ap@0.125", 0.01)}, ["R15"], resamples=200)
    assert verdict.outcome == "not decidable"
    assert "properties: ap@0.125 of weighted_mean is 0.000" in verdict.reason
    (verdict,) = judge({"properties": _with_precision(one, "ap@1", 0.01, "batch_norm")}, ["R15"], resamples=200)
    assert set(verdict.undecidable) == {"batch_norm_loss"}


def test_what_cannot_be_decided_is_seen_in_the_tiles_the_table_and_the_forest() -> None:
    verdict = judged(with_found(0.09, "weighted_sum"), "clevr-6-7")["R1"]
    tile = BeautifulSoup(render_board([verdict]), "html.parser").select_one("li.verdict.not-decidable")
    assert tile is not None
    assert tile.span.get_text() == "⊘ not decidable"
    (cell,) = ledger_table([verdict])["verdict"]
    assert cell == '<strong class="verdict not-decidable">⊘ not decidable</strong><br>cpu scale'
    assert summarize_verdicts([verdict]).startswith(
        "- **Not decidable here, as models find too few objects, predict too few right, or are all spatial.** *R1*"
    )
    fig = draw_forest([verdict])
    diamonds = [line for line in fig.axes[0].lines if line.get_marker() == "D"]
    assert [list(line.get_xdata()) for line in diamonds] == [[0]]
    plt.close(fig)
