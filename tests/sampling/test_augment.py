"""Augmentation: transforms and their ranges, consistent labels, and dependence on the seed alone."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.utils._python_dispatch import TorchDispatchMode

from pixelwise.errors import BadOption
from pixelwise.sampling import intensity
from pixelwise.sampling.augment import NO_AUGMENTATION, Augmentation, augment, draw_warp, window_size
from pixelwise.sampling.warp import Warp, positions, read_bilinear, read_nearest

EVERYTHING = Augmentation(
    rotation_share=1.0,
    scale_share=1.0,
    elastic_share=1.0,
    brightness_share=1.0,
    contrast_share=1.0,
    gamma_share=1.0,
    noise_share=1.0,
    blur_share=1.0,
)


def generators(count: int, seed: int = 0):
    return [np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, i, 0])) for i in range(count)]


def ramp(count: int, height: int, width: int):
    """Windows whose two channels hold the row and the column of each pixel."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([rows, columns]).float().expand(count, 2, height, width).contiguous()


def test_no_augmentation_is_a_centre_crop() -> None:
    windows, labels = ramp(2, 8, 10), torch.arange(160, dtype=torch.uint8).view(2, 8, 10)
    images, targets = augment(windows, labels, (4, 4), generators(2), NO_AUGMENTATION)
    torch.testing.assert_close(images, windows[:, :, 2:6, 3:7])
    torch.testing.assert_close(targets, labels[:, 2:6, 3:7])


def test_flips_and_rotations_are_the_eight_symmetries() -> None:
    options = replace(NO_AUGMENTATION, flip=True, upside_down=True)
    square = torch.tensor([[1, 2], [3, 4]], dtype=torch.uint8)
    _, targets = augment(
        square.float().expand(200, 1, 2, 2), square.expand(200, 2, 2), (2, 2), generators(200), options
    )
    seen = {tuple(target.flatten().tolist()) for target in targets}
    expected = set()
    for mirrored in (square.numpy(), square.numpy()[:, ::-1]):
        expected |= {tuple(np.rot90(mirrored, quarters).ravel().tolist()) for quarters in range(4)}
    assert seen == expected
    for flags, count in (({"flip": True}, 2), ({"upside_down": True}, 2)):
        _, few = augment(
            square.float().expand(60, 1, 2, 2),
            square.expand(60, 2, 2),
            (2, 2),
            generators(60),
            replace(NO_AUGMENTATION, **flags),
        )
        assert len({tuple(target.flatten().tolist()) for target in few}) == count


@pytest.mark.parametrize("size", [(7, 7), (6, 6), (5, 9)])
def test_exact_transforms_agree_with_interpolation(size: tuple[int, int]) -> None:
    options = replace(NO_AUGMENTATION, flip=True, upside_down=True)
    window = window_size(size, options)
    images, labels = ramp(24, *window), torch.randint(0, 255, (24, *window), dtype=torch.uint8)
    moved, targets = augment(images, labels, size, generators(24), options)
    warps = [draw_warp(size, rng, options) for rng in generators(24)]
    rows, columns = positions(warps, window, size, images.device)
    torch.testing.assert_close(moved, read_bilinear(images, rows, columns), atol=1e-4, rtol=0)
    torch.testing.assert_close(targets, read_nearest(labels, rows, columns))


def test_rotation_against_scipy(rng: np.random.Generator) -> None:
    """Rotated by 30 degrees, a smooth image equals scipy's affine transform."""
    smooth = ndimage.gaussian_filter(rng.standard_normal((61, 61)), 3).astype(np.float32)
    turn = np.deg2rad(30)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    warp = Warp(0, False, matrix, None, exact=False)
    rows, columns = positions([warp], (61, 61), (31, 31), torch.device("cpu"))
    ours = read_bilinear(torch.from_numpy(smooth)[None, None], rows, columns)[0, 0].numpy()
    offset = np.array([30.0, 30.0]) - matrix @ np.array([15.0, 15.0])
    theirs = ndimage.affine_transform(smooth, matrix, offset, (31, 31), order=1)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_images_and_labels_are_warped_alike() -> None:
    """The image has the label's value in a large disc, so that both agree away from its edge."""
    size = (64, 64)
    options = replace(EVERYTHING, brightness_share=0.0, contrast_share=0.0, gamma_share=0.0)
    options = replace(options, noise_share=0.0, blur_share=0.0)
    window = window_size(size, options)
    rows, columns = np.ogrid[: window[0], : window[1]]
    disc = ((rows - window[0] * 0.45) ** 2 + (columns - window[1] * 0.55) ** 2 < 18**2).astype(np.uint8)
    labels = torch.from_numpy(disc).expand(8, *window).contiguous()
    images, targets = augment(labels[:, None].float(), labels, size, generators(8), options)
    sure = (images[:, 0] < 0.01) | (images[:, 0] > 0.99)
    assert sure.float().mean() > 0.8
    assert torch.equal((images[:, 0] > 0.5)[sure], targets.bool()[sure])
    assert targets.float().mean() > 0.05


