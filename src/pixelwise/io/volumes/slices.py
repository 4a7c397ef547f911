"""Numbered files that are the slices of one volume: a path such as ``case1_z[001-040].png`` stands for all of them."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pixelwise.errors import BadImage
from pixelwise.geometry.grid import VOLUME_AXES, Grid
from pixelwise.io.images import Image, MaskImage, ReadOptions
from pixelwise.io.sample_values import MISSING

MAX_SLICES = 65_536
_NUMBER = re.compile(r"\d+(?=\D*$)")
_NAME = re.compile(r"^(?P<before>.*)\[(?P<first>\d+)-(?P<last>\d+)\](?P<after>[^\[\]]*)$")


def group_slices(paths: Sequence[Path]) -> list[Path]:
    """Return a path per volume in place of its slices, which have consecutive numbers; other paths stay.

    Examples
    --------
    >>> [path.name for path in group_slices([Path("a9.png"), Path("a10.png"), Path("b.png")])]
    ['a[9-10].png', 'b.png']
    """
    groups: dict[tuple[Path, str, str], list[tuple[int, str, Path]]] = defaultdict(list)
    for path in paths:
        match = _NUMBER.search(path.name.removesuffix(path.suffix))
        before, digits = (path.name, "") if match is None else (path.name[: match.start()], match[0])
        groups[path.parent, before, path.name[len(before) + len(digits) :]].append((int(digits or 0), digits, path))
    grouped: list[Path] = []
    for group in groups.values():
        group.sort()
        files = [path for _, _, path in group]
        stack = slices_path(files, [digits for _, digits, _ in group]) if len(group) > 1 else None
        grouped += files if stack is None else [stack]
    return grouped


def slices_path(files: Sequence[Path], digits: Sequence[str]) -> Path | None:
    """Return the path that stands for consecutive files; None if their names differ in more than the number.

    Parameters
    ----------
    files : sequence of Path
        In order.
    digits : sequence of str
        The number of each file, as it is written in its name; the last place with these digits counts.

    Examples
    --------
    >>> slices_path([Path("a/z1.png"), Path("a/z2.png")], ["1", "2"]).name
    'z[1-2].png'
    """
    before, _, after = files[0].name.rpartition(digits[0])
    path = files[0].with_name(f"{before}[{digits[0]}-{digits[-1]}]{after}")
    return path if list(files) == slice_files(path) else None


def slice_files(path: Path) -> list[Path]:
    """Return the files of the slices that a path stands for, in order; none for any other path.

    Examples
    --------
    >>> [file.name for file in slice_files(Path("z[08-10].png"))], slice_files(Path("z08.png"))
    (['z08.png', 'z09.png', 'z10.png'], [])
    """
    match = _NAME.match(path.name)
    if match is None or path.exists():  # a file of that name is one
        return []
    first, last = int(match["first"]), int(match["last"])
    if last - first >= MAX_SLICES:
        raise BadImage(f"at most {MAX_SLICES} slices", f"{last - first + 1}", "Split the volume.", path)
    width = len(match["first"])
    return [path.with_name(f"{match['before']}{number:0{width}}{match['after']}") for number in range(first, last + 1)]


def stack_images(planes: Sequence[Image], files: Sequence[Path], options: ReadOptions) -> Image:
    """Return the slices in files of their own as a volume.

    Raises
    ------
    BadImage
        Slices of different sizes or numbers of channels.
    """
    for plane, path in zip(planes, files, strict=True):
        if plane.pixels.shape != planes[0].pixels.shape or plane.grid is not None:
            expected, got = (" x ".join(map(str, one.pixels.shape)) for one in (planes[0], plane))
            hint = "Save all slices of a volume at one size."
            raise BadImage(f"slices of {expected} (channels x height x width)", f"{got} in {path.name}", hint, path)
    grid = Grid(axes=VOLUME_AXES, spacing=(1.0, 1.0, 1.0))
    return Image(
        np.stack([plane.pixels for plane in planes], axis=1),
        warnings=tuple(dict.fromkeys(text for plane in planes for text in plane.warnings)),
        alpha=planes[0].alpha,
        missing=sum(plane.missing for plane in planes) / len(planes),
        dtype=planes[0].dtype,
        grid=options.placed(grid),
    )


def stack_masks(masks: Sequence[MaskImage], files: Sequence[Path]) -> MaskImage:
    """Return the label images in files of their own as a label volume.

    Raises
    ------
    BadImage
        Colours, or slices of different sizes.
    """
    for mask, path in zip(masks, files, strict=True):
        if mask.coloured:
            raise BadImage("class or object numbers in slices", "colours", "Save the masks with numbers.", path)
        if mask.values.shape != masks[0].values.shape or mask.grid is not None:
            expected, got = (" x ".join(map(str, one.size)) for one in (masks[0], mask))
            raise BadImage(f"slices of {expected}", got, "Save all slices of a volume at one size.", path)
    values = np.stack([mask.values for mask in masks])
    lossy = any(mask.lossy for mask in masks)
    return MaskImage(
        values,
        None,
        lossy,
        masks[0].warnings,
        grid=Grid(axes=VOLUME_AXES, spacing=(1.0, 1.0, 1.0)),
        nodata=float(MISSING) if any(mask.nodata == MISSING for mask in masks) else None,
        undeclared=max(mask.undeclared for mask in masks),
    )
