"""The images of a folder that have no mask yet."""

from dataclasses import replace
from pathlib import Path

from pixelwise.datasets.folder_layout import is_picture, read_layout
from pixelwise.datasets.folder_names import natural
from pixelwise.datasets.records import DataOptions
from pixelwise.errors import printable


def find_unmasked(root: Path, options: DataOptions) -> list[Path]:
    """List the images of a data set that the door leaves aside because they have no mask, in natural order.

    Nothing is decoded. Images of a test part without any mask are not among them: they are there to be predicted.

    Raises
    ------
    BadDataset
        `root` is no folder, or holds no picture.
    """
    layout = read_layout(root, replace(options, allow_missing=False))
    missing = {problem.file for problem in layout.problems if problem.kind == "missing mask"}
    if not missing:
        return []
    found = [path for path in root.rglob("*") if is_picture(path.name) and printable(path.relative_to(root)) in missing]
    return sorted(found, key=lambda path: natural(str(path.relative_to(root))))
