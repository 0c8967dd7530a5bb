"""Scenes that are chosen by rule, and the figures of what models make of them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from slotnorm.object_properties import COORDINATES, NUM_PROPERTIES, REAL
from slotnorm_book.analyses.em_segmentation import add_em_segmentations, segment_with_em
from slotnorm_book.analyses.example_scenes import (
    Examples,
    choose_scenes,
    decompose_at_counts,
    decompose_examples,
    draw_scenes,
)
from slotnorm_book.experiments.recipes import recipe
from slotnorm_book.experiments.results import Results, collect
from slotnorm_book.experiments.run_store import RunStore
from slotnorm_book.figures import segmented_scenes as clevr
from slotnorm_book.figures.objects_from_above import HALF, PALETTE, draw_objects_from_above
from slotnorm_book.variants import EM, EM_EQUAL


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def rows(scores: dict[int, float], slots: int = 7, variant: str = "a") -> pd.DataFrame:
    return pd.DataFrame({"scene_id": list(scores), "f_ari": list(scores.values()), "slots": slots, "variant": variant})


def test_worst_median_and_best_are_by_the_mean_over_variants() -> None:
    one, two = rows({3: 0.1, 5: 0.6, 8: 0.9}), rows({3: 0.9, 5: 0.3, 8: 0.8}, variant="b")
    table = pd.concat([one, two, rows({3: 1.0, 5: 0.0, 8: 0.5}, slots=11)])
    assert choose_scenes(table, 7) == {"worst": 5, "median": 3, "best": 8}
    assert choose_scenes(table, 7, "a") == {"worst": 3, "median": 5, "best": 8}
    assert choose_scenes(table, 11) == {"worst": 5, "median": 8, "best": 3}


def test_random_scenes_do_not_depend_on_scores() -> None:
    table = rows({scene: scene / 50 for scene in range(50)})
    drawn = draw_scenes(table, 10)
    assert list(drawn) == [str(number) for number in range(1, 11)]
    assert len(set(drawn.values())) == 10
    assert drawn == draw_scenes(table.assign(f_ari=1 - table["f_ari"]).iloc[::-1], 10)
    assert drawn != draw_scenes(table, 10, seed=1)
    assert sorted(draw_scenes(table, 99).values()) == list(range(50))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Results]:
    store = RunStore(str(tmp_path_factory.mktemp("runs")))
    return {name: collect(recipe(name, "smoke"), store, "train") for name in ("properties", "iterations")}


@pytest.mark.slow
def test_a_set_predictor_shows_its_objects_beside_the_true_ones(trained: dict[str, Results]) -> None:
    results = trained["properties"]
    test = results.recipe.tests[-1]
    shown = decompose_examples(results, test, max(test.slots))
    assert list(shown.segmentations) == list(results.recipe.variants)
    predictions, targets = next(iter(shown.detections.values()))
    assert predictions.shape == (3, max(test.slots), NUM_PROPERTIES)
    fig = clevr.draw_decompositions(shown)
    used = [ax for ax in fig.axes if ax.axison]
    assert len(used) == 3 * 2 * (1 + len(shown.segmentations))
    maps = [ax for ax in used if ax.collections]
    assert len(maps) == len(used) / 2
    assert len(maps[0].collections) == len(targets[0])


@pytest.mark.slow
def test_iterations_are_told_apart_and_em_stands_beside_the_models(trained: dict[str, Results]) -> None:
    results = trained["iterations"]
    (test,) = results.recipe.tests
    first, last = (
        decompose_examples(results, test, max(test.slots), iterations=n)
        for n in sorted(test.iterations)[:: len(test.iterations) - 1]
    )
    table = results.scenes[(results.scenes["slots"] == max(test.slots)) & (results.scenes["seed"] == 0)]
    for shown, iterations in ((first, min(test.iterations)), (last, max(test.iterations))):
        for variant, scores in shown.f_ari.items():
            own = table[(table["variant"] == variant) & (table["iterations"] == iterations)].set_index("scene_id")
            np.testing.assert_array_equal(scores, own.loc[list(shown.scene_ids), "f_ari"])
            np.testing.assert_array_equal(shown.blind_f_ari[variant], own.loc[list(shown.scene_ids), "blind_f_ari"])
    em = segment_with_em(test, scenes=test.scenes, counts=[max(test.slots)], seeds=[0], temperature=0.1)
    beside = add_em_segmentations(last, em, test, scenes=test.scenes, temperature=0.1)
    assert [*beside.segmentations] == [*last.segmentations, EM, EM_EQUAL]
    assert beside.segmentations[EM].shape == beside.truth.shape
    rows = em[em["variant"] == EM].set_index("scene_id").loc[[*beside.scene_ids]]
    np.testing.assert_array_equal(beside.blind_f_ari[EM], rows["blind_f_ari"])
    titles = [ax.get_title() for ax in clevr.draw_decompositions(beside).axes]
    assert sum(title.startswith("EM") for title in titles) == 2


def test_without_runs_there_is_a_note(tmp_path: Path) -> None:
    results = collect(recipe("properties", "smoke"), RunStore(str(tmp_path)))
    shown = decompose_examples(results, results.recipe.tests[-1], 7)
    assert shown == Examples((), (), shown.image, shown.truth, {}, {}, {}, {}, {})
    assert add_em_segmentations(shown, pd.DataFrame(), results.recipe.tests[-1], scenes=3, temperature=0.1) is shown
    for draw in (clevr.draw_decompositions, clevr.draw_scenes_in_columns):
        assert [text.get_text() for text in draw(shown).texts] == ["no model of this experiment is in the store"]


def test_a_slot_count_that_was_not_evaluated_is_named() -> None:
    results = Results(recipe("clevr-6-7", "smoke").select(slots=[5]), (), ())
    results.__dict__["scenes"] = rows({3: 0.1}, slots=5)  # where cached_property keeps it
    shown = decompose_examples(results, results.recipe.tests[-1], 7)
    assert (shown.names, shown.missing) == ((), "not evaluated with 7 slots")


def test_scenes_that_cannot_be_shown_say_why(trained: dict[str, Results]) -> None:
    whole = trained["properties"]
    test = whole.recipe.tests[-1]
    first = decompose_examples(whole, test, 7)
    others = replace(whole, recipe=replace(whole.recipe, seeds=(3,)))
    assert decompose_examples(others, test, 7).missing == "no model with seed 3 is in the store"
    away = replace(test, source=test.source.with_data("gone"))
    said = decompose_examples(whole, away, 7).missing
    assert said.startswith("the data cannot be used: data = 'gone': no such folder")
    assert (first.missing, len(first.names)) == ("", 3)


def test_the_camera_is_below_and_what_is_not_real_cannot_be_seen() -> None:
    objects = torch.zeros(3, NUM_PROPERTIES)
    objects[:, COORDINATES] = 0.5
    objects[0, COORDINATES.start : COORDINATES.start + 2] = torch.tensor(
        [0.5 + 0.73 / 4, 0.5 - 0.68 / 4]
    )  # to the camera
    objects[1, COORDINATES.start : COORDINATES.start + 2] = torch.tensor(
        [0.5 + 0.68 / 4, 0.5 + 0.73 / 4]
    )  # to its right
    objects[:2, REAL] = 1
    objects[0, 7 + 2] = 1  # blue
    _, ax = plt.subplots()
    draw_objects_from_above(ax, objects)
    near, right, absent = ax.collections
    (x, y), (u, v) = near.get_offsets()[0], right.get_offsets()[0]
    assert abs(x) < 0.01
    assert y == pytest.approx(-0.25, abs=0.01)
    assert u == pytest.approx(0.25, abs=0.01)
    assert abs(v) < 0.01
    assert plt.matplotlib.colors.to_hex(near.get_facecolor()[0]) == PALETTE[2]
    assert absent.get_alpha() == 0
    assert ax.get_xlim() == (-HALF, HALF)


@pytest.mark.slow
def test_the_same_scenes_are_decomposed_at_several_counts(trained: dict[str, Results]) -> None:
    results = trained["iterations"]
    test = results.recipe.tests[-1]
    counts = (min(test.slots), max(test.slots))
    few, most = decompose_at_counts(results, test, counts)
    alone = decompose_examples(results, test, max(test.slots))
    assert few.scene_ids == most.scene_ids == alone.scene_ids
    assert all(labels.max() < min(counts) for labels in few.segmentations.values())
    fig = clevr.draw_growth(dict(zip(counts, (few, most), strict=True)))
    assert len([ax for ax in fig.axes if ax.axison]) == 2 * (1 + len(few.segmentations))
    assert [ax.get_ylabel() for ax in fig.axes if ax.get_ylabel()] == [f"{count} slots" for count in counts]
    drawn = decompose_examples(results, test, max(counts), random=2)
    assert drawn.names == ("1", "2")
    fig = clevr.draw_scenes_in_columns(drawn)
    titles = [ax.get_title() for ax in fig.axes]
    assert len(titles) == 2 * (2 + len(drawn.segmentations))
    table = results.scenes[
        (results.scenes["slots"] == max(counts)) & (results.scenes["iterations"] == test.iterations[0])
    ]
    first = table[(table["variant"] == next(iter(drawn.f_ari))) & (table["seed"] == 0)].set_index("scene_id")
    for title, scene in zip(titles[4:6], drawn.scene_ids, strict=True):
        own, blind = first.loc[scene, ["f_ari", "blind_f_ari"]]
        assert title == f"F-ARI {round(own, 2) + 0.0:.2f}\nblind {round(blind, 2) + 0.0:.2f}"


@pytest.mark.parametrize(
    ("f_ari", "blind", "text"),
    [(0.625, 0.21, "F-ARI 0.62\nblind 0.21"), (-0.001, float("nan"), "F-ARI 0.00\nblind –")],
)
def test_f_ari_stands_above_its_control(f_ari: float, blind: float, text: str) -> None:
    image = torch.zeros(2, 3, 1, 1)
    scores = {"a": np.array([9.0, f_ari])}, {"a": np.array([9.0, blind])}
    shown = Examples(("one", "two"), (0, 1), image, image[:, 0].long(), {}, {}, {}, *scores)
    assert clevr.describe_scores(shown, "a", 1) == text


def test_growth_without_a_model_says_so() -> None:
    results = collect(recipe("clevr-6-7", "smoke"), RunStore("memory://empty-growth"))
    test = results.recipe.tests[-1]
    growth = dict(zip((5, 21), decompose_at_counts(results, test, (5, 21)), strict=True))
    (text,) = clevr.draw_growth(growth).texts
    assert "in the store" in text.get_text()
