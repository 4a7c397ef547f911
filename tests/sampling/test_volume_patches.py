"""Patches of volumes: where they are, how they are warped, and that slices far apart are not mixed."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pixelwise.errors import BadOption
from pixelwise.sampling import intensity
from pixelwise.sampling.augment import NO_AUGMENTATION, Augmentation
from pixelwise.sampling.normalise import Normalisation, intensity_scale
from pixelwise.sampling.patches import PatchOptions
from pixelwise.sampling.volume_patches import VolumeSampler
from pixelwise.sampling.volume_warp import VolumeWarp, box_to_read, draw_volume_warp, positions

WARPED = replace(NO_AUGMENTATION, rotation=30.0, rotation_share=1.0, scale_share=1.0, elastic_share=1.0, flip=True)


def numbered(*size: int) -> np.ndarray:
    """A volume whose values are their positions."""
    return np.arange(np.prod(size), dtype=np.float32).reshape(1, *size)


def sampler(
    volumes: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    options: PatchOptions,
    augmentation: Augmentation = NO_AUGMENTATION,
    margin: int | Sequence[int] = 0,
    **maps: Sequence[np.ndarray],
) -> VolumeSampler:
    scales = [intensity_scale(volume, Normalisation(kind="none")) for volume in volumes]
    return VolumeSampler(volumes, targets, scales, options, augmentation, 0, margin=margin, **maps)


def test_patches_are_at_their_locations_and_reflected_beyond_small_volumes() -> None:
    volumes = [numbered(5, 20, 24), numbered(12, 9, 7)]
    targets = [(volume[0] % 251).astype(np.uint8) for volume in volumes]
    options = PatchOptions(depth=8, height=8, width=6, batch=10, foreground_share=0.0)
    drawn = sampler(volumes, targets, options, weights=[target / 7 for target in targets]).batch(3)
    assert drawn.images.shape == (10, 1, 8, 8, 6)
    assert [sample.number for sample in drawn.samples] == list(range(30, 40))
    assert {sample.case for sample in drawn.samples} == {0, 1}
    for image, target, sample in zip(drawn.images, drawn.targets, drawn.samples, strict=True):
        padded = np.pad(volumes[sample.case][0], 20, mode="reflect")
        start = sample.plane + 20, sample.row + 20, sample.column + 20
        box = tuple(slice(first, first + side) for first, side in zip(start, (8, 8, 6), strict=True))
        np.testing.assert_array_equal(image[0], padded[box])
        np.testing.assert_array_equal(target, (padded[box] % 251).astype(np.uint8))
    assert drawn.weights is not None
    np.testing.assert_allclose(drawn.weights, drawn.targets / 7, rtol=1e-6)


def test_a_border_along_one_axis_is_outside_the_volume() -> None:
    """Patches of a slice with a context: the slice itself is inside, and forced ones show the rare class."""
    target = np.zeros((6, 20, 20), np.uint8)
    target[0, 5, 6] = 1
    volume = numbered(6, 20, 20)
    for share in (0.0, 1.0):
        options = PatchOptions(depth=5, height=8, width=8, batch=40, foreground_share=share)
        drawn = sampler([volume], [target], options, margin=[2, 0, 0]).batch(0)
        middles = {sample.plane + 2 for sample in drawn.samples}
        assert middles == ({0} if share else set(range(6)))
        assert not share or bool((drawn.targets[:, 2] == 1).flatten(1).any(1).all())
        assert all(0 <= sample.row <= 12 and 0 <= sample.column <= 12 for sample in drawn.samples)
        slices = np.pad(np.arange(6), 2, mode="reflect")
        for image, sample in zip(drawn.images, drawn.samples, strict=True):
            found = (image[0, :, 0, 0].numpy() // 400).astype(int)
            np.testing.assert_array_equal(found, slices[sample.plane + 2 : sample.plane + 7])


def test_a_batch_is_a_function_of_the_step() -> None:
    target = np.zeros((10, 12, 12), np.uint8)
    target[4, 5, 6] = 1
    options = PatchOptions(depth=4, height=6, width=6, batch=3, foreground_share=1.0)
    made = [sampler([numbered(10, 12, 12)], [target], options, Augmentation()) for _ in range(2)]
    one, two, other = made[0].batch(7), made[1].batch(7), made[0].batch(8)
    assert torch.equal(one.images, two.images)
    assert torch.equal(one.targets, two.targets)
    assert not torch.equal(one.images, other.images)
    plain = sampler([numbered(10, 12, 12)], [target], options).batch(0)
    assert (plain.targets == 1).flatten(1).any(1).all()


def test_mirrored_axes_are_exact() -> None:
    volume = numbered(6, 7, 8)
    flips = replace(NO_AUGMENTATION, flip=True, upside_down=True, front_back=True)
    options = PatchOptions(depth=6, height=7, width=8, batch=32, foreground_share=0.0)
    drawn = sampler([volume], [np.zeros((6, 7, 8), np.uint8)], options, flips).batch(0)
    axes = [tuple(axis for axis in range(3) if code >> axis & 1) for code in range(8)]
    found = {
        code for code in range(8) for image in drawn.images if np.array_equal(image[0], np.flip(volume[0], axes[code]))
    }
    assert found == set(range(8))
    alone = sampler([volume], [np.zeros((6, 7, 8), np.uint8)], options, replace(flips, upside_down=False)).batch(0)
    upright = alone.images[:, 0].diff(dim=2)
    assert (upright > 0).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), shift=st.tuples(*[st.integers(-9, 9)] * 3), coarse=st.sampled_from([None, 0, 1, 2]))
def test_a_warped_patch_reads_the_reflected_volume(seed: int, shift: tuple[int, ...], coarse: int | None) -> None:
    """An independent reference: scipy on a volume that is reflected far beyond its borders."""
    shape, size = (9, 14, 11), (6, 8, 10)
    rng = np.random.default_rng(seed)
    volume = ndimage.gaussian_filter(rng.normal(size=shape), 1.0).astype(np.float32)
    warp = draw_volume_warp(size, rng, replace(WARPED, coarse_axis=coarse))
    box = box_to_read(warp, shift, size, shape)
    part = volume[tuple(slice(*span) for span in box)]
    centre = [first + (side - 1) / 2 - start for first, side, (start, _) in zip(shift, size, box, strict=True)]
    read = positions(warp, centre, size, part.shape).numpy()
    found = ndimage.map_coordinates(part, read, order=1)
    border = 40
    padded = np.pad(volume, border, mode="reflect")
    index = np.indices(size).reshape(3, -1) - (np.array(size)[:, None] - 1) / 2
    places = warp.matrix @ index + (np.array(shift) + (np.array(size) - 1) / 2)[:, None]
    if warp.displacements is not None:
        grids = [np.linspace(0, 2, side) for side in size]
        # the interpolation of torch: cubic convolution with a = -0.75
        weights = [np.stack([cubic(grid, point) for point in range(3)], 1) for grid in grids]
        places += np.einsum("cijk,zi,yj,xk->czyx", warp.displacements, *weights).reshape(3, -1)
    expected = ndimage.map_coordinates(padded, places + border, order=1).reshape(size)
    np.testing.assert_allclose(found, expected, atol=2e-4)


def cubic(grid: np.ndarray, point: int) -> np.ndarray:
    """Weights of a coarse point for positions on a grid of three, whose outer points are repeated."""

    def kernel(x: np.ndarray) -> np.ndarray:
        x, a = np.abs(x), -0.75
        near = (a + 2) * x**3 - (a + 3) * x**2 + 1
        far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
        return np.where(x <= 1, near, np.where(x < 2, far, 0))

    repeated = {0: (-2, -1, 0), 1: (1,), 2: (2, 3, 4)}[point]
    return sum((kernel(grid - place) for place in repeated), np.zeros_like(grid))


def test_slices_far_apart_are_not_mixed() -> None:
    """Each slice has its own value: rotated within slices it stays, rotated about other axes (control) it mixes."""
    volume = np.broadcast_to(np.arange(9.0, dtype=np.float32)[None, :, None, None], (1, 9, 20, 20))
    options = PatchOptions(depth=5, height=16, width=16, batch=6, foreground_share=0.0)
    target = np.zeros((9, 20, 20), np.uint8)
    everything = replace(WARPED, blur_share=1.0, coarse_axis=0)
    drawn = sampler([volume], [target], options, everything).batch(1)
    for image, sample in zip(drawn.images, drawn.samples, strict=True):
        expected = np.arange(sample.plane, sample.plane + 5)
        np.testing.assert_allclose(image[0, :, 3, 3], expected, atol=1e-4)
        np.testing.assert_allclose(image[0].std((1, 2)), 0, atol=1e-4)
    mixed = sampler([volume], [target], options, replace(everything, coarse_axis=None)).batch(1)
    assert float(mixed.images.std((3, 4)).max()) > 0.1


def test_the_magnification_and_angle_are_those_drawn() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_volume_warp((20, 30, 40), rng, replace(WARPED, elastic_share=0.0)) for _ in range(200)]
    scales = np.array([1 / np.abs(np.linalg.det(warp.matrix)) ** (1 / 3) for warp in drawn])
    assert 0.7 <= scales.min() < 0.8
    assert 1.3 < scales.max() <= 1.4
    assert all(warp.displacements is None and not warp.exact for warp in drawn)
    assert draw_volume_warp((4, 4, 4), rng, NO_AUGMENTATION).exact


def test_blur_of_volumes_is_scipy_s() -> None:
    volume = np.random.default_rng(0).normal(size=(2, 12, 14, 13)).astype(np.float32)
    for coarse, sd in ((None, (1.0, 1.0, 1.0)), (1, (1.0, 0.0, 1.0))):
        blurred = torch.from_numpy(volume.copy())
        intensity.blur(blurred, 1.0, coarse)
        for channel in range(2):
            expected = ndimage.gaussian_filter(volume[channel], sd, mode="mirror", truncate=3.0)
            np.testing.assert_allclose(blurred[channel], expected, atol=1e-4)


def test_identity_reads_the_patch_alone() -> None:
    identity = VolumeWarp((False,) * 3, np.eye(3), None, exact=True)
    assert box_to_read(identity, (3, 4, 5), (4, 4, 4), (20, 20, 20)) == ((2, 8), (3, 9), (4, 10))
    assert box_to_read(identity, (-3, 0, 0), (30, 4, 4), (5, 20, 20))[0] == (0, 5)


def test_images_are_not_volumes() -> None:
    options = PatchOptions(height=4, width=4)
    with pytest.raises(BadOption, match="an image \\(1, depth, height, width\\)"):
        sampler([numbered(4, 4)], [np.zeros((4, 4), np.uint8)], options)
    with pytest.raises(BadOption, match=r"patches\.depth above 0 for volumes"):
        sampler([numbered(4, 4, 4)], [np.zeros((4, 4, 4), np.uint8)], options)
