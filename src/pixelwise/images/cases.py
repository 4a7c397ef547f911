"""The door: a folder becomes cases with a labelling, and every guess is told in words.

`understand` is what verbs call; `examine` is the same without the refusal, for showing what is wrong.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Int32

from pixelwise.errors import BadDataset
from pixelwise.images.files import Image
from pixelwise.images.records import Case, DataOptions, Dataset, Labelling, Problem
from pixelwise.progress import Progress

__all__ = [
    "Case",
    "DataOptions",
    "Dataset",
    "Labelling",
    "Problem",
    "examine",
    "find_images",
    "read_labels",
    "read_pixels",
    "understand",
]


def understand(
    root: Path, options: DataOptions | None = None, seed: int = 0, progress: Progress | None = None
) -> Dataset:
    """Turn a folder into a data set that can be trained on, or refuse it with all its problems at once."""
    raise BadDataset("a", "b", "c")


def examine(
    root: Path, options: DataOptions | None = None, seed: int = 0, progress: Progress | None = None
) -> Dataset:
    """Turn a folder into a data set, with its problems listed instead of raised."""
    raise BadDataset("a", "b", "c")


def read_labels(path: Path, labelling: Labelling) -> Int32[np.ndarray, "height width"]:
    """Read a mask as class indices, or as object numbers for instances."""
    raise BadDataset("a", "b", "c")


def read_pixels(path: Path, channels: int, pages: int | None = None) -> Image:
    """Read an image with the wanted number of channels."""
    raise BadDataset("a", "b", "c")


def find_images(path: Path) -> list[Path]:
    """List the images that a path stands for."""
    raise BadDataset("a", "b", "c")
