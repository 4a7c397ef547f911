"""Calibration: temperature scaling, reliability, ECE, expected Dice and its conformal lower bound.

A model is calibrated if 80 % of the pixels with a confidence of 80 % are correct. Networks are often overconfident;
temperature scaling corrects most of it without changing a predicted class (Guo et al. 2017, arXiv 1706.04599). Two
temperatures correct more if the error depends on the confidence (`labels.temperature_scaling`).
"""

import math

import numpy as np
from jaxtyping import Bool, Float, Float64, Integer
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax

from pixelwise.labels.run_lengths import row_strips
from pixelwise.labels.temperature_scaling import UNSCALED, Temperatures, confidence, scaled_softmax

BINS = 15
LEVEL = 0.9  # coverage of the lower bound of a Dice
MAX_TEMPERATURE = 20.0  # the temperature search covers 1/20 to 20
PENALTY = 1e-4  # on the squared log ratio of two temperatures: without evidence they stay equal
_MIN_PROBABILITY = 2.0**-24  # smallest probability, the smallest float16 above 0: its logarithm is finite


def logits_of(probabilities: Float[np.ndarray, "*some classes"]) -> Float64[np.ndarray, "*some classes"]:
    """Return the logarithms of probabilities, whose softmax they are."""
    return np.log(np.maximum(probabilities.astype(np.float64), _MIN_PROBABILITY))


def scale_probabilities(
    probabilities: Float[np.ndarray, "*some classes"], temperatures: Temperatures
) -> Float64[np.ndarray, "*some classes"]:
    """Return the probabilities after temperature scaling."""
    return scaled_softmax(logits_of(probabilities), temperatures, -1)


def scale_image_probabilities(
    probabilities: Float[np.ndarray, "classes *size"], temperatures: Temperatures
) -> Float[np.ndarray, "classes *size"]:
    """Return the probabilities of an image after temperature scaling, in their dtype, computed in strips of rows."""
    if temperatures == UNSCALED:
        return probabilities
    result = np.empty_like(probabilities)
    for rows in row_strips(probabilities.shape[1:]):
        logits = logits_of(probabilities[:, rows]).astype(np.float32)
        result[:, rows] = scaled_softmax(logits, temperatures, 0)
    return result


def negative_log_likelihood(
    probabilities: Float[np.ndarray, "pixels classes"], truth: Integer[np.ndarray, " pixels"]
) -> float:
    """Return the mean of -log p of the true class, which temperature scaling minimises."""
    probabilities = probabilities[np.arange(len(truth)), truth.astype(np.int64)].astype(np.float64)
    return -float(np.log(np.maximum(probabilities, _MIN_PROBABILITY)).mean())


def find_temperature(logits: Float[np.ndarray, "pixels classes"], truth: Integer[np.ndarray, " pixels"]) -> float:
    """Return the temperature that minimises the mean negative log-likelihood of pixels or images.

    Guo et al. 2017, section 4.2. Above 1 the probabilities were overconfident, below 1 underconfident. It is between
    1/20 and 20; 1 without data.
    """
    if not len(truth):
        return 1.0
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    true_entries = np.arange(len(truth)), truth.astype(np.int64)

    def loss(log: float) -> float:
        return -float(log_softmax(shifted * math.exp(-log), axis=1)[true_entries].mean())

    edge = math.log(MAX_TEMPERATURE)
    result = minimize_scalar(loss, bounds=(-edge, edge), method="bounded", options={"xatol": 1e-4})
    return math.exp(float(result.x))


def find_temperatures(
    logits: Float[np.ndarray, "pixels classes"], truth: Integer[np.ndarray, " pixels"]
) -> Temperatures:
    """Return the temperatures at high and low confidence that minimise the mean negative log-likelihood.

    As `find_temperature`, plus `PENALTY` times the squared logarithm of their ratio. The ratio is limited so that the
    order of pixels by confidence is kept (`max_log_ratio`).
    """
    if not len(truth):
        return Temperatures()
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    true_entries = np.arange(len(truth)), truth.astype(np.int64)
    doubts = 1 - confidence(softmax(shifted, axis=1), 1)[:, 0]

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        sure, log_ratio = parameters
        scale = np.exp(log_ratio * doubts - sure)
        logs = log_softmax(shifted * scale[:, None], axis=1)
        slope = np.exp(logs)
        slope[true_entries] -= 1
        along = (slope * shifted).sum(axis=1) * scale / len(truth)
        value = -float(logs[true_entries].mean()) + PENALTY * float(log_ratio) ** 2
        return value, np.array([-along.sum(), (along * doubts).sum() + 2 * PENALTY * log_ratio])

    edge = math.log(MAX_TEMPERATURE)
    bounds = ((-edge, edge), (-edge, min(edge, max_log_ratio(logits.shape[1]))))
    first = np.array([math.log(find_temperature(logits, truth)), 0.0])
    sure, log_ratio = minimize(loss, first, jac=True, method="L-BFGS-B", bounds=bounds).x.tolist()
    return Temperatures(math.exp(sure), math.exp(sure - log_ratio))


