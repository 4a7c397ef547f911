"""Images of any size and bit depth become batches that are a pure function of (seed, step)."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.nn import functional

from pixelwise.errors import BadOption
from pixelwise.sampling.normalise import Normalisation, Scale, intensity_scale
from pixelwise.sampling.resize_crop import View, centre_crop, resize, resize_shorter_side, to_8_bit_range
from pixelwise.sampling.whole_images import ClassificationOptions, ClassificationSampler

NOTHING = Normalisation(kind="none")


def numbered(count: int, side: int = 8) -> list[np.ndarray]:
    """Images with their index in the first channel and their columns in the second."""
    columns = np.broadcast_to(np.arange(1, side + 1, dtype=np.uint8), (side, side))
    return [np.stack([np.full((side, side), index + 1, np.uint8), columns]) for index in range(count)]


def sampler(photos: list[np.ndarray], seed: int = 0, **options: object) -> ClassificationSampler:
    side = photos[0].shape[1]
    settings = ClassificationOptions(**{"side": side, "shorter": side, "batch": 4, **options})  # type: ignore[arg-type]
    scales = [intensity_scale(photo, NOTHING) for photo in photos]
    return ClassificationSampler(photos, list(range(len(photos))), scales, settings, seed)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40))
def test_the_shorter_side_is_exact_and_the_aspect_ratio_kept(height: int, width: int, shorter: int) -> None:
    fitted = resize_shorter_side(np.zeros((1, height, width), np.uint8), shorter)
    rows, columns = fitted.shape[1:]
    assert min(rows, columns) == shorter
    share = min(2.0, max(height, width) / min(height, width))  # what is longer than twice the shorter side is cut off
    assert abs(max(rows, columns) - share * shorter) <= 0.5 + 1e-9
    assert (rows >= columns) == (height >= width) or abs(height - width) * shorter <= min(height, width)


def test_shrinking_averages_as_other_libraries_do() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, 61, 80)).astype(np.uint8)
    ours = np.moveaxis(resize_shorter_side(pixels, 20), 0, -1)
    theirs = Image.fromarray(np.moveaxis(pixels, 0, -1)).resize((26, 20), Image.Resampling.BILINEAR)
    assert ours.shape == (20, 26, 3)
    assert np.abs(ours.astype(int) - np.asarray(theirs).astype(int)).max() <= 2
    stripes = np.zeros((1, 60, 60), np.uint8)
    stripes[:, :, ::2] = 255
    shrunk = resize_shorter_side(stripes, 12)
    assert shrunk[:, :, 2:-2].max() - shrunk[:, :, 2:-2].min() < 60, "thin stripes become gray, not coarse stripes"


@pytest.mark.parametrize("size", [(20, 26), (61, 80), (90, 33), (1, 1), (200, 5)])
def test_resizing_equals_pytorch_to_rounding(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 61, 80)).astype(np.float32)
    exact = torch.from_numpy(pixels.astype(np.float64))[None]
    wanted = functional.interpolate(exact, size=size, mode="bilinear", antialias=True, align_corners=False)[0].numpy()
    assert np.abs(resize(pixels, size) - wanted).max() < 1e-3
    assert resize(pixels.astype(np.uint8), size).dtype == np.uint8


def test_resizing_does_not_import_torch() -> None:
    code = (
        "import sys; from pixelwise.sampling.resize_crop import resize_shorter_side; assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_image_of_the_right_size_is_unchanged() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 40)).astype(np.uint8)
    assert np.array_equal(resize_shorter_side(pixels, 32), pixels)
    assert resize_shorter_side(pixels, 32).dtype == np.uint8
    assert np.array_equal(centre_crop(pixels, 4, 6), pixels[:, 14:18, 17:23])


def test_sixteen_bits_are_scaled_to_eight() -> None:
    eight = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    deep = eight.astype(np.uint16) * 257
    assert np.allclose(to_8_bit_range(deep), eight, atol=1e-4)
    assert np.allclose(resize_shorter_side(deep, 8), resize_shorter_side(eight.astype(np.float32), 8), atol=1e-3)
    for kept in (eight, eight / 255.0, eight.astype(np.int32)):
        assert to_8_bit_range(kept) is kept


@pytest.mark.parametrize(("count", "batch"), [(10, 4), (3, 8), (7, 7)])
def test_an_epoch_uses_every_image_once(count: int, batch: int) -> None:
    drawn = sampler(numbered(count), batch=batch)
    seen = [photo for step in range(3 * count) for photo in drawn.batch(step).samples]
    for epoch in range(3):
        assert sorted(seen[epoch * count : (epoch + 1) * count]) == list(range(count))
    assert len(seen) == 3 * count * batch
    orders = [tuple(seen[epoch * count : (epoch + 1) * count]) for epoch in range(3)]
    assert len(set(orders)) > 1, "the order is drawn anew"


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    photos = numbered(9)
    one, other = sampler(photos, padding=2), sampler(photos, padding=2)
    other.batch(5)
    for step in (0, 3, 2**33):
        assert torch.equal(one.batch(step).images, other.batch(step).images)
    assert not torch.equal(one.batch(0).images, sampler(photos, seed=1, padding=2).batch(0).images)
    assert not torch.equal(one.batch(0).images, one.batch(1).images)


def test_targets_belong_to_their_images() -> None:
    drawn = sampler(numbered(9), padding=3)
    for step in range(8):
        batch = drawn.batch(step)
        inside = batch.images[:, 0].amax((1, 2))
        assert torch.equal(inside.long() - 1, batch.targets)
        assert batch.targets.tolist() == list(batch.samples)


def test_random_crops_with_padding_and_flips() -> None:
    drawn = sampler(numbered(16), batch=16, padding=3)
    images = torch.cat([drawn.batch(step).images for step in range(40)])
    empty_above = (images[:, 0].amax(2) == 0).int()
    offsets = {int(row[:4].sum()) - int(row[-4:].sum()) for row in empty_above}
    assert offsets == set(range(-3, 4)), "every shift up to the padding, up and down"
    rows = images[:, 1].amax(1)  # columns are numbered from left to right
    turned = torch.tensor([row[row > 0][0] > row[row > 0][-1] for row in rows])
    assert 0.42 < turned.float().mean() < 0.58
    plain = sampler(numbered(16), batch=16, flip=False)
    assert all(torch.equal(plain.batch(step).images[0, 1, 0], torch.arange(1.0, 9.0)) for step in range(5))


def test_random_windows_have_the_given_area() -> None:
    side = 60
    ramp = np.broadcast_to(np.linspace(0, 1, side, dtype=np.float32), (1, side, side))
    drawn = sampler([ramp], side=20, shorter=60, batch=64, smallest_area=0.25, flip=False)
    images = drawn.batch(0).images
    assert images.shape == (64, 1, 20, 20)
    spans = images[:, 0].amax((1, 2)) - images[:, 0].amin((1, 2))
    # a quarter of the area, at most 4:3 wide, spans at least sqrt(1/4 * 3/4) of the width
    assert float(spans.min()) > 0.43 * 0.9
    assert float(spans.max()) <= 1 + 1e-6
    assert float(spans.max() - spans.min()) > 0.2


def test_each_image_has_its_own_scale() -> None:
    photos = numbered(2)
    scales = [Scale(np.array([10.0, 1.0]), np.zeros(2)), Scale(np.array([100.0, 1.0]), np.zeros(2))]
    drawn = ClassificationSampler(
        photos, [0, 1], scales, ClassificationOptions(side=8, shorter=8, batch=2, flip=False), 0
    )
    batch = drawn.batch(0)
    assert {int(image[0, 0, 0]) for image in batch.images} == {10, 200}


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        ({"side": 300}, "expected classification.shorter from classification.side to 8192; got 256 with side 300"),
        ({"batch": 0}, "expected classification.batch of at least 1; got 0"),
        ({"padding": -1}, "expected classification.padding of at least 0; got -1"),
        ({"smallest_area": 0.0}, r"expected classification.smallest_area in \(0, 1\]; got 0.0"),
    ],
)
def test_invalid_options_raise(words: dict[str, float], messages: str) -> None:
    with pytest.raises(BadOption, match=messages):
        ClassificationOptions(**words)  # type: ignore[arg-type]


def test_invalid_views_and_samplers_raise() -> None:
    with pytest.raises(BadOption, match="shorter <= 8192 for classification images; got side 9"):
        View(side=9, shorter=8)
    with pytest.raises(BadOption, match="got 1 images, 2 classes, 1 scales"):
        ClassificationSampler(numbered(1), [0, 1], [Scale(np.ones(2), np.zeros(2))], ClassificationOptions(), 0)
    with pytest.raises(BadOption, match="expected a seed of at least 0; got -1"):
        sampler(numbered(1), seed=-1)


@pytest.mark.parametrize("options", [{"padding": 2}, {"smallest_area": 0.3}])
def test_some_places_of_a_batch_are_those_of_the_whole(options: dict[str, float]) -> None:
    drawn = sampler(numbered(7), **options)
    whole, part = drawn.batch(2), drawn.batch(2, range(1, 4))
    assert (drawn.size, part.samples) == (4, whole.samples[1:])
    assert torch.equal(part.images, whole.images[1:])
    assert torch.equal(part.targets, whole.targets[1:])
