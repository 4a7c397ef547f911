"""Regions: sets of classes that overlap or contain one another, such as a whole tumour and its core.

A network has one channel with a logistic function per region. Masks are written region by region: a later region covers
the earlier ones. Source: nnU-Net v2, documentation/region_based_training.md.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8
from scipy.special import logit

from pixelwise.labels.targets import TargetOptions, class_channels


def count_classes(options: TargetOptions) -> int:
    """Return the number of classes that regions are made of, with the background.

    Examples
    --------
    >>> from pixelwise.labels.targets import TargetOptions
    >>> names = {"region_names": ("whole", "core"), "region_classes": (1, 2), "region_thresholds": (0.5, 0.5)}
    >>> nested = TargetOptions(regions=((1, 2), (2,)), **names)
    >>> count_classes(nested)
    3
    """
    return 1 + max(index for region in options.regions for index in region)


def membership(regions: Sequence[Sequence[int]], classes: int) -> Bool[np.ndarray, "classes regions"]:
    """Return which classes each region contains.

    Examples
    --------
    >>> membership(((1, 2), (2,)), 3).tolist()
    [[False, False], [True, False], [True, True]]
    """
    table = np.zeros((classes, len(regions)), bool)
    for number, region in enumerate(regions):
        table[list(region), number] = True
    return table


def write_regions(
    values: Float[np.ndarray, " regions *size"], options: TargetOptions, *, logits: bool = False
) -> UInt8[np.ndarray, "*size"]:
    """Return the classes of pixels from the probabilities of regions, or from their logits, written in order.

    Examples
    --------
    >>> from pixelwise.labels.targets import TargetOptions
    >>> names = {"region_names": ("whole", "core"), "region_classes": (1, 2), "region_thresholds": (0.5, 0.5)}
    >>> nested = TargetOptions(regions=((1, 2), (2,)), **names)
    >>> write_regions(np.array([[0.2, 0.9, 0.8], [0.9, 0.1, 0.7]]), nested).tolist()
    [2, 1, 2]
    """
    result = np.zeros(values.shape[1:], np.uint8)
    thresholds = logit(options.region_thresholds) if logits else options.region_thresholds
    for channel, written, threshold in zip(values, options.region_classes, thresholds, strict=True):
        result[channel > threshold] = written
    return result


def class_probabilities(
    probabilities: Float[np.ndarray, " channels *size"], options: TargetOptions
) -> Float[np.ndarray, " classes *size"]:
    """Return the probability of each class, which add up to 1.

    With regions it is that of the class to be written if regions were independent: for the class of region i
    p_i (1 - p_(i+1)) ... (1 - p_n), as later regions cover it. Without regions these are the channels of the softmax.

    Examples
    --------
    >>> from pixelwise.labels.targets import TargetOptions
    >>> names = {"region_names": ("whole", "core"), "region_classes": (1, 2), "region_thresholds": (0.5, 0.5)}
    >>> nested = TargetOptions(regions=((1, 2), (2,)), **names)
    >>> class_probabilities(np.array([[0.5], [0.2]]), nested).ravel().tolist()
    [0.4, 0.4, 0.2]
    """
    if not options.regions:
        return probabilities[: class_channels(options, len(probabilities))]
    result = np.zeros((count_classes(options), *probabilities.shape[1:]), probabilities.dtype)
    free = np.ones(probabilities.shape[1:], probabilities.dtype)
    for channel, written in zip(probabilities[::-1], options.region_classes[::-1], strict=True):
        result[written] = channel * free
        free = free * (1 - channel)
    result[0] = free
    return result


def region_matrices(
    matrix: Integer[np.ndarray, "classes classes"], options: TargetOptions
) -> list[Integer[np.ndarray, "2 2"]]:
    """Return the confusion matrix of each region, (outside, inside), from that of the classes.

    Examples
    --------
    >>> from pixelwise.labels.targets import TargetOptions
    >>> names = {"region_names": ("whole", "core"), "region_classes": (1, 2), "region_thresholds": (0.5, 0.5)}
    >>> nested = TargetOptions(regions=((1, 2), (2,)), **names)
    >>> [table.tolist() for table in region_matrices(np.array([[5, 1, 0], [0, 3, 2], [0, 0, 4]]), nested)]
    [[[5, 1], [0, 9]], [[9, 2], [0, 4]]]
    """
    inside = membership(options.regions, len(matrix)).astype(matrix.dtype)
    both = np.stack([1 - inside, inside])  # outside or inside, class, region
    return list(np.einsum("acr,cd,bdr->rab", both, matrix, both))
