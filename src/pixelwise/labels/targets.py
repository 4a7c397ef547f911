"""Training targets: encode masks and label images as class maps; `instances` decodes predictions.

| kind | target classes | decoding |
|---|---|---|
| classes | the classes of the mask | the most probable class; of two, regions split by watershed lines |
| components | background, object | connected components |
| boundary | background, interior, boundary | watershed from seeds in the interiors |
| distance | as boundary, and the distance to the object's edge | watershed from seeds deep inside |

The distance is the last channel, a number between 0 and 1 for each pixel (`edge_distance`). Softmax applies to the
first `class_channels` channels, the logistic function to the rest; `probabilities_of` applies both.

Kind "classes" with `regions`, sets of classes that overlap or contain one another, has a channel with a logistic
function per region (nnU-Net, region-based training). The target stays the class map: `labels.regions`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float16, Float32, Int32, Integer, UInt8
from scipy import ndimage
from scipy.special import expit
from skimage.segmentation import find_boundaries

from pixelwise.errors import BadOption
from pixelwise.labels.label_image import components, depth, renumber
from pixelwise.labels.temperature_scaling import UNSCALED, Temperatures, scaled_softmax

IGNORE = 255  # ignore index of every class map inside pixelwise
IGNORE_OBJECT = -1  # the same in label images
MAX_SPLIT_DEPTH = 128  # largest `split_depth` in pixels: half the halo of streamed images


@dataclass(frozen=True, kw_only=True)
class TargetOptions:
    """Options of targets and post-processing.

    `boundary_width` is the width, in pixels, of the boundary inside each object. Seeds are connected components whose
    interior probability (kind "distance": whose distance) is above `seed_threshold`; objects end where background is
    more probable than 1 - `foreground_threshold`; objects below `min_area` pixels are removed. `separate` is the width,
    in pixels, of the background inserted between touching objects, for kind "components" only: the others separate
    objects by a boundary class. Kind "classes" uses `foreground_threshold` for masks of two classes: class 1 is where
    its probability is larger.

    `split_threshold` and `split_depth` are for kind "classes" and masks of two classes: regions of class 1 joined by a
    bridge are split by a watershed. Its markers are the pixels more than `split_depth` pixels inside the region where
    the probability is above `split_threshold`; the line between two of them, one pixel wide, becomes background.
    Regions with no or one marker are unchanged. 0 pixels disables splitting.

    `class_areas` is for kind "classes" with a background class 0: the minimum area of each class in pixels; smaller
    connected regions become class 0. Empty disables small-region removal.

    `regions` is for kind "classes" with a background class 0: the classes of each region, in the order in which they
    are written. `region_names` are their names, `region_classes` the class that is written where the probability of a
    region is above its entry in `region_thresholds`.
    """

    kind: Literal["classes", "components", "boundary", "distance"] = "classes"
    boundary_width: int = 1
    seed_threshold: float = 0.5
    foreground_threshold: float = 0.5
    min_area: int = 0
    separate: int = 0
    class_areas: tuple[int, ...] = ()
    split_threshold: float = 0.95
    split_depth: int = 0
    regions: tuple[tuple[int, ...], ...] = ()
    region_names: tuple[str, ...] = ()
    region_classes: tuple[int, ...] = ()
    region_thresholds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Validate thresholds, widths and regions."""
        self._check_regions()
        for name in ("seed_threshold", "foreground_threshold", "split_threshold"):
            if not 0 < getattr(self, name) < 1:
                raise BadOption(f"target.{name} between 0 and 1", f"{getattr(self, name)}", "Try 0.5.")
        if self.boundary_width < 1 or self.min_area < 0:
            got = f"boundary_width {self.boundary_width}, min_area {self.min_area}"
            raise BadOption("target.boundary_width of 1 or more, min_area of 0 or more", got, "Change them.")
        if self.separate < 0:
            raise BadOption("target.separate of 0 or more", f"{self.separate}", "Try 1, or 0 for no gap.")
        if not 0 <= self.split_depth <= MAX_SPLIT_DEPTH or (self.split_depth and self.kind != "classes"):
            got = f"{self.split_depth} for kind {self.kind}"
            expected = f'target.split_depth of 0 to {MAX_SPLIT_DEPTH}, and 0 but for kind "classes"'
            raise BadOption(expected, got, "Try 7, or 0 to disable splitting.")
        areas = self.class_areas
        if any(areas) and (self.kind != "classes" or areas[0] or min(areas) < 0):
            got = f"{list(areas)} for kind {self.kind}"
            hint = "Set 0 for the background and a minimum area in pixels for every other class, or omit it."
            raise BadOption('target.class_areas for kind "classes", 0 first, then 0 or more', got, hint)

    def _check_regions(self) -> None:
        each = (self.region_names, self.region_classes, self.region_thresholds if self.regions else ())
        lengths = [len(self.regions), *map(len, each)]  # thresholds may be set before the regions are known
        if len(set(lengths)) > 1:
            expected = "as many target.region_names, region_classes and region_thresholds as target.regions"
            raise BadOption(expected, ", ".join(map(str, lengths)), "Give one of each per region, in their order.")
        if not self.regions:
            return
        members = [index for region in self.regions for index in region]
        hint = "Omit them: they are those of the data set (--regions)."
        if self.kind != "classes" or not all(self.regions) or min(members, default=0) < 1 or max(members) >= IGNORE:
            got = f"{[list(region) for region in self.regions]} for kind {self.kind}"
            raise BadOption('target.regions of class numbers from 1, for kind "classes"', got, hint)
        if len(set(self.region_classes)) < len(self.regions) or not set(self.region_classes) <= set(members):
            raise BadOption("another class of target.regions for each region", f"{list(self.region_classes)}", hint)
        if not all(0 < threshold < 1 for threshold in self.region_thresholds):
            got = f"{list(self.region_thresholds)}"
            raise BadOption("target.region_thresholds between 0 and 1", got, "Try 0.5 for each.")
        if self.split_depth or self.foreground_threshold != 0.5:
            got = f"foreground_threshold {self.foreground_threshold}, split_depth {self.split_depth}"
            raise BadOption("target.foreground_threshold 0.5 and split_depth 0 with regions", got, "Omit them.")


