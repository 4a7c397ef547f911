"""The cases that a diagnosis looks at, and what is measured of each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pixelwise.datasets.annotations import MaskFile
from pixelwise.datasets.cases import Case
from pixelwise.datasets.checks.finding import Step
from pixelwise.datasets.checks.image_quality import ImageQuality, measure_quality
from pixelwise.datasets.checks.mask_contents import MaskContent, find_other_values
from pixelwise.datasets.checks.reduced import ReducedCase, common_side, reduce_case
from pixelwise.datasets.checks.steps import apply_steps
from pixelwise.datasets.checks.volume_steps import apply_volume_steps
from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.examples import IGNORE_OBJECT
from pixelwise.datasets.folder_layout import Pair
from pixelwise.datasets.images.channel_files import read_stored
from pixelwise.datasets.images.missing_pixels import filled
from pixelwise.datasets.masks.mapping import ignore_missing
from pixelwise.datasets.masks.measure import pack
from pixelwise.datasets.observing import CaseObserver, ObservedCase
from pixelwise.datasets.problem_report import path_below
from pixelwise.datasets.scan import digest
from pixelwise.errors import PixelwiseError
from pixelwise.io.read import read_mask
from pixelwise.labels.byte_histogram import byte_histogram
from pixelwise.labels.targets import IGNORE
from pixelwise.parallel import parallel_map
from pixelwise.progress import Progress


@dataclass(frozen=True, kw_only=True)
class ExaminedCase:
    """A case, and the steps that must be made before its mask has the size of its image."""

    case: Case
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Measures:
    """What is measured of one case; `content` and `reduced` are None for classes of whole images."""

    quality: ImageQuality
    content: MaskContent | None = None
    reduced: ReducedCase | None = None


def mask_path(item: Case | Pair) -> Path | None:
    """Return the mask file of a case or pair; None if its labels are not one file of pixels."""
    return item.annotation.path if isinstance(item.annotation, MaskFile) else None


def relative(root: Path, path: Path) -> str:
    """Return a path as in messages: below `root`, or whole if it is outside."""
    return path_below(root, path)


def labels_file(root: Path, item: Case | Pair) -> str:
    """Return the file that stands for the labels of a case in findings: its mask file, or else its image."""
    return relative(root, mask_path(item) or item.image)


def read_view(dataset: Dataset, item: Case | Pair) -> np.ndarray:
    """Return the image (channels, height, width) as it is stored."""
    return read_stored(item.image, item.channel_files, dataset.pages, options=dataset.reading).pixels


def values_of_files(dataset: Dataset) -> bool:
    """Return whether the steps of a fix are those of the values of mask files; else they are those of labels."""
    return not dataset.format and dataset.spatial_dims == 2


def change_labels(labels: np.ndarray, steps: Sequence[Step], fill: int = 0) -> np.ndarray:
    """Return the labels of an image or a volume after some steps; `fill` is the value of what a shift uncovers."""
    return apply_volume_steps(labels, steps, fill) if labels.ndim == 3 else apply_steps(labels, steps, fill)


def read_fixable(dataset: Dataset, item: Case | Pair) -> np.ndarray:
    """Return what the steps of a fix are applied to: values of a mask file; in a format, and of volumes, labels."""
    mask = mask_path(item)
    if mask is not None and values_of_files(dataset):
        return pack(read_mask(mask).values)
    labels = dataset.read_labels(item if isinstance(item, Case) else pair_case(item))
    return np.where((labels > 0) & (labels != IGNORE), 1, labels) if dataset.task == "binary" else labels


def steps_for_labels(dataset: Dataset, steps: Sequence[Step]) -> tuple[Step, ...]:
    """Return steps that replace values of mask files as steps that replace labels, as `read_fixable` returns them."""
    last = 1 if dataset.task == "binary" else len(dataset.classes) - 1
    index = {value: min(number, last) for number, value in enumerate(dataset.labelling.values)}
    return tuple(
        replace(step, values=tuple((index.get(old, old), index.get(new, new)) for old, new in step.values))
        if step.action == "replace values"
        else step
        for step in steps
    )


def class_count(dataset: Dataset) -> int:
    """Return the number of classes that masks are compared with: objects are one class."""
    return 2 if dataset.task == "instance" else len(dataset.classes)


def with_one_foreground(dataset: Dataset) -> Dataset:
    """Return a data set whose masks use several values for one foreground class as a binary one.

    The values of its labelling are background, the usual foreground, then the others.
    """
    labelling = dataset.labelling
    found = find_other_values([case.label_set for case in dataset.cases])
    if found is None or labelling.task != "multiclass" or labelling.coded_by_colour or len(labelling.values) < 2:
        return dataset
    usual, _ = found
    names = dict(zip(labelling.values, labelling.classes, strict=True))
    values = (0, usual, *(value for value in labelling.values if value not in (0, usual)))
    classes = (names.get(0, "background"), "foreground")
    colours = labelling.colours[:2]
    return replace(
        dataset, labelling=replace(labelling, task="binary", classes=classes, values=values, colours=colours)
    )


def read_case(dataset: Dataset, examined: ExaminedCase) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return image (channels, height, width), labels (height, width) with 0 where ignored, and the ignored pixels."""
    image = dataset.read_image(examined.case).pixels
    labels = dataset.read_labels(examined.case)
    if not examined.steps:  # its size is that of the image
        labels = ignore_missing(labels, image, dataset.task)
    steps = steps_for_labels(dataset, examined.steps)
    labels, ignored = (change_labels(values, steps) for values in _without_ignored(dataset, labels))
    return filled(image), labels, ignored


