"""The explorer's scenes and what models make of them: chosen by rule, equal to the records, numbered by role."""

import re
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slotnorm_book.analyses.explorer_views import (
    FURTHER,
    SPARE,
    Frames,
    View,
    assign_roles,
    choose_spread_scenes,
    explorer_frames,
)
from slotnorm_book.experiments.data_sources import Source
from slotnorm_book.experiments.results import collect
from slotnorm_book.experiments.run_store import RunStore
from slotnorm_book.experiments.test_sets import TestSet
from slotnorm_book.figures.explorer import describe_more_slots, draw_middle_scene
from slotnorm_book.figures.style import VARIANT_LABELS
from tests.helpers import tiny


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    data = tiny.make_data(tmp_path_factory.mktemp("data"))
    store = RunStore(tmp_path_factory.mktemp("store"))
    return collect(tiny.recipe(data), store, "train", tiny.QUIET)


def grid(*rows: str) -> torch.Tensor:
    return torch.tensor([[int(cell) for cell in row] for row in rows])


def test_scenes_stand_at_evenly_spaced_quantiles_of_the_mean():
    means = {7: 0.5, 3: 0.1, 9: 0.9, 4: 0.3, 5: 0.7}
    rows = [(scene, mean + shift) for scene, mean in means.items() for shift in (-0.2, 0.2)]
    table = pd.DataFrame(rows, columns=["scene_id", "f_ari"])
    assert choose_spread_scenes(table, 3) == [3, 7, 9]
    assert choose_spread_scenes(table, 5) == choose_spread_scenes(table, 99) == [3, 4, 7, 5, 9]


def test_pictures_agree_with_the_records(results):
    """All but a few: a pixel at which two masks are equal up to rounding may change its slot with the batch."""
    shown = explorer_frames(results, scenes=4)
    differences = np.array([np.abs(view.f_ari.numpy() - view.recorded) for view in shown.views.values()])
    same = [view.f_ari.float().numpy() == view.recorded for view in shown.views.values()]  # records are in single
    assert np.mean(same) >= 0.75
    assert shown.deviation == differences.max()
    for view in shown.views.values():
        assert view.segmentation.shape == (2, 4, tiny.SIZE, tiny.SIZE)
        assert view.painting.shape == (2, 4, 3, tiny.SIZE, tiny.SIZE)


def test_overlaps_agree_with_the_records(results):
    shown = explorer_frames(results, scenes=4)
    rows = results.scenes[results.scenes["test"] == "all"].set_index(["variant", "slots", "scene_id"])["mbo"]
    same = [
        view.mbo[place, column].float().item() == rows.loc[(variant, slots, scene)]
        for variant, view in shown.views.items()
        for place, slots in enumerate(shown.slots)
        for column, scene in enumerate(shown.scene_ids)
    ]
    assert np.mean(same) >= 0.75


def test_the_control_is_that_of_the_records(results):
    shown = explorer_frames(results, scenes=4)
    rows = results.scenes[results.scenes["test"] == "all"].set_index(["variant", "slots", "scene_id"])["blind_f_ari"]
    for variant, view in shown.views.items():
        for place, slots in enumerate(shown.slots):
            assert view.blind[place].tolist() == [rows.loc[(variant, slots, scene)] for scene in shown.scene_ids]


def test_a_test_set_without_a_floor_has_none(results):
    assert explorer_frames(results, scenes=2).floor == {}


def test_paintings_have_the_recorded_loss(results):
    shown = explorer_frames(results, scenes=3)
    rows = results.scenes[results.scenes["test"] == "all"].set_index(["variant", "slots", "scene_id"])
    for variant, view in shown.views.items():
        errors = (view.painting - shown.image).double().square().flatten(2).mean(dim=2)
        for place, slots in enumerate(shown.slots):
            recorded = [rows.loc[(variant, slots, scene), "loss"] for scene in shown.scene_ids]
            assert errors[place].tolist() == pytest.approx(recorded, rel=1e-5)


def test_scenes_are_those_of_the_test_set_with_more_objects(results):
    shown = explorer_frames(results, scenes=6)
    assert (shown.experiment, shown.test.label, shown.train_slots, shown.slots) == ("tiny", "all", 2, (2, 3))
    split = shown.test.source.open()
    for scene, objects, truth in zip(shown.scene_ids, shown.objects, shown.truth, strict=True):
        (place,) = np.flatnonzero(split["scene_id"] == scene)
        assert objects == split["num_objects"][place]
        assert torch.equal(truth, torch.from_numpy(split["segmentation"][place]).long())


def test_the_average_is_over_all_scenes(results):
    shown = explorer_frames(results, scenes=2)
    rows = results.scenes[results.scenes["test"] == "all"]
    for variant, view in shown.views.items():
        means = rows[rows["variant"] == variant].groupby("slots")[["f_ari", "blind_f_ari"]].mean()
        assert view.average.tolist() == pytest.approx(means["f_ari"].tolist())
        assert view.average_blind.tolist() == pytest.approx(means["blind_f_ari"].tolist())


def test_nothing_is_shown_until_every_variant_has_a_model(results):
    assert explorer_frames(replace(results, runs=results.runs[:1]), scenes=2) is None
    bare = tuple(replace(run, files={"eval.parquet": run.files["eval.parquet"]}) for run in results.runs)
    assert explorer_frames(replace(results, runs=bare), scenes=2) is None


