"""Calibration: whether probabilities mean what they say, and how far a Dice may lie below the one they promise.

A model is calibrated when of all pixels that it is sure of at 80 %, 80 % are right. Networks are often too sure; one
number for all logits, the temperature, mends most of it and leaves every decision as it is (Guo et al. 2017,
arXiv 1706.04599); two mend more where sure and doubtful pixels are wrong in different ways
(`labels.temperature_scaling`).
"""

import math

import numpy as np
from jaxtyping import Bool, Float, Float64, Integer
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax

from pixelwise.labels.run_lengths import row_strips
from pixelwise.labels.temperature_scaling import UNSCALED, Temperatures, confidence, tempered_softmax

BINS = 15
LEVEL = 0.9  # of the lower bound of a Dice
HOTTEST = 20.0  # temperatures are looked for between its inverse and this
PENALTY = 1e-4  # on the squared logarithm of how far two temperatures lie apart: what says nothing leaves them alike
_LEAST = 2.0**-24  # of a probability: the smallest half above 0, so that its logarithm is finite


def logits_of(probabilities: Float[np.ndarray, "*some classes"]) -> Float64[np.ndarray, "*some classes"]:
    """Return logits whose soft-max the probabilities are: their logarithms."""
    return np.log(np.maximum(probabilities.astype(np.float64), _LEAST))


def tempered(
    probabilities: Float[np.ndarray, "*some classes"], temperatures: Temperatures
) -> Float64[np.ndarray, "*some classes"]:
    """Return the probabilities that the logits make when they are divided by their temperatures."""
    return tempered_softmax(logits_of(probabilities), temperatures, -1)


def tempered_image(
    probabilities: Float[np.ndarray, "classes height width"], temperatures: Temperatures
) -> Float[np.ndarray, "classes height width"]:
    """Return the probabilities of a whole image as `tempered` has them, of their own type, some rows at a time."""
    if temperatures == UNSCALED:
        return probabilities
    found = np.empty_like(probabilities)
    for rows in row_strips(probabilities.shape[1:]):
        logits = logits_of(probabilities[:, rows]).astype(np.float32)
        found[:, rows] = tempered_softmax(logits, temperatures, 0)
    return found


def negative_log_likelihood(
    probabilities: Float[np.ndarray, "pixels classes"], truth: Integer[np.ndarray, " pixels"]
) -> float:
    """Return the mean of -log p of the true class: what a temperature makes smallest."""
    probabilities = probabilities[np.arange(len(truth)), truth.astype(np.int64)].astype(np.float64)
    return -float(np.log(np.maximum(probabilities, _LEAST)).mean())


def find_temperature(logits: Float[np.ndarray, "pixels classes"], truth: Integer[np.ndarray, " pixels"]) -> float:
    """Return the temperature with which the logits of pixels (or photos) tell the true classes best.

    It makes the mean negative log-likelihood smallest: Guo et al. 2017, section 4.2. Above 1 the probabilities were too
    sure, below 1 too cautious. It lies between 1/20 and 20; without a pixel it is 1.
    """
    if not len(truth):
        return 1.0
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    places = np.arange(len(truth)), truth.astype(np.int64)

    def loss(log: float) -> float:
        return -float(log_softmax(wide * math.exp(-log), axis=1)[places].mean())

    edge = math.log(HOTTEST)
    found = minimize_scalar(loss, bounds=(-edge, edge), method="bounded", options={"xatol": 1e-4})
    return math.exp(float(found.x))


def find_temperatures(
    logits: Float[np.ndarray, "pixels classes"], truth: Integer[np.ndarray, " pixels"]
) -> Temperatures:
    """Return the two temperatures, where the network is sure and in doubt, that tell the true classes best.

    As `find_temperature`, with `PENALTY` times the squared logarithm of their ratio. The lower one may not lie so far
    below the other that a pixel which was surer would become less sure (`most_rise`).
    """
    if not len(truth):
        return Temperatures()
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    places = np.arange(len(truth)), truth.astype(np.int64)
    doubts = 1 - confidence(softmax(wide, axis=1), 1)[:, 0]

    def loss(found: np.ndarray) -> tuple[float, np.ndarray]:
        sure, rise = found
        scale = np.exp(rise * doubts - sure)
        logs = log_softmax(wide * scale[:, None], axis=1)
        slope = np.exp(logs)
        slope[places] -= 1
        along = (slope * wide).sum(axis=1) * scale / len(truth)
        value = -float(logs[places].mean()) + PENALTY * float(rise) ** 2
        return value, np.array([-along.sum(), (along * doubts).sum() + 2 * PENALTY * rise])

    edge = math.log(HOTTEST)
    bounds = ((-edge, edge), (-edge, min(edge, most_rise(logits.shape[1]))))
    first = np.array([math.log(find_temperature(logits, truth)), 0.0])
    sure, rise = minimize(loss, first, jac=True, method="L-BFGS-B", bounds=bounds).x.tolist()
    return Temperatures(math.exp(sure), math.exp(sure - rise))


