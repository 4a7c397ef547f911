"""What a check of a data set finds: kinds, severity, and how to fix it."""

from dataclasses import dataclass
from typing import Any, Literal

from pixelwise.geometry.grid import Turn
from pixelwise.geometry.symmetries import Symmetry

Severity = Literal["hard", "soft"]
Action = Literal[
    "leave out", "use mask of", "shift", "symmetry", "turn", "resize", "resample", "replace values", "rename"
]  # fmt: skip
_AXES = ("depth", "height", "width")

# kind -> (severity, what it means); a hard fault makes training or scores wrong, a soft one may be intended
KINDS: dict[str, tuple[Severity, str]] = {
    "exchanged mask": ("hard", "The mask belongs to another image, and fits there."),
    "shifted mask": ("hard", "The mask fits its image after it is moved."),
    "flipped mask": ("hard", "The mask fits its image after it is flipped or turned by 180 degrees."),
    "transposed mask": (
        "hard",
        "The mask fits its image after exchanging rows and columns, or after a quarter turn.",
    ),
    "rescaled mask": ("hard", "The mask has the shape of its image, but another size."),
    "inverted mask": ("hard", "Background and foreground are exchanged."),
    "empty mask": ("hard", "The mask is empty, although the image shows what other masks mark."),
    "constant mask": ("hard", "The mask has one value other than the background."),
    "geometry mismatch": ("hard", "Volume and mask lie on different grids."),
    "mask is the image": ("hard", "The mask file contains the image."),
    "copied mask": ("hard", "Several different images have the same mask."),
    "other mask values": ("hard", "The same class has another value than in the other masks."),
    "wrong ending": ("hard", "The content of a file is of another format than its name says."),
    "missing mask": ("hard", "An image has no mask."),
    "orphan mask": ("hard", "A mask has no image."),
    "unreadable file": ("hard", "A file is truncated, damaged, or no image."),
    "unusable file": ("hard", "A file cannot be used for training."),
    "duplicate across splits": ("hard", "An image is in two splits: scores are too optimistic."),
    "group across splits": ("hard", "Images of one group are in two splits: scores are too optimistic."),
    "unfitting mask": ("soft", "The mask does not fit its image, and no change helps."),
    "small mask": ("soft", "The mask is empty, unlike most others."),
    "two masks": ("soft", "An image has two masks that differ."),
    "duplicate image": ("soft", "An image is there twice."),
    "near duplicate across splits": ("soft", "Nearly equal images are in two splits: scores may be too optimistic."),
    "mixed images": ("soft", "Images differ in bit depth or number of channels."),
    "mixed spacing": ("soft", "The voxels of a volume have another size than is usual."),
    "saturated image": ("soft", "Many pixels have the largest value."),
    "blank image": ("soft", "The image shows next to nothing."),
    "out-of-focus image": ("soft", "The image is much less sharp than the others."),
    "class imbalance": ("soft", "A class is very rare."),
    "other": ("soft", "See the text."),
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a fix: an action and its values.

    Attributes
    ----------
    offset : tuple of int
        For "shift": rows and columns to move the mask; of a volume voxels along depth, height and width.
    symmetry : Symmetry or None
        For "symmetry": what to apply to the mask.
    turn : Turn or None
        For "turn": the change of axes of the labels of a volume.
    size : tuple of int
        For "resize" and "resample": height and width, of a volume also depth, by nearest neighbour.
    matrix : 3 rows of 4 floats
        For "resample": from the indices of the volume (depth, height, width, 1) to those of the labels.
    values : tuple of (int, int)
        For "replace values": old and new value.
    other : str
        For "use mask of": the file of the mask, or the image if its labels are no mask file. For "rename": the new
        ending.
    """

    action: Action
    offset: tuple[int, ...] = (0, 0)
    symmetry: Symmetry | None = None
    turn: Turn | None = None
    size: tuple[int, ...] = (0, 0)
    matrix: tuple[tuple[float, ...], ...] = ()
    values: tuple[tuple[int, int], ...] = ()
    other: str = ""

    def __str__(self) -> str:
        """Return the step in words."""
        match self.action:
            case "shift" if len(self.offset) == 3:
                moves = [f"{step} along {axis}" for step, axis in zip(self.offset, _AXES, strict=True) if step]
                return f"move the mask by whole voxels: {', '.join(moves)}"
            case "shift":
                return f"move the mask by {self.offset[0]} rows and {self.offset[1]} columns"
            case "turn":
                return describe_turn(self.turn)
            case "resample":
                return "take the labels at the nearest voxels of the mask"
            case "symmetry":
                return describe_symmetry(self.symmetry)
            case "resize":
                return f"resize the mask to {self.size[0]} x {self.size[1]} (height x width), by nearest neighbour"
            case "replace values":
                return "replace " + ", ".join(f"{old} by {new}" for old, new in self.values)
            case "use mask of":
                return f"use the labels of {self.other}"
            case "rename":
                return f"rename to {self.other}"
            case _:
                return "leave it out"

    def to_json(self) -> dict[str, Any]:
        """Return the action and the values that it uses."""
        result: dict[str, Any] = {"action": self.action}
        if self.action == "shift":
            result["offset"] = list(self.offset)
        if self.symmetry is not None:
            result |= {"quarters": self.symmetry.quarters, "mirrored": self.symmetry.mirrored}
        if self.turn is not None:
            result |= {"order": list(self.turn.order), "flips": list(self.turn.flips)}
        if self.action in ("resize", "resample"):
            result["size"] = list(self.size)
        if self.matrix:
            result["matrix"] = [list(row) for row in self.matrix]
        if self.values:
            result["values"] = [list(pair) for pair in self.values]
        return result | ({"other": self.other} if self.other else {})


LEAVE_OUT = (Step(action="leave out"),)
MIN_CONFIDENCE = 0.5  # of a fix that is made


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A fault, or what may be one.

    Attributes
    ----------
    kind : str
        A key of `KINDS`.
    files : tuple of str
        Relative to the data folder; the file to be changed or left out first. Empty for the whole set.
    text : str
        What was found.
    confidence : float
        0 ... 1.
    steps : tuple of Step
        The fix; empty if there is none.
    case : str
        The name of the case, if it is one.
    level : str
        "hard" or "soft"; by default that of its kind.

    Examples
    --------
    >>> shift = Step(action="shift", offset=(3, -2))
    >>> finding = Finding(kind="shifted mask", files=("masks/a.png",), text="", confidence=0.9, steps=(shift,))
    >>> finding.severity, finding.fix
    ('hard', 'move the mask by 3 rows and -2 columns')
    """

    kind: str
    files: tuple[str, ...]
    text: str
    confidence: float = 1.0
    steps: tuple[Step, ...] = ()
    case: str = ""
    level: Severity | None = None

    @property
    def severity(self) -> Severity:
        """Whether it makes training or scores wrong ("hard"), or may be intended ("soft")."""
        return self.level or KINDS[self.kind][0]

    @property
    def fix(self) -> str:
        """The fix in words; empty if there is none."""
        return ", then ".join(map(str, self.steps))

    @property
    def fixable(self) -> bool:
        """Whether `--fix` changes something: hard, with a fix and enough confidence."""
        return self.severity == "hard" and bool(self.steps) and self.confidence >= MIN_CONFIDENCE

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready object."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "confidence": round(self.confidence, 3),
            "files": list(self.files),
            "case": self.case,
            "text": self.text,
            "fix": [step.to_json() for step in self.steps] if self.steps else None,
        }


