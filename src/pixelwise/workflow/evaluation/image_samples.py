"""Samples for the export of a model of whole-image classes: photos at their size for the network, with their class."""

from collections.abc import Iterator, Sequence

import numpy as np

from pixelwise.datasets.dataset import Case, Dataset, read_pixels
from pixelwise.exporters.samples import Sample
from pixelwise.model_file.recipe import Recipe
from pixelwise.sampling.resize_crop import View, fit
from pixelwise.workflow.evaluation.photos import agree


def read_photo_samples(
    recipe: Recipe, view: View, dataset: Dataset, cases: Sequence[Case], pages: int | None
) -> Iterator[Sample]:
    """Read photos one by one.

    Raises
    ------
    BadDataset
        There are masks instead of class folders, or folders that the model knows no class for.
    BadImage
        A file cannot be read.
    """
    index = agree(recipe.classes, dataset)
    for case in cases:
        if case.class_index is not None:
            pixels = fit(read_pixels(case.image, recipe.channels, pages).pixels, view.shorter)
            yield Sample(pixels, np.array(index[case.class_index], np.int64))
