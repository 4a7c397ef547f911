"""Patch sampling: locations, classes and reflected borders, as a function of (seed, step, sample)."""

import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from pixelwise.errors import BadOption
from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.sampling import class_locations
from pixelwise.sampling.augment import NO_AUGMENTATION, Augmentation
from pixelwise.sampling.class_locations import find_locations
from pixelwise.sampling.normalise import Normalisation, intensity_scale
from pixelwise.sampling.patches import PatchOptions, PatchSampler, prefetch, scale_batch
from pixelwise.training.batch import Batch

AS_THEY_ARE = Normalisation(kind="none")


def sampler(
    images: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    options: PatchOptions,
    augmentation: Augmentation = NO_AUGMENTATION,
    seed: int = 0,
    normalisation: Normalisation = AS_THEY_ARE,
    **maps: Sequence[np.ndarray],
):
    scales = [intensity_scale(i, normalisation) for i in images]
    return PatchSampler(images, targets, scales, options, augmentation, seed, **maps)


def numbered(height: int, width: int, start: int = 0):
    """An image whose pixel values are their positions: row * width + column."""
    return (np.arange(height * width, dtype=np.uint16) + start).reshape(1, height, width)


def world():
    """Three cases; class 2 in the second only (one pixel), class 1 in the first and the second."""
    images = [numbered(20, 24), numbered(9, 30, 1000), numbered(16, 16, 2000)]
    targets = [np.zeros(image.shape[1:], np.uint8) for image in images]
    targets[0][3:6, 4:9] = 1
    targets[1][8, 29] = 2
    targets[1][0, :4] = 1
    targets[2][5:7] = 255
    return images, targets


def test_patches_are_at_their_locations() -> None:
    images, targets = world()
    batch = sampler(images, targets, PatchOptions(height=8, width=6, batch=12)).batch(3)
    assert batch.images.shape == (12, 1, 8, 6)
    assert batch.images.dtype == torch.float32
    assert batch.targets.dtype == torch.uint8
    assert [sample.number for sample in batch.samples] == list(range(36, 48))
    for image, target, sample in zip(batch.images, batch.targets, batch.samples, strict=True):
        box = np.s_[sample.row : sample.row + 8, sample.column : sample.column + 6]
        np.testing.assert_array_equal(image[0], images[sample.case][0][box])
        np.testing.assert_array_equal(target, targets[sample.case][box])


def test_small_images_are_mirrored_as_numpy_does() -> None:
    image, target = numbered(5, 7), np.arange(35, dtype=np.uint8).reshape(5, 7)
    batch = sampler([image], [target], PatchOptions(height=16, width=32, batch=6)).batch(0)
    padded = np.pad(image[0], ((40, 40), (40, 40)), mode="reflect")
    for number, sample in enumerate(batch.samples):
        assert -11 <= sample.row <= 0
        assert -25 <= sample.column <= 0
        box = np.s_[40 + sample.row : 56 + sample.row, 40 + sample.column : 72 + sample.column]
        np.testing.assert_array_equal(batch.images[number, 0], padded[box])
        np.testing.assert_array_equal(batch.targets[number], padded[box])


def test_distances_are_cropped_with_the_patch_with_and_without_weights() -> None:
    image, target = numbered(5, 7), np.arange(35, dtype=np.uint8).reshape(5, 7)
    weights, distances = target / 7, (target / 40).astype(np.float16)
    options = PatchOptions(height=16, width=32, batch=6)
    both = sampler([image], [target], options, weights=[weights], distances=[distances]).batch(0)
    assert both.weights is not None
    assert both.distances is not None
    np.testing.assert_allclose(both.weights, both.targets / 7, rtol=1e-6)
    np.testing.assert_allclose(both.distances, both.targets / 40, rtol=1e-3)
    alone = sampler([image], [target], options, distances=[distances]).batch(0)
    assert alone.weights is None
    assert alone.distances is not None
    np.testing.assert_array_equal(alone.distances, both.distances)
    assert sampler([image], [target], options).batch(0).distances is None
    with pytest.raises(BadOption, match="a distance map for each target"):
        sampler([image], [target], options, distances=[distances[:2]])


def test_an_image_of_one_pixel() -> None:
    batch = sampler(
        [np.full((2, 1, 1), 7, np.uint8)], [np.ones((1, 1), np.uint8)], PatchOptions(height=4, width=4, batch=2)
    ).batch(0)
    assert (batch.images == 7).all()
    assert (batch.targets == 1).all()


