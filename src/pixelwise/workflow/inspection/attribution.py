"""What Grad-CAM explains: the request, and how a task resolves it for a model and an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from pixelwise.errors import BadOption, nearest
from pixelwise.explain.crop import Crop


@dataclass(frozen=True, kw_only=True)
class AttributionRequest:
    """Class, pixel and stage for Grad-CAM.

    Attributes
    ----------
    class_name : str, optional
        By default the most frequent foreground class, or the one predicted at the pixel.
    pixel : (row, column), optional
        In the image; by default all pixels predicted as the class.
    stage : str, optional
        By default the coarsest and the finest.
    """

    class_name: str | None = None
    pixel: tuple[int, int] | None = None
    stage: str | None = None


@dataclass(frozen=True)
class AttributionTarget:
    """A class, and the pixels of the logits whose score is attributed (None for classification)."""

    index: int
    name: str
    region: np.ndarray | None
    caption: str
    predicted: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class PredictionPanels:
    """Pictures of the prediction: panels of (title, remark, array), class colours, and the attributed region."""

    panels: tuple[tuple[str, str, np.ndarray], ...] = ()
    legend: tuple[tuple[str, tuple[int, int, int]], ...] = ()
    region: np.ndarray | None = None


@runtime_checkable
class ImageAttribution(Protocol):
    """A request for one image and model.

    Attributes
    ----------
    crop : Crop
        The inspected part of the image.
    location : str
        Of the crop, for the title; empty for the whole image.
    """

    crop: Crop
    location: str

    def resolve(self, logits: np.ndarray) -> AttributionTarget:
        """Return the class and the pixels that are attributed, from the logits of the crop."""
        ...

    def draw_prediction(self, logits: np.ndarray, target: AttributionTarget) -> PredictionPanels:
        """Return pictures of the prediction."""
        ...


def index_of(class_name: str | None, names: Sequence[str]) -> int | None:
    """Return the index of a class; None for None.

    Raises
    ------
    BadOption
        The model has no such class; the nearest one is suggested.
    """
    if class_name is None:
        return None
    if class_name not in names:
        raise BadOption("a class of the model", f"`{class_name}`", nearest(class_name, names))
    return names.index(class_name)
