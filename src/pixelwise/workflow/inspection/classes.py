"""Class counts per split and image sizes of a classification data set."""

from collections import Counter
from typing import Any

from pixelwise.datasets.dataset import Dataset
from pixelwise.sampling.image_fingerprint import ClassificationFingerprint

SPLITS = ("train", "val", "test")
MOST_CLASSES = 60  # listed


def count_by_class(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Return the number of images per class and split."""
    counts = Counter((case.class_index, case.split) for case in dataset.cases)
    classes = enumerate(dataset.labelling.classes)
    return {name: {split: counts[index, split] for split in SPLITS} for index, name in classes}


def describe_classes(dataset: Dataset, fingerprint: Any) -> list[str]:
    """Return a line per class, and one about the image sizes if measured."""
    counts = count_by_class(dataset)
    width = max(len("class"), *(len(name) for name in list(counts)[:MOST_CLASSES]))
    lines = [f"  {'class':<{width}}" + "".join(f"{split:>8}" for split in SPLITS)]
    for name in list(counts)[:MOST_CLASSES]:
        lines.append(f"  {name:<{width}}" + "".join(f"{counts[name][split]:>8}" for split in SPLITS))
    if len(counts) > MOST_CLASSES:
        lines.append(f"  ... and {len(counts) - MOST_CLASSES} more (--json lists all).")
    if isinstance(fingerprint, ClassificationFingerprint):
        heights, widths = fingerprint.heights, fingerprint.widths
        lines.append(
            f"Sizes (height x width) of {fingerprint.measured} training images: from {heights[0]} x {widths[0]} to "
            f"{heights[2]} x {widths[2]}, median {heights[1]} x {widths[1]}; {fingerprint.dtype}."
        )
    return lines
