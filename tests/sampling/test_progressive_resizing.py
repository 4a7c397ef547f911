"""Images and targets at half the resolution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import block_reduce

from pixelwise.sampling.patches import PatchOptions
from pixelwise.sampling.progressive_resizing import halve_image, halve_target, low_res_options


def test_two_by_two_pixels_become_their_mean() -> None:
    image = np.array([[[1, 2, 10, 20], [3, 5, 30, 41]]], np.uint8)
    np.testing.assert_array_equal(halve_image(image), [[[3, 25]]])  # 2.75 and 25.25
    assert halve_image(image).dtype == np.uint8
    np.testing.assert_array_equal(halve_image(image.astype(np.float32)), [[[2.75, 25.25]]])


def test_a_last_odd_row_or_column_counts_twice() -> None:
    image = np.array([[[0, 4, 8], [0, 4, 8], [10, 20, 30]]], np.uint16)
    np.testing.assert_array_equal(halve_image(image), [[[2, 8], [15, 30]]])


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    kind=st.sampled_from([np.uint8, np.uint16, np.int32, np.float16, np.float32]),
)
def test_halving_equals_the_block_mean_of_scikit_image(height: int, width: int, kind: type) -> None:
    rng = np.random.default_rng(height * 10 + width)
    image = (rng.random((2, height, width)) * 250).astype(kind)
    padded = np.pad(image, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    expected = block_reduce(padded.astype(float), (1, 2, 2), np.mean)
    rounding = 0.5 if np.issubdtype(kind, np.integer) else 0.3  # half a unit; float16 has eight at 250
    assert np.abs(halve_image(image).astype(float) - expected).max() <= rounding


def test_the_largest_values_do_not_overflow() -> None:
    for kind in (np.uint8, np.uint16, np.int32, np.uint32):
        image = np.full((1, 2, 2), np.iinfo(kind).max, kind)
        assert halve_image(image)[0, 0, 0] == np.iinfo(kind).max


def test_the_rarest_class_of_four_survives() -> None:
    target = np.array([[0, 0, 0, 1], [0, 2, 1, 1], [255, 255, 255, 0], [255, 255, 255, 255]], np.uint8)
    np.testing.assert_array_equal(halve_target(target, (100, 50, 3)), [[2, 1], [255, 0]])
    # control: the counts determine the rare class
    np.testing.assert_array_equal(halve_target(target, (3, 50, 100)), [[0, 0], [255, 0]])


def test_a_line_of_one_pixel_stays_in_one_piece() -> None:
    target = np.zeros((33, 33), np.uint8)
    target[np.arange(33), np.arange(33)] = 1
    halved = halve_target(target, (1056, 33))
    assert (halved.diagonal() == 1).all()
    assert halved.sum() == 17
    # control: subsampling would miss the line
    target = np.zeros((32, 32), np.uint8)
    target[11] = 1
    assert halve_target(target, (992, 32)).any()
    assert not target[::2, ::2].any()


def test_low_resolution_steps_have_the_same_number_of_pixels() -> None:
    fine = PatchOptions(height=256, width=192, batch=4, foreground_share=0.5)
    coarse = low_res_options(fine, 128, 96)
    assert (coarse.batch, coarse.height, coarse.width, coarse.foreground_share) == (16, 128, 96, 0.5)
    assert low_res_options(PatchOptions(height=20, width=20, batch=1), 40, 40).batch == 1


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_the_fraction_is_between_0_and_1(share: float) -> None:
    from pixelwise.errors import BadOption

    with pytest.raises(BadOption, match=r"patches\.low_res_fraction between 0 and 1"):
        PatchOptions(low_res_fraction=share)
