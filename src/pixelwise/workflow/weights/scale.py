"""The scale of images that encoder weights know, in values of our files.

Means and deviations of weights count in 0...1. That stands for 0...255 in 8-bit files, and in all others for the range
of the training images (percentiles 0.5 to 99.5 over all channels): a 12-bit camera in 16-bit files must not come out
black.
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
    """Return the normalisation that weights were learned with, for our images, and a sentence on it.

    Parameters
    ----------
    origin : Origin
    model_card : ModelCard or None
        Of the model of ours that the weights come from, if they do.
    config : Config
    fingerprint : Fingerprint or PhotoFingerprint
        Of the training images.

    Returns
    -------
    Normalisation or None
        None where nobody knows it.
    sentence : str
    """
    if model_card is not None and model_card.normalisation.kind != "dataset":
        known = model_card.normalisation
        return known, f"Images are normalised as the encoder knows them: normalisation.kind={known.kind}."
    mean, std = (origin.mean, origin.std) if model_card is None else _relative(model_card)
    if not mean:
        return None, (
            "The file does not say how its images were normalised; the plan's own way stays. If you know better: "
            "`pixelwise import-weights FILE --mean ... --std ...`, or normalisation.kind=dataset with mean and std."
        )
    low, high = _full_range(fingerprint.dtype == "uint8", fingerprint.intensity_range)
    width, channels, how = high - low, config.network.in_channels, config.transfer.first_convolution
    own_mean = [(value - low) / width for value in fingerprint.intensity_mean]
    own_std = [value / width or 1.0 for value in fingerprint.intensity_std]
    mean, std = adapt_statistics(mean, channels, how, own_mean), adapt_statistics(std, channels, how, own_std)
    scale = Normalisation(
        kind="dataset",
        mean=tuple(_digits(low + value * width) for value in mean),
        std=tuple(_digits(value * width) for value in std),
    )
    counted = f"{low:g} to {high:g} counts as 0 to 1, less {_text(mean)}, divided by {_text(std)}"
    return scale, f"Images are normalised as the encoder knows them: {counted}."


def _relative(model_card: ModelCard) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of a model of ours in 0...1 of its own images' range."""
    ranges = model_card.intensity_range
    low, high = _full_range(all(low >= 0 and 1 < high <= 255 for low, high in ranges), ranges)
    scale = model_card.normalisation
    mean = tuple((value - low) / (high - low) for value in scale.mean)
    return mean, tuple(value / (high - low) for value in scale.std)


def _full_range(eight_bit: bool, ranges: Sequence[Sequence[float]]) -> Range:
    """Return what counts as 0 and as 1."""
    if eight_bit:
        return 0.0, 255.0
    low, high = float(min(low for low, _ in ranges)), float(max(high for _, high in ranges))
    return (low, high) if high > low else (low, low + 1.0)


def _digits(value: float) -> float:
    """Keep six digits, wherever the point is."""
    return float(f"{value:.6g}")


def _text(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)
