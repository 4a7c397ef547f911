"""Intensity normalisation: the scale of an image, computed once, applied window by window, and its inverse."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, Float64, Num

from pixelwise.errors import BadOption

# Rows are processed in blocks of about this many pixels, so that large images are not copied as floats.
BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """Normalisation of intensities, stored in the model file.

    Attributes
    ----------
    kind : {"image", "dataset", "none"}
        image: mean 0 and standard deviation 1 per image and channel (nnU-Net's `zscore`, its default except for
        CT). dataset: `mean` and `std` of all training images, for images with meaningful absolute intensities, or
        those of the pretrained encoder. none: unchanged pixel values.
    mean, std : tuple of float
        One per channel; for "dataset" only.
    clip : tuple of (low, high)
        For "dataset" only: each channel is limited to these values first, as in nnU-Net for CT. Empty: not limited.
    """

    kind: Literal["image", "dataset", "none"] = "image"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    clip: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        given = bool(self.mean or self.std)
        if self.kind == "dataset":
            if not self.mean or len(self.mean) != len(self.std):
                raise BadOption(
                    "normalisation.mean and normalisation.std with one number per channel for kind `dataset`",
                    f"{len(self.mean)} means and {len(self.std)} standard deviations",
                    "Set both, or use normalisation.kind=image.",
                )
            if not all(np.isfinite(self.mean)) or not all(np.isfinite(s) and s > 0 for s in self.std):
                raise BadOption(
                    "finite normalisation.mean and positive, finite normalisation.std",
                    f"mean {list(self.mean)}, std {list(self.std)}",
                    "Correct them, or use normalisation.kind=image.",
                )
            if self.clip and (len(self.clip) != len(self.mean) or not all(low < high for low, high in self.clip)):
                hint = "Set [[low, high]] with one pair per channel, or [] for no limits."
                raise BadOption("normalisation.clip with a lower and a higher value per channel", f"{self.clip}", hint)
        elif self.clip:
            hint = "Omit it, or use normalisation.kind=dataset."
            raise BadOption(f"no normalisation.clip for kind `{self.kind}`", f"{self.clip}", hint)
        elif given:
            raise BadOption(
                f"no normalisation.mean and normalisation.std for kind `{self.kind}`",
                f"mean {list(self.mean)}, std {list(self.std)}",
                "Omit them, or use normalisation.kind=dataset.",
            )


@dataclass(frozen=True)
class Scale:
    """Affine intensity scale of each channel: scaled = (pixel - shift) * factor.

    The shift is subtracted first and both are float64: `pixel * factor + offset` in float32 would lose the last digits
    of 16-bit images with low contrast on a bright background.

    Attributes
    ----------
    factor, shift : float64 array (channels,)
        `factor` is never zero, so that the inverse exists.
    limits : float64 array (2, channels), optional
        Lowest and highest value of each channel; others are set to them first.
    """

    factor: Float64[np.ndarray, " channels"]
    shift: Float64[np.ndarray, " channels"]
    limits: Float64[np.ndarray, "2 channels"] | None = None

    def apply(self, pixels: Num[np.ndarray, " channels *size"]) -> Float32[np.ndarray, " channels *size"]:
        """Return the normalised `pixels` (of any dtype) as float32; 0 for NaN, which stands for missing data."""
        column = (-1, *(1,) * (pixels.ndim - 1))
        if self.limits is not None:
            low, high = (limit.reshape(column).astype(np.float32) for limit in self.limits)
            pixels = np.clip(pixels.astype(np.float32), low, high)
        # 8 and 16 bit values and float32 are exact in float32; others are not
        exact = np.float32 if pixels.dtype.itemsize <= 2 or pixels.dtype == np.float32 else np.float64
        shift = self.shift.astype(exact)
        scaled = np.subtract(pixels, shift.reshape(column), dtype=exact)
        if pixels.dtype.kind == "f":
            np.nan_to_num(scaled, copy=False, nan=0.0)  # pixels without data become the mean
        np.multiply(scaled, self.factor.astype(exact).reshape(column), out=scaled)
        rest = (shift - self.shift) * self.factor  # rounding error of the shift in float32
        if np.abs(rest).max(initial=0.0) > 1e-7:
            np.add(scaled, rest.astype(exact).reshape(column), out=scaled)
        return scaled.astype(np.float32, copy=False)

    def invert(self, scaled: Float[np.ndarray, " channels *size"]) -> Float64[np.ndarray, " channels *size"]:
        """Return the pixel values of `scaled`; `invert(apply(x))` is x to float32 rounding, within the limits."""
        column = (-1, *(1,) * (scaled.ndim - 1))
        return scaled / self.factor.reshape(column) + self.shift.reshape(column)


def intensity_scale(pixels: Num[np.ndarray, " channels *size"], normalisation: Normalisation) -> Scale:
    """Compute the scale of one image or volume.

    Parameters
    ----------
    pixels : array (channels, *size)
        Any dtype; may be a memory map: rows are read block by block, once.

    Returns
    -------
    Scale
        A channel that is constant to rounding has factor 1 and becomes all zeros.

    Raises
    ------
    BadOption
        For kind `dataset` if the image has another number of channels than the data set.
    """
    channels = pixels.shape[0]
    if normalisation.kind == "none":
        return Scale(np.ones(channels), np.zeros(channels))
    if normalisation.kind == "dataset":
        if len(normalisation.mean) != channels:
            raise BadOption(
                f"an image with {len(normalisation.mean)} channels, as in the training data",
                f"{channels} channels",
                "Use an image like those the model was trained on.",
            )
        factor, shift = 1.0 / np.asarray(normalisation.std, float), np.asarray(normalisation.mean, float)
        return Scale(factor, shift, limits_of(normalisation))
    return scale_of(*mean_and_std(pixels), pixels.dtype)


def limits_of(normalisation: Normalisation) -> Float64[np.ndarray, "2 channels"] | None:
    """Return the lowest and highest value of each channel; None without limits."""
    return np.asarray(normalisation.clip, float).T if normalisation.clip else None


def scale_of(mean: Float64[np.ndarray, " channels"], std: Float64[np.ndarray, " channels"], dtype: np.dtype) -> Scale:
    """Return the scale of an image of `dtype` from its means and standard deviations."""
    rounding = 1e-6 * np.abs(mean) if dtype.kind == "f" else 0.0
    flat = std <= np.maximum(rounding, 1e-30)
    return Scale(1.0 / np.where(flat, 1.0, std), mean)


def mean_and_std(
    pixels: Num[np.ndarray, " channels *size"],
) -> tuple[Float64[np.ndarray, " channels"], Float64[np.ndarray, " channels"]]:
    """Return mean and standard deviation (population) per channel, in one pass over blocks of rows.

    Values are shifted by the mean of the first block, so that the difference of squares is accurate. NaN, which stands
    for missing data, is left out. An image without pixels gives 0 and 0.
    """
    return mean_and_std_of((pixels[:, rows.start : rows.stop] for rows in row_blocks(pixels.shape)), pixels.shape[0])


def mean_and_std_of(
    blocks: Iterable[Num[np.ndarray, " channels *size"]], channels: int
) -> tuple[Float64[np.ndarray, " channels"], Float64[np.ndarray, " channels"]]:
    """Return `mean_and_std` of an image that is passed in blocks."""
    count, origin, total, squares = (np.zeros(channels) for _ in range(4))
    for block in blocks:
        for channel in range(channels):
            values = block[channel].astype(np.float64).ravel()
            if block.dtype.kind == "f":
                values = values[~np.isnan(values)]
            if values.size == 0:
                continue
            if count[channel] == 0:
                origin[channel] = values.mean()
            count[channel] += values.size
            values -= origin[channel]
            total[channel] += values.sum()
            # not `values @ values`: it starts the BLAS threads, which keep spinning afterwards
            squares[channel] += np.square(values, out=values).sum()
    count = np.maximum(count, 1)
    variance = squares / count - (total / count) ** 2
    return origin + total / count, np.sqrt(np.maximum(variance, 0.0))


def percentiles_of(
    values: Num[np.ndarray, "channels values"], percentiles: Sequence[float]
) -> Float64[np.ndarray, "percentiles channels"]:
    """Return percentiles per channel without NaN, which stands for missing data; 0 for a channel without values.

    >>> percentiles_of(np.array([[1.0, np.nan, 3.0], [np.nan] * 3]), (50.0,)).tolist()
    [[2.0, 0.0]]
    """
    known = [row[~np.isnan(row)] if row.dtype.kind == "f" else row for row in values]
    return np.stack([np.percentile(row, percentiles) if row.size else np.zeros(len(percentiles)) for row in known], 1)


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield the rows of an image, or the planes of a volume, in slices of about `BLOCK` pixels; none without pixels."""
    if math.prod(shape[2:]) == 0:
        return
    rows = max(1, BLOCK // math.prod(shape[2:]))
    for start in range(0, shape[1], rows):
        yield slice(start, min(start + rows, shape[1]))