@pytest.mark.parametrize(("share", "batch", "forced"), [(0.33, 2, 1), (0.33, 12, 4), (0.0, 4, 0), (1.0, 3, 3)])
def test_the_last_samples_hold_rare_classes(share: float, batch: int, forced: int) -> None:
    """One pixel of class 2 in 20,000, which uniform sampling would hardly ever contain."""
    target = np.zeros((100, 200), np.uint8)
    target[50, 77] = 2
    options = PatchOptions(height=8, width=8, batch=batch, foreground_share=share)
    drawn = sampler([numbered(100, 200), numbered(100, 200)], [target, np.zeros_like(target)], options)
    hits = np.array([(drawn.batch(step).targets == 2).any((1, 2)).tolist() for step in range(20)])
    assert hits[:, batch - forced :].all()
    assert hits[:, : batch - forced].mean() < 0.1 if forced < batch else True


def test_classes_of_a_case_are_drawn_evenly_whatever_their_size() -> None:
    target = np.zeros((60, 60), np.uint8)
    target[:2, :2], target[30:, :20], target[30:, 40:] = 1, 2, 3
    options = PatchOptions(height=1, width=1, batch=50, foreground_share=1.0)
    drawn = sampler([numbered(60, 60)], [target], options)
    counts = np.bincount(np.concatenate([drawn.batch(step).targets.flatten() for step in range(24)]), minlength=4)
    assert counts[0] == 0
    assert (np.abs(counts[1:] - 400) < 80).all()


def test_classes_of_few_cases_are_drawn_as_often_as_those_of_many() -> None:
    targets = [np.zeros((12, 12), np.uint8) for _ in range(10)]
    for target in targets[:9]:
        target[:3] = 1
    targets[9][:3] = 2
    drawn = sampler([numbered(12, 12)] * 10, targets, PatchOptions(height=1, width=1, batch=50, foreground_share=1.0))
    found = np.concatenate([drawn.batch(step).targets.flatten() for step in range(16)])
    assert (np.abs(np.bincount(found, minlength=3) - [0, 400, 400]) < 60).all()


def test_cases_are_drawn_evenly_whatever_their_size() -> None:
    images = [numbered(10, 10), numbered(100, 100), numbered(10, 200)]
    targets = [np.zeros(image.shape[1:], np.uint8) for image in images]
    drawn = sampler(images, targets, PatchOptions(height=4, width=4, batch=60))
    cases = [sample.case for step in range(10) for sample in drawn.batch(step).samples]
    assert (np.abs(np.bincount(cases) - 200) < 50).all()


def test_the_most_frequent_class_and_the_ignored_pixels_are_not_rare() -> None:
    tissue = np.ones((20, 20), np.uint8)
    tissue[0, :3], tissue[10:] = 0, 255
    ((found,),) = find_locations([np.ones((20, 20), np.uint8), tissue], seed=0)
    assert found.case == 1
    assert found.pixels.tolist() == [0, 1, 2]