def describe_symmetry(symmetry: Symmetry | None) -> str:
    """Return a symmetry in words."""
    if symmetry is None:
        return "keep the mask as it is"
    words = {
        (0, True): "flip the mask left to right",
        (2, True): "flip the mask upside down",
        (2, False): "turn the mask by 180 degrees",
        (1, False): "turn the mask by 90 degrees counter-clockwise",
        (3, False): "turn the mask by 90 degrees clockwise",
        (3, True): "exchange rows and columns of the mask",
        (1, True): "exchange rows and columns of the mask, along the other diagonal",
    }
    return words.get((symmetry.quarters, symmetry.mirrored), "keep the mask as it is")


def describe_turn(turn: Turn | None) -> str:
    """Return a change of the axes of a mask in words.

    Examples
    --------
    >>> describe_turn(Turn((2, 1, 0), (False, True, False)))
    'exchange depth and width of the mask, flip it along height'
    """
    if turn is None:
        return "keep the mask as it is"
    moved = [axis for axis, old in enumerate(turn.order) if axis != old]
    words: list[str] = []
    if len(moved) == 2:
        words.append(f"exchange {_AXES[moved[0]]} and {_AXES[moved[1]]} of the mask")
    elif moved:
        words.append(f"put the axes of the mask in the order {', '.join(_AXES[old] for old in turn.order)}")
    flipped = [name for name, flip in zip(_AXES, turn.flips, strict=True) if flip]
    if flipped:
        words.append(f"flip {'it' if words else 'the mask'} along {' and '.join(flipped)}")
    return ", ".join(words) or "put the mask on the grid of its volume, voxel by voxel"
