"""Inspect, of class folders: how many images each class has in each part, and how large they are."""

from collections import Counter
from typing import Any

from pixelwise.datasets.dataset import Dataset
from pixelwise.sampling.image_fingerprint import ClassificationFingerprint

PARTS = ("train", "val", "test")
MOST_CLASSES = 60  # listed


def count_by_class(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Count the images of each class: class -> part -> images."""
    found = Counter((case.class_index, case.part) for case in dataset.cases)
    return {name: {part: found[index, part] for part in PARTS} for index, name in enumerate(dataset.labelling.classes)}


def describe_classes(dataset: Dataset, fingerprint: Any) -> list[str]:
    """Return a line per class, and one about the sizes where they were measured."""
    counts = count_by_class(dataset)
    width = max(len("class"), *(len(name) for name in list(counts)[:MOST_CLASSES]))
    lines = [f"  {'class':<{width}}" + "".join(f"{part:>8}" for part in PARTS)]
    for name in list(counts)[:MOST_CLASSES]:
        lines.append(f"  {name:<{width}}" + "".join(f"{counts[name][part]:>8}" for part in PARTS))
    if len(counts) > MOST_CLASSES:
        lines.append(f"  ... and {len(counts) - MOST_CLASSES} more (--json lists all).")
    if isinstance(fingerprint, ClassificationFingerprint):
        heights, widths = fingerprint.heights, fingerprint.widths
        lines.append(
            f"Sizes (height x width) of {fingerprint.measured} training images: from {heights[0]} x {widths[0]} to "
            f"{heights[2]} x {widths[2]}, median {heights[1]} x {widths[1]}; {fingerprint.dtype}."
        )
    return lines
