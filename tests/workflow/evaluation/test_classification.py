"""Samples of classification images have the size that prediction uses, and the class index of the model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from exports import draw_photos
from pixelwise.datasets.dataset import DataOptions, read_pixels, scan_dataset
from pixelwise.errors import BadDataset
from pixelwise.progress import Progress
from pixelwise.sampling.resize_crop import View, resize_shorter_side
from pixelwise.workflow.evaluation.classification import read_classification_samples
from tiny import make_photo_recipe


def test_samples_are_resized_and_have_the_class_index_of_the_model(tmp_path: Path) -> None:
    dataset = scan_dataset(draw_photos(tmp_path, each=2), DataOptions(), 0, Progress())
    model_card = replace(make_photo_recipe(), classes=("stripes", "disc", "square"), view=View(side=8, shorter=12))
    cases = dataset.splits["val"]
    samples = list(read_classification_samples(model_card, dataset, cases))
    assert len(samples) == 6
    for case, sample in zip(cases, samples, strict=True):
        assert model_card.classes[int(sample.truth)] == case.image.parent.name
        assert np.array_equal(sample.pixels, resize_shorter_side(read_pixels(case.image, 3).pixels, 12))


def test_a_class_that_the_model_does_not_know_is_refused(tmp_path: Path) -> None:
    dataset = scan_dataset(draw_photos(tmp_path, each=2), DataOptions(), 0, Progress())
    model_card = replace(make_photo_recipe(), classes=("disc", "square", "ring"))
    with pytest.raises(BadDataset, match="got stripes"):
        list(read_classification_samples(model_card, dataset, dataset.splits["val"]))
