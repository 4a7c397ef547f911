"""Surface scores of pixelwise and MONAI on random masks, in an environment that has both.

    python benchmarks/surface_parity.py --cases 200

Random smooth masks in two and three dimensions with random spacing; the largest differences of HD, HD95, average
surface distance and surface Dice are printed.
"""

import argparse

import numpy as np
from scipy.ndimage import gaussian_filter

from pixelwise.metrics.surfaces import surface_distances


def masks(generator: np.random.Generator, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two overlapping random masks with foreground."""
    shape = tuple(generator.integers(12, 48 if dimensions == 2 else 28, dimensions))
    base = gaussian_filter(generator.normal(size=shape), 2.0)
    pair = [base + 0.3 * gaussian_filter(generator.normal(size=shape), 1.0) for _ in range(2)]
    first, second = (each > np.quantile(each, 0.7) for each in pair)
    return first, second


def differences(generator: np.random.Generator) -> dict[str, float]:
    """Return the absolute difference of each score on one random case."""
    import torch
    from monai.metrics import (  # pyright: ignore[reportMissingImports]
        compute_average_surface_distance,
        compute_hausdorff_distance,
        compute_surface_dice,
    )

    dimensions = int(generator.integers(2, 4))
    truth, predicted = masks(generator, dimensions)
    spacing = [float(value) for value in generator.uniform(0.3, 4.0, dimensions)]
    tolerance = float(generator.uniform(0.3, 4.0))
    ours = surface_distances(truth, predicted, spacing)
    y, y_pred = (torch.from_numpy(mask)[None, None] for mask in (truth, predicted))
    options = {"include_background": True, "spacing": spacing}
    theirs = {
        "HD": compute_hausdorff_distance(y_pred, y, **options),
        "HD95": compute_hausdorff_distance(y_pred, y, percentile=95, **options),
        "average surface distance, truth to prediction": compute_average_surface_distance(y, y_pred, **options),
        "average surface distance, symmetric": compute_average_surface_distance(y_pred, y, symmetric=True, **options),
        "surface Dice": compute_surface_dice(y_pred, y, [tolerance], **options),
    }
    values = (
        ours.hausdorff(),
        ours.hausdorff(95),
        float(ours.from_truth.mean()),
        ours.average(),
        ours.surface_dice(tolerance),
    )
    return {name: abs(float(value or 0.0) - float(theirs[name])) for name, value in zip(theirs, values, strict=True)}


def main() -> None:
    """Print the largest difference of each score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=200)
    chosen = parser.parse_args()
    rows = [differences(np.random.default_rng(seed)) for seed in range(chosen.cases)]
    print(f"| score | largest difference in {chosen.cases} cases |\n|---|---|")
    for name in rows[0]:
        print(f"| {name} | {max(row[name] for row in rows):.1e} |")


if __name__ == "__main__":
    main()