def test_elastic_displacements_at_the_grid_points() -> None:
    displacements = np.zeros((2, 3, 3))
    displacements[0, 1, 1], displacements[1, 0, 2] = 4.0, -3.0
    warp = Warp(0, False, np.eye(2), displacements, exact=False)
    rows, columns = positions([warp], (65, 65), (33, 33), torch.device("cpu"))
    assert rows[0, 16, 16] == pytest.approx(32 + 4.0, abs=1e-4)
    assert columns[0, 0, 32] == pytest.approx(48 - 3.0, abs=1e-4)
    assert rows[0, 0, 0] == pytest.approx(16.0, abs=1e-4)
    # bicubic: between the points the displacement is smooth, without corners
    bend = (rows[0, :, 16] - torch.arange(16, 49)).numpy()
    assert np.abs(np.diff(bend, 2)).max() < 0.2


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (256, 192)])
def test_elastic_never_folds(size: tuple[int, int]) -> None:
    options = replace(NO_AUGMENTATION, elastic_share=1.0, elastic_sd=50.0)
    warps = [draw_warp(size, rng, options) for rng in generators(30)]
    rows, columns = positions(warps, (4096, 4096), size, torch.device("cpu"))
    down = torch.stack([rows, columns]).diff(dim=-2)[..., :-1]
    right = torch.stack([rows, columns]).diff(dim=-1)[..., :-1, :]
    assert (down[0] * right[1] - down[1] * right[0] > 0).all()


def test_pixels_beyond_the_window_are_reflected() -> None:
    warp = Warp(0, False, np.eye(2) * 2.0, None, exact=False)
    rows, _ = positions([warp], (5, 5), (5, 5), torch.device("cpu"))
    assert rows[0, :, 0].tolist() == [2.0, 0.0, 2.0, 4.0, 2.0]  # -2, 0, 2, 4, 6 mirrored in 0...4


@pytest.mark.parametrize("size", [(32, 32), (24, 48), (33, 20)])
@pytest.mark.parametrize("rotation", [0.0, 20.0, 180.0])
def test_the_window_covers_every_rotated_and_scaled_patch(size: tuple[int, int], rotation: float) -> None:
    options = replace(
        NO_AUGMENTATION, rotation=rotation, rotation_share=1.0, scale_share=1.0, flip=True, upside_down=True
    )
    window = window_size(size, options)
    assert all((w - s) % 2 == 0 for w, s in zip(window, size, strict=True))
    centre = (np.array(window) - 1) / 2
    corners = np.array([[r, c] for r in (-1, 1) for c in (-1, 1)]) * (np.array(size) - 1) / 2
    for rng in generators(200):
        reached = corners @ draw_warp(size, rng, options).matrix.T + centre
        if rotation or size[0] == size[1]:
            assert reached.min() > -0.5
            assert (reached.max(0) < np.array(window) - 0.5).all()


