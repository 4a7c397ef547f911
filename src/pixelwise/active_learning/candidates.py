"""Ranking of unlabelled images by query by committee (BALD) and core-set selection."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.datasets.dataset import find_images, find_unlabelled_images, read_pixels
from pixelwise.datasets.examples import Dataset
from pixelwise.datasets.images.features import image_features
from pixelwise.datasets.images.missing_pixels import filled
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.splitting.subsets import spread_order
from pixelwise.errors import BadImage, PixelwiseError
from pixelwise.geometry.grid import Grid, millimetres_of
from pixelwise.inference.segmentation_model import SegmentationModel
from pixelwise.labels.regions import class_probabilities
from pixelwise.metrics.acquisition import CommitteeVotes, Selection, select_core_set
from pixelwise.model_file.model_card import ModelCard
from pixelwise.progress import Progress
from pixelwise.text import pluralise

MAX_SIDE = {2: 1024, 3: 128}  # pixels, or voxels, of the central crop that is predicted
MAX_CANDIDATES = 2000
MAX_LABELLED = 300  # labelled images in the core-set distances
MIN_CANDIDATES = 20  # regardless of the time limit


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A ranked unlabelled image.

    Attributes
    ----------
    rank : int
        From 1.
    mutual_information : float
        BALD: mutual information between prediction and committee member, in bits, mean over the pixels.
    uncertainty : float
        Probability that the class predicted by the ensemble is wrong, mean over the pixels.
    distance : float
        Feature distance to the nearest image that is labelled or ranked higher: 1 is far, 0 a copy.
    """

    rank: int
    image: Path
    mutual_information: float
    uncertainty: float
    distance: float
    why: str

    def to_json(self) -> dict[str, Any]:
        """Return one JSON-ready object."""
        scores = {
            name: round(float(getattr(self, name)), 6) for name in ("mutual_information", "uncertainty", "distance")
        }
        return {"rank": self.rank, "image": str(self.image), **scores, "why": self.why}


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Candidates in labelling order, the number of unlabelled images, and unreadable files with their errors."""

    candidates: tuple[Candidate, ...] = ()
    found: int = 0
    failed: tuple[tuple[Path, str], ...] = ()


@dataclass(frozen=True)
class _ScoredImage:
    path: Path
    features: np.ndarray
    mutual_information: float
    uncertainty: float


@dataclass(frozen=True)
class CandidateView:
    """An unlabelled image: pixels (channels, *size) without missing values, and the grid of a volume."""

    pixels: np.ndarray
    grid: Grid | None

    @property
    def crop(self) -> np.ndarray:
        """The pixels that are predicted."""
        return central_crop(self.pixels)

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """Millimetres along each axis of a volume; None if they are unknown."""
        return millimetres_of(self.grid)


def find_candidates(dataset: Dataset, options: DataOptions, folder: Path | None) -> list[Path]:
    """Return the images without a mask: those of the data set, then those of `folder`, without duplicates.

    Raises
    ------
    BadDataset
        `folder` contains no image.
    """
    labelled = {case.image.resolve() for case in dataset.cases}
    paths = [*find_unlabelled_images(dataset.root, options), *(find_images(folder) if folder is not None else ())]
    first = {path.resolve(): path for path in reversed(paths)}
    return [path for path in paths if first[path.resolve()] is path and path.resolve() not in labelled]


def rank(
    committee: Sequence[SegmentationModel],
    paths: Sequence[Path],
    dataset: Dataset,
    *,
    seconds: float | None,
    seed: int,
    progress: Progress,
) -> Ranking:
    """Rank unlabelled images by committee disagreement (BALD) weighted by core-set distance.

    Parameters
    ----------
    committee : sequence of SegmentationModel
        Networks trained on different subsets of the data.
    dataset : Dataset
        Its labelled cases, except those of a test split, count as known. The images of `paths` are read like its own.
    seconds : float or None
        Time limit, after at least `MIN_CANDIDATES` images; the images are evaluated in random order.
    """
    if not paths:
        return Ranking()
    order = np.random.default_rng(seed).permutation(len(paths))[:MAX_CANDIDATES]
    drawn = [paths[index] for index in order.tolist()]
    images: list[_ScoredImage] = []
    failed: list[tuple[Path, str]] = []
    started = time.monotonic()
    with progress.bar("evaluating unlabelled images", len(drawn)) as advance:
        for path in drawn:
            if seconds is not None and len(images) >= MIN_CANDIDATES and time.monotonic() - started > seconds:
                break
            try:
                images.append(_score_image(committee, path, dataset.pages))
            except BadImage as error:
                failed.append((path, str(error)))
                progress.message(f"Skipped: {error}")
            advance(1, path.name)
    if not images:
        return Ranking(found=len(paths), failed=tuple(failed))
    disagreements = np.array([image.mutual_information for image in images], np.float64)
    features = np.stack([image.features for image in images])
    labelled_features = _labelled_features(committee[0], dataset, features.shape[1])
    selections = select_core_set(disagreements, features, labelled_features)
    candidates = tuple(
        _candidate(number, selection, images, disagreements) for number, selection in enumerate(selections, 1)
    )
    return Ranking(candidates=candidates, found=len(paths), failed=tuple(failed))


def committee_votes(committee: Sequence[SegmentationModel], view: CandidateView) -> CommitteeVotes:
    """Return the class probabilities of all committee members for the crop."""
    votes = CommitteeVotes()
    for model in committee:
        probabilities = model.predict_pixels(view.crop, probabilities=True, spacing=view.spacing).probabilities
        if probabilities is None:
            raise ValueError("no probabilities to compare")
        votes.add(class_probabilities(probabilities, model.model_card.target))
    return votes


def central_crop(pixels: np.ndarray) -> np.ndarray:
    """Return the centre of an image or a volume, at most `MAX_SIDE` pixels a side."""
    most = MAX_SIDE[pixels.ndim - 1]
    starts = [max(0, (side - most) // 2) for side in pixels.shape[1:]]
    return pixels[(slice(None), *(slice(start, start + most) for start in starts))]


def read_candidate(path: Path, model_card: ModelCard, pages: int | None) -> CandidateView:
    """Read an unlabelled image or volume as the committee sees it.

    Raises
    ------
    BadImage
        As in `read_pixels`.
    """
    dimensions = model_card.network.dimensions
    image = read_pixels(path, model_card.channels, pages, model_card.reading, dimensions=dimensions)
    return CandidateView(filled(image.pixels), image.grid)


def _score_image(committee: Sequence[SegmentationModel], path: Path, pages: int | None) -> _ScoredImage:
    model_card = committee[0].model_card
    view = read_candidate(path, model_card, pages)
    votes = committee_votes(committee, view)
    uncertainty = 1 - float(votes.mean().max(0).mean(dtype=np.float64))
    mutual_information = float(votes.mutual_information().mean(dtype=np.float64))
    features = image_features(view.pixels, model_card.intensity_range)
    return _ScoredImage(path, features, mutual_information, uncertainty)


def _labelled_features(model: SegmentationModel, dataset: Dataset, count: int) -> np.ndarray:
    """Return the features of labelled images (images, `count`); unreadable ones are skipped."""
    features: list[np.ndarray] = []
    dataset = dataset.with_channels(model.model_card.channels)
    labelled = [case for case in dataset.cases if case.labelled and case.split != "test"]
    for case in spread_order(labelled)[:MAX_LABELLED]:
        try:
            pixels = filled(dataset.read_image(case).pixels)
        except PixelwiseError:
            continue
        features.append(image_features(pixels, model.model_card.intensity_range))
    return np.stack(features) if features else np.zeros((0, count))


def _candidate(rank: int, selection: Selection, images: Sequence[_ScoredImage], disagreements: np.ndarray) -> Candidate:
    image = images[selection.index]
    return Candidate(
        rank=rank,
        image=image.path,
        mutual_information=image.mutual_information,
        uncertainty=image.uncertainty,
        distance=selection.distance,
        why="; ".join(
            (_describe_disagreement(image.mutual_information, disagreements), _describe_distance(selection, images))
        ),
    )


def _describe_disagreement(value: float, values: np.ndarray) -> str:
    others = len(values) - 1
    if not others:
        return "the only image evaluated"
    below = int((values < value).sum())
    if below == others:
        return f"highest disagreement among {pluralise(len(values), 'image')}"
    return f"disagreement higher than for {below / others:.0%} of the other images"


def _describe_distance(selection: Selection, images: Sequence[_ScoredImage]) -> str:
    if selection.distance >= 1:
        return "unlike all labelled or higher-ranked images"
    other = (
        "a labelled image" if selection.nearest is None else f"the higher-ranked {images[selection.nearest].path.name}"
    )
    if selection.distance < 0.02:
        return f"almost identical to {other}"
    return f"{'very' if selection.distance < 0.5 else 'somewhat'} similar to {other}"
