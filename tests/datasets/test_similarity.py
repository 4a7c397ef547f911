"""Near copies are found, and what all images of a set share makes none."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from pixelwise.datasets import similarity
from pixelwise.datasets.scan import sketch
from pixelwise.datasets.similarity import near_pairs, without_shared

SIZE = (96, 112)
COPIES = [(3, 40), (7, 41), (9, 42)]


def framed(seed: int, contrast: float, kind: str) -> np.ndarray:
    """A picture of its own brightness inside the same black frame, with the same scale bar burned in."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=SIZE)
    mixed = np.sum([ndimage.gaussian_filter(noise, sd) * sd for sd in (1, 3, 8)], axis=0)
    content = rng.uniform(60, 160) + contrast * 255 * ((mixed - mixed.min()) / np.ptp(mixed) - 0.5)
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    if kind == "round":
        inside = (rows - SIZE[0] // 2) ** 2 + (columns - SIZE[1] // 2) ** 2 < 44**2
    else:
        inside = (abs(rows - SIZE[0] // 2) < 38) & (abs(columns - SIZE[1] // 2) < 46)
    drawn = np.where(inside, content, 0)
    drawn[-20:-16, 20:60] = 255
    return drawn.clip(0, 255).astype(np.uint8)


def encoded_again(picture: np.ndarray, quality: int) -> np.ndarray:
    file = BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def sketches_of(contrast: float, kind: str) -> np.ndarray:
    """Forty pictures that differ inside one frame, then copies of three: two recompressed, one brighter by 1."""
    pictures = [framed(seed, contrast, kind) for seed in range(40)]
    brighter = np.clip(pictures[7].astype(int) + 1, 0, 255).astype(np.uint8)
    pictures += [encoded_again(pictures[3], 85), brighter, encoded_again(pictures[9], 75)]
    return np.stack([sketch(picture[None]).ravel() for picture in pictures])


@pytest.mark.parametrize("kind", ["thick", "round"])
@pytest.mark.parametrize("contrast", [0.1, 0.3])
def test_a_common_frame_makes_no_copies_and_hides_none(kind: str, contrast: float) -> None:
    assert sorted(near_pairs(sketches_of(contrast, kind))) == COPIES


@pytest.mark.parametrize("kind", ["thick", "round"])
def test_control_with_what_is_shared_left_in_different_images_are_near(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(similarity, "without_shared", lambda sketches: sketches)
    assert len(list(near_pairs(sketches_of(0.1, kind)))) > 50


def test_control_the_mean_alone_leaves_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    def mean_alone(sketches: np.ndarray) -> np.ndarray:
        left = sketches - sketches.mean(0)
        return left / np.linalg.norm(left, axis=1, keepdims=True)

    monkeypatch.setattr(similarity, "without_shared", mean_alone)
    assert len(list(near_pairs(sketches_of(0.1, "thick")))) > len(COPIES)


def test_without_a_frame_nothing_is_taken_away() -> None:
    rng = np.random.default_rng(0)
    sketches = rng.normal(size=(200, 1024)).astype(np.float32)
    sketches /= np.linalg.norm(sketches, axis=1, keepdims=True)
    kept = (without_shared(sketches) * sketches).sum(1)
    assert kept.min() > 0.98


def test_flat_pictures_stay_flat() -> None:
    sketches = np.zeros((5, 1024), np.float32)
    assert not without_shared(sketches).any()
    sketches[1:, 7] = 1
    assert not without_shared(sketches).any(), "what all others share is nothing of their own"
