"""How well a mask is explained by its own image alone, without the other masks of the set.

A mask that lies on what it marks is a simple function of local features of the pixels; moved or flipped it is not. The
measure is the coefficient of determination of a ridge regression of the mask on features of its image, which is the
linear discriminant between inside and outside (Fisher 1936, The use of multiple measurements in taxonomic problems). It
needs no other image that looks alike, and says nothing about what a class looks like.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from scipy import fft

from pixelwise.datasets.checks.pixel_features import pixel_features
from pixelwise.datasets.checks.reduced import ReducedCase
from pixelwise.datasets.checks.shifts import REACH, ShiftScores

_RIDGE = 0.05  # of features with variance 1
_TINY = 1e-9


@dataclass(frozen=True, eq=False)
class Discriminant:
    """The features of an image, made uncorrelated.

    Attributes
    ----------
    features : (features, height, width) float32
    mask : (classes, height, width) float32
        The fraction of each block that is of each class, less its mean.
    """

    features: Float32[np.ndarray, "features height width"]
    mask: Float32[np.ndarray, "classes height width"]

    def share(self, mask: Float32[np.ndarray, "classes height width"]) -> float:
        """Return the fraction of the variance of a mask that the image explains, 0 ... 1."""
        products = self.features.reshape(len(self.features), -1) @ mask.reshape(len(mask), -1).T
        return float((products**2).sum() / mask[0].size / max(float((mask**2).sum()), _TINY))

    def shares_of_shifts(self) -> ShiftScores:
        """Return the same for every shift of the mask; what leaves the image is lost."""
        height, width = self.mask.shape[1:]
        reach = max(2, round(REACH * max(height, width)))
        size = [fft.next_fast_len(side + reach, real=True) for side in (height, width)]
        rows, columns = (np.arange(-min(reach, side - 1), min(reach, side - 1) + 1) for side in (height, width))
        moved = np.asarray(fft.rfft2(self.mask, size)).conj()
        total = np.zeros((len(rows), len(columns)))
        for feature in self.features:
            products = np.asarray(fft.irfft2(np.asarray(fft.rfft2(feature, size)) * moved, size))
            total += (products[:, rows[:, None], columns] ** 2).sum(0)
        return ShiftScores(rows, columns, total / (height * width) / max(float((self.mask**2).sum()), _TINY))


def discriminant_of(case: ReducedCase) -> Discriminant:
    """Prepare the features of a case.

    Examples
    --------
    >>> image = np.zeros((1, 24, 32), np.uint8)
    >>> image[0, 4:12, 4:14] = 200
    >>> edge = np.zeros((24, 32), np.uint8)
    >>> case = ReducedCase(pixels=image, targets=np.stack([(image[0] > 0) * np.uint8(255), edge]),
    ...     known=edge == 0, statistics=np.zeros(2, np.float32), factor=1)
    >>> found = discriminant_of(case)
    >>> found.share(found.mask) > 0.9, found.share(np.roll(found.mask, 10, 2)) < 0.3
    (True, True)
    """
    features = pixel_features(case.pixels[None])[0, :-1].astype(np.float64)
    features -= features.mean(1, keepdims=True)
    features /= features.std(1, keepdims=True) + 1e-6
    covariance: Float64[np.ndarray, "features features"] = features @ features.T / features.shape[1]
    root = np.linalg.cholesky(covariance + _RIDGE * np.eye(len(covariance)))
    classes = case.targets[:-1][case.targets[:-1].any((1, 2))].astype(np.float32) / 255
    return Discriminant(
        np.linalg.solve(root, features).astype(np.float32).reshape(-1, *case.known.shape),
        classes - classes.mean((1, 2), keepdims=True),
    )
