"""Counts and sizes of the classes in the validation images, predicted and true, for the intervals of new images.

They are measured with the thresholds chosen before, on the same images, so that intervals are slightly too narrow;
`evaluate` on a test split measures by how much.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pixelwise.labels.instances import decode
from pixelwise.metrics.quantity_intervals import attainable_level
from pixelwise.model_file.model_card import ModelCard
from pixelwise.model_file.quantity_record import record_of
from pixelwise.text import pluralise
from pixelwise.workflow.fit.select.validation_predictions import ValidationPrediction, within_time
from pixelwise.workflow.quantities import pair_quantities


def select_quantities(
    predictions: Sequence[ValidationPrediction], model_card: ModelCard, seconds: float | None
) -> tuple[ModelCard, str]:
    """Return the model card with the record of counts and sizes, and a note.

    Parts of images and images with few labels are left out: their counts are not those of whole images.
    """
    pairs = [
        found
        for one in within_time(predictions, seconds)
        if one.whole
        and (found := pair_quantities(one.truth, decode(one.probabilities, model_card.target), model_card)) is not None
    ]
    shape = (len(pairs), model_card.counted_classes, 2, 2)
    note = _describe(len(pairs), "volumes" if model_card.network.dimensions == 3 else "areas")
    record = record_of(np.array(pairs, np.float64).reshape(shape))
    return replace(model_card, quantities=record, trained=model_card.trained | {"quantities": note}), note


def _describe(images: int, sizes: str) -> str:
    level = attainable_level(images)
    known = f"{pluralise(images, 'validation image')} predicted and labelled as a whole"
    if level is None:
        return f"No intervals of counts and {sizes}: they need 4 images, there are {known}."
    return f"Intervals of counts and {sizes} for {100 * level:.0f} % of images, from {known}."
