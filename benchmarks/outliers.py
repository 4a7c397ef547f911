"""Outliers: how well images of other sets are recognised by what they look like, and how many own ones by mistake.

    python benchmarks/outliers.py --data ../shared/data

The reference of a set are its training images, as a training records them, normalised per image. Its val images, which
are not in the reference, and training images of each other set are compared with it. The score of an image is its
distance; the area under the ROC curve is that of other against own images. "Reported" is the fraction that `predict`
reports as outliers, with the groups of features that are unusual. Images are read with the channels of the reference,
as `predict` does; sets that it would refuse are left out. No network is involved, so that nothing is trained; what
`predict` reports of object sizes depends on the network and is not measured here.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from pixelwise.datasets.dataset import read_pixels
from pixelwise.errors import BadImage
from pixelwise.io.read import SUFFIXES, ReadOptions
from pixelwise.metrics.outliers import is_outlier
from pixelwise.model_file.appearance_record import MAX_IMAGES, AppearanceRecord, record_appearance
from pixelwise.sampling.appearance import appearance_features
from pixelwise.sampling.normalise import Normalisation, intensity_scale

SETS = {"dsb2018_nuclei": 3, "isbi2012_em": 1, "chase_db1": 3, "magnetic_tile_defects": 1, "camvid11": 3}  # channels
Features = list[dict[str, np.ndarray]]


def main() -> None:
    """Measure each pair of sets, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=60, help="of each set that is compared, evenly spaced")
    chosen = parser.parse_args()
    print("| reference | images of | images | AUROC | reported | reasons |")
    print("|---|---|---|---|---|---|")
    seconds: list[float] = []
    for name, channels in SETS.items():
        reference = measure(chosen.data / name / "train", MAX_IMAGES, channels, seconds)
        record = record_appearance(reference)
        if record is None:
            continue
        own = measure(chosen.data / name / "val", chosen.images, channels, seconds)
        print(row(f"{name} ({len(reference)})", "itself", record, own, None), flush=True)
        for other in SETS:
            if other != name and (found := measure(chosen.data / other / "train", chosen.images, channels, seconds)):
                print(row(name, other, record, found, own), flush=True)
    print(f"\nFeatures of an image: median {1e3 * float(np.median(seconds)):.1f} ms of processor time.")


def measure(folder: Path, count: int, channels: int, seconds: list[float]) -> Features:
    """Return the features of evenly spaced images of a folder; none if they cannot have so many channels."""
    paths = sorted(path for path in (folder / "images").rglob("*") if path.suffix.lower() in SUFFIXES)
    features: Features = []
    for index in np.unique(np.linspace(0, len(paths) - 1, min(count, len(paths))).astype(int)).tolist():
        try:
            pixels = read_pixels(paths[index], channels, None, ReadOptions(), dimensions=2).pixels
        except BadImage:
            return []
        began = time.process_time()
        features.append(appearance_features(pixels, intensity_scale(pixels, Normalisation())))
        seconds.append(time.process_time() - began)
    return features


def auroc(others: list[float], own: list[float]) -> float:
    """Return how often an image of another set has a larger score than an own one; ties count one half.

    >>> auroc([3.0, 1.0], [1.0, 0.0])
    0.875
    """
    pairs = np.array(others)[:, None] - np.array(own)[None]
    return float(((pairs > 0) + 0.5 * (pairs == 0)).mean())


def row(name: str, other: str, record: AppearanceRecord, found: Features, own: Features | None) -> str:
    """Return a row of the table."""
    scores = [record.score(one) for one in found]
    reported = [one for one, score in zip(found, scores, strict=True) if is_outlier(score, np.array(record.scores))]
    distances = [record.distances(one) for one in reported]
    reasons = {group.name: sum(one[group.name] > 1 for one in distances) for group in record.groups}
    named = ", ".join(f"{group} {count}" for group, count in reasons.items() if count) or "-"
    area = "-" if own is None else f"{auroc(scores, [record.score(one) for one in own]):.3f}"
    return f"| {name} | {other} | {len(found)} | {area} | {len(reported) / len(found):.0%} | {named} |"


if __name__ == "__main__":
    main()
