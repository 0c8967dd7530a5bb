"""Which bicubic and which nearest, against a transcription of their definitions."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data_tools.converters.resampling import bicubic, resize_images, resize_masks


def keys_kernel(x: float, a: float = -0.75) -> float:
    """The cubic convolution kernel of Keys (1981)."""
    x = abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def weights(length: int, size: int) -> np.ndarray:
    """Matrix (size, length) that scales one axis: half-pixel centres, four taps, border pixels repeated."""
    matrix = np.zeros((size, length))
    for i in range(size):
        centre = (i + 0.5) * length / size - 0.5
        for tap in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
            matrix[i, np.clip(tap, 0, length - 1)] += keys_kernel(centre - tap)
    return matrix


@given(length=st.integers(2, 20), size=st.integers(1, 20), seed=st.integers(0, 2**31))
def test_bicubic_is_cubic_convolution_without_antialiasing(length: int, size: int, seed: int) -> None:
    image = np.random.default_rng(seed).random((length, length))
    matrix = weights(length, size)
    scaled = bicubic(torch.from_numpy(image)[None, None], size)[0, 0].numpy()
    # Sixteen products of order one in float64.
    np.testing.assert_allclose(scaled, matrix @ image @ matrix.T, rtol=0, atol=1e-12)


def test_bicubic_commutes_with_normalization() -> None:
    image = torch.rand(1, 3, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(bicubic((image - 0.4) / 0.2, 14), (bicubic(image, 14) - 0.4) / 0.2, rtol=0, atol=1e-12)


def test_images_are_rounded_and_clipped() -> None:
    image = np.zeros((1, 8, 8, 3), np.uint8)
    image[:, :, 4:] = 254  # half of it, at the edge, is no tie of rounding
    exact = weights(8, 7) @ image[0, :, :, 0] @ weights(8, 7).T
    assert exact.min() < -1
    assert exact.max() > 256
    scaled = resize_images(torch.from_numpy(image), 7)
    assert scaled.dtype == torch.uint8
    np.testing.assert_array_equal(scaled[0, :, :, 0], np.clip(np.round(exact), 0, 255))


def test_masks_take_the_label_under_the_centre_and_the_later_one_on_a_border() -> None:
    # From 8 to 7 the centres lie at (2i + 1) 8 / 14 = 0.57, 1.71, 2.86, 4, 5.14, 6.29, 7.43.
    masks = torch.arange(8, dtype=torch.uint8).expand(1, 8, 8)
    assert resize_masks(masks, 7)[0].tolist() == [[0, 1, 2, 4, 5, 6, 7]] * 7
    assert resize_masks(masks.mT, 7)[0].mT.tolist() == [[0, 1, 2, 4, 5, 6, 7]] * 7


def test_masks_stay_aligned_with_images() -> None:
    mask = np.zeros((1, 256, 256), np.uint8)
    mask[:, 100:161, 40:199] = 1
    image = np.repeat(255 * mask[..., None], 3, axis=-1)
    scaled = resize_images(torch.from_numpy(image), 224)[..., 0]
    inside = resize_masks(torch.from_numpy(mask), 224).bool()
    # The interpolated edge crosses half of the contrast at the mask's border. A centre on the border, which belongs to
    # the mask, gives 127.5 but for float32 rounding, so it may be stored as 127 or as 128.
    assert (scaled[inside] >= 127).all()
    assert (scaled[~inside] < 127).all()


@pytest.mark.parametrize("size", [1, 7, 224])
def test_what_fits_already_is_left_alone(size: int) -> None:
    image = torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8)
    assert torch.equal(resize_images(image, size), image)
    assert torch.equal(resize_masks(image[..., 0], size), image[..., 0])
