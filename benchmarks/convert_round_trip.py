"""Convert real data sets into every format, read them again without a flag, and compare images and labels.

    python benchmarks/convert_round_trip.py --data ../shared/data --out runs/convert [--images 4] [--sets isbi2012_em]

A few images of each split are copied first. A row per set and format: equal, equal with other numbers of classes or
objects, different, or why it was not understood. Exit code 1 if a format that can express the labels did not keep them.
"""

import argparse
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixelwise.datasets.dataset import Dataset, load_dataset
from pixelwise.datasets.writers.registry import WRITERS
from pixelwise.errors import PixelwiseError
from pixelwise.progress import Progress
from pixelwise.workflow.convert import convert

SETS = ("isbi2012_em", "dsb2018_nuclei", "camvid11", "magnetic_tile_defects", "chase_db1")
OBJECTS = {"folders", "cellpose", "stardist", "file-per-object", "qupath", "imagej", "coco", "yolo", "labelme", "voc"}
CLASSES = {"folders", "nnunet", "folder-per-class", "qupath", "imagej", "coco", "yolo", "labelme", "voc"}
EQUAL, RENUMBERED = "equal", "equal, other numbers"


@dataclass(frozen=True, kw_only=True)
class Row:
    """What came of one conversion."""

    name: str
    format: str
    result: str
    losses: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether everything was kept."""
        return self.result in (EQUAL, RENUMBERED)


def main() -> None:
    """Print a row per set and format."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=4, help="of each split")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--formats", default=",".join(writer.name for writer in WRITERS))
    chosen = parser.parse_args()
    print("| set | format | read again | losses |")
    print("|---|---|---|---|")
    failed = False
    for name in chosen.sets.split(","):
        subset = copy_subset(chosen.data / name, chosen.out / name / "original", chosen.images)
        task = load_dataset(subset).task
        for format_name in chosen.formats.split(","):
            if format_name not in (OBJECTS if task == "instance" else CLASSES):
                continue
            row = convert_back(name, subset, format_name, chosen.out / name / format_name)
            print(f"| {row.name} | {row.format} | {row.result} | {'; '.join(row.losses)} |", flush=True)
            failed |= not row.good
    sys.exit(failed)


def copy_subset(source: Path, target: Path, count: int) -> Path:
    """Copy some images of each split, evenly spaced, with their masks and the class table."""
    shutil.rmtree(target, ignore_errors=True)
    for split in ("train", "val", "test"):
        images = sorted((source / split / "images").glob("*"))
        for index in np.unique(np.linspace(0, len(images) - 1, count).astype(int)) if images else ():
            masks = (source / split / "masks").glob(f"{images[index].stem}.*")
            for path in (images[index], *masks):
                (target / path.relative_to(source).parent).mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target / path.relative_to(source))
    for table in ("classes.txt", "dataset.json"):
        if (source / table).is_file():
            shutil.copy(source / table, target / table)
    return target


def convert_back(name: str, source: Path, format_name: str, out: Path) -> Row:
    """Convert a data set, read it again, and compare."""
    shutil.rmtree(out, ignore_errors=True)
    original = load_dataset(source)
    losses: tuple[str, ...] = ()
    try:
        losses = convert(source, to=format_name, out=out, progress=Progress()).losses
        result = compare(original, load_dataset(out))
    except PixelwiseError as error:
        result = f"not understood: {' '.join(str(error).split())[:200]}"
    return Row(name=name, format=format_name, result=result, losses=losses)


def compare(original: Dataset, again: Dataset) -> str:
    """Return whether each case has the same image and labels; classes may have other numbers, and so may objects."""
    if again.task != original.task:
        return f"different: task {again.task}"
    cases = {key_of(case.name, case.split): case for case in again.cases}
    numbers = True
    for case in original.cases:
        other = cases.get(key_of(case.name, case.split)) or cases.get(key_of(case.name, case.split, prefixed=True))
        if other is None:
            return f"different: no {case.name} among {', '.join(list(cases)[:3])}"
        first, second = original.read(case), again.read(other)
        if not np.array_equal(first.image, second.image):
            return f"different: the image {case.name}"
        labels, labels_again = np.asarray(first.labels), np.asarray(second.labels)
        if not np.array_equal(labels, labels_again):
            numbers = False
            if not equal_up_to_numbers(labels, labels_again):
                return f"different: the labels of {case.name}"
    return EQUAL if numbers else RENUMBERED


def key_of(name: str, split: str, *, prefixed: bool = False) -> str:
    """Return a name as every format keeps it: without the split and folders."""
    key = name.removeprefix(f"{split}/").replace("/", "_")
    return f"{split}_{key}" if prefixed else key


def equal_up_to_numbers(first: np.ndarray, second: np.ndarray) -> bool:
    """Return whether two label images divide the pixels in the same way."""
    if first.shape != second.shape:
        return False
    pairs = len(np.unique(np.stack([first.ravel(), second.ravel()]), axis=1).T)
    return pairs == len(np.unique(first)) == len(np.unique(second))


if __name__ == "__main__":
    main()
