"""Binary and colour masks with values between: anti-aliasing, resizing and JPEG."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

import drawn
from pixelwise.datasets.dataset import DataOptions, scan_dataset
from pixelwise.io.read import MaskImage
from read_masks import discs, understand

DRAWN = [discs(seed, count=4, size=(96, 112), radius=(8, 14)) for seed in range(6)]
PALETTE = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0)], np.uint8)
TABLE = "0 bg 0,0,0\n1 a 255,0,0\n2 b 0,255,0\n"


def antialiased(marked: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(255.0 * marked, 0.7).round().astype(np.uint8)


def resized(marked: np.ndarray) -> np.ndarray:
    small = Image.fromarray((255 * marked).astype(np.uint8)).resize((28, 24), Image.Resampling.BILINEAR)
    return np.asarray(small.resize(marked.shape[::-1], Image.Resampling.BICUBIC))


def sixteen_bits(marked: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(65535.0 * marked, 0.7).round().astype(np.uint16)


def jpeg(array: np.ndarray, quality: int) -> np.ndarray:
    file = BytesIO()
    Image.fromarray(array).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def close_to_threshold(values: np.ndarray, threshold: float) -> np.ndarray:
    return np.abs(values.astype(float) - threshold) <= 0.02 * float(values.max())


@pytest.mark.parametrize("smooth", [antialiased, resized, sixteen_bits])
@pytest.mark.parametrize("every", [1, 3])
def test_smoothed_masks_are_split_in_the_middle(smooth: Callable[[np.ndarray], np.ndarray], every: int) -> None:
    sharp = 65535 if smooth is sixteen_bits else 255
    arrays = [smooth(d > 0) if i % every == 0 else sharp * (d > 0).astype(np.uint16) for i, d in enumerate(DRAWN)]
    found = understand([MaskImage(array, None, False) for array in arrays])
    assert found.result.labelling.task == "binary", found.result.problems
    assert "--mask-threshold" in found.text
    assert "%" in found.text
    for labels, array in zip(found.labels, arrays, strict=True):
        assert not ((labels != (array > sharp / 2)) & ~close_to_threshold(array, sharp / 2)).any()
    # control: sharp masks are not spoken of
    sharp_ones = understand([MaskImage((255 * (d > 0)).astype(np.uint8), None, False) for d in DRAWN])
    assert "%" not in sharp_ones.text
    assert sharp_ones.result.labelling.threshold is None


@pytest.mark.parametrize("quality", [95, 75, 40])
def test_jpeg_masks(quality: int) -> None:
    arrays = [jpeg((255 * (d > 0)).astype(np.uint8), quality) for d in DRAWN]
    found = understand([MaskImage(array, None, True) for array in arrays])
    assert found.kinds == set()
    assert "JPEG" in found.text
    assert all(((labels == 1) == (d > 0)).mean() > 0.99 for labels, d in zip(found.labels, DRAWN, strict=True))


@pytest.mark.parametrize("threshold", [60.0, 128.5, 200.0])
def test_the_user_moves_the_threshold(threshold: float) -> None:
    arrays = [antialiased(d > 0) for d in DRAWN]
    found = understand([MaskImage(array, None, False) for array in arrays], mask_threshold=threshold)
    assert all(np.array_equal(labels, array > threshold) for labels, array in zip(found.labels, arrays, strict=True))


@pytest.mark.parametrize("lossy", [False, True])
def test_a_third_class_is_not_an_edge(lossy: bool) -> None:
    arrays = [np.where(d == 1, 128, 255 * (d > 0)).astype(np.uint8) for d in DRAWN]
    masks = [MaskImage(jpeg(array, 90) if lossy else array, None, lossy) for array in arrays]
    found = understand(masks, task="auto" if lossy else "multiclass")
    assert found.result.labelling.threshold is None
    assert ("lossy mask" in found.kinds) == lossy


def test_a_photograph_among_smoothed_masks_is_refused() -> None:
    arrays = [antialiased(d > 0) for d in DRAWN]
    arrays[2] = np.random.default_rng(0).integers(0, 256, arrays[2].shape).astype(np.uint8)
    found = understand([MaskImage(array, None, False) for array in arrays])
    assert [problem.file for problem in found.result.problems] == ["masks/2"]


def soft_colours(classes: np.ndarray, palette: np.ndarray, filter_: Image.Resampling) -> np.ndarray:
    sharp = Image.fromarray(palette[classes])
    return np.asarray(sharp.resize((60, 50), filter_).resize(sharp.size, filter_))


@pytest.mark.parametrize("filter_", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.BOX])
@pytest.mark.parametrize("every", [1, 3])
def test_smoothed_colours_get_the_nearest_class(filter_: Image.Resampling, every: int) -> None:
    classes = [(d > 0) * (1 + d % 2) for d in DRAWN]
    arrays = [soft_colours(c, PALETTE, filter_) if i % every == 0 else PALETTE[c] for i, c in enumerate(classes)]
    found = understand([MaskImage(array, None, False) for array in arrays], table=TABLE)
    assert found.kinds == set(), found.result.problems
    assert "smoothing" in found.text
    assert "%" in found.text
    for labels, array in zip(found.labels, arrays, strict=True):
        for index, colour in enumerate(found.result.labelling.colours):
            assert (labels[(array == np.array(colour)).all(-1)] == index).all()


@pytest.mark.parametrize("quality", [95, 80])
def test_jpeg_colours_get_the_nearest_class(quality: int) -> None:
    classes = [(d > 0) * (1 + d % 2) for d in DRAWN]
    masks = [MaskImage(jpeg(PALETTE[c], quality), None, True) for c in classes]
    found = understand(masks, table=TABLE)
    assert found.kinds == set(), found.result.problems
    assert found.result.labelling.classes == ("bg", "b", "a")  # in the order of the packed colours
    for labels, c in zip(found.labels, (np.array([0, 2, 1])[c] for c in classes), strict=True):
        inside = ndimage.minimum_filter(c, 7) == ndimage.maximum_filter(c, 7)
        assert (labels[inside] == c[inside]).mean() > 0.99


@pytest.mark.parametrize("colour", [(0, 0, 255), (255, 255, 0), (200, 200, 200)])
def test_a_colour_that_somebody_painted_is_unknown(colour: tuple[int, int, int]) -> None:
    arrays = [soft_colours((d > 0) * (1 + d % 2), PALETTE, Image.Resampling.BILINEAR) for d in DRAWN]
    arrays[1] = arrays[1].copy()
    arrays[1][10:20, 10:20] = colour
    found = understand([MaskImage(array, None, False) for array in arrays], table=TABLE)
    assert "unknown colours" in found.kinds


def test_smoothed_colours_without_a_table_name_those_that_were_painted() -> None:
    arrays = [soft_colours((d > 0) * (1 + d % 2), PALETTE, Image.Resampling.BILINEAR) for d in DRAWN]
    found = understand([MaskImage(array, None, False) for array in arrays])
    assert not found.kinds
    assert (
        found.result.labelling.classes
        == understand([MaskImage(array, None, False) for array in arrays], task="multiclass").result.labelling.classes
    )
    assert len(found.result.labelling.classes) == 3
    assert any("smoothing" in message and "nearest class colour" in message for message in found.result.messages)


def test_smoothed_colours_that_no_two_masks_share_are_asked_for() -> None:
    palettes = [(PALETTE * (1 - 0.1 * index)).astype(np.uint8) for index in range(len(DRAWN))]
    arrays = [
        soft_colours((d > 0) * (1 + d % 2), palette, Image.Resampling.BILINEAR)
        for d, palette in zip(DRAWN, palettes, strict=True)
    ]
    found = understand([MaskImage(array, None, False) for array in arrays])
    assert found.kinds == {"colours without classes"}
    assert "smoothing" in found.result.problems[0].text


@pytest.mark.parametrize("quality", [75, 95])
def test_jpeg_colours_get_the_class_that_was_painted(quality: int) -> None:
    pure = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)
    arrays = [np.kron((d > 0) * (1 + d % 2), np.ones((4, 4), int)) for d in DRAWN]
    files = [BytesIO() for _ in arrays]
    for file, classes in zip(files, arrays, strict=True):
        Image.fromarray(pure[classes]).save(file, "JPEG", quality=quality, subsampling=0)
    masks = [MaskImage(np.asarray(Image.open(file)), None, True) for file in files]
    found = understand(masks)
    assert not found.kinds
    assert found.result.labelling.classes == ("background", "class_0,0,255", "class_255,0,0")


@pytest.mark.parametrize("factor", [1, 30])
@pytest.mark.parametrize("task", ["auto", "instance", "multiclass"])
def test_smoothed_numbers_are_refused(factor: int, task: str) -> None:
    sharp = [(factor * d).astype(np.uint8) for d in DRAWN]
    smooth = [np.asarray(Image.fromarray(a).resize((224, 192), 2).resize((112, 96), 2)) for a in sharp]
    assert "anti-aliased mask" in understand([MaskImage(a, None, False) for a in smooth], task=task).kinds
    # control: the same numbers with sharp edges
    assert "anti-aliased mask" not in understand([MaskImage(a, None, False) for a in sharp], task=task).kinds


def test_three_smoothed_classes_are_not_two() -> None:
    classes = [np.array([0, 128, 255])[(d > 0) * (1 + d % 2)] for d in DRAWN]
    smooth = [ndimage.gaussian_filter(c.astype(float), 0.6).round().astype(np.uint8) for c in classes]
    assert understand([MaskImage(a, None, False) for a in smooth]).kinds == {"anti-aliased mask"}


def test_a_thin_border_is_a_class() -> None:
    masks = [np.where(d > 0, np.where(ndimage.binary_erosion(d > 0), 2, 1), 0) for d in DRAWN]
    found = understand([MaskImage(mask, None, False) for mask in masks])
    assert found.result.labelling.task == "multiclass"
    assert not found.kinds


def test_few_values_in_a_lossy_file_are_refused() -> None:
    masks = [(d > 0) * (1 + d % 2) for d in DRAWN]
    assert understand([MaskImage(mask, None, True) for mask in masks]).kinds == {"lossy mask"}


@pytest.mark.parametrize("quality", [95, 85])
def test_classes_of_jpeg_masks_are_in_their_masks(tmp_path: Path, quality: int) -> None:
    for index, d in enumerate(DRAWN):
        drawn.save(tmp_path / f"images/case_{index}.png", drawn.image(index, d.shape))
        colours = np.array([[255, 255, 255], [254, 0, 0]], np.uint8)[(d > 0).astype(int)]
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(colours).save(tmp_path / f"masks/case_{index}.jpg", quality=quality)
    dataset = scan_dataset(tmp_path, DataOptions(task="binary"))
    assert [problem.kind for problem in dataset.problems] == []
    assert all(len(case.label_set) == 2 for case in dataset.cases)
    assert not any("ignored" in message for message in dataset.messages)
