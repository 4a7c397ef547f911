"""Options of a data set; a module of its own so that the command line can import it cheaply."""

import re
from dataclasses import dataclass
from math import inf, isinf
from typing import Literal

from pixelwise.errors import BadOption

NO_GROUPS = "none"  # value of `group_by`
AUTO_FORMAT = "auto"
PLAIN_FOLDERS = "folders"


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Options of a data set; what is not given is detected from its files.

    The descriptions are also the help of the options on the command line.

    Attributes
    ----------
    images : str, optional
        Folder of the images: its name, its path inside the data set or, for files in one folder, their suffix.
    masks : str, optional
        Folder of the masks, or the suffix of their file names, such as ``_mask``.
    image_prefix : str, optional
        Ignored at the beginning of image names when images and masks are paired, such as ``img_``.
    image_suffix : str, optional
        Ignored at the end of image names, before the extension, such as ``_0000``.
    mask_prefix : str, optional
        Ignored at the beginning of mask names, such as ``mask_``.
    mask_suffix : str, optional
        Ignored at the end of mask names, before the extension, such as ``_map``.
    task : str
        "binary", "multiclass", "instance" or "classification"; "auto" detects it from the folders and the masks.
    classes : tuple of str
        Class names in the order of their mask values, with or without the background.
    regions : tuple of str
        Sets of mask values that overlap or contain one another, each learned by itself, such as
        ``whole=1+2+3,core=2+3,enhancing=3``, in the order in which masks are written; the first value of each is
        written.
    ignore_index : int, optional
        Mask value excluded from loss and scores; -1: none.
    foreground : int, optional
        Binary masks: value of the foreground class.
    background : int, optional
        Instances: mask value of the background; 0 unless the masks show another one.
    mask_threshold : float, optional
        Binary masks: higher values are foreground. By default the middle, if masks have values in between.
    mask_values : str
        Where the values of a mask are: "numbers" (palette indices), "colours" (as a viewer shows them), "alpha" (its
        alpha channel); "auto" compares all files.
    exif : str
        Orientation in the EXIF record of images: "apply" or "ignore"; "auto" compares images and masks.
    nodata : str, optional
        Value of pixels without a measurement, left out of statistics, loss and scores: a number, "nan" or "none". By
        default the GDAL_NODATA tag of TIFF files.
    alpha : str
        Alpha channel of images: "drop" it, or "keep" it as a channel; "auto" keeps it if it is not transparency.
    group_by : str, optional
        Regular expression with one group, searched in file names, else in paths: equal matches stay in the same split.
        "none" switches the detection of groups off.
    val_share : float
        Fraction of the training images used for validation if no validation split is given.
    resize_masks : bool
        Masks that show the field of their image at another scale are resized to it, by nearest neighbours.
    allow_missing : bool
        Ignore images without a mask, and masks without an image.
    missing_empty : bool
        Nothing is marked in images without a mask: their mask is empty.
    allow_duplicates : bool
        Accept equal images in two splits.
    skip_bad : bool
        Leave out files with problems, and report them.
    conflicts : str
        Copies of an image with different masks or classes: "keep" keeps all in one split, "drop" leaves out all,
        "first" keeps the first by name.
    drop_copies : bool
        Leave out all but the first of images that are equal, or one image that was encoded again.
    pages : int, optional
        Number of pages of a TIFF stack that are the channels of one image.
    volumes : bool
        The pages of a TIFF stack are the slices of a volume; by default if its metadata name an axis Z.
    stack : bool
        Images whose names differ in their last number are the slices of one volume, such as ``case1_z001.png``.
    voxel_size : str, optional
        Size of a voxel in millimetres along depth, height and width, such as ``3,1,1``, of volumes whose files do not
        state it; of slices also as "spacing" in dataset.json.
    format : str
        Format of the data set, such as "nnunet"; "auto" recognises it, "folders" is a plain folder of images and masks.
    """

    images: str | None = None
    masks: str | None = None
    image_prefix: str | None = None
    image_suffix: str | None = None
    mask_prefix: str | None = None
    mask_suffix: str | None = None
    task: Literal["auto", "binary", "multiclass", "instance", "classification"] = "auto"
    classes: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    ignore_index: int | None = None
    foreground: int | None = None
    background: int | None = None
    mask_threshold: float | None = None
    mask_values: Literal["auto", "numbers", "colours", "alpha"] = "auto"
    exif: Literal["auto", "apply", "ignore"] = "auto"
    nodata: str | None = None
    alpha: Literal["auto", "drop", "keep"] = "auto"
    group_by: str | None = None
    val_share: float = 0.2
    resize_masks: bool = False
    allow_missing: bool = False
    missing_empty: bool = False
    allow_duplicates: bool = False
    skip_bad: bool = False
    conflicts: Literal["keep", "drop", "first"] = "keep"
    drop_copies: bool = False
    pages: int | None = None
    volumes: bool = False
    stack: bool = False
    voxel_size: str | None = None
    format: str = AUTO_FORMAT

    def __post_init__(self) -> None:
        """Check the values and their combinations."""
        if not 0 < self.val_share < 1:
            raise BadOption("val_share between 0 and 1", str(self.val_share), "0.2 is usual.")
        self._check_stacks()
        if self.allow_missing and self.missing_empty:
            raise BadOption("one of --allow-missing and --missing-empty", "both", "Leave out one of them.")
        if len(set(self.classes)) != len(self.classes):
            raise BadOption("different class names", ", ".join(self.classes), "Name each class once.")
        _ = [parse_region(region) for region in self.regions]
        if self.foreground is not None and self.foreground == self.ignore_index:
            raise BadOption("foreground different from ignore_index", str(self.foreground), "Change one of them.")
        if self.foreground is not None and self.task not in ("auto", "binary"):
            raise BadOption("foreground for a binary task", f"task {self.task}", "Leave --foreground out.")
        if self.mask_threshold is not None and (self.task not in ("auto", "binary") or self.foreground is not None):
            got = f"task {self.task}" if self.foreground is None else f"foreground {self.foreground}"
            raise BadOption("mask_threshold alone, for a binary task", got, "Leave --mask-threshold out.")
        if self.nodata not in (None, "none") and not _is_number(self.nodata):
            raise BadOption('a number, "nan" or "none" for nodata', str(self.nodata), "Example: --nodata=-9999.")
        if self.group_by not in (None, NO_GROUPS) and _count_groups(self.group_by or "") != 1:
            raise BadOption(
                "a regular expression with one group for group_by", str(self.group_by), "Example: '^([^_]+)_'; or none."
            )

    def _check_stacks(self) -> None:
        """Check what says how pages and files become volumes."""
        if self.pages is not None and self.pages < 1:
            raise BadOption("pages of at least 1", str(self.pages), "Leave it out to detect it.")
        if self.pages is not None and self.volumes:
            raise BadOption("pages as channels or as slices", "both --pages and --volumes", "Leave out one of them.")
        if self.stack and (self.pages is not None or self.volumes):
            got = "both --stack and --pages or --volumes"
            raise BadOption("one of --stack, --pages and --volumes", got, "Leave out the others.")
        if self.voxel_size is not None:
            try:
                parse_voxel_size(self.voxel_size)
            except ValueError as error:
                hint = "Example: --voxel-size 3,1,1 (depth, height, width)."
                raise BadOption("three positive numbers for --voxel-size", f"`{self.voxel_size}`", hint) from error


def parse_region(text: str) -> tuple[str, tuple[int, ...]]:
    """Return the name and the values of a region.

    Raises
    ------
    BadOption
        It is not written as NAME=VALUE+VALUE.

    Examples
    --------
    >>> parse_region("core = 2+3")
    ('core', (2, 3))
    """
    name, equals, values = text.partition("=")
    parts = [part.strip() for part in values.split("+")]
    if not equals or not name.strip() or not all(part.isdecimal() for part in parts) or len(set(parts)) < len(parts):
        hint = "Example: --regions whole=1+2+3,core=2+3,enhancing=3."
        raise BadOption("regions as NAME=VALUE+VALUE", f"`{text}`", hint)
    return name.strip(), tuple(map(int, parts))


def parse_voxel_size(text: str | None) -> tuple[float, ...]:
    """Return the size of a voxel as numbers; none without a text.

    Raises
    ------
    ValueError
        It is not three positive numbers.

    Examples
    --------
    >>> parse_voxel_size("3,1,0.5"), parse_voxel_size(None)
    ((3.0, 1.0, 0.5), ())
    """
    if text is None:
        return ()
    sides = tuple(float(part) for part in text.split(","))
    if len(sides) != 3 or not all(0 < side < inf for side in sides):
        raise ValueError(text)
    return sides


def _is_number(text: str | None) -> bool:
    try:
        return text is not None and not isinf(float(text))
    except ValueError:
        return False


def _count_groups(expression: str) -> int:
    """Return the number of groups of a regular expression; -1 if it is invalid."""
    try:
        return re.compile(expression).groups
    except re.error:
        return -1
