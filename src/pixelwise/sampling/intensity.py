"""Intensity augmentation of a normalised image, in place, as in nnU-Net (batchgenerators)."""

import math

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor
from torch.nn import functional

Image = Float32[Tensor, "channels height width"]


def add_noise(image: Image, sd: float, rng: np.random.Generator) -> None:
    """Add Gaussian noise, drawn by numpy so that it is equal on every device."""
    noise = rng.standard_normal(image.numel(), dtype=np.float32)
    image.add_(torch.from_numpy(noise).to(image.device).view(image.shape), alpha=sd)


def blur(image: Image, sd: float) -> None:
    """Blur with a Gaussian of `sd` pixels, truncated at three `sd`, reflected at the border."""
    reach = min(math.ceil(3.0 * sd), image.shape[1] - 1, image.shape[2] - 1)
    if reach < 1:
        return
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sd) ** 2)
    weights = (weights / weights.sum()).to(image.device)
    padded = functional.pad(image[:, None], (reach, reach, reach, reach), mode="reflect")
    across = functional.conv2d(padded, weights.view(1, 1, 1, -1))
    image.copy_(functional.conv2d(across, weights.view(1, 1, -1, 1))[:, 0])


def brighten(image: Image, offsets: Float64[np.ndarray, " channels"]) -> None:
    """Add an offset to each channel."""
    image.add_(_column(offsets, image))


def stretch(image: Image, factors: Float64[np.ndarray, " channels"]) -> None:
    """Change the contrast: multiply the difference from the channel mean."""
    mean = image.mean((1, 2), keepdim=True)
    image.sub_(mean).mul_(_column(factors, image)).add_(mean)


def bend(image: Image, gamma: float, *, inverted: bool) -> None:
    """Gamma correction of intensities scaled to 0...1 per channel; mean and standard deviation are kept.

    `inverted` changes bright instead of dark values. Constant channels are unchanged.
    """
    values = image.neg() if inverted else image.clone()
    std, mean = torch.std_mean(values, (1, 2), correction=0, keepdim=True)
    low, high = values.amin((1, 2), keepdim=True), values.amax((1, 2), keepdim=True)
    span = (high - low).clamp_(min=1e-7)
    values.sub_(low).div_(span).pow_(gamma)
    new_std, new_mean = torch.std_mean(values, (1, 2), correction=0, keepdim=True)
    values.sub_(new_mean).mul_(std / new_std.clamp(min=1e-7)).add_(mean)
    image.copy_(values.neg_() if inverted else values)


def _column(values: Float64[np.ndarray, " channels"], image: Tensor) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(image.device).view(-1, 1, 1)
