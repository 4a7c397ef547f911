"""Random training patches: a stateless sampler and a prefetching thread."""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch

from pixelwise.errors import BadOption
from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.tiles import mirror_indices
from pixelwise.sampling.augment import Augmentation, augment, window_size
from pixelwise.sampling.class_locations import Locations, find_locations
from pixelwise.sampling.normalise import Scale
from pixelwise.training.batch import Batch

LARGE_PATCH = 128  # side in pixels above which a patch can be halved and still contains enough context
MIN_STEP_PIXELS = 2 * 64 * 64
PURPOSE = 1  # second word of the generators' key, different for each purpose


@dataclass(frozen=True, kw_only=True)
class PatchOptions:
    """Size and number of patches of a training step.

    Attributes
    ----------
    height, width : int
        Pixels.
    batch : int
        Batch size, in patches.
    foreground_share : float
        The last round(share * batch) patches of a batch are centred on a pixel of a rare class.
    low_res_fraction : float
        The first fraction of the training that uses images at half the resolution (`sampling.progressive_resizing`).
    """

    height: int = 256
    width: int = 256
    batch: int = 8
    foreground_share: float = 0.33
    low_res_fraction: float = 0.0

    def __post_init__(self) -> None:
        for name in ("height", "width", "batch"):
            if getattr(self, name) < 1:
                raise BadOption(f"patches.{name} of at least 1", str(getattr(self, name)), "Increase it.")
        for name in ("foreground_share", "low_res_fraction"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise BadOption(f"patches.{name} between 0 and 1", str(getattr(self, name)), "Set a fraction.")


def smallest_share(options: PatchOptions) -> float:
    """Return the fraction of the planned step size below which smaller steps gain little.

    A step has costs that do not depend on its pixels, and noisier batch statistics: two patches of 64 x 64 take a
    third longer than one, and 257 such steps reach a Dice of 0.937 on membranes instead of 0.913.

    Examples
    --------
    >>> smallest_share(PatchOptions(height=128, width=128, batch=2))
    0.25
    """
    return min(1.0, MIN_STEP_PIXELS / (options.batch * options.height * options.width))


def scale_batch(options: PatchOptions, share: float, geometry: Geometry) -> PatchOptions:
    """Return options for steps with a fraction of the pixels: fewer patches, or smaller ones if there are few.

    Large patches are halved rather than used alone in a step, because several locations are more informative.

    Parameters
    ----------
    options : PatchOptions
    share : float
        In (0, 1].
    geometry : Geometry
        Of the network. Its coarsest maps keep several pixels per batch: batch normalisation needs more than one.
    """
    patches = options.batch * share
    is_large = max(options.height, options.width) > LARGE_PATCH
    is_small = min(options.height, options.width) < 2 * geometry.total_stride
    if share == 1 or patches >= (2 if is_large else 1):
        return replace(options, batch=max(round(patches), min(2, options.batch) if is_small else 1))
    minimum = 2 * geometry.total_stride
    height, width = (
        geometry.valid_size(max(min(side, minimum), -(-side // 2))) for side in (options.height, options.width)
    )
    batch = round(patches * options.height * options.width / (height * width))
    min_batch = 1 if min(height, width) >= minimum else min(2, options.batch)
    return replace(options, height=height, width=width, batch=max(min_batch, batch))


class PatchLocation(NamedTuple):
    """Location of a patch: its number in the training (step * batch + index), case and top left corner."""

    number: int
    case: int
    row: int
    column: int


class PatchSampler:
    """Sampler of random patches from images in memory.

    A batch is a pure function of (seed, step): each sample has its own generator, Philox with the seed as key and
    (step, index in the batch) as counter. There is no state, so any step can be drawn again.

    Cases are drawn uniformly, whatever their size. The last round(share * batch) samples are centred on a pixel of a
    rare class (all except the most frequent one of the data set): a rare class, a case that contains it and one of its
    pixels are drawn, each uniformly. nnU-Net draws the case first, so that classes of few cases are rarely sampled, and
    always treats background as the frequent class, which it is not among densely packed cells. The output of the
    network (the patch without `margin`) is inside the image if that is large enough; beyond the border image and target
    are reflected, as in prediction.

    Parameters
    ----------
    images : sequence of arrays (channels, height, width)
        In any dtype; read window by window, never copied.
    targets : sequence of uint8 arrays (height, width)
        Class maps; IGNORE (255) is not a class.
    scales : sequence of Scale
        Normalisation of each image.
    options : PatchOptions
    augmentation : Augmentation
    seed : int
        At least 0.
    device : str or torch.device
        Where patches are warped and returned.
    margin : int
        Border per side that valid convolutions remove from a patch.
    weights, distances : sequences of float arrays (height, width)
        Weight maps of the loss and distance targets (`targets.edge_distance`), one per case, or none.

    Raises
    ------
    BadOption
        There are no images, lengths or sizes differ, or the seed is negative.
    """

    def __init__(
        self,
        images: Sequence[np.ndarray],
        targets: Sequence[np.ndarray],
        scales: Sequence[Scale],
        options: PatchOptions,
        augmentation: Augmentation,
        seed: int,
        device: str | torch.device = "cpu",
        *,
        margin: int = 0,
        weights: Sequence[np.ndarray] = (),
        distances: Sequence[np.ndarray] = (),
    ) -> None:
        _check(images, targets, scales, seed)
        for name, maps in (("weight map", weights), ("distance map", distances)):
            if maps and [m.shape for m in maps] != [t.shape for t in targets]:
                hint = "Pass one of the target's size per case, or none."
                raise BadOption(f"a {name} for each target", f"{len(maps)} maps of other sizes", hint)
        self._images, self._targets, self._scales = tuple(images), tuple(targets), tuple(scales)
        self._options, self._augmentation, self._seed = options, augmentation, seed
        self._device, self._margin = torch.device(device), margin
        self._maps = tuple(tuple(maps) for maps in (weights, distances) if maps)
        self._weighted, self._distant = bool(weights), bool(distances)
        self._size = (options.height, options.width)
        self._window = window_size(self._size, augmentation)
        self._rare: list[list[Locations]] = find_locations(self._targets, seed)

    @property
    def options(self) -> PatchOptions:
        """Size and number of patches."""
        return self._options

    def with_options(self, options: PatchOptions) -> "PatchSampler":
        """Return a sampler of the same images with another patch size or batch size."""
        other = copy(self)
        other._options, other._size = options, (options.height, options.width)
        other._window = window_size(other._size, self._augmentation)
        return other

    def batch(self, step: int) -> Batch:
        """Draw the patches of one step."""
        options = self._options
        draws = [self._generator(step, place) for place in range(options.batch)]
        # weights and distances are additional channels, so that they are warped with the image
        channels, maps = self._images[0].shape[0], len(self._maps)
        windows = np.empty((options.batch, channels + maps, *self._window), np.float32)
        labels = np.empty((options.batch, *self._window), np.uint8)
        samples: list[PatchLocation] = []
        forced_from = options.batch - round(options.foreground_share * options.batch)
        for place, rng in enumerate(draws):
            case, row, column = self._draw_location(rng, forced=place >= forced_from)
            samples.append(PatchLocation(step * options.batch + place, case, row, column))
            self._read(case, row, column, windows[place], labels[place])
        images, targets = augment(
            torch.from_numpy(windows).to(self._device),
            torch.from_numpy(labels).to(self._device),
            self._size,
            draws,
            self._augmentation,
            maps,
        )
        weights = images[:, channels] if self._weighted else None
        distances = images[:, -1] if self._distant else None
        return Batch(images[:, :channels], targets, weights, distances, tuple(samples))

    def _generator(self, step: int, place: int) -> np.random.Generator:
        # the generator uses the lower words of the counter: 2**128 numbers per sample
        return np.random.Generator(np.random.Philox(key=[self._seed, PURPOSE], counter=[0, 0, place, step]))

    def _draw_location(self, rng: np.random.Generator, *, forced: bool) -> tuple[int, int, int]:
        """Return a case and the top left corner of the patch in it."""
        output_size = [side - 2 * self._margin for side in self._size]
        if forced and self._rare:
            cases = self._rare[rng.integers(len(self._rare))]
            case, pixels = cases[rng.integers(len(cases))]
            centre = divmod(int(pixels[rng.integers(len(pixels))]), self._targets[case].shape[1])
            forced_corner = [c - side // 2 for c, side in zip(centre, output_size, strict=True)]
        else:
            case, forced_corner = int(rng.integers(len(self._images))), None
        corner: list[int] = []
        for axis, (whole, side) in enumerate(zip(self._targets[case].shape, output_size, strict=True)):
            low, high = min(0, whole - side), max(0, whole - side)  # a small image is anywhere inside the patch
            drawn = int(rng.integers(low, high + 1)) if forced_corner is None else forced_corner[axis]
            corner.append(min(max(drawn, low), high))
        return case, corner[0] - self._margin, corner[1] - self._margin

    def _read(self, case: int, row: int, column: int, window: np.ndarray, labels: np.ndarray) -> None:
        """Fill `window` (channels and maps, height, width) and `labels` (height, width) around a patch."""
        image, target = self._images[case], self._targets[case]
        spans: list[tuple[int, int]] = []
        for start, side, wide in zip((row, column), self._size, self._window, strict=True):
            first = start - (wide - side) // 2
            spans.append((first, first + wide))
        (top, bottom), (left, right) = spans
        image_window = window[: image.shape[0]]
        if top >= 0 and left >= 0 and bottom <= target.shape[0] and right <= target.shape[1]:
            image_window[:] = self._scales[case].apply(image[:, top:bottom, left:right])
            labels[:] = target[top:bottom, left:right]
            for place, maps in enumerate(self._maps, start=len(image)):
                window[place] = maps[case][top:bottom, left:right]
            return
        rows = mirror_indices(top, bottom, target.shape[0])
        columns = mirror_indices(left, right, target.shape[1])
        # rows first: whole rows are copied fast
        image_window[:] = self._scales[case].apply(image.take(rows, axis=1).take(columns, axis=2))
        labels[:] = target.take(rows, axis=0).take(columns, axis=1)
        for place, maps in enumerate(self._maps, start=len(image)):
            window[place] = maps[case].take(rows, axis=0).take(columns, axis=1)


def _check(images: Sequence[np.ndarray], targets: Sequence[np.ndarray], scales: Sequence[Scale], seed: int) -> None:
    if not images or not len(images) == len(targets) == len(scales):
        raise BadOption(
            "as many targets and scales as images, and at least one",
            f"{len(images)} images, {len(targets)} targets, {len(scales)} scales",
            "Pass one of each per case.",
        )
    for number, (image, target) in enumerate(zip(images, targets, strict=True)):
        if image.ndim != 3 or image.shape[0] != images[0].shape[0] or image.shape[1:] != target.shape:
            raise BadOption(
                f"an image ({images[0].shape[0]}, height, width) and a target of its size",
                f"shapes {image.shape} and {target.shape} in case {number}",
                "Read all images with the same number of channels, and masks of their size.",
            )
    if seed < 0:
        raise BadOption("a seed of at least 0", str(seed), "Use another seed.")


@runtime_checkable
class Sampler(Protocol):
    """Returns the batch of a step as a pure function of its number."""

    def batch(self, step: int) -> Batch:
        """Return the batch of one step."""
        ...


def prefetch(sampler: Sampler, start: int, stop: int, ahead: int = 4) -> Generator[Batch, None, None]:
    """Yield the batches of steps `start` ... `stop` - 1 in order, prefetched by a thread.

    At most `ahead` + 1 batches are queued. The thread ends after the last batch, after an error in a batch was raised
    here, or when the iterator is closed or garbage-collected.

    Notes
    -----
    Torch creates a pool of workers for every thread that calls it. A second pool as large as that of the training would
    spin on the same cores, so this thread uses a single worker; a batch takes a few per cent of one core. The number of
    threads does not change the bytes of a batch.
    """
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(1, thread_name_prefix="patches")
    pending: deque[Future[Batch]] = deque()
    try:
        pool.submit(_compute_alone).result()
        # the setting of a thread also becomes the default of later threads: restore it
        torch.set_num_threads(threads)
        for step in range(start, stop):
            pending.append(pool.submit(sampler.batch, step))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _compute_alone() -> None:
    torch.get_num_threads()  # the first call of a thread applies the default, overwriting an earlier setting
    torch.set_num_threads(1)
