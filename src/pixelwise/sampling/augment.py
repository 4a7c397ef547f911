"""Data augmentation of patches: one fused warp (affine and elastic), then intensity transforms.

This module warps images; `volume_warp` warps volumes, with the same options.

Each sample has its own generator, so that a batch is a pure function of (seed, step, sample). Images are resampled
once, with `grid_sample`, and labels once, by index, at the same positions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8
from torch import Tensor

from pixelwise.errors import BadOption
from pixelwise.sampling import intensity, warp
from pixelwise.sampling.warp import ELASTIC_POINTS, Warp


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Augmentation options; a share is the probability per sample, 0 disables the transform.

    Attributes
    ----------
    rotation, rotation_share : float
        Largest angle, in degrees, in both directions; in volumes about each of the axes.
    scale, scale_share : (float, float), float
        Range of the magnification, the same for all axes; above 1 objects grow. Drawn log-uniformly.
    flip : bool
        Random horizontal flips.
    upside_down : bool
        Random vertical flips and, with `flip`, rotations by 90 degrees: all eight symmetries of the square. For
        images without an up direction, such as microscopy or aerial images. In volumes flips of the rows alone.
    front_back : bool
        For volumes: random flips of the first axis.
    coarse_axis : {0, 1, 2}, optional
        For volumes: the axis along which slices are far apart. They are only rotated, scaled and deformed within
        themselves, and not blurred across.
    elastic_sd, elastic_share : float
        Standard deviation, in pixels, of displacements on a 3 x 3 grid, with bicubic interpolation (U-Net paper:
        10 pixels on 572). At most a tenth of the distance between grid points, so that the map does not fold: the
        paper's 10 pixels apply to patches of 201 pixels or more.
    brightness, brightness_share : float
        Largest offset, in both directions, in standard deviations of the image (patches are normalised).
    contrast, contrast_share : (float, float), float
        Range of the factor on the difference from the channel mean.
    gamma, gamma_share : (float, float), float
        Range of the exponent on intensities scaled to 0...1, inverted in half of the cases; mean and standard
        deviation are kept.
    noise, noise_share : float
        Largest standard deviation of Gaussian noise.
    blur, blur_share : (float, float), float
        Range of the standard deviation, in pixels, of a Gaussian blur.

    Contrast and gamma are drawn below or above 1 with equal probability. Defaults follow nnU-Net, with more frequent
    geometric transforms, which help more in short trainings.
    """

    rotation: float = 180.0
    rotation_share: float = 0.5
    scale: tuple[float, float] = (0.7, 1.4)
    scale_share: float = 0.5
    flip: bool = True
    upside_down: bool = True
    front_back: bool = True
    coarse_axis: Literal[0, 1, 2] | None = None
    elastic_sd: float = 10.0
    elastic_share: float = 0.2
    brightness: float = 0.25
    brightness_share: float = 0.15
    contrast: tuple[float, float] = (0.75, 1.25)
    contrast_share: float = 0.15
    gamma: tuple[float, float] = (0.7, 1.5)
    gamma_share: float = 0.3
    noise: float = 0.1
    noise_share: float = 0.1
    blur: tuple[float, float] = (0.5, 1.0)
    blur_share: float = 0.1

    def __post_init__(self) -> None:
        for field in fields(self):
            value: float | tuple[float, float] | None = getattr(self, field.name)
            name = f"augmentation.{field.name}"
            if value is None:
                continue
            if isinstance(value, tuple):
                low, high = value
                if not 0.0 < low <= high < math.inf:
                    raise BadOption(
                        f"{name} as two positive numbers in ascending order", str(value), "Swap or correct them."
                    )
            elif field.name.endswith("_share") and not 0.0 <= value <= 1.0:
                raise BadOption(f"{name} between 0 and 1", str(value), "Set a probability, such as 0.2.")
            elif not 0.0 <= value < math.inf:
                raise BadOption(f"{name} of at least 0", str(value), "Set a finite number, or 0 to disable it.")
        if self.rotation > 180.0:
            raise BadOption("augmentation.rotation up to 180 degrees", str(self.rotation), "180 allows every angle.")


NO_AUGMENTATION = Augmentation(
    rotation_share=0.0,
    scale_share=0.0,
    flip=False,
    upside_down=False,
    front_back=False,
    elastic_share=0.0,
    brightness_share=0.0,
    contrast_share=0.0,
    gamma_share=0.0,
    noise_share=0.0,
    blur_share=0.0,
)


def window_size(size: tuple[int, int], options: Augmentation) -> tuple[int, int]:
    """Return the window (height, width) that a warped patch of `size` reads.

    It covers the patch at any angle and the smallest scale; elastic displacements beyond it are reflected. The parity
    of both sizes is equal, so that the centres coincide.
    """
    height, width = size
    max_angle = math.radians(min(options.rotation, 90.0)) if options.rotation_share > 0 else 0.0
    if options.flip and options.upside_down and height != width:
        max_angle = math.pi / 2  # rotations by 90 degrees need the length of the other side too
    shrink = max(1.0, 1.0 / options.scale[0]) if options.scale_share > 0 else 1.0

    def window_side(along: int, across: int) -> int:
        angle = min(max_angle, math.atan2(across, along))  # maximum of along * cos + across * sin
        needed = (along * math.cos(angle) + across * math.sin(angle)) * shrink
        return along + 2 * math.ceil((needed - along) / 2 - 1e-9)

    return window_side(height, width), window_side(width, height)


