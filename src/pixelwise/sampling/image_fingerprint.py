"""Fingerprint of a classification data set: statistics from which a training is planned."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from pixelwise.datasets.dataset import Case, Dataset
from pixelwise.datasets.observing import CaseObserver
from pixelwise.datasets.splitting.subsets import evenly_spaced
from pixelwise.errors import BadDataset
from pixelwise.io.read import Image
from pixelwise.parallel import parallel_map
from pixelwise.progress import Progress
from pixelwise.sampling.image_statistics import ImageSetStatistics, ImageStatistics, measure_image, summarise_images
from pixelwise.sampling.resize_crop import to_8_bit_range

MAX_MEASURED = 2000  # images that are measured, evenly spaced: more do not change the means
PIXELS_PER_IMAGE = 500  # pixels of each image for percentiles


@dataclass(frozen=True, kw_only=True)
class ClassificationFingerprint(ImageSetStatistics):
    """Measurements over the training images; 16-bit values are on the scale of 8 bits.

    Attributes
    ----------
    measured : int
        How many of the images were measured.
    class_cases : tuple of int
        Training images of each class.
    class_shares : tuple of float
        Fraction of the training images in each class.
    """

    measured: int
    class_cases: tuple[int, ...]
    class_shares: tuple[float, ...]


def measure_classification(
    dataset: Dataset, progress: Progress | None = None, observer: CaseObserver[Any] | None = None
) -> ClassificationFingerprint:
    """Measure at most `MAX_MEASURED` training images, in threads; results of `observe_image` by `observer` are used.

    Raises
    ------
    BadDataset
        There are no images.
    BadImage
        A file cannot be read.
    """
    cases = dataset.splits["train"]
    if not cases:
        raise BadDataset("training images", "none", "Add images to the class folders.")
    chosen = evenly_spaced(cases, MAX_MEASURED)
    known: dict[str, ImageStatistics] = {} if observer is None else observer.results(dataset)

    def measure(case: Case) -> ImageStatistics:
        found = known.get(case.name)
        return observe_image(dataset.read_image(case)) if found is None else found

    statistics = list((progress or Progress()).track(parallel_map(measure, chosen), "measuring", len(chosen)))
    counts = Counter(case.class_index for case in cases)
    shares = [counts[index] for index in range(len(dataset.classes))]
    return ClassificationFingerprint(
        cases=len(cases),
        measured=len(chosen),
        channels=dataset.channels,
        **summarise_images(statistics),
        class_cases=tuple(shares),
        class_shares=tuple(share / len(cases) for share in shares),
    )


def observe_image(image: Image) -> ImageStatistics:
    """Measure one image, for a `CaseObserver`."""
    return measure_image(to_8_bit_range(image.pixels), image.pixels.dtype.name, PIXELS_PER_IMAGE)
