"""Parts of an image in an array file: some of its channels, or the numbers that several channels of a mask stand for.

A path into an array file may end in one: ``labels.npy/3/:0`` is the first channel of image 3, ``x.npy/:0-2`` the first
three, ``masks.npy/3/:classes`` the number of the channel that is set, and ``masks.npy/3/:objects`` a number for each
value in each channel. Sources: PanNuke (Gamper et al. 2020) has object numbers in a channel per class, CoNIC (Graham et
al. 2021) object numbers and classes as two channels.
"""

import re
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Num, Shaped

from pixelwise.errors import BadImage
from pixelwise.text import pluralise

MARK = ":"  # begins a part, as no array is called
LAST = ":last"  # in front of the position in a stack whose images are on the last axis
Kind = Literal["one-hot", "objects", "object classes", "several"]


def channels_of_part(part: str, channels: int, path: Path) -> int:
    """Return the number of channels of a part of an image with `channels`.

    Raises
    ------
    BadImage
        There is no such part.
    """
    if part in ("", "objects", "classes"):
        return channels if not part else 1
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if not first <= last < channels:
        hint = f"Name one from :0 to :{channels - 1}, :classes or :objects."
        raise BadImage("a channel of the image", f":{part} of {pluralise(channels, 'channel')}", hint, path)
    return last - first + 1


def take_part(
    samples: Shaped[np.ndarray, "channels height width"], part: str
) -> Shaped[np.ndarray, "some height width"]:
    """Return a part of an image; see the module docstring.

    The last channel is the background if it alone has one value and is set where no other one is.

    >>> channels = np.array([[[7, 0, 0, 0]], [[0, 7, 9, 0]], [[0, 0, 0, 1]]])
    >>> take_part(channels, "objects").tolist(), take_part(channels, "classes").tolist()
    ([[[1, 2, 3, 0]]], [[[1, 2, 2, 0]]])
    """
    if not part:
        return samples
    if part not in ("objects", "classes"):
        first, _, last = part.partition("-")
        return samples[int(first) : int(last or first) + 1]
    samples = samples[:-1] if _ends_in_background(samples) else samples
    marks = samples != 0
    classes = np.where(marks.any(0), marks.argmax(0) + 1, 0).astype(np.int32)
    if part == "classes":
        return classes[None]
    values = np.take_along_axis(samples, np.maximum(classes - 1, 0)[None], 0)[0]
    pairs = np.stack([classes, np.where(classes > 0, values, 0).astype(np.int64)])
    found, numbers = np.unique(pairs.reshape(2, -1), axis=1, return_inverse=True)
    zero = int(found[0, 0] == 0)
    return (numbers.reshape(classes.shape) + 1 - zero).astype(np.int32)[None]


def kind_of_mask(samples: Num[np.ndarray, "channels height width"]) -> Kind | None:
    """Return what the channels of a mask are; None if it is empty, or they have no meaning that is known.

    "one-hot": a channel per class; "objects": object numbers in a channel per class; "object classes": object numbers,
    and the class of each; "several": numbers of objects within one another, such as cells and nuclei.
    """
    rest = samples[:-1] if _ends_in_background(samples) else samples
    if not rest.any() or (rest != np.round(rest)).any():
        return None
    counts = [len(np.unique(channel[channel != 0])) for channel in rest]
    if int((rest != 0).sum(0).max()) <= 1:
        return "objects" if max(counts) > 1 else "one-hot"
    if len(samples) == 2 and np.array_equal(samples[0] != 0, samples[1] != 0):
        pairs = len(np.unique(samples.reshape(2, -1)[:, samples[0].ravel() != 0], axis=1).T)
        if pairs == counts[0] and counts[1] <= counts[0]:
            return "object classes"
    return "several"


def _ends_in_background(samples: Num[np.ndarray, "channels height width"]) -> bool:
    """Return whether the last channel has one value, and is set exactly where no other channel is."""
    if len(samples) < 3:
        return False
    last = samples[-1]
    return len(np.unique(last[last != 0])) == 1 and np.array_equal(last != 0, (samples[:-1] == 0).all(0))
