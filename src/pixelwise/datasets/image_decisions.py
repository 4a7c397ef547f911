"""Decide over the whole set how images are read: orientation, alpha channel, pixels without data, number of channels.

Each decision is reported with the flag that overrides it.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pixelwise.datasets.options import DataOptions, parse_voxel_size
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.scan import ImageScan
from pixelwise.geometry.grid import Turn, describe_spacing
from pixelwise.io.georeference import Georeference
from pixelwise.io.read import Orientation, ReadOptions
from pixelwise.text import pluralise

_STRONGER = 0.05  # mean logarithm of the ratio of edge agreements from which the orientation is clear
_NOTES = 4  # kinds of warnings that are listed
_AGREE = 0.7  # fraction of the images that must agree


class OrientedScans(NamedTuple):
    """The scans with the chosen orientation, and how it was chosen."""

    scans: list[ImageScan]
    exif: Orientation
    messages: tuple[str, ...]


def read_options(options: DataOptions) -> ReadOptions:
    """Return how images are read before the orientation is decided."""
    exif: Orientation = "ignore" if options.exif == "ignore" else "apply"
    voxel_size = parse_voxel_size(options.voxel_size)
    return ReadOptions(
        exif=exif, nodata=options.nodata, volumes=options.volumes, stack=options.stack, voxel_size=voxel_size
    )


def choose_orientation(scans: Sequence[ImageScan], options: DataOptions) -> OrientedScans:
    """Apply the EXIF orientation of images unless masks show that they were drawn on the stored pixels.

    By their sizes if these differ; else by the edges of image and mask, which lie on one another only in the right
    orientation.
    """
    turned = [scan for scan in scans if scan.stored is not None]
    if not turned:
        return OrientedScans(list(scans), read_options(options).exif, ())
    images = pluralise(len(turned), "image or its mask has", "images or their masks have") + " an EXIF orientation"
    votes = [
        vote for scan in turned if scan.stored is not None for vote in [_vote(scan, scan.stored)] if vote is not None
    ]
    mean = float(np.mean(votes)) if votes else 0.0
    agreed = bool(votes) and np.mean(np.sign(votes) == np.sign(mean)) >= _AGREE
    if agreed and mean > _STRONGER:
        text = f"{images}, but the masks fit the stored pixels: it is ignored, also in prediction (--exif)."
        return OrientedScans([scan.stored or scan for scan in scans], "ignore", (text,))
    if agreed and mean < -_STRONGER:
        return OrientedScans(list(scans), "apply", (f"{images}, which is applied, as the masks show (--exif).",))
    text = f"{images}, which is applied; the masks do not show whether they were drawn so (--exif)."
    return OrientedScans(list(scans), "apply", (text,))


def agree_on_channels(
    files: Sequence[str],
    scans: Sequence[ImageScan],
    problems: list[Problem],
    messages: list[str],
    options: DataOptions | None = None,
) -> int:
    """Return the common number of channels; report images that cannot be converted."""
    keeps_alpha = _keeps_alpha(scans, messages, options or DataOptions())
    channels = [scan.channels + (keeps_alpha and bool(scan.alpha)) for scan in scans]
    counts = Counter(count for count in channels if count)
    depths = Counter(scan.dtype for scan in scans if scan.dtype)
    if len(depths) > 1:
        shown = ", ".join(f"{count} {kind}" for kind, count in depths.most_common())
        problems.append(Problem(file="images", kind="mixed depths", text=shown, fatal=False))
    if not counts:
        return 1
    usual = 3 if set(counts) == {1, 3} else counts.most_common(1)[0][0]
    if set(counts) == {1, 3}:
        messages.append(f"{counts[1]} gray and {counts[3]} colour images: gray ones are repeated to 3 channels.")
        return usual
    for name, count in zip(files, channels, strict=True):
        if count not in (0, usual):
            text = f"{pluralise(count, 'channel')}, but most images have {usual}"
            problems.append(Problem(file=name, kind="mixed channels", text=text))
    return usual


def agree_on_dimensions(
    files: Sequence[str], scans: Sequence[ImageScan], problems: list[Problem], messages: list[str]
) -> int:
    """Return 3 if the images are volumes, else 2; report images of the other kind, and how volumes lie in space."""
    kinds = Counter(len(scan.size) for scan in scans if scan.size)
    usual = kinds.most_common(1)[0][0] if kinds else 2
    for name, scan in zip(files, scans, strict=True):
        if scan.size and len(scan.size) != usual:
            one, most = ("a volume", "planes") if usual == 2 else ("a plane", "volumes")
            problems.append(Problem(file=name, kind="mixed dimensions", text=f"{one}, but most images are {most}"))
    if usual == 3:
        messages.append(_describe_volumes([scan for scan in scans if scan.size and len(scan.size) == 3]))
    return usual


def _describe_volumes(scans: Sequence[ImageScan]) -> str:
    """Return a message on sizes, spacing and orientation of volumes."""
    sizes = np.median([scan.size or () for scan in scans], axis=0).astype(int)
    text = f"{pluralise(len(scans), 'volume')} of about {' x '.join(map(str, sizes))} voxels (depth x height x width)"
    grids = [scan.grid for scan in scans if scan.grid is not None and scan.grid.unit is not None]
    units = Counter(grid.unit for grid in grids)
    if len(grids) < len(scans):
        without = "none of them states" if not grids else f"{len(scans) - len(grids)} of them do not state"
        meant = "equally long along all axes" if not grids else "one unit"
        return (
            f"{text}; {without} the size of a voxel: it is taken as {meant}. If slices are farther apart than pixels, "
            "use --voxel-size DEPTH,HEIGHT,WIDTH in millimetres."
        )
    if len(units) != 1:
        return f"{text}; the files state the size of a voxel in different units."
    low, high = (reduce([grid.spacing for grid in grids], axis=0).tolist() for reduce in (np.min, np.max))
    spacing = describe_spacing(np.median([grid.spacing for grid in grids], axis=0).tolist())
    spread = "" if np.allclose(low, high, rtol=0.01) else f" (from {describe_spacing(low)} to {describe_spacing(high)})"
    text += f", spacing {spacing} {next(iter(units))}{spread}"
    codes = Counter(scan.orientation for scan in scans if scan.orientation)
    if codes and set(codes) != {"RAS"}:
        shown = ", ".join(f"{count} {code}" for code, count in codes.most_common(4))
        return f"{text}; stored as {shown}, and turned to RAS (written back as stored)."
    return f"{text}{', orientation RAS' if codes else ''}."


def describe_images(scans: Sequence[ImageScan]) -> list[str]:
    """Return messages about pixels without data, stacks that are bands, and warnings of single images."""
    messages: list[str] = []
    missing = [scan.missing for scan in scans if scan.missing]
    if missing:
        images = pluralise(len(missing), "image has", "images have")
        share = 100 * sum(missing) / len(scans)
        messages.append(
            f"{images} pixels without data (nodata), {share:.2g} % of all: they are left out of statistics, loss and "
            "scores (--nodata)."
        )
    undeclared = [scan.undeclared for scan in scans if scan.undeclared is not None]
    if undeclared:
        value = max(set(undeclared), key=undeclared.count)
        images = pluralise(len(undeclared), "image contains", "images contain")
        messages.append(
            f"{images} {value:g}, far below all other values: if it means no data, use --nodata={value:.9g}."
        )
    if count := sum(isinstance(scan.place, Georeference) for scan in scans):
        masks = pluralise(count, "mask does", "masks do")
        uncovered = sum(scan.uncovered for scan in scans) / len(scans)
        rest = f"; {100 * uncovered:.2g} % of all pixels have no mask, and are ignored" if uncovered else ""
        messages.append(f"{masks} not lie on the grid of the image: moved onto it, by nearest neighbours{rest}.")
    if count := sum(isinstance(scan.place, Turn) for scan in scans):
        texts = pluralise(count, "volume or its mask does", "volumes or their masks do")
        messages.append(f"{texts} not state the directions of axes: both are taken to be stored alike.")
    if count := sum(scan.resized and scan.place is None for scan in scans):
        masks = pluralise(count, "mask was", "masks were")
        messages.append(f"{masks} resized to the size of its image, by nearest neighbours (--resize-masks).")
    if count := sum(scan.bands_last for scan in scans):
        stacks = pluralise(count, "stack of pages is", "stacks of pages are")
        messages.append(f"{stacks} read as (height, width, bands), which fits the masks (--pages reads pages).")
    noted = Counter(note for scan in scans for note in dict.fromkeys(scan.notes))
    for note, count in noted.most_common(_NOTES):
        messages.append(f"{pluralise(count, 'image was', 'images were')} read with a warning: {note}")
    if len(noted) > _NOTES:
        messages.append(f"{pluralise(len(noted) - _NOTES, 'more warning')} of other kinds.")
    return messages


def _vote(upright: ImageScan, stored: ImageScan) -> float | None:
    """Return how much better the stored pixels fit the mask, as a logarithm; None if neither fits."""
    fits = [not any(issue.kind == "size mismatch" for issue in scan.issues) for scan in (upright, stored)]
    if fits[0] != fits[1]:
        return 1.0 if fits[1] else -1.0
    if not fits[0] or upright.edges <= 0 or stored.edges <= 0:
        return None
    return float(np.log(stored.edges / upright.edges))


def _keeps_alpha(scans: Sequence[ImageScan], messages: list[str], options: DataOptions) -> bool:
    kinds = Counter(scan.alpha for scan in scans if scan.alpha)
    if not kinds:
        return False
    copies = sum(scan.alpha_is_mask for scan in scans)
    keeps = options.alpha == "keep" or (options.alpha == "auto" and kinds["data"] - copies > kinds["transparency"])
    if copies:
        text = f"The alpha channel of {pluralise(copies, 'image')} is the mask"
        used = "used as a channel, from which a network reads the answer" if keeps else "dropped (--alpha keep uses it)"
        messages.append(f"{text}: {used}.")
        return keeps
    if not keeps and not kinds["data"]:
        return False  # as single images report
    number = max(scan.channels for scan in scans if scan.alpha) + 1
    seen = (
        f"{pluralise(sum(kinds.values()), 'image declares', 'images declare')} channel {number} as alpha (transparency)"
    )
    if keeps and kinds["data"]:
        messages.append(f"{seen}, but it is data: used as one of {number} channels (--alpha).")
    else:
        messages.append(f"{seen}: {'used as a channel' if keeps else 'dropped'} (--alpha).")
    return keeps
