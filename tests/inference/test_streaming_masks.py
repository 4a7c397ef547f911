"""Masks that are finished window by window are those of the whole image, to the last pixel."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from pixelwise.inference import streaming_instances
from pixelwise.inference.streaming import decider
from pixelwise.inference.streaming_masks import finish_mask
from pixelwise.io.label_writer import TiledLayout, TileFile
from pixelwise.labels.instances import decode
from pixelwise.labels.targets import TargetOptions
from pixelwise.progress import Progress

SPLIT = TargetOptions(split_threshold=0.75, split_depth=3)


def rough(height: int, width: int, seed: int) -> np.ndarray:
    """Logits of two classes: soft areas about ten pixels wide, half of the image foreground."""
    drawn = ndimage.gaussian_filter(np.random.default_rng(seed).random((height, width)), 4)
    ranks = (drawn.ravel().argsort().argsort() + 0.5) / drawn.size
    chance = ranks.reshape(drawn.shape)
    return np.log(np.stack([1 - chance, chance])).astype(np.float32)


def island() -> np.ndarray:
    """Logits of a ring, with a hole, and in the hole's corner an area of its own that touches nothing."""
    chance = np.full((130, 130), 0.02, np.float32)
    chance[10:120, 10:120] = 0.98
    chance[40:90, 40:90] = 0.02
    chance[50:80, 50:80] = 0.98
    return np.log(np.stack([1 - chance, chance]))


def chances_of(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(0)


def by_windows(folder: Path, logits: np.ndarray, target: TargetOptions, halo: int = 100) -> np.ndarray:
    dtype, decide = decider(target)
    height, width = logits.shape[1:]
    decided = TileFile(folder / "decided", TiledLayout(height=height, width=width, dtype=dtype, tile=64), "test")
    for top in range(0, height, 64):
        for left in range(0, width, 64):
            part = logits[:, top : top + 64, left : left + 64]
            decided.write(((top, top + part.shape[1]), (left, left + part.shape[2])), decide(part))
    result = finish_mask(decided, target, folder / "mask", Progress(), halo)
    found = result.read((0, height), (0, width))
    decided.discard()
    result.discard()
    assert list(folder.iterdir()) == [], "nothing is left over"
    return found


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming_instances, "STRIP", 64)
    monkeypatch.setattr(streaming_instances, "WINDOW", 128)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("areas", [(), (0, 80)])
def test_a_mask_is_split_by_windows_as_in_the_whole_image(tmp_path: Path, seed: int, areas: tuple[int, ...]) -> None:
    logits, target = rough(200, 270, seed), replace(SPLIT, class_areas=areas)
    expected = decode(chances_of(logits), target)
    plain = decode(chances_of(logits), replace(target, split_depth=0))
    assert np.count_nonzero(plain) - np.count_nonzero(expected) > 50, "lines are cut"
    found = by_windows(tmp_path, logits, target)
    assert found.dtype == np.uint8
    assert np.array_equal(found, expected)


def test_without_a_halo_lines_differ(tmp_path: Path) -> None:
    """Control."""
    logits = rough(200, 270, 0)
    assert not np.array_equal(by_windows(tmp_path, logits, SPLIT, halo=0), decode(chances_of(logits), SPLIT))


def test_areas_that_touch_at_a_corner_where_windows_meet(tmp_path: Path) -> None:
    chance = np.full((130, 200), 0.02, np.float32)
    chance[20:60, 128:170] = chance[60:100, 90:128] = 0.98
    logits = np.log(np.stack([1 - chance, chance]))
    expected = (chance > 0.5).astype(np.uint8)
    expected[59, 128] = 0
    assert np.array_equal(decode(chances_of(logits), SPLIT), expected)
    assert np.array_equal(by_windows(tmp_path, logits, SPLIT), expected)


def test_an_area_in_the_hole_of_another_is_left_alone(tmp_path: Path) -> None:
    logits = island()
    expected = (logits[1] > logits[0]).astype(np.uint8)
    assert np.array_equal(decode(chances_of(logits), SPLIT), expected)
    assert np.array_equal(by_windows(tmp_path, logits, SPLIT), expected)


def test_without_a_split_small_areas_alone_are_dropped(tmp_path: Path) -> None:
    logits, target = rough(100, 130, 1), TargetOptions(class_areas=(0, 80))
    assert np.array_equal(by_windows(tmp_path, logits, target), decode(chances_of(logits), target))
