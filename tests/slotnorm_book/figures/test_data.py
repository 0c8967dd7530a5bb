import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from slotnorm_book.figures.data import (
    CLIPPED,
    draw_images_and_features,
    draw_object_counts,
    draw_pretraining,
    features_to_rgb,
)


def test_bars_are_the_numbers_of_scenes() -> None:
    counts = {"one": np.array([3, 3, 5]), "other": np.array([4, 4, 4, 9])}
    fig = draw_object_counts(counts)
    bars = {(round(bar.get_x() + bar.get_width() / 2), bar.get_height()) for bar in fig.axes[0].patches}
    assert bars == {(3, 2), (5, 1), (4, 3), (9, 1)}
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["one", "other"]
    plt.close(fig)


def test_colors_are_the_main_components_in_order(generator: torch.Generator) -> None:
    latent = torch.randn(2 * 64, 3, generator=generator) * torch.tensor([9.0, 3.0, 1.0])
    mixing = torch.linalg.qr(torch.randn(12, 3, generator=generator))[0]
    colors = features_to_rgb((latent @ mixing.T + 5).view(2, 64, 12))
    assert colors.shape == (2, 8, 8, 3)
    assert (colors.amin(), colors.amax()) == (0, 1)
    for channel, component in zip(colors.reshape(-1, 3).T, latent.T, strict=True):
        inner = (channel > 0) & (channel < 1)
        assert (~inner).double().mean() <= 2 * CLIPPED + 2 / 128  # two patches: where a quantile falls between two
        assert np.corrcoef(channel[inner], component[inner])[0, 1] ** 2 > 0.9  # of either sign


def test_colors_do_not_depend_on_signs_or_offsets(generator: torch.Generator) -> None:
    features = torch.randn(1, 16, 6, generator=generator)
    twice = features_to_rgb(2 * features + 3)
    torch.testing.assert_close(twice, features_to_rgb(features), atol=1e-5, rtol=0)  # float32 input


def test_patches_that_fill_no_square_are_refused() -> None:
    with pytest.raises(ValueError, match="patches must fill a square, got 15"):
        features_to_rgb(torch.zeros(1, 15, 6))


def test_images_stand_above_their_features(generator: torch.Generator) -> None:
    fig = draw_images_and_features(
        torch.rand(3, 3, 8, 8, generator=generator), torch.randn(3, 16, 5, generator=generator)
    )
    pictures = [ax.images[0].get_array() for ax in fig.axes]
    assert [picture.shape for picture in pictures] == [(8, 8, 3)] * 3 + [(4, 4, 3)] * 3
    plt.close(fig)


def test_the_training_of_the_backbone_is_its_loss_and_its_accuracies() -> None:
    loss = pd.DataFrame({"step": [1, 2], "loss": [4.0, 2.0]})
    fig = draw_pretraining(loss, {"second_color": 0.5, "background": 0.75})
    curve, bars = fig.axes
    assert curve.lines[0].get_ydata().tolist() == [4, 3]
    assert [bar.get_width() for bar in bars.patches] == [0.5, 0.75]
    assert [label.get_text() for label in bars.get_yticklabels()] == ["second color", "background"]
    plt.close(fig)
