"""Post-processing by windows equals post-processing of the whole image."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from pixelwise.inference.streaming import instances as streaming_instances
from pixelwise.inference.streaming.masks import finish_mask
from pixelwise.inference.streaming.tiles import decider
from pixelwise.io.label_writer import TiledLayout, TileFile
from pixelwise.labels.instances import decode
from pixelwise.labels.targets import TargetOptions
from pixelwise.progress import Progress

SPLIT = TargetOptions(split_threshold=0.75, split_depth=3)


def rough(height: int, width: int, seed: int) -> np.ndarray:
    """Return logits of two classes: smooth regions about ten pixels wide, half of the image foreground."""
    drawn = ndimage.gaussian_filter(np.random.default_rng(seed).random((height, width)), 4)
    ranks = (drawn.ravel().argsort().argsort() + 0.5) / drawn.size
    probability = ranks.reshape(drawn.shape)
    return np.log(np.stack([1 - probability, probability])).astype(np.float32)


def island() -> np.ndarray:
    """Return logits of a ring with a separate region in its hole."""
    probability = np.full((130, 130), 0.02, np.float32)
    probability[10:120, 10:120] = 0.98
    probability[40:90, 40:90] = 0.02
    probability[50:80, 50:80] = 0.98
    return np.log(np.stack([1 - probability, probability]))


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(0)


def by_windows(folder: Path, logits: np.ndarray, target: TargetOptions, halo: int = 100) -> np.ndarray:
    dtype, decide = decider(target)
    height, width = logits.shape[1:]
    decided = TileFile(folder / "decided", TiledLayout(height=height, width=width, dtype=dtype, tile=64), "test")
    for top in range(0, height, 64):
        for left in range(0, width, 64):
            tile = logits[:, top : top + 64, left : left + 64]
            decided.write(((top, top + tile.shape[1]), (left, left + tile.shape[2])), decide(tile))
    result = finish_mask(decided, target, folder / "mask", Progress(), halo)
    actual = result.read((0, height), (0, width))
    decided.discard()
    result.discard()
    assert list(folder.iterdir()) == [], "no temporary files"
    return actual


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming_instances, "STRIP", 64)
    monkeypatch.setattr(streaming_instances, "WINDOW", 128)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("areas", [(), (0, 80)])
def test_a_mask_is_split_by_windows_as_in_the_whole_image(tmp_path: Path, seed: int, areas: tuple[int, ...]) -> None:
    logits, target = rough(200, 270, seed), replace(SPLIT, class_areas=areas)
    expected = decode(softmax(logits), target)
    plain = decode(softmax(logits), replace(target, split_depth=0))
    assert np.count_nonzero(plain) - np.count_nonzero(expected) > 50, "lines are cut"
    actual = by_windows(tmp_path, logits, target)
    assert actual.dtype == np.uint8
    assert np.array_equal(actual, expected)


def test_without_a_halo_lines_differ(tmp_path: Path) -> None:
    """Control."""
    logits = rough(200, 270, 0)
    assert not np.array_equal(by_windows(tmp_path, logits, SPLIT, halo=0), decode(softmax(logits), SPLIT))


def test_areas_that_touch_at_a_corner_where_windows_meet(tmp_path: Path) -> None:
    probability = np.full((130, 200), 0.02, np.float32)
    probability[20:60, 128:170] = probability[60:100, 90:128] = 0.98
    logits = np.log(np.stack([1 - probability, probability]))
    expected = (probability > 0.5).astype(np.uint8)
    expected[59, 128] = 0
    assert np.array_equal(decode(softmax(logits), SPLIT), expected)
    assert np.array_equal(by_windows(tmp_path, logits, SPLIT), expected)


def test_a_region_in_the_hole_of_another_is_kept(tmp_path: Path) -> None:
    logits = island()
    expected = (logits[1] > logits[0]).astype(np.uint8)
    assert np.array_equal(decode(softmax(logits), SPLIT), expected)
    assert np.array_equal(by_windows(tmp_path, logits, SPLIT), expected)


def test_without_splitting_only_small_regions_are_removed(tmp_path: Path) -> None:
    logits, target = rough(100, 130, 1), TargetOptions(class_areas=(0, 80))
    assert np.array_equal(by_windows(tmp_path, logits, target), decode(softmax(logits), target))
