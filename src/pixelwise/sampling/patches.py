"""Random training patches: a stateless sampler and a prefetching thread."""

import math
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from pixelwise.errors import BadOption
from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.tiles import Side, Span, mirror_indices
from pixelwise.sampling.augment import Augmentation, augment, window_size
from pixelwise.sampling.normalise import Scale
from pixelwise.sampling.patch_locations import LocationSampler, PatchLocation
from pixelwise.training.batch import Batch

Drawn = TypeVar("Drawn", covariant=True)
LARGE_PATCH = 128  # side in pixels above which a patch can be halved and still contains enough context
LARGE_VOLUME = 64  # the same for volumes
MIN_STEP_PIXELS = 2 * 64 * 64
MIN_STEP_VOXELS = 2 * 32 * 32 * 32


@dataclass(frozen=True, kw_only=True)
class PatchOptions:
    """Size and number of patches of a training step.

    Attributes
    ----------
    height, width : int
        Pixels.
    depth : int
        Slices of patches of volumes; 0 for images.
    spacing : tuple of float
        Distance between voxels in millimetres along depth, height and width, to which volumes are resampled; empty: as
        they are.
    dimensions : {0, 2, 2.5, 3}
        What the network sees of a volume: 3 for voxels along all axes, 2.5 for a slice with its neighbours as channels,
        2 for single slices; 0 for images.
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
    depth: int = 0
    spacing: tuple[float, ...] = ()
    dimensions: float = 0.0

    def __post_init__(self) -> None:
        for name in ("height", "width", "batch"):
            if getattr(self, name) < 1:
                raise BadOption(f"patches.{name} of at least 1", str(getattr(self, name)), "Increase it.")
        for name in ("foreground_share", "low_res_fraction"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise BadOption(f"patches.{name} between 0 and 1", str(getattr(self, name)), "Set a fraction.")
        if self.depth < 0:
            raise BadOption("patches.depth of at least 0", str(self.depth), "Set the slices of a patch, 0 for images.")
        if self.dimensions not in (0.0, 2.0, 2.5, 3.0):
            hint = "Set 3, or 2.5 for slices with their neighbours, or 2 for single slices; 0 for images."
            raise BadOption("patches.dimensions of 2, 2.5 or 3", f"{self.dimensions:g}", hint)
        if self.spacing and not (len(self.spacing) == 3 and all(0 < side < math.inf for side in self.spacing)):
            hint = "Set one number per axis (z, y, x), or [] to keep that of the files."
            raise BadOption("patches.spacing of three numbers above 0", str(list(self.spacing)), hint)

    @property
    def size(self) -> tuple[int, ...]:
        """Height and width, or depth, height and width of volumes."""
        return (self.depth, self.height, self.width) if self.depth else (self.height, self.width)

    @property
    def pixels(self) -> int:
        """Pixels, or voxels, of all patches of a step."""
        return self.batch * math.prod(self.size)

    def with_size(self, size: tuple[int, ...], batch: int) -> "PatchOptions":
        """Return options with patches of another size, and with another batch size.

        Examples
        --------
        >>> PatchOptions().with_size((8, 16, 32), 2).size
        (8, 16, 32)
        """
        depth, height, width = size if len(size) == 3 else (0, *size)
        return replace(self, depth=depth, height=height, width=width, batch=batch)


def smallest_share(options: PatchOptions) -> float:
    """Return the fraction of the planned step size below which smaller steps gain little.

    A step has costs that do not depend on its pixels, and noisier batch statistics: two patches of 64 x 64 take a
    third longer than one, and 257 such steps reach a Dice of 0.937 on membranes instead of 0.913.

    Examples
    --------
    >>> smallest_share(PatchOptions(height=128, width=128, batch=2))
    0.25
    """
    return min(1.0, (MIN_STEP_VOXELS if options.depth else MIN_STEP_PIXELS) / options.pixels)


def scale_batch(options: PatchOptions, share: float, geometry: Geometry) -> PatchOptions:
    """Return options for steps with a fraction of the pixels: fewer patches, or smaller ones if there are few.

    Large patches are halved rather than used alone in a step, because several locations are more informative.

    Parameters
    ----------
    share : float
        In (0, 1].
    geometry : Geometry
        Of the network. Its coarsest maps keep several pixels per batch: batch normalisation needs more than one.
    """
    patches, size = options.batch * share, options.size
    minima = [2 * geometry.along(axis).total_stride for axis in range(len(size))]
    is_large = max(size) > (LARGE_VOLUME if options.depth else LARGE_PATCH)
    is_small = any(side < minimum for side, minimum in zip(size, minima, strict=True))
    if share == 1 or patches >= (2 if is_large else 1):
        return replace(options, batch=max(round(patches), min(2, options.batch) if is_small else 1))
    smaller = geometry.valid_sizes([max(min(side, low), -(-side // 2)) for side, low in zip(size, minima, strict=True)])
    batch = round(patches * math.prod(size) / math.prod(smaller))
    fits = all(side >= minimum for side, minimum in zip(smaller, minima, strict=True))
    min_batch = 1 if fits else min(2, options.batch)
    return options.with_size(smaller, max(min_batch, batch))


class PatchSampler:
    """Sampler of random patches from images in memory; `volume_patches.VolumeSampler` for volumes.

    A batch is a pure function of (seed, step): each sample has its own generator, Philox with the seed as key and
    (step, index in the batch) as counter. There is no state, so any step can be drawn again.

    The last round(share * batch) samples are centred on a pixel of a rare class (`patch_locations.LocationSampler`).
    The output of the network (the patch without `margin`) is inside the image if that is large enough; beyond the
    border image and target are reflected, as in prediction.

    Parameters
    ----------
    images : sequence of arrays (channels, height, width)
        In any dtype; read window by window, never copied.
    targets : sequence of uint8 arrays (height, width)
        Class maps; IGNORE (255) is not a class.
    scales : sequence of Scale
        Normalisation of each image.
    seed : int
        At least 0.
    device : str or torch.device
        Where patches are warped and returned.
    margin : int or sequence of int
        Border per side that valid convolutions remove from a patch, along all axes or along each.
    weights, distances : sequences of float arrays (height, width)
        Weight maps of the loss and distance targets (`targets.edge_distance`), one per case, or none.

    Raises
    ------
    BadOption
        There are no images, lengths or sizes differ, patches have another number of axes, or the seed is negative.
    """

    axes: ClassVar[int] = 2

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
        margin: Side = 0,
        weights: Sequence[np.ndarray] = (),
        distances: Sequence[np.ndarray] = (),
    ) -> None:
        _check_data(images, targets, scales, seed, {"weight map": weights, "distance map": distances}, axes=self.axes)
        if len(options.size) != self.axes:
            expected = "above 0 for volumes" if self.axes == 3 else "0 for images"
            raise BadOption(f"patches.depth {expected}", str(options.depth), "Set the slices of a patch, 0 for images.")
        self._images, self._targets, self._scales = tuple(images), tuple(targets), tuple(scales)
        self._options, self._augmentation = options, augmentation
        self._device = torch.device(device)
        # weights and distances are additional channels, so that they are warped with the image
        self._maps = tuple(tuple(maps) for maps in (weights, distances) if maps)
        self._weighted, self._distant = bool(weights), bool(distances)
        self._locations = LocationSampler(self._targets, seed, margin)

    @property
    def options(self) -> PatchOptions:
        """Size and number of patches."""
        return self._options

    def with_options(self, options: PatchOptions) -> "PatchSampler":
        """Return a sampler of the same images with another patch size or batch size."""
        other = copy(self)
        other._options = options
        return other

    @property
    def size(self) -> int:
        """The number of patches of a batch."""
        return self._options.batch

    def batch(self, step: int, chosen: range | None = None) -> Batch:
        """Draw the patches of one step, or those of its places `chosen`."""
        options, channels = self._options, self._images[0].shape[0]
        chosen = range(options.batch) if chosen is None else chosen
        draws = [self._locations.generator(step, place) for place in chosen]
        forced_from = options.batch - round(options.foreground_share * options.batch)
        places = [
            self._locations.draw(rng, options.size, forced=place >= forced_from)
            for place, rng in zip(chosen, draws, strict=True)
        ]
        images, targets = self._draw_patches(places, draws)
        first = step * options.batch
        samples = tuple(
            PatchLocation(first + place, case, *corner[-2:], *corner[:-2])
            for place, (case, corner) in zip(chosen, places, strict=True)
        )
        weights = images[:, channels] if self._weighted else None
        distances = images[:, -1] if self._distant else None
        return Batch(images[:, :channels], targets, weights, distances, samples)

    def _draw_patches(
        self, places: Sequence[tuple[int, tuple[int, ...]]], draws: Sequence[np.random.Generator]
    ) -> tuple[Tensor, Tensor]:
        """Return warped patches (batch, channels and maps, *size) and their labels (batch, *size).

        `places` are the cases and first corners of the patches.
        """
        size = (self._options.height, self._options.width)
        window = window_size(size, self._augmentation)
        windows = np.empty((len(places), self._images[0].shape[0] + len(self._maps), *window), np.float32)
        labels = np.empty((len(places), *window), np.uint8)
        for index, (case, corner) in enumerate(places):
            rows, columns = (_centred(*along) for along in zip(corner, size, window, strict=True))
            self._read(case, rows, columns, windows[index], labels[index])
        return augment(
            torch.from_numpy(windows).to(self._device),
            torch.from_numpy(labels).to(self._device),
            size,
            draws,
            self._augmentation,
            len(self._maps),
        )

    def _read(self, case: int, rows: Span, columns: Span, window: np.ndarray, labels: np.ndarray) -> None:
        """Fill `window` (channels and maps, height, width) and `labels` (height, width); spans may be outside."""
        image, target = self._images[case], self._targets[case]
        (top, bottom), (left, right) = rows, columns
        image_window = window[: image.shape[0]]
        if top >= 0 and left >= 0 and bottom <= target.shape[0] and right <= target.shape[1]:
            image_window[:] = self._scales[case].apply(image[:, top:bottom, left:right])
            labels[:] = target[top:bottom, left:right]
            for place, maps in enumerate(self._maps, start=len(image)):
                window[place] = maps[case][top:bottom, left:right]
            return
        within_rows = mirror_indices(top, bottom, target.shape[0])
        within_columns = mirror_indices(left, right, target.shape[1])
        # rows first: whole rows are copied fast
        image_window[:] = self._scales[case].apply(image.take(within_rows, axis=1).take(within_columns, axis=2))
        labels[:] = target.take(within_rows, axis=0).take(within_columns, axis=1)
        for place, maps in enumerate(self._maps, start=len(image)):
            window[place] = maps[case].take(within_rows, axis=0).take(within_columns, axis=1)


def _centred(start: int, side: int, wide: int) -> Span:
    """Return the span of length `wide` around `side` pixels from `start`."""
    first = start - (wide - side) // 2
    return first, first + wide


def _check_data(
    images: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    scales: Sequence[Scale],
    seed: int,
    maps: Mapping[str, Sequence[np.ndarray]],
    *,
    axes: int,
) -> None:
    """Check that images (channels, *size), targets, scales and maps of `axes` axes belong together.

    Raises
    ------
    BadOption
        There are no images, lengths or sizes differ, or the seed is negative.
    """
    if not images or not len(images) == len(targets) == len(scales):
        raise BadOption(
            "as many targets and scales as images, and at least one",
            f"{len(images)} images, {len(targets)} targets, {len(scales)} scales",
            "Pass one of each per case.",
        )
    size = "height, width" if axes == 2 else "depth, height, width"
    for number, (image, target) in enumerate(zip(images, targets, strict=True)):
        if image.ndim != axes + 1 or image.shape[0] != images[0].shape[0] or image.shape[1:] != target.shape:
            raise BadOption(
                f"an image ({images[0].shape[0]}, {size}) and a target of its size",
                f"shapes {image.shape} and {target.shape} in case {number}",
                "Read all images with the same number of channels, and masks of their size.",
            )
    if seed < 0:
        raise BadOption("a seed of at least 0", str(seed), "Use another seed.")
    for name, each in maps.items():
        if each and [m.shape for m in each] != [t.shape for t in targets]:
            hint = "Pass one of the target's size per case, or none."
            raise BadOption(f"a {name} for each target", f"{len(each)} maps of other sizes", hint)


@runtime_checkable
class Sampler(Protocol):
    """Returns the batch of a step as a pure function of its number; `size` is the number of images in it."""

    @property
    def size(self) -> int:
        """The number of images of a batch."""
        ...

    def batch(self, step: int, chosen: range | None = None) -> Batch:
        """Return the batch of one step, or the images at its places `chosen`."""
        ...


@runtime_checkable
class Draws(Protocol[Drawn]):
    """Draws what a step reads."""

    def batch(self, step: int) -> Drawn:
        """Return what one step reads."""
        ...


def prefetch(sampler: Draws[Drawn], start: int, stop: int, ahead: int = 4) -> Generator[Drawn, None, None]:
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
    pending: deque[Future[Drawn]] = deque()
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
