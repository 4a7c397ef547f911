"""Where the values of masks are: palettes, black and white, alpha, and mixtures over a set."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise.datasets.dataset import load_dataset
from pixelwise.errors import BadDataset
from pixelwise.io.read import MaskImage
from read_masks import discs, photo, understand

BLACK, WHITE, RED, GREEN, BLUE = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255)
DRAWN = [discs(seed) for seed in range(6)]
CLASSES = [(drawn > 0) * (1 + drawn % 2) for drawn in DRAWN]


def indexed(values: np.ndarray, *colours: tuple[int, int, int]) -> MaskImage:
    return MaskImage(values.astype(np.uint8), dict(enumerate(colours)), False)


def gray(values: np.ndarray, **fields: object) -> MaskImage:
    return MaskImage(values, None, False, **fields)


@pytest.mark.parametrize("order", [(0, 2, 1), (1, 2, 0), (2, 1, 0)])
@pytest.mark.parametrize("colours", [(BLACK, RED, GREEN), (BLACK, BLUE, WHITE), ((9, 9, 9), (80, 1, 7), (200, 200, 3))])
def test_the_same_colour_is_the_same_class(order: tuple[int, ...], colours: tuple[tuple[int, int, int], ...]) -> None:
    masks = []
    for i, classes in enumerate(CLASSES):
        places = order if i % 2 else (0, 1, 2)  # index of each class in this file
        palette = [colours[places.index(index)] for index in range(3)]
        masks.append(indexed(np.array(places)[classes], *palette))
    found = understand(masks)
    assert found.result.labelling.task == "multiclass"
    assert "palette" in found.text
    assert "--mask-values" in found.text
    pairs = np.unique(np.stack([np.concatenate(found.labels).ravel(), np.concatenate(CLASSES).ravel()]), axis=1)
    assert pairs.shape[1] == 3
    # control: by index, a number means different things in different files
    by_index = understand(masks, mask_values="numbers")
    assert (
        np.unique(np.stack([np.concatenate(by_index.labels).ravel(), np.concatenate(CLASSES).ravel()]), axis=1).size > 6
    )


def test_indices_count_if_palettes_only_look_different() -> None:
    masks = [
        indexed(c, BLACK, RED, GREEN) if i % 2 else indexed(c, BLACK, BLUE, (7, 8, 9)) for i, c in enumerate(CLASSES)
    ]
    found = understand(masks)
    assert found.result.labelling.values == (0, 1, 2)
    assert all(np.array_equal(one, other) for one, other in zip(found.labels, CLASSES, strict=True))


def test_one_palette_keeps_its_indices_silently() -> None:
    found = understand([indexed(c, BLACK, RED, GREEN) for c in CLASSES])
    assert found.result.labelling.values == (0, 1, 2)
    assert "palette" not in found.text


@pytest.mark.parametrize("dark", [(BLACK, WHITE), (BLACK, RED)])
def test_black_is_the_background_wherever_it_is_in_the_palette(dark: tuple[tuple[int, int, int], ...]) -> None:
    found = understand([indexed(drawn == 0, dark[1], dark[0]) for drawn in DRAWN])
    assert found.result.labelling.task == "binary"
    assert all(np.array_equal(labels, drawn > 0) for labels, drawn in zip(found.labels, DRAWN, strict=True))


@pytest.mark.parametrize(
    "other",
    [
        lambda marked: indexed(marked, BLACK, WHITE),
        lambda marked: indexed(~marked, WHITE, BLACK),
        lambda marked: gray(marked.astype(np.uint8), bilevel=True),
        lambda marked: gray(marked.astype(np.uint8)),
        lambda marked: gray(65535 * marked.astype(np.int64)),
    ],
)
def test_two_ways_to_save_black_and_white(other: Callable[[np.ndarray], MaskImage]) -> None:
    for share in (2, 3):
        marked = [drawn > 0 for drawn in DRAWN]
        masks = [other(m) if i % share == 0 else gray((255 * m).astype(np.uint8)) for i, m in enumerate(marked)]
        found = understand(masks)
        assert found.result.labelling.task == "binary", found.result.messages
        assert all(np.array_equal(labels, m) for labels, m in zip(found.labels, marked, strict=True))
        assert "--mask-" in found.text


def test_1_and_255_in_one_file_are_two_values() -> None:
    masks = [gray(np.where(c == 2, 255, c).astype(np.uint8)) for c in CLASSES]
    assert understand(masks, task="multiclass").result.labelling.values == (0, 1, 255)


@pytest.mark.parametrize("colour", [WHITE, BLACK, (3, 100, 7)])
@pytest.mark.parametrize("soft", [False, True])
def test_the_mask_is_in_the_alpha_channel(colour: tuple[int, int, int], soft: bool) -> None:
    from scipy import ndimage

    masks, truth = [], []
    for drawn in [*DRAWN, np.zeros_like(DRAWN[0])]:  # the last one is empty
        alpha = 255 * (drawn > 0)
        alpha = ndimage.gaussian_filter(alpha.astype(float), 0.8).round() if soft else alpha
        plain = np.full((*drawn.shape, 3), colour, np.uint8)
        values = plain[..., 0] if len(set(colour)) == 1 else plain
        masks.append(gray(values, alpha=alpha.astype(np.uint8)))
        truth.append(alpha > 127.5)
    found = understand(masks)
    assert found.result.labelling.alpha
    assert found.result.labelling.task == "binary"
    assert "alpha" in found.text
    assert all(np.array_equal(labels, t) for labels, t in zip(found.labels, truth, strict=True))


def test_the_alpha_of_a_cut_out_photograph() -> None:
    rng = np.random.default_rng(0)
    masks = [
        gray(rng.integers(0, 256, (*d.shape, 3)).astype(np.uint8), alpha=(255 * (d > 0)).astype(np.uint8))
        for d in DRAWN
    ]
    found = understand(masks)
    assert all(np.array_equal(labels, drawn > 0) for labels, drawn in zip(found.labels, DRAWN, strict=True))


def test_opaque_masks_are_read_by_their_colours() -> None:
    # the control: transparency without meaning
    masks = [gray((255 * (d > 0)).astype(np.uint8), alpha=np.full(d.shape, 255, np.uint8)) for d in DRAWN]
    found = understand(masks)
    assert not found.result.labelling.alpha
    assert all(np.array_equal(labels, drawn > 0) for labels, drawn in zip(found.labels, DRAWN, strict=True))


def test_without_black_the_background_is_the_larger_area() -> None:
    colours = np.array([WHITE, RED], np.uint8)
    masks = [MaskImage(colours[(drawn > 0).astype(int)], None, False) for drawn in DRAWN]
    found = understand(masks, task="binary")
    assert all(np.array_equal(one, drawn > 0) for one, drawn in zip(found.labels, DRAWN, strict=True))
    # the file that the message names decides
    table = "cell 255,255,255\nbackground 255,0,0\n"
    swapped = understand(masks, table=table)
    assert swapped.result.labelling.classes == ("background", "cell")
    assert all(np.array_equal(one, drawn == 0) for one, drawn in zip(swapped.labels, DRAWN, strict=True))


@pytest.mark.parametrize("image_has_alpha", [False, True])
def test_the_image_with_its_mask_in_the_alpha_channel(tmp_path: Path, image_has_alpha: bool) -> None:
    dataset = load_dataset(cut_outs(tmp_path, image_has_alpha=image_has_alpha))
    assert dataset.channels == 3
    for case in dataset.cases:
        assert np.array_equal(dataset.read(case).labels, DRAWN[int(case.name)] > 0)


def test_copies_of_images_with_pixels_without_a_measurement_are_asked_about(tmp_path: Path) -> None:
    """Control: what is transparent is of one colour, as around the image of a plane; the flag decides."""
    folder = cut_outs(tmp_path, image_has_alpha=True, hidden=255)
    with pytest.raises(BadDataset, match="mask is the image") as caught:
        load_dataset(folder)
    assert "--mask-values alpha" in str(caught.value)
    dataset = load_dataset(folder, mask_values="alpha")
    assert all(np.array_equal(dataset.read(case).labels, DRAWN[int(case.name)] > 0) for case in dataset.cases)


def cut_outs(folder: Path, *, image_has_alpha: bool, hidden: int | None = None) -> Path:
    """Masks that are the images with transparency; `hidden` is the colour of what is transparent, if there is one."""
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for seed, drawn in enumerate(DRAWN):
        rgb = np.dstack([photo(drawn, seed)] * 3)
        if hidden is not None:
            rgb[drawn == 0] = hidden
        cut_out = np.dstack([rgb, (255 * (drawn > 0)).astype(np.uint8)])
        Image.fromarray(cut_out if image_has_alpha else rgb).save(folder / "images" / f"{seed}.png")
        Image.fromarray(cut_out).save(folder / "masks" / f"{seed}.png")
    return folder


def test_indices_of_one_colour_are_told_apart_by_their_numbers() -> None:
    """A palette of equal colours shows nothing, the numbers do."""
    found = understand([indexed(drawn > 0, BLACK, BLACK) for drawn in DRAWN])
    assert found.result.labelling.task == "binary"
    assert all(np.array_equal(labels, drawn > 0) for labels, drawn in zip(found.labels, DRAWN, strict=True))