def most_rise(classes: int) -> float:
    """Return the largest log(sure / doubt) of two temperatures with which a surer pixel stays the surer one.

    For pixels whose other classes are alike: the lead of the first one, m(p) = log(p (K - 1) / (1 - p)), divided by the
    temperature must grow with p, so that log(sure / doubt) is at most m'(p) / (m(p) q'(p)), q being the sureness.
    """
    p = np.linspace(1 / classes, 1, 1001)[1:-1]
    lead = np.log(p * (classes - 1) / (1 - p))
    return float((1 / (p * (1 - p) * lead)).min() * (classes - 1) / classes)


def reliability(
    probabilities: Float[np.ndarray, "pixels classes"], truth: Integer[np.ndarray, " pixels"]
) -> Float64[np.ndarray, "bins 3"]:
    """Sort pixels into `BINS` bins of equal width by the probability of the class that they are decided for.

    Returns
    -------
    float64 array (bins, 3)
        Of each bin: its pixels, the sum of these probabilities, and how many are right. Tables of several images add up
        to that of all.
    """
    decided = probabilities.argmax(axis=1)
    sure = np.take_along_axis(probabilities, decided[:, None], axis=1)[:, 0].astype(np.float64)
    # bins are open below and closed above, as in Guo et al.; 1 belongs to the last
    index = np.clip(np.ceil(sure * BINS).astype(np.int64) - 1, 0, BINS - 1)
    columns = (None, sure, (decided == truth).astype(np.float64))
    return np.stack([np.bincount(index, weights=column, minlength=BINS) for column in columns], axis=1).astype(
        np.float64
    )


def expected_calibration_error(table: Float64[np.ndarray, "bins 3"]) -> float | None:
    """Return the ECE: how far confidence and share of right ones lie apart, as the mean over pixels; None without any.

    Naeini et al. 2015, as in Guo et al. 2017, equation 3.
    """
    total = float(table[:, 0].sum())
    return float(np.abs(table[:, 1] - table[:, 2]).sum()) / total if total else None


def expected_dice(
    probabilities: Float[np.ndarray, "classes pixels"], said: Integer[np.ndarray, " pixels"], first: int
) -> float | None:
    """Return the Dice that calibrated probabilities promise for a mask: sum 2 p [said] / sum (p + [said]).

    The mean over the classes from `first` on that the mask shows; None where it shows none of them.
    """
    values: list[float] = []
    for index in range(first, len(probabilities)):
        where = said == index
        size = int(where.sum())
        if size:
            chance = probabilities[index]
            values.append(2 * float(chance[where].sum(dtype=np.float64)) / (float(chance.sum(dtype=np.float64)) + size))
    return float(np.mean(values)) if values else None


def conformal_margin(
    expected: Float64[np.ndarray, " images"], actual: Float64[np.ndarray, " images"], level: float = LEVEL
) -> float | None:
    """Return what is taken from a promised Dice so that the true one is no lower, for a share `level` of new images.

    Split-conformal, one side: of the n differences promised - came the one at place ceil((n + 1) level), counted from
    the smallest (Lei et al. 2018, arXiv 1604.04173, section 2.2). That holds for images that are of the same kind as
    these and were not learned from, whatever the model. None with fewer than level / (1 - level) images, which can hold
    no bound: nine for 90 %.
    """
    place = math.ceil(round((len(actual) + 1) * level, 9))
    return float(np.sort(expected - actual)[place - 1]) if 0 < place <= len(actual) else None


def dice_lower_bound(expected: float, margin: float) -> float:
    """Return the lower bound of a Dice; never below 0 or above 1, where every Dice lies anyway."""
    return min(1.0, max(0.0, expected - margin))


def coverage(
    bounds: Float64[np.ndarray, " images"], actual: Float64[np.ndarray, " images"]
) -> Bool[np.ndarray, " images"]:
    """Return of which images the Dice is no lower than its bound."""
    return actual >= bounds - 1e-9  # both were rounded on their way
