"""Problems of a data set: kinds, hints, and the stages of excluding files.

Kinds in `STAGES` concern files that can be left out (`--skip-bad`). All others concern the whole set or the options:
their hint names the flag, or what to add.
"""

from dataclasses import dataclass

# kind of problem -> (expected, hint)
KINDS: dict[str, tuple[str, str]] = {
    "no images": (
        "images and masks",
        "Give the folder that contains images/ and masks/, or one folder of images per class, or list the pairs in "
        "pairs.csv, with the header image,mask.",
    ),
    "one image only": (
        "at least 2 images with masks",
        "Add a second pair: one is for training, one for validation. A large image and its mask can be cut into tiles.",
    ),
    "no training images": (
        "training images",
        "Add train/images and train/masks, or give the folder of one split, such as DATA/test, as DATA.",
    ),
    "ambiguous folders": ("one folder of images and one of masks", "Name them with --images and --masks."),
    "names differ": (
        "images and masks with matching names",
        "Name what differs with --image-prefix, --image-suffix, --mask-prefix or --mask-suffix, or list the pairs in "
        "pairs.csv, with the header image,mask.",
    ),
    "pickled masks": (
        "masks as image files",
        "Save them in Cellpose as PNG or TIFF (File menu, or --save_png): files ending in _cp_masks are read.",
    ),
    "missing mask": (
        "a mask for every image",
        "Add it, or ignore such images with --allow-missing; if nothing is marked in them, use --missing-empty.",
    ),
    "orphan mask": ("an image for every mask", "Add it, or ignore such masks with --allow-missing."),
    "duplicate name": ("one file per name", "Rename one of them: images and masks are paired by name."),
    "unreadable image": ("a readable image", "Save it again as PNG or TIFF, or remove it."),
    "unreadable mask": ("a readable mask", "Save it again as PNG or TIFF, or remove it."),
    "NaN in a mask": (
        "whole numbers in a mask, and NaN only where it is declared",
        "If NaN stands for pixels without data, use --nodata nan; else save their class or object numbers.",
    ),
    "float mask": ("whole numbers in a mask", "Save class or object numbers as 8- or 16-bit PNG or TIFF."),
    "size mismatch": (
        "masks of the size of their images",
        "Export the mask again at the size of its image, or scale it if it shows the same field: --resize-masks.",
    ),
    "geometry mismatch": (
        "masks on the grid of their volumes",
        "Resample the mask onto its volume, or copy the header of the volume.",
    ),
    "mixed dimensions": (
        "images of one kind, planes or volumes",
        "Keep one of them, or name the folders with --images and --masks.",
    ),
    "mixed channels": ("images with the same number of channels", "Save all with the same channels, or keep one kind."),
    "mixed depths": ("images of one bit depth", "Save all with the same bit depth."),
    "mask is the image": ("a mask with class or object numbers", "Replace the image by its mask."),
    "lossy mask": ("the exact values of a mask", "Export the masks as PNG or TIFF: JPEG changes their values."),
    "anti-aliased mask": (
        "the exact values of a mask",
        "Export without anti-aliasing, with nearest-neighbour interpolation.",
    ),
    "too many values": (
        "at most 254 classes, or one connected component per object",
        "Check that these files are masks, and set --task.",
    ),
    "objects or classes": (
        "a clear meaning of the mask values",
        "Set --task instance if each value is an object of its own, or --task multiclass if each is a class.",
    ),
    "negative values": (
        "a background and positive object numbers",
        "Name the value of the background, such as --background=-1; with --background 0 negative values are ignored.",
    ),
    "unknown values": (
        "only the values of the known classes",
        "Add them to classes.txt or --classes, or ignore one with --ignore-index.",
    ),
    "unknown colours": ("only the colours of classes.txt", "Add a line `index name R,G,B` for each."),
    "segments differ": (
        "one number for each segment in all volumes",
        "Export the segments in the same order with the same names, or name the numbers with --classes.",
    ),
    "colours without classes": (
        "a table of colours",
        "Write classes.txt next to the folders, with a line `index name R,G,B` per class, such as `1 cell 255,0,0`. Or "
        "use every colour as a class with --task multiclass, or as an object with --task instance.",
    ),
    "too many colours": (
        "one number per class in the masks, or a table of colours",
        "Save the masks with one class number per pixel, or write classes.txt next to the folders, with a line "
        "`index name R,G,B` per class.",
    ),
    "mixed mask kinds": (
        "masks of one kind",
        "Save all masks with one number per pixel, or all with the colours of classes.txt.",
    ),
    "names do not fit": (
        "a name for every class",
        "Give one name per class with --classes, or omit --classes.",
    ),
    "all background": ("foreground in at least one mask", "Check that the masks were exported."),
    "one class only": ("at least two classes", "Check the masks, --classes and --ignore-index."),
    "class missing in training": ("every class in the training split", "Move an image that shows it to train."),
    "split without foreground": ("foreground in every split", "Check the masks of this split."),
    "duplicate across splits": (
        "no image in two splits",
        "Remove one, or accept optimistic scores with --allow-duplicates.",
    ),
    "near duplicate across splits": (
        "different images in each split",
        "Scores may be too optimistic; keep related images in one split.",
    ),
    "duplicate image": (
        "different images",
        "The copies stay together in one split; --drop-copies leaves out all but the first.",
    ),
    "conflicting masks": (
        "one mask per image",
        "Remove the wrong one, or choose with --conflicts drop or --conflicts first.",
    ),
    "empty class folder": ("images in every class folder", "Fill the folder, or remove it."),
    "image outside a class": ("every image in the folder of its class", "Move it into the folder of its class."),
    "one class folder only": ("at least two class folders", "Add a folder of images of another class."),
    "class missing in a split": ("every class in every split", "Move some images: it has no scores in this split."),
    "image in two classes": (
        "one class per image",
        "Remove the wrong one, or choose with --conflicts drop or --conflicts first.",
    ),
    "unreadable description": ("a readable class table", "Fix or remove the file; it was ignored."),
    "group across splits": ("each group in one split", "Move its images into one split, or omit --group-by."),
    "groups too large": (
        "at least two groups of images, for training and validation",
        "Omit --group-by, or give the splits as folders train/ and val/.",
    ),
}

