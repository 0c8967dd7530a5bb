"""The sentence that says who found objects, and the table of mean scores."""

import re

import pandas as pd

from slotnorm_book.analyses.found_objects import SHOWN, correlate_with_background, describe_found, mean_scores
from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.experiments.results import Results, collect
from slotnorm_book.experiments.run_store import RunStore

NAMES = {"weighted_mean": "Baseline", "weighted_sum": "Weighted Sum", "batch_norm": "Batch Norm"}


def told(**found: list[float]) -> Results:
    """Results of models of 7 slots with these found objects, a number per seed; with twice the slots they have none."""
    rows = [
        {"variant": variant, "seed": seed, "test": "CLEVR10", "slots": slots, "scene_id": scene, "f_ari": 0.7}
        | {"blind_f_ari": 0.7 - value * (slots == 7), "ari": 0.5, "mbo": 0.25, "loss": 1.0}
        for variant, values in found.items()
        for seed, value in enumerate(values)
        for slots in (7, 14)
        for scene in (0, 1)
    ]
    results = Results(recipe("clevr-6-7", "smoke"), (), ())
    results.__dict__["scenes"] = pd.DataFrame(rows)  # where cached_property keeps it
    return results


def test_a_variant_finds_objects_from_a_tenth_on():
    text = describe_found(told(weighted_mean=[0.36], weighted_sum=[0.04], batch_norm=[0.4]), "CLEVR10", NAMES)
    assert text == (
        "with 7 slots on CLEVR10, objects were found by Baseline (0.36) and Batch Norm (0.40), and no objects were "
        "found by Weighted Sum (0.04), where less than 0.1 is none"
    )


def test_where_all_or_none_found_objects_the_sentence_is_shorter():
    all_found = describe_found(told(weighted_mean=[0.36], batch_norm=[0.4]), "CLEVR10", NAMES)
    assert all_found == "with 7 slots on CLEVR10, objects were found by Baseline (0.36) and Batch Norm (0.40)"
    none = describe_found(told(weighted_mean=[-0.001]), "CLEVR10", NAMES)
    assert none == "with 7 slots on CLEVR10, no objects were found by Baseline (0.00), where less than 0.1 is none"


def test_runs_that_found_none_are_counted_and_a_baseline_of_little_is_named():
    text = describe_found(told(weighted_mean=[0.125], weighted_sum=[0.5, 0.0, 0.25]), "CLEVR10", NAMES)
    assert "1 of 3 runs of Weighted Sum found none" in text
    assert text.endswith("Baseline finds too few to compare others with")


def test_without_runs_or_without_the_control_the_sentence_says_so():
    nothing = collect(recipe("clevr-6-7", "smoke"), RunStore("memory://nothing-found"))
    assert describe_found(nothing, "CLEVR10", NAMES) == "not run"
    some = told(weighted_mean=[0.3])
    assert describe_found(some, "CLEVR6", NAMES) == "not run"
    some.scenes["blind_f_ari"] = float("nan")
    assert describe_found(some, "CLEVR10", NAMES) == "with 7 slots on CLEVR10, not evaluated on other scenes"


def test_mean_scores_are_over_scenes_and_runs():
    table = mean_scores(told(weighted_mean=[0.25, 0.5]).scenes, {7}, NAMES)
    assert list(table.columns) == ["variant", "test", "slots", *SHOWN.values()]
    (row,) = table.to_dict("records")
    assert (row["variant"], row["slots"], row["mBO"]) == ("Baseline", 7, 0.25)
    assert row["found objects"] == "0.38"


def test_three_runs_have_an_interval_of_found_objects_and_two_have_none():
    few, many = [0.25, 0.5], [0.25, 0.5, 0.75]
    table = mean_scores(told(weighted_mean=few, batch_norm=many).scenes, {7}, NAMES).set_index("variant")
    assert "[" not in table.loc["Baseline", "found objects"]
    mean, low, high = map(float, re.findall(r"-?[0-9.]+", table.loc["Batch Norm", "found objects"]))
    assert low < 0.25 < mean == 0.5 < 0.75 < high  # wider than the range of so few runs
    text = describe_found(told(weighted_mean=few, batch_norm=many), "CLEVR10", NAMES)
    assert "Baseline (0.38)" in text
    assert f"Batch Norm ({table.loc['Batch Norm', 'found objects']})" in text


def test_mean_scores_of_no_runs_are_an_empty_table():
    nothing = collect(recipe("clevr-6-7", "smoke"), RunStore("memory://nothing-found"))
    assert mean_scores(nothing.scenes, {7}, NAMES).empty


def test_scores_of_runs_are_correlated_with_the_share_of_the_background():
    results = told(weighted_mean=[0.1, 0.2, 0.3, 0.4], batch_norm=[0.1, 0.2, 0.3, 0.4])
    rows = results.scenes
    found = rows["f_ari"] - rows["blind_f_ari"]
    results.__dict__["scenes"] = rows.assign(
        background_share=0.2 + found, f_ari=0.9 - found, blind_f_ari=0.9 - 2 * found
    )
    assert correlate_with_background(results, "CLEVR10") == {"f_ari": "-1.00", "found_objects": "1.00"}
    few = told(weighted_mean=[0.1, 0.2, 0.3])
    few.__dict__["scenes"] = few.scenes.assign(background_share=0.5)
    unknown = {"f_ari": "(unknown)", "found_objects": "(unknown)"}
    assert correlate_with_background(few, "CLEVR10") == unknown
    assert correlate_with_background(few, "CLEVR6") == unknown
    assert correlate_with_background(Results(recipe("clevr-6-7", "smoke"), (), ()), "CLEVR10") == unknown