def test_a_pure_function_of_the_generators() -> None:
    window = window_size((32, 32), EVERYTHING)
    torch.manual_seed(0)
    windows, labels = torch.randn(4, 3, *window), torch.randint(0, 5, (4, *window), dtype=torch.uint8)
    before = windows.clone()
    first = augment(windows, labels, (32, 32), generators(4), EVERYTHING)
    torch.rand(10)  # other draws in between do not matter
    again = augment(windows, labels, (32, 32), generators(4), EVERYTHING)
    assert torch.equal(windows, before)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    # neither do the other samples of the batch
    alone = augment(windows[2:3], labels[2:3], (32, 32), generators(4)[2:3], EVERYTHING)
    torch.testing.assert_close(alone[0], first[0][2:3])
    assert torch.equal(alone[1], first[1][2:3])
    other = augment(windows, labels, (32, 32), generators(4, seed=1), EVERYTHING)
    assert not torch.equal(first[0], other[0])


def test_the_number_of_threads_does_not_change_the_bytes() -> None:
    window = window_size((64, 64), EVERYTHING)
    windows, labels = torch.randn(4, 1, *window), torch.zeros((4, *window), dtype=torch.uint8)
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(augment(windows, labels, (64, 64), generators(4), replace(EVERYTHING, gamma_share=0.0))[0])
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(found[0], found[1])


def test_labels_keep_their_values() -> None:
    window = window_size((32, 32), EVERYTHING)
    labels = torch.from_numpy(np.random.default_rng(0).choice([0, 3, 255], (4, *window)).astype(np.uint8))
    _, targets = augment(torch.zeros(4, 1, *window), labels, (32, 32), generators(4), EVERYTHING)
    assert set(targets.unique().tolist()) == {0, 3, 255}


def test_constant_images_stay_finite() -> None:
    window = window_size((16, 16), EVERYTHING)
    labels = torch.zeros((3, *window), dtype=torch.uint8)
    images, _ = augment(torch.zeros(3, 2, *window), labels, (16, 16), generators(3), EVERYTHING)
    assert images.isfinite().all()
    assert images.abs().max() < 2.0


def test_a_patch_of_one_pixel() -> None:
    window = window_size((1, 1), EVERYTHING)
    images, targets = augment(
        torch.ones(2, 1, *window), torch.ones((2, *window), dtype=torch.uint8), (1, 1), generators(2), EVERYTHING
    )
    assert images.isfinite().all()
    assert targets.tolist() == [[[1]], [[1]]]


def test_gamma_keeps_mean_and_deviation(rng: np.random.Generator) -> None:
    for inverted in (False, True):
        image = torch.from_numpy(rng.standard_normal((3, 40, 40)).astype(np.float32) * 2 + 1)
        before = image.clone()
        intensity.bend(image, 1.4, inverted=inverted)
        torch.testing.assert_close(image.mean((1, 2)), before.mean((1, 2)), atol=1e-4, rtol=0)
        torch.testing.assert_close(image.std((1, 2)), before.std((1, 2)), atol=1e-4, rtol=0)
        assert torch.equal(image[0].flatten().argsort(stable=True), before[0].flatten().argsort(stable=True))
        assert (image - before).abs().max() > 0.1


def test_contrast_keeps_the_mean_and_brightness_the_deviation(rng: np.random.Generator) -> None:
    image = torch.from_numpy(rng.standard_normal((2, 30, 30)).astype(np.float32))
    before = image.clone()
    intensity.stretch(image, np.array([0.5, 2.0]))
    torch.testing.assert_close(image.mean((1, 2)), before.mean((1, 2)))
    torch.testing.assert_close(image.std((1, 2)) / before.std((1, 2)), torch.tensor([0.5, 2.0]))
    intensity.brighten(image, np.array([1.0, -1.0]))
    torch.testing.assert_close(image.mean((1, 2)), before.mean((1, 2)) + torch.tensor([1.0, -1.0]))


def test_blur_against_scipy(rng: np.random.Generator) -> None:
    picture = rng.standard_normal((1, 30, 40)).astype(np.float32)
    image = torch.from_numpy(picture.copy())
    intensity.blur(image, 0.9)
    theirs = ndimage.gaussian_filter(picture[0], 0.9, mode="mirror", radius=3)
    np.testing.assert_allclose(image[0].numpy(), theirs, atol=1e-5)


