"""Intensity augmentation of a normalised image, in place, as in nnU-Net (batchgenerators)."""

import math

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor
from torch.nn import functional

Image = Float32[Tensor, "channels *size"]


def add_noise(image: Image, sd: float, rng: np.random.Generator) -> None:
    """Add Gaussian noise, drawn by numpy so that it is equal on every device."""
    noise = rng.standard_normal(image.numel(), dtype=np.float32)
    image.add_(torch.from_numpy(noise).to(image.device).view(image.shape), alpha=sd)


def blur(image: Image, sd: float, coarse_axis: int | None = None) -> None:
    """Blur with a Gaussian of `sd` pixels, truncated at three `sd`, reflected at the border.

    Volumes are not blurred along `coarse_axis`.
    """
    axes = [axis for axis in range(image.ndim - 1) if image.ndim == 3 or axis != coarse_axis]
    reach = min(math.ceil(3.0 * sd), *(image.shape[axis + 1] - 1 for axis in axes))
    if reach < 1:
        return
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sd) ** 2)
    weights = (weights / weights.sum()).to(image.device)
    if image.ndim == 4:
        _blur_volume(image, weights, reach, axes)
        return
    padded = functional.pad(image[:, None], (reach, reach, reach, reach), mode="reflect")
    across = functional.conv2d(padded, weights.view(1, 1, 1, -1))
    image.copy_(functional.conv2d(across, weights.view(1, 1, -1, 1))[:, 0])


def _blur_volume(image: Image, weights: Tensor, reach: int, axes: list[int]) -> None:
    blurred = image[:, None]
    for axis in axes:
        border = [reach if axis == 2 - place // 2 else 0 for place in range(6)]  # the last axis comes first
        kernel = weights.view(1, 1, *(-1 if axis == place else 1 for place in range(3)))
        blurred = functional.conv3d(functional.pad(blurred, border, mode="reflect"), kernel)
    image.copy_(blurred[:, 0])


def brighten(image: Image, offsets: Float64[np.ndarray, " channels"]) -> None:
    """Add an offset to each channel."""
    image.add_(_column(offsets, image))


def stretch(image: Image, factors: Float64[np.ndarray, " channels"]) -> None:
    """Change the contrast: multiply the difference from the channel mean."""
    mean = image.mean(_axes(image), keepdim=True)
    image.sub_(mean).mul_(_column(factors, image)).add_(mean)


def bend(image: Image, gamma: float, *, inverted: bool) -> None:
    """Gamma correction of intensities scaled to 0...1 per channel; mean and standard deviation are kept.

    `inverted` changes bright instead of dark values. Constant channels are unchanged.
    """
    values = image.neg() if inverted else image.clone()
    axes = _axes(image)
    std, mean = torch.std_mean(values, axes, correction=0, keepdim=True)
    low, high = values.amin(axes, keepdim=True), values.amax(axes, keepdim=True)
    span = (high - low).clamp_(min=1e-7)
    values.sub_(low).div_(span).pow_(gamma)
    new_std, new_mean = torch.std_mean(values, axes, correction=0, keepdim=True)
    values.sub_(new_mean).mul_(std / new_std.clamp(min=1e-7)).add_(mean)
    image.copy_(values.neg_() if inverted else values)


def _column(values: Float64[np.ndarray, " channels"], image: Tensor) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(image.device).view(-1, *(1,) * (image.ndim - 1))


def _axes(image: Tensor) -> tuple[int, ...]:
    """Return all axes but the channels."""
    return tuple(range(1, image.ndim))
