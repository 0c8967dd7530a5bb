"""What each measure can and cannot see, on scenes of known objects."""

import pytest
import torch

from slotnorm_book.analyses.measure_examples import example_segmentations, score_examples


@pytest.fixture(scope="module")
def truth() -> torch.Tensor:
    """Two scenes of two squares each, at different places."""
    labels = torch.zeros(2, 32, 32, dtype=torch.long)
    labels[0, 2:10, 2:10], labels[0, 20:28, 20:28] = 1, 2
    labels[1, 2:10, 20:28], labels[1, 20:28, 2:10] = 1, 2
    return labels


@pytest.fixture(scope="module")
def scores(truth: torch.Tensor):
    return score_examples(truth, cells=4).set_index("segmentation")


def test_no_measure_faults_the_truth(scores) -> None:
    assert scores.loc["the truth", ["F-ARI", "ARI", "mBO"]].tolist() == [1, 1, 1]


def test_f_ari_does_not_see_the_background(scores) -> None:
    stripes = scores.loc["the truth, its background cut into stripes"]
    assert stripes["F-ARI"] == 1
    assert stripes["mBO"] == 1
    assert stripes["ARI"] < 0.9


def test_f_ari_does_not_see_a_seam_and_mbo_does(scores) -> None:
    seam = scores.loc["the truth, each object with a seam of background"]
    assert seam["F-ARI"] == 1
    assert seam["mBO"] == pytest.approx(8**2 / 12**2)


def test_all_see_halves(truth: torch.Tensor, scores) -> None:
    halves = example_segmentations(truth, cells=4)["the truth, each object cut into halves"]
    assert [len(scene.unique()) for scene in halves] == [5, 5]
    assert scores.loc["the truth, each object cut into halves", "mBO"] == pytest.approx(0.5)
    assert (scores.loc["the truth, each object cut into halves", ["F-ARI", "ARI"]] < 1).all()


def test_a_blind_partition_has_an_f_ari_and_finds_nothing(scores) -> None:
    cells = scores.loc["cells that never see the picture"]
    assert cells["F-ARI"] > 0.5
    assert cells["found"] == pytest.approx(0, abs=1e-12)
    assert cells["mBO"] < 0.5


def test_one_slot_scores_nothing(scores) -> None:
    assert scores.loc["everything in one slot", ["F-ARI", "ARI"]].tolist() == [0, 0]


def test_one_scene_has_no_other(truth: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="two scenes"):
        score_examples(truth[:1], cells=2)
