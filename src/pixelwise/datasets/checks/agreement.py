"""How well the masks of a set agree with its images, by a linear model of the set itself.

The classes and boundaries in an image are predicted from local features of its pixels by ridge regression (Hoerl and
Kennard 1970) on the images that look most like it, without the image itself. Where images and masks agree, a mask
correlates with the prediction for its image, and no longer does so when it is shifted, flipped or exchanged. The sums
of products of each image are kept, so that any weighted combination of images is one small linear system.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Bool, Float32, Float64

from pixelwise.datasets.checks.pixel_features import pixel_features
from pixelwise.datasets.checks.reduced import ReducedCase
from pixelwise.parallel import parallel_map

_RIDGE = 1e-3
_GLOBAL = 0.02  # weight of all images that do not look alike, together
_NEIGHBOUR = 5  # the distance to this nearest image is one standard deviation of the weights
_FITTED = 3000  # pixels per image that the model is fitted to
_COMMON = 12  # images of one size from which a mean map is taken
_TOGETHER = 1 << 14  # pixels of cases of one shape whose features are computed together
_SOLVED = 64  # cases whose linear systems are set up together
_TINY = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Agreement:
    """Predictions of a set, prepared for comparisons.

    Attributes
    ----------
    predictions : list of (targets, height, width) float16
    scale : (targets,) float64
        Square root of the weight of each target, divided by its standard deviation over the set.
    prediction_scale : (targets,) float64
        The same for predictions.
    mean_targets, mean_predictions : dict
        Mean maps by shape: what all images of a set have in common says nothing about one of them.
    own : (cases,) float64
        Correlation of each mask with the prediction for its image, -1 ... 1; NaN for a mask without a boundary.
    typical : float
        The median of `own`.
    """

    cases: Sequence[ReducedCase]
    predictions: Sequence[np.ndarray]
    scale: np.ndarray
    prediction_scale: np.ndarray
    mean_targets: dict[tuple[int, ...], np.ndarray]
    mean_predictions: dict[tuple[int, ...], np.ndarray]
    own: np.ndarray
    typical: float

    def prediction(self, index: int) -> Float32[np.ndarray, "targets height width"]:
        """Return the scaled prediction for a case."""
        values = self.predictions[index].astype(np.float32)
        return _centred(values, self.mean_predictions, self.cases[index].known, self.prediction_scale)

    def target(self, targets: np.ndarray, index: int) -> Float32[np.ndarray, "targets height width"]:
        """Return targets, scaled for a comparison with the prediction for a case; zero for classes that are absent."""
        shown = targets.max((1, 2)) > 0
        scale = self.scale * shown
        return _centred(targets.astype(np.float32) / 255, self.mean_targets, self.cases[index].known, scale)

    def score(self, index: int, targets: np.ndarray) -> float:
        """Return the correlation of the prediction for a case with targets of the same shape."""
        return correlation(self.prediction(index), self.target(targets, index))


def correlation(predicted: np.ndarray, target: np.ndarray) -> float:
    """Return the correlation of a prediction with the classes that a target shows; both are centred."""
    shown = (target != 0).any((1, 2))
    first, second = predicted[shown], target[shown]
    length = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / length if length > _TINY else 0.0


def measure_agreement(cases: Sequence[ReducedCase], trusted: Sequence[bool]) -> Agreement:
    """Predict each case from the others and compare the predictions with the masks.

    Parameters
    ----------
    cases : sequence of ReducedCase
        At least 3, with the same number of targets and channels.
    trusted : sequence of bool
        Cases that the model is fitted to. In a second pass those whose mask disagrees are left out as well.
    """
    sums = [each for some in parallel_map(_sums, _of_one_shape(cases)) for each in some]
    squares, products = (np.stack([pair[i] for pair in sums]) for i in (0, 1))
    weights = _neighbour_weights(np.stack([case.statistics for case in cases]))
    fitted = np.array(trusted, float)
    result = _compare(cases, _predict(cases, squares, products, weights * fitted), fitted > 0)
    doubtful = fitted * (np.nan_to_num(result.own, nan=np.inf) < result.typical / 2)
    if not doubtful.any() or fitted.sum() - doubtful.sum() < 3:
        return result
    fitted -= doubtful
    return _compare(cases, _predict(cases, squares, products, weights * fitted), fitted > 0)


def _of_one_shape(cases: Sequence[ReducedCase]) -> list[Sequence[ReducedCase]]:
    """Return runs of cases of one shape: of small images a few together take half the time."""
    runs: list[Sequence[ReducedCase]] = []
    for first, case in enumerate(cases):
        same = runs and runs[-1][0].pixels.shape == case.pixels.shape
        if same and (len(runs[-1]) + 1) * case.known.size <= _TOGETHER:
            runs[-1] = cases[first - len(runs[-1]) : first + 1]
        else:
            runs.append(cases[first : first + 1])
    return runs


def _sums(cases: Sequence[ReducedCase]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the mean products of the features with themselves and with the targets, over some known pixels."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    all_known = all(case.known.all() for case in cases)
    spread = max(1, cases[0].known.size // _FITTED) if all_known else 1
    images = np.stack([case.pixels for case in cases])
    for case, features in zip(cases, pixel_features(images, spread), strict=True):
        targets = case.targets.reshape(len(case.targets), -1)[:, ::spread]
        if not all_known:
            known = np.flatnonzero(case.known)
            some = known[:: max(1, len(known) // _FITTED)]
            features, targets = features[:, some], targets[:, some]
        count = max(features.shape[1], 1)
        targets = targets.astype(np.float32) / 255
        found.append((features @ features.T / count, features @ targets.T / count))
    return found


def _neighbour_weights(statistics: Float32[np.ndarray, "cases fields"]) -> np.ndarray:
    """Return the weight of each case (column) in the prediction of each (row); zero for the case itself."""
    count = len(statistics)
    squared = (statistics.astype(np.float64) ** 2).sum(1)
    distances = np.maximum(squared[:, None] + squared[None] - 2 * statistics @ statistics.T, 0)
    np.fill_diagonal(distances, np.inf)
    near = np.partition(distances, min(_NEIGHBOUR, count - 1) - 1, axis=1)[:, min(_NEIGHBOUR, count - 1) - 1]
    weights = np.exp(-distances / (2 * near[:, None] + _TINY)) + _GLOBAL / count
    np.fill_diagonal(weights, 0)
    return weights


def _predict(
    cases: Sequence[ReducedCase], squares: np.ndarray, products: np.ndarray, weights: np.ndarray
) -> list[np.ndarray]:
    """Solve the linear system of each case, and predict its targets."""
    count, features, targets = products.shape
    ridge = np.eye(features) * _RIDGE
    rows = (weights / np.maximum(weights.sum(1, keepdims=True), _TINY)).astype(np.float32)
    upper = np.triu_indices(features)  # the products of features with themselves are symmetric
    flat = [squares[:, *upper], products.reshape(count, -1)]

    def predict(first: int) -> list[np.ndarray]:
        some = rows[first : first + _SOLVED]  # together: the sums of all cases are read once for all of them
        half, right = ((some @ sums).astype(np.float64) for sums in flat)
        mixed = np.empty((len(some), features, features))
        mixed[:, *upper] = mixed[:, *upper[::-1]] = half
        coefficients = iter(np.linalg.solve(mixed + ridge, right.reshape(-1, features, targets)).astype(np.float32))
        return [
            (next(coefficients).T @ values).reshape(targets, *alike[0].known.shape).astype(np.float16)
            for alike in _of_one_shape(cases[first : first + _SOLVED])
            for values in pixel_features(np.stack([case.pixels for case in alike]))
        ]

    return [predicted for some in parallel_map(predict, range(0, count, _SOLVED)) for predicted in some]


def _compare(cases: Sequence[ReducedCase], predictions: list[np.ndarray], trusted: np.ndarray) -> Agreement:
    shapes = Counter(case.targets.shape for case in cases)
    common = [shape for shape, count in shapes.items() if count >= _COMMON]
    members = {shape: [i for i, case in enumerate(cases) if case.targets.shape == shape] for shape in common}
    mean_targets = {shape: _mean([cases[i].targets for i in members[shape]]) / 255 for shape in common}
    mean_predictions = {shape: _mean([predictions[i] for i in members[shape]]) for shape in common}
    ones = np.ones(len(cases[0].targets))
    plain = Agreement(
        cases=cases,
        predictions=predictions,
        scale=ones,
        prediction_scale=ones,
        mean_targets=mean_targets,
        mean_predictions=mean_predictions,
        own=np.zeros(len(cases)),
        typical=0.0,
    )
    products = np.array(list(parallel_map(partial(_products, plain), range(len(cases)))))
    length = np.sqrt(products[:, 0] * products[:, 1])
    shown = np.array([case.targets.max((1, 2)) > 0 for case in cases])
    each = products[:, 2] / np.maximum(length, _TINY)
    usual = [values[some] for values, some in zip(each.T, (trusted[:, None] & shown & (length > _TINY)).T, strict=True)]
    weight = np.sqrt(np.maximum([np.median(values) if len(values) else 0 for values in usual], 0))
    pixels = np.array([case.known.size for case in cases])[:, None, None]
    deviation = np.sqrt((products[:, :2] / pixels).mean(0)) + 1e-6
    result = replace(plain, scale=weight / deviation[1], prediction_scale=weight / deviation[0])
    own = _scores(products, shown, result)
    own[[not case.targets[-1].any() for case in cases]] = np.nan
    usable = own[trusted & ~np.isnan(own)]
    return replace(result, own=own, typical=float(np.median(usable)) if len(usable) else 0.0)


def _products(agreement: Agreement, index: int) -> Float64[np.ndarray, "3 targets"]:
    """Return the sums of squares of a prediction and of a target, and that of their products, for each target."""
    predicted, target = agreement.prediction(index), agreement.target(agreement.cases[index].targets, index)
    first, second = (values.reshape(len(values), -1) for values in (predicted, target))
    pairs = ((first, first), (second, second), (first, second))
    return np.array([np.einsum("ij,ij->i", one, other) for one, other in pairs], np.float64)


def _scores(
    products: Float64[np.ndarray, "cases 3 targets"], shown: Bool[np.ndarray, "cases targets"], agreement: Agreement
) -> Float64[np.ndarray, " cases"]:
    """Return `correlation` of each case with its own mask, from the sums of products."""
    own, other = agreement.prediction_scale, agreement.scale
    counted = shown & (products[:, 1] * other**2 > 0)
    squares, others, both = np.moveaxis(products * np.stack([own**2, other**2, own * other]) * counted[:, None], 1, 0)
    length = np.sqrt(squares.sum(1) * others.sum(1))
    return np.where(length > _TINY, both.sum(1) / np.maximum(length, _TINY), 0.0)


def _mean(maps: Sequence[np.ndarray]) -> np.ndarray:
    total = np.zeros(maps[0].shape)
    for values in maps:
        total += values
    return total / len(maps)


def _centred(
    values: np.ndarray, means: dict[tuple[int, ...], np.ndarray], known: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    if values.shape in means:
        values = values - means[values.shape].astype(np.float32)
    centred = (values - values.mean((1, 2), keepdims=True)) * known
    return centred * scale.astype(np.float32)[:, None, None]
