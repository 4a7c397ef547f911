"""Samples for the export of a model of masks: images with the class that the network should see at each pixel."""

from collections.abc import Iterator, Sequence

from pixelwise.datasets.dataset import Case, Dataset, read_labels, read_pixels
from pixelwise.exporters.samples import Sample
from pixelwise.labels.targets import encode
from pixelwise.model_file.recipe import Recipe
from pixelwise.workflow.evaluation.masks import agree


def read_mask_samples(recipe: Recipe, dataset: Dataset, cases: Sequence[Case], pages: int | None) -> Iterator[Sample]:
    """Read labelled images one by one.

    Raises
    ------
    BadDataset
        The masks have another task or other classes than the model.
    BadImage
        A file cannot be read.
    """
    labelling = agree(recipe, dataset.labelling, dataset.root)
    for case in cases:
        if case.mask is not None:
            truth = encode(read_labels(case.mask, labelling), recipe.target)
            yield Sample(read_pixels(case.image, recipe.channels, pages).pixels, truth)