def target_classes(options: TargetOptions, classes: int) -> int:
    """Return the number of target classes for masks of `classes` classes; with regions that of the regions."""
    if options.regions:
        return len(options.regions)
    return {"classes": classes, "components": 2, "boundary": 3, "distance": 3}[options.kind]


def target_channels(options: TargetOptions, classes: int) -> int:
    """Return the number of channels of the logits for masks of `classes` classes: one per class, and the distance.

    Raises
    ------
    BadOption
        More than two classes, with a threshold or splitting that needs two.
    """
    if options.kind == "classes" and classes > 2 and not options.regions and not most_probable_wins(options):
        name, usual = ("split_depth", 0) if splits_regions(options) else ("foreground_threshold", 0.5)
        got = f"{getattr(options, name)} for {classes} classes"
        raise BadOption(f"target.{name} {usual} for masks of more than two classes", got, "Omit it.")
    return target_classes(options, classes) + (options.kind == "distance")


def uses_watershed(options: TargetOptions) -> bool:
    """Return whether objects are found by a seeded watershed."""
    return options.kind in ("boundary", "distance")


def splits_regions(options: TargetOptions) -> bool:
    """Return whether regions of a mask of two classes are split."""
    return options.kind == "classes" and options.split_depth > 0


def most_probable_wins(options: TargetOptions) -> bool:
    """Return whether each pixel gets its most probable class, so that logits can replace probabilities."""
    whole = options.foreground_threshold == 0.5 and not splits_regions(options)
    return options.kind == "classes" and whole and not options.regions


def class_channels(options: TargetOptions, channels: int) -> int:
    """Return how many of the `channels` of the logits share a softmax; they come first, and are none with regions."""
    return 0 if options.regions else channels - (options.kind == "distance")


def probabilities_of(
    logits: Float[np.ndarray, "..."],
    options: TargetOptions,
    temperatures: Temperatures = UNSCALED,
    *,
    channel_axis: int = 0,
) -> Float[np.ndarray, "..."]:
    """Convert logits to probabilities: softmax over the classes, the logistic function over the distance.

    The logits of the classes are divided by the temperatures first. `channel_axis` is 0 for (channels, *size), 1 for a
    batch. With regions the logistic function applies to all channels, without a temperature.
    """
    if options.regions:
        return expit(logits)
    channels = logits.shape[channel_axis]
    classes = class_channels(options, channels)
    first = (slice(None),) * channel_axis + (slice(None, classes),)
    result = scaled_softmax(logits[first], temperatures, channel_axis)
    if classes == channels:
        return result
    rest = (slice(None),) * channel_axis + (slice(classes, None),)
    probabilities = np.empty_like(logits)
    probabilities[first] = result
    probabilities[rest] = expit(logits[rest])
    return probabilities


def encode(labels: Integer[np.ndarray, "*size"], options: TargetOptions) -> UInt8[np.ndarray, "*size"]:
    """Encode a mask (kind "classes"; 255 is ignored) or a label image (others; negative is ignored) as a class map.

    Images are (height, width), volumes (depth, height, width); widths and distances are in pixels along every axis.

    Kind "distance" has `edge_distance` as an additional target.
    """
    if options.kind == "classes":
        return labels.astype(np.uint8)
    target = (labels > 0).astype(np.uint8)
    if options.kind == "components" and options.separate:
        target[(labels > 0) & (separate(labels, options.separate) <= 0)] = 0
    if uses_watershed(options):
        edge = find_boundaries(labels, mode="inner")
        for _ in range(options.boundary_width - 1):
            edge |= find_boundaries(np.where(edge, 0, labels), mode="inner") & (labels > 0)
        target[edge & (labels > 0)] = 2
        _restore_interior(target, labels)
    target[labels < 0] = IGNORE
    return target


