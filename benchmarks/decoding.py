"""How long it takes to make objects of probabilities: 1024 x 1024 pixels, 500 crowded objects, one core.

    python benchmarks/decoding.py [--side 1024] [--objects 500] [--repeats 7]

The world is drawn: cells around random points, cut off at their reach and parted where they are equally far from two
points, so that most touch. Their truth is encoded as a network is taught it, then blurred and made noisy, so that
edges are ragged and seeds have holes, as in a real prediction. Both decodings of objects that touch are measured, and
how many objects come back with an IoU above 0.5 is printed beside the time: a fast decoding that loses objects is none.
"""

import argparse
import statistics
import time

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from pixelwise.labels.instances import decode
from pixelwise.labels.label_image import components, renumber
from pixelwise.labels.targets import TargetOptions, edge_distance, encode
from pixelwise.metrics.instance import match

BAR = 1.0  # seconds


def main() -> None:
    """Draw the world and print a row per kind of target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--objects", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=7)
    chosen = parser.parse_args()
    truth = draw_crowd(chosen.side, chosen.objects, seed=0)
    print("| target | size | objects drawn | found (IoU > 0.5) | median seconds | slowest | bar |")
    print("|---|---|---|---|---|---|---|")
    for kind in ("boundary", "distance"):
        options = TargetOptions(kind=kind, min_area=20)
        probabilities = blur(truth, options)
        seconds: list[float] = []
        found = decode(probabilities, options)  # warms up
        for _ in range(chosen.repeats):
            started = time.perf_counter()
            found = decode(probabilities, options)
            seconds.append(time.perf_counter() - started)
        hits = len(match(truth, found).ious)
        median = statistics.median(seconds)
        size, drawn = f"{chosen.side} x {chosen.side}", int(truth.max())
        print(f"| {kind} | {size} | {drawn} | {hits} | {median:.3f} | {max(seconds):.3f} | {BAR:g} |")


def draw_crowd(side: int, objects: int, seed: int) -> np.ndarray:
    """Return a label image of `objects` cells, 93 % of which touch others: 17 to 78 pixels wide with 500 of them."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, side, (objects, 2))
    # as many pixels as there are: crowds in some places, gaps in others
    reach = rng.uniform(0.35, 1.3, objects) * side / np.sqrt(objects)
    grid = np.indices((side, side)).reshape(2, -1).T
    distance, nearest = KDTree(points).query(grid)
    labels = np.where(distance < reach[nearest] * 0.75, nearest + 1, 0).reshape(side, side)
    return renumber(_whole(labels))


def blur(truth: np.ndarray, options: TargetOptions) -> np.ndarray:
    """Return what a network that learned its task but is not sure of it would say: channels as `decode` takes them."""
    rng = np.random.default_rng(1)
    classes = np.eye(3, dtype=np.float32)[encode(truth, options)].transpose(2, 0, 1)
    noisy = ndimage.gaussian_filter(classes, (0, 0.7, 0.7)) + rng.normal(0, 0.03, classes.shape).astype(np.float32)
    probabilities = np.clip(noisy, 0.01, 1)
    probabilities /= probabilities.sum(0)
    if options.kind != "distance":
        return probabilities
    depth = edge_distance(truth).astype(np.float32)
    depth = ndimage.gaussian_filter(depth, 0.7) + rng.normal(0, 0.03, depth.shape).astype(np.float32)
    return np.concatenate([probabilities, np.clip(depth, 0, 1)[None]])


def _whole(labels: np.ndarray) -> np.ndarray:
    """Keep of each object its largest area, should a neighbour have cut it in two."""
    kept = np.zeros_like(labels)
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is not None:
            areas = components(labels[window] == number)
            largest = np.bincount(areas[areas > 0]).argmax()
            kept[window][areas == largest] = number
    return kept


if __name__ == "__main__":
    main()
