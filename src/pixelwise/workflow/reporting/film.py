"""A film through the slices of a volume: outlines of ground truth and prediction over the image."""

import numpy as np
from jaxtyping import Integer, Num
from skimage.segmentation import find_boundaries

from pixelwise.labels.targets import IGNORE
from pixelwise.workflow.painting import stretch
from pixelwise.workflow.reporting.pictures import FALSE_POSITIVE, MISSED, PANEL, SNAPSHOT_FRAMES, snapshot_gif

_MARGIN = 2  # slices shown beyond the structure


def volume_film(
    pixels: Num[np.ndarray, " channels depth height width"],
    truth: Integer[np.ndarray, "depth height width"],
    predicted: Integer[np.ndarray, "depth height width"],
) -> bytes:
    """Return a GIF of evenly spaced slices in which something is true or predicted; of all slices if nothing is.

    Outlines of the ground truth are blue, those of the prediction orange.
    """
    shown = slices_of(truth, predicted)
    picture = stretch(pixels.reshape(len(pixels), -1, pixels.shape[-1])).reshape(*pixels.shape[1:], 3)
    step = max(1, -(-max(pixels.shape[2:]) // PANEL))
    frames: list[np.ndarray] = []
    for index in shown:
        frame = picture[index, ::step, ::step].copy()
        for labels, tone in ((truth, MISSED), (predicted, FALSE_POSITIVE)):
            plane = labels[index, ::step, ::step]
            frame[find_boundaries(np.where((plane == IGNORE) | (plane < 0), 0, plane), mode="inner")] = tone
        frames.append(frame)
    return snapshot_gif(frames)


def slices_of(
    truth: Integer[np.ndarray, "depth height width"], predicted: Integer[np.ndarray, "depth height width"]
) -> list[int]:
    """Return the indices of at most `SNAPSHOT_FRAMES` slices.

    Examples
    --------
    >>> labels = np.zeros((9, 2, 2), int)
    >>> labels[4] = 1
    >>> slices_of(labels, labels)
    [2, 3, 4, 5, 6]
    """
    found = np.flatnonzero((((truth > 0) & (truth != IGNORE)) | (predicted > 0)).any(axis=(1, 2)))
    first, last = (int(found[0]) - _MARGIN, int(found[-1]) + _MARGIN) if len(found) else (0, len(truth) - 1)
    first, last = max(0, first), min(len(truth) - 1, last)
    return np.unique(np.linspace(first, last, min(SNAPSHOT_FRAMES, last - first + 1)).round().astype(int)).tolist()
