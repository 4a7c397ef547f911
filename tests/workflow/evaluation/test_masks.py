"""Images for a proof of masks come with the class that the network should see at each pixel."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from drawn import image, mask, pairs
from pixelwise.datasets.dataset import DataOptions, scan_dataset
from pixelwise.progress import Progress
from pixelwise.workflow.evaluation.masks import read_mask_samples
from tiny import make_recipe


def test_images_come_with_class_indices(tmp_path: Path) -> None:
    dataset = scan_dataset(pairs(tmp_path, 3), DataOptions(), 0, Progress())
    model_card = replace(make_recipe(), classes=("background", "foreground"), values=(0, 255))
    samples = list(read_mask_samples(model_card, dataset, dataset.cases))
    numbers = [int(case.image.stem.rpartition("_")[2]) for case in dataset.cases]
    assert sorted(numbers) == [0, 1, 2]
    for number, sample in zip(numbers, samples, strict=True):
        assert np.array_equal(sample.pixels[0], image(number))
        assert np.array_equal(sample.truth, mask(number) // 255)
