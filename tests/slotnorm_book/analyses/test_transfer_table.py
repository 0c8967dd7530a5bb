"""Table 1, ours beside the paper's."""

import pandas as pd

from slotnorm_book.analyses.transfer_table import mark_paper_value, transfer_table
from slotnorm_book.claims.paper_values import TABLE_1


def scenes(rows):
    columns = ["variant", "seed", "test", "slots", "iterations", "f_ari", "ari", "loss"]
    frame = pd.DataFrame([(v, s, "MOVi-D", 24, 3, f, a, x) for v, s, f, a, x in rows], columns=columns)
    return {"movi-d-6-7": frame.assign(blind_f_ari=0.2, mbo=0.3)}


def test_median_and_largest_deviation_stand_beside_the_paper_s():
    rows = [("weighted_mean", seed, f_ari, 0.25, 1.5) for seed, f_ari in enumerate((0.50, 0.54, 0.61))]
    table = transfer_table(scenes(rows), {"weighted_mean": "Baseline"})
    row = table.iloc[0]
    assert row["variant"] == "Baseline (6, 7)"
    assert row["runs"] == 3
    assert row["F-ARI, ours"] == "0.540 ±\N{NO-BREAK SPACE}0.070"
    assert row["ℓ2, ours"] == "1.500 ±\N{NO-BREAK SPACE}0.000"
    assert row["F-ARI, paper"] == "0.741 ±\N{NO-BREAK SPACE}0.005"  # Table 1, Baseline (6, 7)


def test_scenes_of_a_run_are_averaged_first():
    table = transfer_table(scenes([("weighted_mean", 0, 0.2, 0.0, 1.0), ("weighted_mean", 0, 0.4, 0.0, 1.0)]))
    assert table.iloc[0]["F-ARI, ours"] == "0.300"


def test_a_single_run_has_no_deviation():
    row = transfer_table(scenes([("weighted_mean", 0, 0.5, 0.25, 1.5)])).iloc[0]
    assert [row[name] for name in ("F-ARI, ours", "ℓ2, ours", "found objects")] == ["0.500", "1.500", "0.300"]


def test_only_24_slots_are_the_paper_s_table():
    ((name, table),) = scenes([("weighted_mean", seed, 0.8, 0.25, 1.5) for seed in range(3)]).items()
    with_seven = pd.concat([table, table.assign(slots=7, f_ari=0.2)])
    row = transfer_table({name: with_seven}).iloc[0]
    assert (row["runs"], row["F-ARI, ours"]) == (3, "0.800 ±\N{NO-BREAK SPACE}0.000")
    assert transfer_table({name: table.assign(slots=7)}).iloc[0]["F-ARI, ours"] == "not run"


def test_found_objects_are_the_part_of_f_ari_above_that_on_other_scenes():
    rows = [("weighted_mean", seed, f_ari, 0.25, 1.5) for seed, f_ari in enumerate((0.50, 0.54, 0.61))]
    row = transfer_table(scenes(rows)).iloc[0]
    assert row["found objects"] == "0.340 ±\N{NO-BREAK SPACE}0.070"
    assert row["mBO"] == "0.300 ±\N{NO-BREAK SPACE}0.000"


def test_runs_without_the_control_say_so():
    without = {
        name: table.assign(blind_f_ari=float("nan"))
        for name, table in scenes([("weighted_mean", 0, 0.5, 0.2, 1.0)]).items()
    }
    assert transfer_table(without).iloc[0]["found objects"] == "not evaluated"


def test_what_was_not_run_says_so():
    table = transfer_table(scenes([]))
    assert list(table["found objects"]) == ["not run"] * 4
    assert list(table["F-ARI, ours"]) == ["not run"] * 4
    assert list(table["runs"]) == [0] * 4


def test_underlined_and_bold_are_the_numbers_that_are_so_in_the_paper():
    marked = {
        (experiment, variant, measure): mark_paper_value(experiment, variant, measure)
        for experiment, rows in TABLE_1.items()
        for variant, row in rows.items()
        for measure in row
    }
    assert {place for place, text in marked.items() if "**" in text} == {
        ("movi-d-6-7", "batch_norm", "f_ari"),
        ("movi-d-10-11", "weighted_mean", "loss"),
        ("movi-d-6-7", "batch_norm", "ari"),
    }
    underlined = [(place[0], place[2]) for place, text in marked.items() if "<u>" in text]
    assert sorted(set(underlined)) == sorted(
        (experiment, measure) for experiment in TABLE_1 for measure in ("f_ari", "loss", "ari")
    )
    assert len(underlined) == 9
