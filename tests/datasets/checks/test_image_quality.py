"""Saturated, blank and out-of-focus images stand out from their set, and only they."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from pixelwise.datasets.checks.image_quality import judge_quality, measure_edge_width, measure_quality
from spots import spots

SIDE = (96, 128)


def images(count: int = 10) -> list[np.ndarray]:
    return [spots(seed, SIDE)[0][None] for seed in range(count)]


def blurred(image: np.ndarray, sigma: float = 4) -> np.ndarray:
    return ndimage.gaussian_filter(image.astype(float), (0, sigma, sigma)).astype(np.uint8)


def judged(pixels: list[np.ndarray]) -> list[tuple[int, str]]:
    return [(index, kind) for index, kind, _, _ in judge_quality([measure_quality(image) for image in pixels])]


def test_images_that_stand_out() -> None:
    drawn = images()
    blank, white = np.full_like(drawn[0], 90), np.minimum(drawn[1] * 3.5, 255).astype(np.uint8)
    assert judged([*drawn, blank, white, blurred(drawn[2])]) == [
        (10, "blank image"), (11, "saturated image"), (12, "out-of-focus image"),
    ]  # fmt: skip
    assert judged(drawn) == []
    assert judge_quality([]) == []


def test_a_set_of_blurred_images_is_meant_so() -> None:
    assert judged([blurred(image) for image in images()]) == []


def test_images_of_two_kinds_do_not_hide_a_blurred_one() -> None:
    faint = [(image // 3 + 3).astype(np.uint8) for image in images(8)]
    assert judged([*images(8), *faint, blurred(faint[3])]) == [(16, "out-of-focus image")]


def test_saturation_of_single_channels_and_of_cameras_with_12_bits() -> None:
    colour = [np.repeat(image, 3, 0) for image in images()]
    pink = colour[4].copy()
    pink[[0, 2]] = 255
    assert judged([*colour, pink]) == [(10, "saturated image")]
    deep = [image.astype(np.uint16) * 12 for image in images()]
    assert judged([*deep, np.minimum(deep[2] * 8, 4095)]) == [(10, "saturated image")]


def test_channels_that_cancel_one_another_are_not_blank() -> None:
    pairs = [np.concatenate([image, 255 - image]) for image in images()]
    assert judged(pairs) == []


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_the_width_of_a_blurred_step(kind: type) -> None:
    step = np.zeros((96, 96))
    step[:, 48:] = 200
    for sigma in (2, 3, 4):
        assert measure_edge_width(ndimage.gaussian_filter(step, sigma).astype(kind)) == pytest.approx(sigma, rel=0.15)


@given(factor=st.floats(0.2, 5), shift=st.floats(-50, 50))
def test_the_width_of_edges_does_not_depend_on_brightness_and_contrast(factor: float, shift: float) -> None:
    image = blurred(images(1)[0])[0].astype(np.float32)
    assert measure_edge_width(image * factor + shift) == pytest.approx(measure_edge_width(image), rel=0.01)


def test_images_without_edges_or_pixels_have_no_width() -> None:
    assert measure_edge_width(np.zeros((5, 5))) == 0
    assert measure_quality(np.zeros((1, 0, 4), np.uint8)).edge_width == 0
    assert measure_quality(np.full((1, 1, 1), 7, np.uint8)).saturated == 0