def max_log_ratio(classes: int) -> float:
    """Return the largest log(sure / doubt) that keeps the order of pixels by confidence.

    For pixels whose other classes are equally probable: the logit difference m(p) = log(p (K - 1) / (1 - p)), divided
    by the temperature, must increase with p, so that log(sure / doubt) is at most m'(p) / (m(p) q'(p)), q being the
    confidence.
    """
    p = np.linspace(1 / classes, 1, 1001)[1:-1]
    difference = np.log(p * (classes - 1) / (1 - p))
    return float((1 / (p * (1 - p) * difference)).min() * (classes - 1) / classes)


def reliability(
    probabilities: Float[np.ndarray, "pixels classes"], truth: Integer[np.ndarray, " pixels"]
) -> Float64[np.ndarray, "bins 3"]:
    """Return the reliability table: pixels in `BINS` bins of equal width by the probability of the predicted class.

    Returns
    -------
    float64 array (bins, 3)
        Pixels, sum of the probabilities, and correct pixels of each bin. Tables of several images can be added.
    """
    predicted_class = probabilities.argmax(axis=1)
    sure = np.take_along_axis(probabilities, predicted_class[:, None], axis=1)[:, 0].astype(np.float64)
    # bins are open below and closed above, as in Guo et al.; 1 is in the last
    index = np.clip(np.ceil(sure * BINS).astype(np.int64) - 1, 0, BINS - 1)
    columns = (None, sure, (predicted_class == truth).astype(np.float64))
    return np.stack([np.bincount(index, weights=column, minlength=BINS) for column in columns], axis=1).astype(
        np.float64
    )


def expected_calibration_error(table: Float64[np.ndarray, "bins 3"]) -> float | None:
    """Return the ECE: the mean absolute difference of confidence and accuracy over pixels; None without any.

    Naeini et al. 2015, as in Guo et al. 2017, equation 3.
    """
    total = float(table[:, 0].sum())
    return float(np.abs(table[:, 1] - table[:, 2]).sum()) / total if total else None


def expected_dice(
    probabilities: Float[np.ndarray, "classes pixels"], predicted: Integer[np.ndarray, " pixels"], first: int
) -> float | None:
    """Return the expected Dice of a mask by its calibrated probabilities: sum 2 p [predicted] / sum (p + [predicted]).

    The mean over the classes from `first` on that the mask contains; None if it contains none of them.
    """
    values: list[float] = []
    for index in range(first, len(probabilities)):
        where = predicted == index
        size = int(where.sum())
        if size:
            p = probabilities[index]
            values.append(2 * float(p[where].sum(dtype=np.float64)) / (float(p.sum(dtype=np.float64)) + size))
    return float(np.mean(values)) if values else None


def conformal_margin(
    expected: Float64[np.ndarray, " images"], actual: Float64[np.ndarray, " images"], level: float = LEVEL
) -> float | None:
    """Return the conformal margin: what to subtract from the expected Dice for a lower bound with coverage `level`.

    One-sided split-conformal: the ceil((n + 1) level)-th smallest of the n differences expected - actual (Lei et al.
    2018, arXiv 1604.04173, section 2.2). Valid for exchangeable images that were not used for training, whatever the
    model. None with fewer than level / (1 - level) images, which give no bound: nine for 90 %.
    """
    rank = math.ceil(round((len(actual) + 1) * level, 9))
    return float(np.sort(expected - actual)[rank - 1]) if 0 < rank <= len(actual) else None


def dice_lower_bound(expected: float, margin: float) -> float:
    """Return the conformal lower bound of a Dice, clipped to [0, 1]."""
    return min(1.0, max(0.0, expected - margin))


def coverage(
    bounds: Float64[np.ndarray, " images"], actual: Float64[np.ndarray, " images"]
) -> Bool[np.ndarray, " images"]:
    """Return for which images the Dice is not below its bound."""
    return actual >= bounds - 1e-9  # both were rounded
