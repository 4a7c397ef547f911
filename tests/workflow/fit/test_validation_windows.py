"""Few pixels are spread over images and over places within them; many are whole images."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from pixelwise.labels.targets import IGNORE
from pixelwise.sampling.normalise import Normalisation, Scale, intensity_scale
from pixelwise.workflow.fit.training_data import TrainingImage
from pixelwise.workflow.fit.validation_windows import choose_windows


def piece(name: str, side: int, rng: np.random.Generator) -> TrainingImage:
    pixels = rng.integers(0, 256, (1, side, side)).astype(np.uint8)
    target = (pixels[0] > 127).astype(np.uint8)
    return TrainingImage(name, pixels, target, intensity_scale(pixels, Normalisation()))


def test_no_more_pixels_than_the_time_allows(rng: np.random.Generator) -> None:
    pieces = [piece(str(i), 100, rng) for i in range(10)]
    found = choose_windows(pieces, 30_000, 1)
    assert [p.name for p in found] == ["0", "3", "6"], "too few pixels for more images with windows that show something"
    found = choose_windows(pieces, 80_000, 1)
    assert [p.name for p in found] == [str(index * 10 // 8) for index in range(8)]


def test_few_pixels_are_spread_over_several_images(rng: np.random.Generator) -> None:
    """As many pixels as one image of 300 x 300 has: seven windows, not that image."""
    found = choose_windows([piece(str(index), 300, rng) for index in range(90)], 2**16, 1)
    assert len(found) == 7
    assert {image.target.shape for image in found} == {(96, 96)}


def test_a_large_image_is_cropped(rng: np.random.Generator) -> None:
    (cut,) = choose_windows([piece("large", 400, rng)], 10_000, 1)
    assert cut.target.shape == (100, 100)
    assert cut.pixels.shape == (1, 100, 100)


def corners(found: Sequence[TrainingImage], whole: int) -> np.ndarray:
    """Return (windows, 2): where each begins; targets hold the number of their row in one, of their column in two."""
    return np.array([(image.pixels[0, 0, 0] // whole, image.pixels[0, 0, 0] % whole) for image in found])


@pytest.mark.parametrize(("images", "windows"), [(1, 8), (2, 8), (3, 9), (8, 8), (20, 8)])
def test_windows_lie_in_all_parts_of_images(images: int, windows: int) -> None:
    """Centres are alike: of the retina it is the optic disc. Each quarter and the middle of the images is seen."""
    side = 1000
    pixels = np.arange(side * side, dtype=np.int32).reshape(1, side, side)
    scale = Scale(np.array([1.0]), np.array([0.0]))
    pieces = [TrainingImage(str(index), pixels, (pixels[0] % 2).astype(np.uint8), scale) for index in range(images)]
    found = choose_windows(pieces, 200_000, 1)
    assert len(found) == windows
    assert len({image.name for image in found}) == min(images, windows), "windows of an image have its name"
    sides = np.array([image.target.shape for image in found])
    assert 0.8 * 200_000 < sides.prod(1).sum() <= 200_000
    places = corners(found, side)
    assert (places + sides <= side).all()
    middles = (places + sides / 2) / side
    quarters = {(bool(row > 0.5), bool(column > 0.5)) for row, column in middles.tolist()}
    assert len(quarters) == 4
    apart = np.abs(middles[:, None] - middles[None]).max(-1)[~np.eye(len(found), dtype=bool)]
    assert apart.min() > 0.1, "no place is seen twice"


def test_windows_lie_where_something_is_known(rng: np.random.Generator) -> None:
    """Ten strokes all over a large image: all windows show some, and together most of them."""
    whole = piece("marked", 1000, rng)
    target = np.full_like(whole.target, IGNORE)
    strokes = [(int(row), int(column)) for row, column in rng.integers(0, 960, (10, 2))]
    for row, column in strokes:
        target[row : row + 40, column : column + 5] = whole.target[row : row + 40, column : column + 5]
    found = choose_windows([replace(whole, target=target)], 100_000, 1)
    assert len(found) == 8
    assert all((window.target != IGNORE).any() for window in found)
    sparse = {window.target.shape for window in found}
    assert sparse == {(111, 111)}
    assert sum(int((window.target != IGNORE).sum()) for window in found) > 8 * 100


@pytest.mark.parametrize("place", [(0, 0), (399, 0), (150, 390), (20, 210)], ids=str)
def test_few_pixels_show_what_is_scored(place: tuple[int, int]) -> None:
    """On a slow machine a corner of one image is left, and objects are in the middle of none."""
    scale = Scale(np.array([1 / 64]), np.array([127.5]))
    empty = TrainingImage("empty", np.zeros((1, 400, 400), np.uint8), np.zeros((400, 400), np.uint8), scale)
    target = np.zeros((400, 400), np.uint8)
    target[place] = 1
    shown = TrainingImage("shown", 255 * target[None], target, scale)
    marked = np.full((400, 400), IGNORE, np.uint8)
    marked[:50, :50] = 0
    unmarked = replace(empty, name="unmarked", target=marked)
    (chosen,) = choose_windows([empty, unmarked, shown, empty], 10_000, 1)
    assert chosen.name == "shown"
    assert chosen.target.shape == (100, 100)
    assert chosen.target.sum() == 1
    (chosen,) = choose_windows([empty, unmarked], 10_000, 1)
    assert chosen.name == "empty", "control: nothing is scored"


def test_all_strokes_of_sparse_annotations_are_scored_where_whole_images_would_not_fit(
    rng: np.random.Generator,
) -> None:
    """Six images of which strokes at the border are known: as many pixels as one image has hold all of them."""
    sparse: list[TrainingImage] = []
    for index in range(6):
        whole = piece(str(index), 300, rng)
        target = np.full_like(whole.target, IGNORE)
        strokes = np.s_[280:290, 10 * index : 10 * index + 40]
        target[strokes] = whole.target[strokes]
        sparse.append(replace(whole, target=target))
    found = choose_windows(sparse, 300 * 300, 1)
    assert sum(int((image.target != IGNORE).sum()) for image in found) == 6 * 400
    assert all(image.pixels.shape[1:] == image.target.shape for image in found)
    known = [replace(image, target=np.where(image.target == IGNORE, 0, image.target)) for image in sparse]
    windows = {image.target.shape for image in choose_windows(known, 300 * 300, 1)}
    assert windows == {(122, 122)}, "control: of images that are known everywhere windows are chosen"