def augment(
    windows: Float32[Tensor, "batch channels height width"],
    labels: UInt8[Tensor, "batch height width"],
    size: tuple[int, int],
    draws: Sequence[np.random.Generator],
    options: Augmentation,
    maps: int = 0,
) -> tuple[Float32[Tensor, "batch channels rows columns"], UInt8[Tensor, "batch rows columns"]]:
    """Warp windows and labels to patches of `size`, then transform the intensities of the images.

    Parameters
    ----------
    windows : float32 tensor (batch, channels, height, width)
        Normalised images of at least `window_size(size, options)`; the patch is their centre. Not modified.
    labels : uint8 tensor (batch, height, width)
        Class maps; resampled by nearest neighbour, the ignore index too.
    size : (int, int)
        Height and width of the patches.
    draws : sequence of numpy.random.Generator
        One per sample; the result depends on nothing else.
    maps : int
        The last `maps` channels are maps (weights, distances): warped, but without intensity transforms.

    Returns
    -------
    images, targets : tensors (batch, channels, *size) float32 and (batch, *size) uint8
        On the device of the input.

    Raises
    ------
    BadOption
        The windows are smaller than `size`.
    """
    if windows.shape[2] < size[0] or windows.shape[3] < size[1]:
        raise BadOption(
            f"windows of at least {size[0]} x {size[1]} pixels",
            f"{windows.shape[2]} x {windows.shape[3]}",
            "Read windows of `window_size(size, options)`.",
        )
    warps = [draw_warp(size, rng, options) for rng in draws]
    images = windows.new_empty((*windows.shape[:2], *size))
    targets = labels.new_empty((labels.shape[0], *size))
    resampled = [i for i, drawn in enumerate(warps) if not drawn.exact]
    if resampled:
        rows, columns = warp.positions([warps[i] for i in resampled], windows.shape[2:], size, windows.device)
        whole = len(resampled) == len(warps)
        images[resampled] = warp.read_bilinear(windows if whole else windows[resampled], rows, columns)
        targets[resampled] = warp.read_nearest(labels if whole else labels[resampled], rows, columns)
    for i, drawn in enumerate(warps):
        if drawn.exact:
            images[i] = warp.apply_exact(windows[i], drawn, size)
            targets[i] = warp.apply_exact(labels[i], drawn, size)
    for image, rng in zip(images[:, : images.shape[1] - maps], draws, strict=True):
        augment_intensities(image, rng, options)
    return images, targets


def draw_warp(size: tuple[int, int], rng: np.random.Generator, options: Augmentation) -> Warp:
    """Draw the warp of one sample."""
    uniform = rng.random(6)
    mirrored = options.flip and uniform[0] < 0.5
    quarters = 0
    if options.upside_down:
        # a vertical flip is a horizontal one and two quarters; without `flip` there are only vertical flips
        quarters = int(uniform[1] * 4) if options.flip else 0
        mirrored_rows = not options.flip and uniform[1] < 0.5
        quarters, mirrored = (2, True) if mirrored_rows else (quarters, mirrored)
    angle = rng.uniform(-options.rotation, options.rotation) if uniform[2] < options.rotation_share else 0.0
    scale = 1.0
    if uniform[3] < options.scale_share:
        scale = math.exp(rng.uniform(math.log(options.scale[0]), math.log(options.scale[1])))
    displacements = None
    if uniform[4] < options.elastic_share and options.elastic_sd > 0 and min(size) > 1:
        spacing = (min(size) - 1) / (ELASTIC_POINTS - 1)
        displacements = rng.normal(0.0, min(options.elastic_sd, spacing / 10), (2, ELASTIC_POINTS, ELASTIC_POINTS))
    quarter, mirror = np.array([[0.0, 1.0], [-1.0, 0.0]]), np.diag([1.0, -1.0 if mirrored else 1.0])
    radians = math.radians(angle)
    cosine, sine = math.cos(radians) / scale, math.sin(radians) / scale
    matrix = np.array([[cosine, sine], [-sine, cosine]]) @ mirror @ np.linalg.matrix_power(quarter, quarters)
    exact = displacements is None and angle == 0.0 and scale == 1.0
    return Warp(quarters, bool(mirrored), matrix, displacements, exact=exact)


def augment_intensities(image: Tensor, rng: np.random.Generator, options: Augmentation) -> None:
    """Transform the intensities of one image or volume (channels, *size) in place."""
    uniform = rng.random(5)
    channels = image.shape[0]
    if uniform[0] < options.noise_share:
        intensity.add_noise(image, rng.uniform(0.0, options.noise), rng)
    if uniform[1] < options.blur_share:
        intensity.blur(image, rng.uniform(*options.blur), options.coarse_axis)
    if uniform[2] < options.brightness_share:
        intensity.brighten(image, rng.uniform(-options.brightness, options.brightness, channels))
    if uniform[3] < options.contrast_share:
        intensity.stretch(image, np.array([_factor(options.contrast, rng) for _ in range(channels)]))
    if uniform[4] < options.gamma_share:
        intensity.bend(image, _factor(options.gamma, rng), inverted=bool(rng.random() < 0.5))


def _factor(limits: tuple[float, float], rng: np.random.Generator) -> float:
    """Draw below or above 1 with equal probability (nnU-Net) if the limits contain 1."""
    low, high = limits
    if low < 1.0 < high:
        low, high = (low, 1.0) if rng.random() < 0.5 else (1.0, high)
    return float(rng.uniform(low, high))
