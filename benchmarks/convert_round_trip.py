"""Convert real data sets into every format, read them again without a flag, and compare what training would see.

    python benchmarks/convert_round_trip.py --data ../shared/data --out runs/convert [--images 4] [--sets isbi2012_em]

A few images of each split are copied first. A row per set and format: whether images and labels are equal bit for bit;
equal but for a loss that `convert` states; equal with other numbers of classes or objects; different; or why the result
was not understood. The last table counts the formats of each set. Exit code 1 if fewer than 10 formats of a set keep
every bit, or if one loses what it does not state.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixelwise.datasets.dataset import Dataset, load_dataset
from pixelwise.datasets.layouts.cityscapes import LABELS, SCORED
from pixelwise.datasets.writers.registry import WRITERS
from pixelwise.errors import PixelwiseError
from pixelwise.io.read import read_mask
from pixelwise.progress import Progress
from pixelwise.workflow.convert import convert

SETS = ("isbi2012_em", "dsb2018_nuclei", "camvid11", "magnetic_tile_defects", "chase_db1")
EVERY = {"folders", "qupath", "imagej", "coco", "yolo", "labelme", "cvat", "label-studio", "npy", "hdf5"}
OBJECTS = EVERY | {"cellpose", "stardist", "file-per-object"}  # VOC needs --task instance: it has classes too
CLASSES = EVERY | {"nnunet", "folder-per-class", "voc", "cityscapes"}
EQUAL, STATED, RENUMBERED = "bit for bit", "but for the stated loss", "with other numbers"
NEEDED = 10  # formats that keep every bit


@dataclass(frozen=True, kw_only=True)
class Row:
    """What came of one conversion."""

    name: str
    format: str
    result: str
    losses: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether everything was kept that the conversion does not name as lost."""
        return self.result in (EQUAL, STATED, RENUMBERED)


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
    failed, counts = False, list[str]()
    for name in chosen.sets.split(","):
        subset = copy_subset(chosen.data / name, chosen.out / name / "original", chosen.images)
        original = load_dataset(subset)
        rows: list[Row] = []
        for format_name in chosen.formats.split(","):
            if format_name not in (OBJECTS if original.task == "instance" else CLASSES):
                continue
            row = convert_back(name, subset, format_name, chosen.out / name / format_name)
            print(f"| {row.name} | {row.format} | {row.result} | {' '.join(row.losses)} |", flush=True)
            rows.append(row)
        kept = {result: sum(row.result == result for row in rows) for result in (EQUAL, STATED, RENUMBERED)}
        counts.append(f"| {name} | {len(original.cases)} | {len(rows)} | {' | '.join(map(str, kept.values()))} |")
        failed |= not all(row.good for row in rows) or kept[EQUAL] < NEEDED
    print(f"\n| set | images | formats | {EQUAL} | {STATED} | {RENUMBERED} |\n|---|---|---|---|---|---|")
    print("\n".join(counts))
    sys.exit(failed)


def copy_subset(source: Path, target: Path, count: int) -> Path:
    """Copy some images of each split, evenly spaced, with their masks and the class table.

    Training images are added until every class occurs: most formats do not list classes without a pixel.
    """
    shutil.rmtree(target, ignore_errors=True)
    for split in ("train", "val", "test"):
        images = sorted((source / split / "images").glob("*"))
        chosen = set(np.linspace(0, len(images) - 1, count).astype(int).tolist()) if images else set[int]()
        if split == "train" and load_dataset(source).task == "multiclass":
            chosen |= first_with_each_value([mask_of(path) for path in images])
        for image in (images[index] for index in sorted(chosen)):
            for path in (image, mask_of(image)):
                (target / path.relative_to(source).parent).mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target / path.relative_to(source))
    for table in ("classes.txt", "dataset.json"):
        if (source / table).is_file():
            shutil.copy(source / table, target / table)
    return target


def mask_of(image: Path) -> Path:
    """Return the mask of an image."""
    return next((image.parents[1] / "masks").glob(f"{image.stem}.*"))


def first_with_each_value(masks: Sequence[Path]) -> set[int]:
    """Return the positions of the masks that are the first with one of their values."""
    seen, positions = set[int](), set[int]()
    for position, path in enumerate(masks):
        new = set(np.unique(read_mask(path).values).tolist()) - seen
        seen |= new
        positions |= {position} if new else set()
    return positions


def convert_back(name: str, source: Path, format_name: str, out: Path) -> Row:
    """Convert a data set, read it again, and compare."""
    shutil.rmtree(out, ignore_errors=True)
    original = load_dataset(source)
    losses: tuple[str, ...] = ()
    names: dict[str, tuple[str, ...]] = {}
    if format_name == "cityscapes":  # which holds its own classes alone
        names = {"classes": tuple(LABELS[number][0] for number in SCORED[: len(original.classes)])}
    try:
        losses = convert(source, to=format_name, out=out, progress=Progress(), **names).losses
        result = compare(original, load_dataset(out), ignored_lost=any("ignored" in loss for loss in losses))
    except PixelwiseError as error:
        result = f"not understood: {' '.join(str(error).split())[:200]}"
    return Row(name=name, format=format_name, result=result, losses=losses)


def compare(original: Dataset, again: Dataset, *, ignored_lost: bool = False) -> str:
    """Return whether each case has the same image and labels; ignored pixels may have become background."""
    if again.task != original.task:
        return f"different: task {again.task}"
    cases = {key_of(case.name, case.split): case for case in again.cases}
    worst = EQUAL
    for case in original.cases:
        other = cases.get(key_of(case.name, case.split)) or cases.get(key_of(case.name, case.split, prefixed=True))
        if other is None:
            return f"different: no {case.name} among {', '.join(list(cases)[:3])}"
        first, second = original.read(case), again.read(other)
        if not np.array_equal(first.image, second.image):
            return f"different: the image {case.name}"
        labels, labels_again = np.asarray(first.labels), np.asarray(second.labels)
        if np.array_equal(labels, labels_again):
            continue
        if ignored_lost and np.array_equal(without_ignored(original, labels, again.classes), labels_again):
            worst = STATED if worst == EQUAL else worst
        elif equal_up_to_numbers(labels, labels_again):
            worst = RENUMBERED
        else:
            return f"different: the labels of {case.name}"
    return worst


def without_ignored(original: Dataset, labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Return labels as other classes number them, with background instead of ignored pixels."""
    table = np.zeros(256, labels.dtype)
    for index, name in enumerate(original.classes):
        table[index] = classes.index(name) if name in classes else 0
    return table[labels] if original.task != "instance" else np.maximum(labels, 0)


def key_of(name: str, split: str, *, prefixed: bool = False) -> str:
    """Return a name as every format keeps it: without the split and folders."""
    key = name.removeprefix(f"{split}/").removeprefix("city/").replace("/", "_")  # of Cityscapes
    return f"{split}_{key}" if prefixed else key


def equal_up_to_numbers(first: np.ndarray, second: np.ndarray) -> bool:
    """Return whether two label images divide the pixels in the same way."""
    if first.shape != second.shape:
        return False
    pairs = len(np.unique(np.stack([first.ravel(), second.ravel()]), axis=1).T)
    return pairs == len(np.unique(first)) == len(np.unique(second))


if __name__ == "__main__":
    main()
