"""Normalisation of pretrained encoder weights, converted to the intensities of the training images.

Mean and std of weights refer to 0...1. This corresponds to 0...255 in 8-bit files, and in all others to the range of
the training images (percentiles 0.5 to 99.5 over all channels), so that 12-bit data in 16-bit files are not dark.
"""

from collections.abc import Sequence
from typing import Any

from pixelwise.model_file.model_file import ModelCard
from pixelwise.networks.first_convolution import adapt_statistics
from pixelwise.networks.weights import Provenance
from pixelwise.sampling.normalise import Normalisation
from pixelwise.workflow.config import Config

Range = tuple[float, float]


def find_scale(
    origin: Provenance, model_card: ModelCard | None, config: Config, fingerprint: Any
) -> tuple[Normalisation | None, str]:
    """Return the normalisation of the pretrained weights for the training images, and a message about it.

    Parameters
    ----------
    model_card : ModelCard or None
        Of the pixelwise model that the weights come from, if any.
    fingerprint : Fingerprint or ClassificationFingerprint
        Of the training images.

    Returns
    -------
    Normalisation or None
        None if unknown.
    message : str
    """
    if model_card is not None and model_card.normalisation.kind != "dataset":
        known = model_card.normalisation
        return known, f"Images are normalised as in pretraining: normalisation.kind={known.kind}."
    mean, std = (origin.mean, origin.std) if model_card is None else _relative(model_card)
    if not mean:
        return None, (
            "The file does not contain the normalisation of its images; the planned one is used. To set it, run "
            "`pixelwise import-weights FILE --mean ... --std ...`, or use normalisation.kind=dataset with mean and std."
        )
    low, high = _full_range(fingerprint.dtype == "uint8", fingerprint.intensity_range)
    width, channels, method = high - low, config.network.in_channels, config.transfer.first_convolution
    data_mean = [(value - low) / width for value in fingerprint.intensity_mean]
    data_std = [value / width or 1.0 for value in fingerprint.intensity_std]
    mean = adapt_statistics(mean, channels, method, data_mean)
    std = adapt_statistics(std, channels, method, data_std)
    scale = Normalisation(
        kind="dataset",
        mean=tuple(_round_digits(low + value * width) for value in mean),
        std=tuple(_round_digits(value * width) for value in std),
    )
    formula = f"{low:g} to {high:g} is scaled to 0 to 1, minus {_text(mean)}, divided by {_text(std)}"
    return scale, f"Images are normalised as in pretraining: {formula}."


def _relative(model_card: ModelCard) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std of a pixelwise model, relative to the range of its training images."""
    ranges = model_card.intensity_range
    low, high = _full_range(all(low >= 0 and 1 < high <= 255 for low, high in ranges), ranges)
    scale = model_card.normalisation
    mean = tuple((value - low) / (high - low) for value in scale.mean)
    return mean, tuple(value / (high - low) for value in scale.std)


def _full_range(eight_bit: bool, ranges: Sequence[Sequence[float]]) -> Range:
    """Return the intensities that correspond to 0 and 1."""
    if eight_bit:
        return 0.0, 255.0
    low, high = float(min(low for low, _ in ranges)), float(max(high for _, high in ranges))
    return (low, high) if high > low else (low, low + 1.0)


def _round_digits(value: float) -> float:
    """Round to six significant digits."""
    return float(f"{value:.6g}")


def _text(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)
