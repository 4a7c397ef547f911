"""What can be wrong with a data set: the kinds of problems, what to do about each, and which of them name files.

Problems of kinds in `STAGES` concern files that can be left out (`--skip-bad`). All others concern the whole set, or
what the user said of it: their hint names the flag, or says what has to be added.
"""

from dataclasses import dataclass

# kind of problem -> (what was expected, the mend). One table, so that every file of a kind is told alike.
KINDS: dict[str, tuple[str, str]] = {
    "no images": (
        "images and masks",
        "Give the folder that holds them, such as DATA with images/ and masks/, or with a folder of images per class.",
    ),
    "one image only": ("at least 2 images with masks", "One trains, one validates: add a second pair."),
    "no training images": (
        "training images",
        "Add train/images and train/masks, or give the images without folders of splits, such as DATA/test as DATA.",
    ),
    "ambiguous folders": ("one folder of images and one of masks", "Name them with --images and --masks."),
    "missing mask": ("a mask for every image", "Add it, or leave such images aside with --allow-missing."),
    "orphan mask": ("an image for every mask", "Add it, or leave such masks aside with --allow-missing."),
    "duplicate name": ("one file per name", "Rename one of them: images and masks are paired by name."),
    "unreadable image": ("an image that can be read", "Save it again as PNG or TIFF, or remove it."),
    "unreadable mask": ("a mask that can be read", "Save it again as PNG or TIFF, or remove it."),
    "float mask": ("whole numbers in a mask", "Save class or object numbers as 8- or 16-bit PNG or TIFF."),
    "size mismatch": ("masks of the size of their images", "Export the mask again at the size of its image."),
    "mixed channels": ("images of one channel count", "Save all with the same channels, or keep one kind."),
    "mixed depths": ("images of one pixel type", "Save all with the same bit depth."),
    "mask is the image": ("a mask with class or object numbers", "Put the drawn mask in place of the picture."),
    "lossy mask": ("the exact values of a mask", "Export the masks as PNG or TIFF: JPEG smears their values."),
    "anti-aliased mask": (
        "the exact values of a mask",
        "Export without smoothing, with nearest-neighbour scaling.",
    ),
    "too many values": (
        "at most 254 classes, or one connected area per object",
        "Check that these files are masks; say what they are with --task.",
    ),
    "unknown values": (
        "only the values of the known classes",
        "Add them to classes.txt or --classes, or leave one out with --ignore-index.",
    ),
    "unknown colours": ("only the colours of classes.txt", "Add a line `index name R,G,B` for each."),
    "colours without classes": (
        "a table of colours",
        "Write classes.txt beside the folders: one line `index name R,G,B` per class. Or take every colour as a class "
        "with --task multiclass.",
    ),
    "mixed mask kinds": (
        "masks of one kind",
        "Save all masks with one number per pixel, or all in the colours of classes.txt.",
    ),
    "names do not fit": (
        "a name for every class",
        "Give as many names with --classes as there are classes, or leave --classes out.",
    ),
    "all background": ("something marked in at least one mask", "Check that the masks were exported."),
    "one class only": ("at least two classes", "Check the masks, --classes and --ignore-index."),
    "class missing in training": ("every class in the training part", "Move an image that shows it to train."),
    "part without foreground": ("marked pixels in every part", "Check that part's masks."),
    "duplicate across parts": (
        "no image in two parts",
        "Remove one, or accept too good scores with --allow-duplicates.",
    ),
    "near duplicate across parts": (
        "different images in the parts",
        "Scores may be too good; keep related images in one part.",
    ),
    "duplicate image": ("different images", "The copies stay together in one split; remove one if unwanted."),
    "conflicting masks": (
        "one mask per image",
        "Remove the wrong one, or choose with --conflicts drop or --conflicts first.",
    ),
    "empty class folder": ("images in every class folder", "Fill the folder, or remove it."),
    "image outside a class": ("every image in the folder of its class", "Move it into the folder of its class."),
    "one class folder only": ("at least two class folders", "Add a folder of images of another class."),
    "class missing in a part": ("every class in every part", "Its scores are unknown there: move some images."),
    "image in two classes": (
        "one class per image",
        "Remove the wrong one, or choose with --conflicts drop or --conflicts first.",
    ),
    "unreadable description": ("a description that can be read", "Mend or remove the file; it was left aside."),
    "group across parts": (
        "each group in one split",
        "Move its images into one split, or leave --group-by out.",
    ),
    "groups too large": (
        "at least two groups of images, to train and to validate",
        "Leave --group-by out, or give the splits as folders train/ and val/.",
    ),
}

# Kinds whose files can be left out, in the order in which that is done: the values of masks are read without files that
# cannot be used anyway, and splits are compared last.
STAGES: tuple[frozenset[str], ...] = (
    frozenset((
        "missing mask", "orphan mask", "duplicate name", "unreadable image", "unreadable mask", "float mask",
        "size mismatch", "mixed channels", "mask is the image", "empty class folder", "image outside a class",
    )),
    frozenset((
        "lossy mask", "anti-aliased mask", "too many values", "unknown values", "unknown colours",
        "mixed mask kinds",
    )),
    frozenset(("conflicting masks", "image in two classes")),
    frozenset(("duplicate across parts", "group across parts")),
    frozenset(("class missing in training",)),
)  # fmt: skip
CONFLICTS = STAGES[2]  # left out by --conflicts, not by --skip-bad
_NO_FILE = ("", ".")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something in a data set that is not as it should be.

    Attributes
    ----------
    file : str
        The file that is shown, relative to the data folder; or a case, a split or a folder; "" or "." for the whole.
    kind : str
        A key of `KINDS`.
    text : str
        What came.
    fatal : bool
        Training does not begin with it.
    files : tuple of str
        Files to leave out to be rid of it, relative to the data folder; empty where that is `file` alone.
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
        """What should have been there."""
        return KINDS[self.kind][0]

    @property
    def hint(self) -> str:
        """What to do about it."""
        return KINDS[self.kind][1]

    @property
    def concerned(self) -> tuple[str, ...]:
        """Files to leave out to be rid of it; empty when it concerns the whole set."""
        return self.files or (() if self.file in _NO_FILE else (self.file,))

    @property
    def skippable(self) -> bool:
        """Whether `--skip-bad` gets rid of it."""
        return self.fatal and bool(self.concerned) and any(self.kind in stage for stage in STAGES)
