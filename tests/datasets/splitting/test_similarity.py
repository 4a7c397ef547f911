"""Near copies are detected, and shared content is not mistaken for a copy."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from pixelwise.datasets.scan import image_descriptor
from pixelwise.datasets.splitting import similarity
from pixelwise.datasets.splitting.similarity import find_near_pairs, without_shared

SIZE = (96, 112)
COPIES = [(3, 40), (7, 41), (9, 42)]


def image_with_frame(seed: int, contrast: float, kind: str) -> np.ndarray:
    """Return an image of random brightness inside a fixed black frame with a fixed scale bar."""
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


def reencoded(picture: np.ndarray, quality: int) -> np.ndarray:
    file = BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def descriptors_of(contrast: float, kind: str) -> np.ndarray:
    """Return descriptors of forty images in one frame, and of copies of three: two recompressed, one brighter by 1."""
    pictures = [image_with_frame(seed, contrast, kind) for seed in range(40)]
    brighter = np.clip(pictures[7].astype(int) + 1, 0, 255).astype(np.uint8)
    pictures += [reencoded(pictures[3], 85), brighter, reencoded(pictures[9], 75)]
    return np.stack([image_descriptor(picture[None]).ravel() for picture in pictures])


def near_pairs(descriptors: np.ndarray, *, upright: bool = False) -> list[tuple[int, int]]:
    return [(int(one), int(other)) for one, other in find_near_pairs(descriptors, upright=upright)[0]]


@pytest.mark.parametrize("upright", [False, True])
def test_the_pairs_are_those_of_comparing_all_with_all(upright: bool) -> None:
    rng = np.random.default_rng(3)
    squares = rng.normal(size=(60, 32, 32)).astype(np.float32)
    squares[40:] = squares[:20] + rng.normal(size=(20, 32, 32)).astype(np.float32) * rng.uniform(0, 0.5, (20, 1, 1))
    squares[40:] = [np.rot90(one[:, :: 1 - 2 * (k % 8 // 4)], k % 4) for k, one in enumerate(squares[40:])]
    flat = squares.reshape(60, -1)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    unshared = without_shared(flat)

    def turned(one: np.ndarray) -> list[np.ndarray]:
        square = one.reshape(32, 32)
        return [np.rot90(view, k).ravel() for view in (square, square[:, ::-1]) for k in range(1 if upright else 4)]

    expected = [
        (i, j)
        for i in range(60)
        for j in range(i + 1, 60)
        if any(
            flat[i] @ whole >= similarity.NEAR and unshared[i] @ other >= similarity.NEAR_UNSHARED
            for whole, other in zip(turned(flat[j]), turned(unshared[j]), strict=True)
        )
    ]
    assert (0 if upright else 3) < len(expected) < 20, "some copies are too noisy"
    assert near_pairs(flat, upright=upright) == expected


@pytest.mark.parametrize("kind", ["thick", "round"])
@pytest.mark.parametrize("contrast", [0.1, 0.3])
def test_a_shared_frame_neither_creates_nor_hides_copies(kind: str, contrast: float) -> None:
    assert near_pairs(descriptors_of(contrast, kind)) == COPIES


@pytest.mark.parametrize("kind", ["thick", "round"])
def test_control_without_the_correction_different_images_are_near(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "without_shared", lambda descriptors: descriptors)
    assert len(find_near_pairs(descriptors_of(0.1, kind))[0]) > 50


def test_control_subtracting_the_mean_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    def mean_alone(descriptors: np.ndarray) -> np.ndarray:
        left = descriptors - descriptors.mean(0)
        return left / np.linalg.norm(left, axis=1, keepdims=True)

    monkeypatch.setattr(similarity, "without_shared", mean_alone)
    assert len(find_near_pairs(descriptors_of(0.1, "thick"))[0]) > len(COPIES)


def test_without_shared_content_nothing_is_removed() -> None:
    rng = np.random.default_rng(0)
    descriptors = rng.normal(size=(200, 1024)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    cosine = (without_shared(descriptors) * descriptors).sum(1)
    assert cosine.min() > 0.98


def test_constant_images_stay_zero() -> None:
    descriptors = np.zeros((5, 1024), np.float32)
    assert not without_shared(descriptors).any()
    descriptors[1:, 7] = 1
    assert not without_shared(descriptors).any(), "the shared content is removed"


@pytest.mark.parametrize("size", [(64, 64), (200, 91), (33, 40)])
def test_bytes_and_floats_have_one_descriptor(rng: np.random.Generator, size: tuple[int, int]) -> None:
    pixels = rng.integers(0, 256, (3, *size)).astype(np.uint8)
    assert image_descriptor(pixels) == pytest.approx(image_descriptor(pixels.astype(np.float32)), abs=1e-5)
    assert image_descriptor(pixels[:1]) == pytest.approx(image_descriptor(pixels[:1].astype(np.int16)), abs=1e-5)
