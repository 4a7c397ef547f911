"""Synthetic demo data: touching cells that a threshold does not separate."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from skimage.feature import multiscale_basic_features
from skimage.filters import threshold_otsu
from skimage.io import imread
from skimage.measure import label
from sklearn.ensemble import RandomForestClassifier

from pixelwise.datasets.synthetic import draw_cells, write_demo
from pixelwise.errors import BadOption, OutputFailed
from pixelwise.labels.label_image import touching_share


def average_precision(truth: np.ndarray, predicted: np.ndarray):
    """Return the AP at IoU 0.5 of the 2018 Data Science Bowl, TP / (TP + FP + FN), computed independently."""
    table = np.zeros((truth.max() + 1, predicted.max() + 1), int)
    np.add.at(table, (truth.ravel(), predicted.ravel()), 1)
    union = table.sum(1, keepdims=True) + table.sum(0, keepdims=True) - table
    hits = int((table[1:, 1:] / union[1:, 1:] > 0.5).sum())
    return hits / (truth.max() + predicted.max() - hits)


def dice(one: np.ndarray, other: np.ndarray):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_images_contain_many_touching_cells() -> None:
    for seed in range(6):
        image, labels = draw_cells(seed)
        assert image.shape == (1, 256, 256)
        assert image.dtype == np.uint8
        assert labels.dtype == np.int32
        count = labels.max()
        assert 18 <= count <= 42
        assert set(np.unique(labels)) == set(range(count + 1))
        diameters = np.sqrt(np.bincount(labels.ravel())[1:] * 4 / np.pi)
        assert 12 < np.median(diameters) < 40
        assert diameters.max() < 50
        assert touching_share(labels) > 0.5


def test_each_cell_is_one_connected_component() -> None:
    _, labels = draw_cells(3)
    pieces = np.asarray(label(labels, background=0, connectivity=2))
    assert pieces.max() == labels.max()


def test_the_image_is_a_function_of_the_seed() -> None:
    for one, again in zip(draw_cells(5, 128), draw_cells(5, 128), strict=True):
        np.testing.assert_array_equal(one, again)
    assert not np.array_equal(draw_cells(5, 128)[0], draw_cells(6, 128)[0])


def test_not_solvable_by_a_threshold() -> None:
    """Otsu's threshold and connected components score low for bright and for dark cells."""
    scores: list[float] = []
    overlaps: list[float] = []
    for seed in range(6):
        image, labels = draw_cells(seed)
        above = image[0] > threshold_otsu(image[0])
        scores.append(max(average_precision(labels, np.asarray(label(mask))) for mask in (above, ~above)))
        overlaps.append(max(dice(mask, labels > 0) for mask in (above, ~above)))
    assert np.mean(scores) < 0.2
    assert np.mean(overlaps) < 0.5
    # control: the ground truth has the best score
    _, labels = draw_cells(0)
    assert average_precision(labels, labels) == 1.0


def test_learnable_from_texture() -> None:
    """A small random forest on local features, trained on two images, segments a third one."""

    def features(seed: int) -> tuple[np.ndarray, np.ndarray]:
        image, labels = draw_cells(seed)
        return multiscale_basic_features(image[0], sigma_min=1, sigma_max=8, num_sigma=4), labels > 0

    (one, truth_one), (two, truth_two), (new, truth) = (features(seed) for seed in (0, 1, 2))
    forest = RandomForestClassifier(20, max_depth=12, random_state=0)
    forest.fit(
        np.concatenate([f.reshape(-1, f.shape[-1])[::6] for f in (one, two)]),
        np.concatenate([t.ravel()[::6] for t in (truth_one, truth_two)]),
    )
    predicted = forest.predict(new.reshape(-1, new.shape[-1])).reshape(truth.shape)
    assert dice(predicted, truth) > 0.7


def test_wide_filters_are_computed_at_low_resolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cost of a filter is pixels times width: all together cost less than 8 pixels at full resolution."""
    blur, work = ndimage.gaussian_filter, []

    def counted(image: np.ndarray, sigma: float, **kwargs: Any) -> np.ndarray:
        work.append(image.size * sigma)
        return np.asarray(blur(image, sigma, **kwargs))

    monkeypatch.setattr(ndimage, "gaussian_filter", counted)
    draw_cells(0)
    assert len(work) >= 5
    assert sum(work) < 8 * 256**2
    # control: the background alone at full resolution is a filter of 51 pixels
    assert 256**2 * 256 / 5 > 8 * 256**2


@pytest.mark.parametrize("size", [64, 100, 257])
def test_other_sizes(size: int) -> None:
    image, labels = draw_cells(0, size)
    assert image.shape == (1, size, size)
    assert labels.max() >= 2


@pytest.mark.parametrize(("seed", "size"), [(0, 63), (-1, 256)])
def test_bad_arguments_are_refused(seed: int, size: int) -> None:
    with pytest.raises(BadOption, match=f"got size {size}, seed {seed}"):
        draw_cells(seed, size)


def test_write_demo(tmp_path: Path) -> None:
    write_demo(tmp_path / "demo", train=2, val=1, test=1, size=64, seed=1)
    names = sorted(p.relative_to(tmp_path / "demo").as_posix() for p in tmp_path.rglob("*.png"))
    assert len(names) == 8
    assert names[:2] == ["test/images/cells_00.png", "test/masks/cells_00.png"]
    pictures = [imread(tmp_path / "demo" / name) for name in names if "images" in name]
    assert len({picture.tobytes() for picture in pictures}) == 4
    mask = imread(tmp_path / "demo/train/masks/cells_01.png")
    assert mask.dtype == np.uint16
    image, labels = draw_cells((1 * 3 + 0) * 100_000 + 1, 64)
    np.testing.assert_array_equal(mask, labels)
    np.testing.assert_array_equal(imread(tmp_path / "demo/train/images/cells_01.png"), image[0])
    write_demo(tmp_path / "demo", train=2, val=1, test=1, size=64, seed=2)  # a later demo replaces it


def test_nothing_is_written_next_to_the_users_files(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "mine.png").write_bytes(b"mine")
    with pytest.raises(OutputFailed, match=r"expected an empty folder for the demo set; got the file mine\.png"):
        write_demo(tmp_path, train=1, val=1, test=1, size=64)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["mine.png"]