def test_locations_are_bounded_repeatable_and_right(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    monkeypatch.setattr(class_locations, "MAX_PIXELS", 100)
    monkeypatch.setattr(class_locations, "BLOCK", 64)
    target = (rng.random((60, 70)) < 0.3).astype(np.uint8)
    (((_, pixels),),) = find_locations([target], seed=5)
    assert 80 < pixels.size <= 100
    assert (target.ravel()[pixels] == 1).all()
    assert pixels.max() > 3000
    np.testing.assert_array_equal(pixels, find_locations([target], seed=5)[0][0].pixels)
    assert not np.array_equal(pixels, find_locations([target], seed=6)[0][0].pixels)


def test_a_pure_function_of_seed_and_step() -> None:
    images, targets = world()
    options = PatchOptions(height=8, width=8, batch=4)
    one, two = (sampler(images, targets, options, Augmentation(), seed=3) for _ in range(2))
    one.batch(0)
    one.batch(9)
    np.random.default_rng().random()
    assert torch.equal(one.batch(7).images, two.batch(7).images)
    assert torch.equal(one.batch(7).targets, two.batch(7).targets)
    assert one.batch(7).samples == two.batch(7).samples
    assert not torch.equal(one.batch(7).images, one.batch(8).images)
    other = sampler(images, targets, options, Augmentation(), seed=4)
    assert not torch.equal(one.batch(7).images, other.batch(7).images)


def test_some_places_of_a_batch_are_those_of_the_whole() -> None:
    images, targets = world()
    drawn = sampler(images, targets, PatchOptions(height=8, width=8, batch=5), Augmentation(), seed=3)
    whole, part = drawn.batch(7), drawn.batch(7, range(2, 5))
    assert drawn.size == 5
    assert part.samples == whole.samples[2:]
    assert torch.equal(part.targets, whole.targets[2:])
    torch.testing.assert_close(part.images, whole.images[2:])


def test_images_keep_their_type_and_are_scaled_each_in_its_way(rng: np.random.Generator) -> None:
    dark = rng.integers(0, 20, (3, 40, 40), dtype=np.uint8)
    bright = rng.integers(30_000, 60_000, (3, 40, 40), dtype=np.uint16)
    targets = [np.zeros((40, 40), np.uint8)] * 2
    options = PatchOptions(height=40, width=40, batch=6)
    batch = sampler([dark, bright], targets, options, normalisation=Normalisation()).batch(0)
    assert {sample.case for sample in batch.samples} == {0, 1}
    torch.testing.assert_close(batch.images.mean((2, 3)), torch.zeros(6, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(batch.images.std((2, 3), correction=0), torch.ones(6, 3), atol=1e-4, rtol=0)


def test_prefetch_gives_the_same_batches_in_order() -> None:
    images, targets = world()
    drawn = sampler(images, targets, PatchOptions(height=8, width=8, batch=2), Augmentation())
    ahead = list(prefetch(drawn, 3, 12, ahead=2))
    assert [batch.samples[0].number // 2 for batch in ahead] == list(range(3, 12))
    for step, batch in enumerate(ahead, start=3):
        assert torch.equal(batch.images, drawn.batch(step).images)


class Watched(PatchSampler):
    """Records requested steps and torch threads, and fails at `bad`."""

    bad = -1
    threads = 0
    asked: tuple[int, ...] = ()

    def batch(self, step: int, chosen: range | None = None) -> Batch:
        self.asked = (*self.asked, step)
        self.threads = torch.get_num_threads()
        if step == self.bad:
            raise ValueError("a bad step")
        return super().batch(step, chosen)


def watched():
    images, targets = world()
    scales = [intensity_scale(image, AS_THEY_ARE) for image in images]
    return Watched(images, targets, scales, PatchOptions(height=8, width=8, batch=2), NO_AUGMENTATION, 0)


def alive():
    return [thread for thread in threading.enumerate() if thread.name.startswith("patches")]


def test_prefetch_is_bounded_and_stops_when_the_consumer_stops() -> None:
    drawn = watched()
    batches = prefetch(drawn, 0, 2**40, ahead=3)
    assert not alive()  # nothing starts before the first batch is wanted
    next(batches)
    next(batches)
    assert len(alive()) == 1
    batches.close()
    assert not alive()
    assert max(drawn.asked) <= 5


def test_a_forgotten_iterator_stops_too() -> None:
    batches = prefetch(watched(), 0, 2**40)
    next(batches)
    del batches
    assert not alive()


def test_errors_are_raised_at_their_step() -> None:
    drawn = watched()
    drawn.bad = 2
    batches = prefetch(drawn, 0, 10)
    next(batches)
    next(batches)
    with pytest.raises(ValueError, match="a bad step"):
        next(batches)
    assert not alive()


def test_the_thread_uses_one_worker_and_leaves_other_threads_unchanged() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        drawn = watched()
        batches = prefetch(drawn, 0, 100)
        next(batches)
        assert drawn.threads == 1
        assert torch.get_num_threads() == 3
        later: list[int] = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert later == [3]
        batches.close()
        drawn.batch(0)
        assert drawn.threads == 3  # the control: without the thread nothing is held back
    finally:
        torch.set_num_threads(before)


def test_inconsistent_arguments_raise() -> None:
    images, targets = world()
    options = PatchOptions()
    with pytest.raises(BadOption, match="3 images, 2 targets, 3 scales"):
        PatchSampler(
            images, targets[:2], [intensity_scale(i, AS_THEY_ARE) for i in images], options, NO_AUGMENTATION, 0
        )
    with pytest.raises(BadOption, match=r"shapes \(1, 9, 30\) and \(16, 16\) in case 1"):
        sampler(images, [targets[0], targets[2], targets[1]], options)
    with pytest.raises(BadOption, match="a seed of at least 0; got -1"):
        sampler(images, targets, options, seed=-1)
    with pytest.raises(BadOption, match=r"patches\.batch of at least 1; got 0"):
        PatchOptions(batch=0)
    with pytest.raises(BadOption, match=r"patches\.foreground_share between 0 and 1; got 1.5"):
        replace(options, foreground_share=1.5)


def test_weights_come_with_their_targets() -> None:
    images, targets = world()
    maps = [np.where(target == 1, 7.5, 0.25).astype(np.float16) for target in targets]
    scales = [intensity_scale(i, AS_THEY_ARE) for i in images]
    options = PatchOptions(height=8, width=8, batch=12)
    turned = replace(NO_AUGMENTATION, flip=True, upside_down=True)
    with_maps = PatchSampler(images, targets, scales, options, turned, 0, weights=maps).batch(2)
    plain = PatchSampler(images, targets, scales, options, turned, 0).batch(2)
    assert with_maps.weights is not None
    assert plain.weights is None
    torch.testing.assert_close(with_maps.images, plain.images)
    assert torch.equal(with_maps.targets, plain.targets)
    assert (with_maps.targets == 1).any()
    expected = torch.where(with_maps.targets == 1, 7.5, 0.25)
    torch.testing.assert_close(with_maps.weights, expected)
    with pytest.raises(BadOption, match="expected a weight map for each target"):
        PatchSampler(images, targets, scales, options, turned, 0, weights=maps[:2])


def test_targets_of_valid_networks_cover_every_pixel_and_no_reflected_one() -> None:
    """A network with a border of 3 returns 6 pixels of a patch of 12: their corners reach every position."""
    image, target = numbered(10, 14), np.zeros((10, 14), np.uint8)
    options = PatchOptions(height=12, width=12, batch=64, foreground_share=0.0)
    scales = [intensity_scale(image, AS_THEY_ARE)]
    samples = [
        sample
        for step in range(8)
        for sample in PatchSampler([image], [target], scales, options, NO_AUGMENTATION, 0, margin=3).batch(step).samples
    ]
    assert {sample.row + 3 for sample in samples} == set(range(5))
    assert {sample.column + 3 for sample in samples} == set(range(9))
    # control: without the margin the outputs do not reach the image border
    without = PatchSampler([image], [target], scales, options, NO_AUGMENTATION, 0).batch(0).samples
    assert {sample.column + 3 for sample in without} == {3, 4, 5}


def test_a_rare_pixel_is_in_the_output_of_a_valid_network() -> None:
    target = np.zeros((60, 60), np.uint8)
    target[0, 59] = 1
    options = PatchOptions(height=12, width=12, batch=4, foreground_share=1.0)
    scales = [intensity_scale(numbered(60, 60), AS_THEY_ARE)]
    drawn = PatchSampler([numbered(60, 60)], [target], scales, options, NO_AUGMENTATION, 0, margin=4).batch(0)
    assert (drawn.targets[:, 4:8, 4:8] == 1).any((1, 2)).all()


@pytest.mark.parametrize(
    ("size", "share", "expected"),
    [
        ((256, 4), 1.0, (256, 4)),
        ((256, 4), 0.5, (256, 2)),
        ((256, 4), 0.25, (128, 4)),
        ((256, 4), 0.125, (128, 2)),
        ((256, 4), 0.0625, (128, 1)),
        ((128, 2), 0.5, (128, 1)),
        ((128, 2), 0.25, (64, 2)),
        ((64, 2), 0.25, (64, 1)),
        ((32, 8), 0.125, (32, 2)),
    ],
)
def test_smaller_steps_have_fewer_patches_then_smaller_ones(
    size: tuple[int, int], share: float, expected: tuple[int, int]
) -> None:
    """A network of total stride 32 keeps more than one pixel over the batch at its coarsest stage."""
    geometry = build(NetworkOptions(encoder="resnet18", base=2)).geometry()
    part = scale_batch(PatchOptions(height=size[0], width=size[0], batch=size[1]), share, geometry)
    assert (part.height, part.width, part.batch) == (expected[0], expected[0], expected[1])


def test_a_sampler_of_the_same_images_draws_other_sizes() -> None:
    image = np.arange(64 * 64, dtype=np.float32).reshape(1, 64, 64)
    scale = intensity_scale(image, Normalisation(kind="none"))
    target = np.zeros((64, 64), np.uint8)
    large, small = PatchOptions(height=32, width=32, batch=4), PatchOptions(height=16, width=16, batch=2)
    first = PatchSampler([image], [target], [scale], large, NO_AUGMENTATION, 0)
    other = first.with_options(small)
    anew = PatchSampler([image], [target], [scale], small, NO_AUGMENTATION, 0)
    assert torch.equal(other.batch(3).images, anew.batch(3).images)
    assert first.batch(3).images.shape == (4, 1, 32, 32)