def _without_ignored(dataset: Dataset, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return labels with 0 where they are ignored, and the ignored pixels; a binary mask has labels 0 and 1.

    Labels that fit in 8 bits are returned so: that takes a fraction of the time to compare.
    """
    if dataset.task == "instance":
        ignored = labels == IGNORE_OBJECT
    elif len(dataset.classes) <= IGNORE:
        labels = labels.astype(np.uint8)
        ignored = labels == IGNORE
    else:
        ignored = np.zeros(labels.shape, bool)
    labels = np.where(ignored, labels.dtype.type(0), labels) if ignored.any() else labels
    return np.minimum(labels, 1) if dataset.task == "binary" else labels, ignored


def observe_case(case: ObservedCase) -> Measures:
    """Measure a case, for a `CaseObserver`."""
    pixels = case.image.pixels
    if not case.labelled:
        return Measures(quality=measure_quality(pixels))
    image, (labels, ignored) = filled(pixels), _without_ignored(case.dataset, case.labels())
    known = case.decoded.digest if image is case.decoded.image.pixels else ""
    return _measure(case.dataset, image, labels, ignored, case.total, known)


def _measure(
    dataset: Dataset, image: np.ndarray, labels: np.ndarray, ignored: np.ndarray, total: int, image_digest: str = ""
) -> Measures:
    classes = class_count(dataset)
    foreground = np.minimum(labels, 1) if dataset.task == "instance" else labels
    known = foreground[~ignored] if ignored.any() else foreground
    content = MaskContent(
        digest=digest(labels.astype(np.uint8) if labels.max(initial=0) < 1 << 8 else labels),
        image_digest=image_digest or digest(image),
        counts=tuple(_count(known, classes).tolist()),
    )
    reduced = reduce_case(image, labels, classes, ignored, common_side(total, dataset.channels, classes))
    return Measures(quality=measure_quality(image), content=content, reduced=reduced)


def _count(labels: np.ndarray, classes: int) -> np.ndarray:
    return (
        byte_histogram(labels)[:classes] if labels.dtype == np.uint8 else np.bincount(labels.ravel(), minlength=classes)
    )


def measure_cases(
    dataset: Dataset, cases: Sequence[ExaminedCase], progress: Progress, observer: CaseObserver[Measures]
) -> list[Measures | PixelwiseError]:
    """Measure each case that `observer` has not measured; an error takes the place of a case that cannot be read."""
    known = observer.results(dataset)

    def measure(examined: ExaminedCase) -> Measures | PixelwiseError:
        found = known.get(examined.case.name) if not examined.steps else None
        try:
            if found is None and dataset.task == "classification":
                found = Measures(quality=measure_quality(dataset.read(examined.case).image))
            elif found is None:
                found = _measure(dataset, *read_case(dataset, examined), observer.total)
        except PixelwiseError as error:
            return error
        content = found.content
        return found if content is None else replace(found, content=replace(content, values=examined.case.label_set))

    return list(progress.track(parallel_map(measure, cases), "Comparing images and masks", len(cases)))


def with_steps(examined: ExaminedCase, *steps: Step) -> tuple[Step, ...]:
    """Return the steps of a case followed by others."""
    return (*examined.steps, *steps)


def pair_case(pair: Pair) -> Case:
    """Return a case for a pair that the data set left out."""
    return Case(
        name=pair.name,
        image=pair.image,
        channel_files=pair.channel_files,
        annotation=pair.annotation,
        split=pair.split or "train",
    )