def test_noise_has_the_asked_deviation(rng: np.random.Generator) -> None:
    image = torch.zeros(1, 200, 200)
    intensity.add_noise(image, 0.3, rng)
    assert image.std().item() == pytest.approx(0.3, rel=0.02)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"flip": True, "noise_share": 1.5}, "augmentation.noise_share between 0 and 1; got 1.5"),
        ({"scale": (1.4, 0.7)}, "augmentation.scale as two positive numbers in ascending order"),
        ({"scale": (0.0, 1.0)}, "two positive numbers"),
        ({"elastic_sd": -1.0}, "augmentation.elastic_sd of at least 0; got -1.0"),
        ({"noise": float("nan")}, "augmentation.noise of at least 0"),
        ({"rotation": 270.0}, "up to 180 degrees; got 270.0"),
    ],
)
def test_invalid_options_raise(options: dict[str, Any], text: str) -> None:
    with pytest.raises(BadOption, match=text):
        Augmentation(**options)


def test_too_small_windows_raise() -> None:
    with pytest.raises(BadOption, match=r"at least 8 x 8 pixels; got 8 x 7"):
        augment(
            torch.zeros(1, 1, 8, 7), torch.zeros((1, 8, 7), dtype=torch.uint8), (8, 8), generators(1), NO_AUGMENTATION
        )


class Made(TorchDispatchMode):
    """Counts the values that torch allocates."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.numbers += made.numel() if isinstance(made, torch.Tensor) and not func.is_view else 0
        return made


def test_cheap() -> None:
    """Values allocated per pixel of the patches, independent of the machine. A training step allocates thousands."""
    options = Augmentation()
    window = window_size((256, 256), options)
    windows, labels = torch.randn(4, 1, *window), torch.zeros((4, *window), dtype=torch.uint8)
    with Made() as made:
        for seed in range(8):
            augment(windows, labels, (256, 256), generators(4, seed), options)
    assert 10 < made.numbers / (8 * 4 * 256**2) < 50  # 36; the lower bound is the control of the counter


def test_maps_are_warped_like_the_image_and_keep_their_values(rng: np.random.Generator) -> None:
    window = window_size((32, 32), EVERYTHING)
    picture = torch.from_numpy(rng.standard_normal((4, 1, *window)).astype(np.float32))
    labels = torch.zeros((4, *window), dtype=torch.uint8)
    alone, _ = augment(picture, labels, (32, 32), generators(4), EVERYTHING)
    both, _ = augment(picture.repeat(1, 2, 1, 1), labels, (32, 32), generators(4), EVERYTHING, maps=1)
    geometry = replace(
        NO_AUGMENTATION, rotation_share=1.0, scale_share=1.0, elastic_share=1.0, flip=True, upside_down=True
    )
    moved, _ = augment(picture, labels, (32, 32), generators(4), geometry)
    torch.testing.assert_close(both[:, 1], moved[:, 0])
    torch.testing.assert_close(both[:, :1], alone)
    assert (both[:, 0] - both[:, 1]).abs().max() > 0.1  # control: the picture's values did change


def test_the_elastic_deformation_of_2015_can_be_expressed() -> None:
    """Normal displacements of 10 pixels on a 3 x 3 grid, bicubic in between, on the paper's tile of 572."""
    options = replace(NO_AUGMENTATION, elastic_share=1.0, elastic_sd=10.0)
    warps = [draw_warp((572, 572), rng, options) for rng in generators(300)]
    displacements = np.stack([drawn.displacements for drawn in warps if drawn.displacements is not None])
    assert displacements.shape == (300, 2, 3, 3)
    assert displacements.std() == pytest.approx(10.0, rel=0.03)
    assert abs(displacements.mean()) < 0.5
    rows, columns = positions(warps[:1], (872, 872), (572, 572), torch.device("cpu"))
    there = np.array([0, 571])
    # corners of the tile are displaced by the drawn values; the window has 150 more pixels on each side
    moved = np.stack([rows[0].numpy(), columns[0].numpy()])[:, there[:, None], there]
    still = np.stack(np.meshgrid(there + 150, there + 150, indexing="ij"))
    np.testing.assert_allclose(moved - still, displacements[0][:, ::2, ::2], atol=1e-3)
    # control: on small patches the displacements are limited, so that the map does not fold
    small = [draw_warp((64, 64), rng, options).displacements for rng in generators(300)]
    assert np.std([drawn for drawn in small if drawn is not None]) == pytest.approx(3.15, rel=0.05)