def test_roles_by_hand():
    truth = grid("0000", "1122", "1122", "0022")
    # 5: most of object 1; 3: the rest of it; 7: object 2; 0 and 9: background, 0 has more of it
    segmentation = grid("0009", "5577", "5377", "0977")
    expected = grid("0009", "1122", "1822", "0922").numpy().astype(np.uint8)
    expected[expected == 9] = SPARE
    expected[expected == 8] = FURTHER
    assert np.array_equal(assign_roles(segmentation, truth), expected)


def test_a_slot_takes_the_object_it_holds_although_most_of_it_is_background():
    truth = grid("000000", "010203", "000000")
    # three stripes, each with an object: 4 has most background, so its object is not found
    segmentation = grid("444556", "444556", "444455")
    assert np.array_equal(assign_roles(segmentation, truth), grid("000223", "000223", "000022").numpy())


def test_labels_of_any_size_are_numbered_from_one():
    truth, small = grid("0000", "1122", "1122", "0022"), grid("0009", "5577", "5377", "0977")
    large = torch.tensor([0, 40, 255])[truth]
    assert np.array_equal(assign_roles(small, large), assign_roles(small, truth))
    objects = torch.tensor([[40, 255]])
    assert np.array_equal(assign_roles(objects, objects), [[1, 2]])
    assert np.array_equal(assign_roles(torch.arange(31)[None], torch.arange(100, 131)[None]), np.arange(1, 32)[None])


def test_more_objects_than_the_explorer_can_color_are_refused():
    with pytest.raises(ValueError, match="colors at most 31 objects, and a scene has 32"):
        assign_roles(torch.zeros(1, 32, dtype=torch.int64), torch.arange(1, 33)[None])


def test_two_objects_of_one_slot_have_one_role():
    assert set(assign_roles(grid("4444"), grid("1112")).flat) == {1}


labels = st.lists(st.integers(0, 5), min_size=16, max_size=16).map(lambda cells: torch.tensor(cells).reshape(4, 4))


@given(labels, labels)
def test_roles_part_a_picture_as_its_slots_do(segmentation, truth):
    pairs = set(zip(segmentation.flatten().tolist(), assign_roles(segmentation, truth).flat, strict=True))
    assert len(pairs) == len({slot for slot, _ in pairs}) == len({role for _, role in pairs})


@given(labels)
def test_the_truth_keeps_its_labels(truth):
    assert np.array_equal(assign_roles(truth, truth), truth.numpy())


@given(labels, st.permutations(range(6)))
def test_the_order_of_unequal_slots_does_not_matter(truth, order):
    assert np.array_equal(assign_roles(torch.tensor(order)[truth], truth), truth.numpy())


def test_the_answer_has_each_variant_at_the_slots_of_the_training_and_at_the_most(results):
    rows = results.scenes[
        (results.scenes["test"] == "all") & (results.scenes["variant"] == results.recipe.variants[-1])
    ]
    means = rows.groupby("slots")[["f_ari", "blind_f_ari"]].mean()
    expected = means.loc[[2, 3]].to_numpy().flatten().tolist()
    text = describe_more_slots([explorer_frames(results, scenes=3)])
    assert text.startswith("- all, 2 → 3 slots: ")
    told = text.split(f"{VARIANT_LABELS[results.recipe.variants[-1]]} ")[1]
    assert re.fullmatch(r"\S+ \(blind \S+\) → \S+ \(blind \S+\)", told)
    numbers = [float(number) for number in re.findall(r"-?\d\.\d\d", told)]
    assert numbers == pytest.approx(expected, abs=0.0051)  # two digits
    assert describe_more_slots([]) == "- no set can be shown yet"


def test_the_text_of_a_record_is_no_markdown(results):
    shown = explorer_frames(results, scenes=3)
    hostile = replace(shown, test=replace(shown.test, label="<b> `x` [a](b) $y$"))
    assert describe_more_slots([hostile]).startswith(r"- \<b\> \`x\` \[a\](b) \$y\$, 2 → 3 slots: ")


@pytest.mark.parametrize(
    ("slots", "told"), [((2, 3), "2 → 3 slots"), ((3,), "3 → 3 slots (trained with 2)"), ((1,), "1 → 1 slots (trained")]
)
def test_without_the_slots_of_the_training_the_nearest_are_told(slots, told):
    average = np.full(len(slots), 0.5)
    view = View(
        torch.zeros(len(slots), 1, 4, 4, dtype=torch.long),
        None,
        *torch.zeros(2, len(slots), 1),
        average,
        average[:, None],
        average,
        average,
    )
    test = TestSet("all", Source("synth", "test", 4, 1), 1, None, slots, (1,))
    picture = torch.zeros(1, 3, 4, 4)
    shown = Frames("tiny", test, 2, (0,), (1,), picture, picture[:, 0].long(), {"weighted_mean": view})
    assert describe_more_slots([shown]).startswith(f"- all, {told}")
    titles = [ax.get_title() for ax in draw_middle_scene([shown]).axes]
    assert [title for title in titles if "slots" in title] == [f"{count} slots\n0.00\nblind 0.50" for count in slots]
    plt.close("all")


def test_slot_counts_are_in_ascending_order(results):
    backward = explorer_frames(replace(results, recipe=results.recipe.select(slots=[3, 2])), scenes=3)
    assert backward.slots == (2, 3)
    assert describe_more_slots([backward]) == describe_more_slots([explorer_frames(results, scenes=3)])
