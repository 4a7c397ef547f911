"""What a data set looks like, in numbers: the ground on which a training is planned."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """Measurements over the training cases; plain values, so that `asdict` is JSON.

    Attributes
    ----------
    cases, channels, pixels : int
        Training images, channels of each, pixels of all.
    dtype : str
        Of the files, such as "uint8"; several are joined by ", ".
    heights, widths : (int, int, int)
        Smallest, median, largest.
    intensity_mean, intensity_std : tuple of float
        Per channel, in file values; every image counts the same.
    intensity_range : tuple of (float, float)
        Percentiles 0.5 and 99.5 per channel, from an equal share of pixels of every image.
    class_shares : tuple of float
        Per class, over pixels that are not ignored; background and objects for instances.
    class_cases : tuple of int
        Per class, the number of images that hold it.
    empty_share : float
        Share of images without foreground.
    ignored_share : float
        Share of pixels that are ignored.
    objects_per_case : (int, int, int)
        Smallest, median, largest; objects for instances, connected regions of one class otherwise.
    object_diameter : (float, float, float)
        Percentiles 5, 50 and 95 of the diameter of a disk of the same area, in pixels. 0 without objects.
    structure_width : float
        Median width of the foreground across its middle line, in pixels: small for vessels and membranes. 0
        without foreground.
    touching_share : float
        Share of objects with a neighbour at most 2 pixels away; 0 unless the task is instances.
    """

    cases: int
    channels: int
    pixels: int
    dtype: str
    heights: tuple[int, int, int]
    widths: tuple[int, int, int]
    intensity_mean: tuple[float, ...]
    intensity_std: tuple[float, ...]
    intensity_range: tuple[tuple[float, float], ...]
    class_shares: tuple[float, ...]
    class_cases: tuple[int, ...]
    empty_share: float
    ignored_share: float
    objects_per_case: tuple[int, int, int]
    object_diameter: tuple[float, float, float]
    structure_width: float
    touching_share: float