def edge_distance(labels: Integer[np.ndarray, "*size"]) -> Float16[np.ndarray, "*size"]:
    """Return the distance target: the distance of a pixel to the border of its object, 1 at the innermost pixels.

    Each object is scaled by its own largest distance, so that a threshold finds seeds in small and large objects; 0
    outside objects. The image border is not an object border, like the border of a training patch.
    """
    numbered = renumber(labels)
    result = np.zeros(labels.shape, np.float16)
    for number, window in enumerate(ndimage.find_objects(numbered), start=1):
        near = _widened(window, 1)  # one more pixel on every side: farther pixels cannot be nearer
        inside = numbered[near] == number
        depths = inside.astype(np.float32) if inside.all() else depth(inside)
        result[near][inside] = depths[inside] / depths.max()
    return result


def separate(labels: Integer[np.ndarray, "*size"], width: int = 1) -> Integer[np.ndarray, "*size"]:
    """Insert background of `width` pixels between touching objects; the rest of `labels` is unchanged.

    Ronneberger et al. 2015, section 3, use such a border (about a pixel wide). The gap is in the object with the higher
    label and is widened to both sides; objects do not touch at corners either. An object that would vanish keeps its
    innermost pixels.
    """
    numbered = renumber(labels)
    count = int(numbered.max(initial=0))
    # the lowest object number around each pixel is the maximum of the reversed numbering
    reversed_ = np.where(numbered > 0, count + 1 - numbered, 0)
    lowest = count + 1 - ndimage.maximum_filter(reversed_, 3)
    seam = (numbered > 0) & (lowest < numbered)
    if width > 1:
        seam = np.asarray(ndimage.binary_dilation(seam, np.ones((width,) * seam.ndim, bool)), bool)
    remaining = ((numbered > 0) & ~seam).astype(np.uint8)
    _restore_interior(remaining, numbered)
    return np.where((numbered > 0) & (remaining == 0), 0, labels)


def target_objects(
    labels: Integer[np.ndarray, "*size"], target: UInt8[np.ndarray, "*size"], options: TargetOptions
) -> Int32[np.ndarray, "*size"]:
    """Return the objects that a target shows, numbered 1...N: what `border_weights` measures distances to.

    Kind "classes": the connected areas of every class but the first. Others: the objects of `labels` as far as they
    are interior, so that a seam or a boundary class between two of them counts as border.
    """
    if options.kind != "classes":
        return renumber(np.where(target == 1, labels, 0))
    result = np.zeros(labels.shape, np.int32)
    for index in np.unique(target).tolist():
        if index not in (0, IGNORE):
            areas = components(target == index)
            result[areas > 0] = areas[areas > 0] + result.max()
    return result


def border_weights(
    labels: Integer[np.ndarray, "*size"], w0: float = 10.0, sigma: float = 5.0
) -> Float32[np.ndarray, "*size"]:
    """Return the border term of the weight map: w0 exp(-(d1 + d2)^2 / (2 sigma^2)) on background, 0 on objects.

    d1 and d2 are the distances to the nearest and second nearest object. Ronneberger et al. 2015, equation 2. With
    fewer than two objects the map is 0.
    """
    numbered = renumber(labels)
    nearest = np.full((2, *labels.shape), np.inf, np.float32)
    reach = int(np.ceil(6 * sigma))  # beyond it the term is below w0 exp(-18)
    for number, window in enumerate(ndimage.find_objects(numbered), start=1):
        near = _widened(window, reach)
        distance = depth(numbered[near] != number)
        first, second = nearest[0][near], nearest[1][near]
        np.minimum(second, np.maximum(first, distance), out=second)
        np.minimum(first, distance, out=first)
    weights = w0 * np.exp(-((nearest[0] + nearest[1]) ** 2) / (2 * sigma**2))
    return np.where(labels > 0, 0, weights).astype(np.float32)


def _widened(window: tuple[slice, ...], pixels: int) -> tuple[slice, ...]:
    """Return a bounding box with some more pixels on every side, within the image."""
    return tuple(slice(max(0, side.start - pixels), side.stop + pixels) for side in window)


def _restore_interior(target: UInt8[np.ndarray, "*size"], labels: Integer[np.ndarray, "*size"]) -> None:
    """Restore the innermost pixels of objects without interior, so that each has a seed; in place."""
    numbered = renumber(labels)
    seeded = np.bincount(numbered[target == 1], minlength=int(numbered.max(initial=0)) + 1) > 0
    for number, window in enumerate(ndimage.find_objects(numbered), start=1):
        if not seeded[number]:
            inside = numbered[window] == number
            depths = depth(np.pad(inside, 1))[(slice(1, -1),) * inside.ndim]
            target[window][inside & (depths == depths.max())] = 1