# Kinds whose files can be left out, in this order: mask values are read without unusable files, splits come last.
STAGES: tuple[frozenset[str], ...] = (
    frozenset((
        "missing mask", "orphan mask", "duplicate name", "unreadable image", "unreadable mask", "NaN in a mask",
        "float mask", "size mismatch", "geometry mismatch", "mixed dimensions", "mixed channels",
        "mask is the image", "empty class folder", "image outside a class",
    )),
    frozenset((
        "lossy mask", "anti-aliased mask", "too many values", "unknown values", "unknown colours",
        "mixed mask kinds",
    )),
    frozenset(("conflicting masks", "image in two classes")),
    frozenset(("duplicate image",)),
    frozenset(("duplicate across splits", "group across splits")),
    frozenset(("class missing in training",)),
)  # fmt: skip
CONFLICTS = STAGES[2]  # left out by --conflicts, not by --skip-bad
COPIES = STAGES[3]  # left out by --drop-copies
_NO_FILE = ("", ".")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A problem of a data set.

    Attributes
    ----------
    file : str
        The file to display, relative to the data folder; or a case, split or folder; "" or "." for the whole set.
    kind : str
        A key of `KINDS`.
    text : str
        What was found.
    fatal : bool
        It prevents training.
    files : tuple of str
        The files to leave out, relative to the data folder; empty if only `file`.
    left_out : bool
        Its files were left out (`--skip-bad`, `--conflicts`).

    Examples
    --------
    >>> problem = Problem(file="masks/a.png", kind="size mismatch", text="image 32 x 40, mask 30 x 40")
    >>> problem.skippable, problem.expected
    (True, 'masks of the size of their images')
    """

    file: str
    kind: str
    text: str
    fatal: bool = True
    files: tuple[str, ...] = ()
    left_out: bool = False

    @property
    def expected(self) -> str:
        """What was expected."""
        return KINDS[self.kind][0]

    @property
    def hint(self) -> str:
        """How to fix it."""
        return KINDS[self.kind][1]

    @property
    def concerned(self) -> tuple[str, ...]:
        """The files to leave out; empty if it concerns the whole set."""
        return self.files or (() if self.file in _NO_FILE else (self.file,))

    @property
    def skippable(self) -> bool:
        """Whether `--skip-bad` leaves its files out."""
        return self.fatal and bool(self.concerned) and any(self.kind in stage for stage in STAGES)
