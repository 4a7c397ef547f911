"""Move masks, and compare a mask at every shift with the prediction for its image."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Shaped
from scipy import fft

from pixelwise.datasets.checks.agreement import Agreement

REACH = 0.2  # largest shift, as a fraction of the longer side
_LEAST = 0.5  # of a sum over the image: less is left in the overlap only where little can be concluded
_TINY = 1e-12


class ShiftScores(NamedTuple):
    """The correlation of a moved mask with a prediction, for each number of `rows` and `columns`."""

    rows: np.ndarray
    columns: np.ndarray
    scores: Float[np.ndarray, "rows columns"]

    @property
    def by_chance(self) -> float:
        """What a mask that does not belong to the image reaches: the root mean square over all shifts."""
        return float(np.sqrt(np.mean(self.scores**2)))

    def at(self, place: tuple[int, int]) -> float:
        """Return the score of a shift by (rows, columns)."""
        return float(self.scores[place[0] - self.rows[0], place[1] - self.columns[0]])

    def best(self) -> tuple[int, int]:
        """Return the best shift that is better than its neighbours; (0, 0) if the best ones go on beyond the reach."""
        row, column = np.unravel_index(int(self.scores.argmax()), self.scores.shape)
        inner = 0 < row < len(self.rows) - 1 and 0 < column < len(self.columns) - 1
        return (int(self.rows[row]), int(self.columns[column])) if inner else (0, 0)


def shift_scores(agreement: Agreement, index: int) -> ShiftScores:
    """Return the scores of all shifts of a mask, in blocks, where mask and image overlap.

    What the images of a set have in common is subtracted where the moved mask lies, not where it was: as
    sum P (T - m) / sqrt(sum P^2 sum (T - m)^2) over the overlap, for the prediction P, the moved mask T and the mean
    mask m, each sum by the fast Fourier transform (normalised cross-correlation, Lewis 1995).
    """
    case = agreement.cases[index]
    scale = agreement.scale * (case.targets.max((1, 2)) > 0)
    shown, known = scale > 0, case.known.astype(np.float32)
    weights = scale[shown].astype(np.float32)[:, None, None]
    predicted = agreement.prediction(index)[shown]
    mask = case.targets[shown].astype(np.float32) / 255 * weights
    mean = _mean_mask(agreement, case.targets.shape, shown) * weights
    mask -= (mask - mean).mean((1, 2), keepdims=True)
    height, width = known.shape
    reach = max(2, round(REACH * max(height, width)))
    size = [fft.next_fast_len(side + reach, real=True) for side in (height, width)]

    def spectrum(values: Shaped[np.ndarray, "*targets height width"]) -> np.ndarray:
        return np.asarray(fft.rfft2(values, size))

    frame, moved = spectrum(np.ones_like(known)).conj(), spectrum(mask).conj()
    products = (spectrum(predicted) * moved).sum(0) - spectrum((predicted * mean).sum(0)) * frame
    squares = spectrum((mask**2).sum(0)).conj() * spectrum(known) - 2 * (spectrum(mean * known) * moved).sum(0)
    squares += spectrum((mean**2).sum(0) * known) * frame
    energy = spectrum((predicted**2).sum(0)) * frame
    rows, columns = (np.arange(-min(reach, side - 1), min(reach, side - 1) + 1) for side in (height, width))
    product, square, power = (
        np.asarray(fft.irfft2(sums, size))[np.ix_(rows, columns)] for sums in (products, squares, energy)
    )
    least = _LEAST * float(((mask - mean) ** 2 * known).sum()), _LEAST * float((predicted**2).sum())
    return ShiftScores(
        rows, columns, product / np.sqrt(np.maximum(square, least[0]) * np.maximum(power, least[1]) + _TINY)
    )


def move(
    values: Shaped[np.ndarray, "*planes height width"], rows: int, columns: int, fill: int = 0
) -> Shaped[np.ndarray, "*planes height width"]:
    """Move the last two axes by whole pixels; what comes from outside is `fill`.

    Examples
    --------
    >>> move(np.array([[1, 2], [3, 4]]), 1, 0).tolist()
    [[0, 0], [1, 2]]
    """
    moved = np.full_like(values, fill)
    height, width = values.shape[-2:]
    if abs(rows) < height and abs(columns) < width:
        moved[..., max(rows, 0) : height + min(rows, 0), max(columns, 0) : width + min(columns, 0)] = values[
            ..., max(-rows, 0) : height + min(-rows, 0), max(-columns, 0) : width + min(-columns, 0)
        ]
    return moved


def _mean_mask(
    agreement: Agreement, shape: tuple[int, ...], shown: np.ndarray
) -> Float32[np.ndarray, "targets height width"]:
    mean = agreement.mean_targets.get(shape)
    return np.zeros((int(shown.sum()), *shape[1:]), np.float32) if mean is None else mean[shown].astype(np.float32)
