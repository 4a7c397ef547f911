"""Score pixels and images with cleanlab; run by `annotation_errors.py` with the Python of an environment that has it.

    PYTHON benchmarks/cleanlab_scores.py IN.npz OUT.npz

IN has `labels` (pixels,), `probabilities` (classes, pixels) and `starts`, the first pixel of each image. OUT has the
mask of `find_label_issues` and the pixel scores of `get_label_quality_scores` (pixels,), and the image scores.
"""

import sys
from importlib import import_module

import numpy as np


def main(source: str, target: str) -> None:
    find_label_issues = import_module("cleanlab.segmentation.filter").find_label_issues
    get_label_quality_scores = import_module("cleanlab.segmentation.rank").get_label_quality_scores
    arrays = np.load(source)
    labels, probabilities = arrays["labels"], arrays["probabilities"].astype(np.float32)
    probabilities /= probabilities.sum(0)
    ends = [*arrays["starts"][1:].tolist(), len(labels)]
    # both functions ask for one size, and treat every pixel alike: the whole set is one image of one row
    issues = find_label_issues(labels[None, None], probabilities[None, :, None], downsample=1, verbose=False)
    images: list[float] = []
    pixels: list[np.ndarray] = []
    for start, end in zip(arrays["starts"].tolist(), ends, strict=True):
        one = labels[None, None, start:end], probabilities[None, :, None, start:end]
        image, scores = get_label_quality_scores(*one, method="softmin", verbose=False)
        images.append(float(image[0]))
        pixels.append(scores.ravel())
    np.savez(target, issues=issues.ravel(), pixels=np.concatenate(pixels), images=np.array(images))


if __name__ == "__main__":
    main(*sys.argv[1:])
