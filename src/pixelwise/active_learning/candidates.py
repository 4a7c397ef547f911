"""Candidates: unlabelled images, and which of them to label next."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.datasets.dataset import Case, find_images, read_pixels
from pixelwise.datasets.folder_layout import find_unlabelled
from pixelwise.datasets.image_features import image_features
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.records import Dataset
from pixelwise.datasets.subsets import spread
from pixelwise.errors import BadImage, PixelwiseError
from pixelwise.inference.segmentation_model import Model
from pixelwise.labels.targets import class_channels
from pixelwise.metrics.acquisition import CommitteeVotes, Selection, select_core_set
from pixelwise.progress import Progress
from pixelwise.text import pluralise

SIDE = 1024  # pixels: of larger images the middle is looked at
MOST = 2000  # images that are looked at
KNOWN = 300  # labelled images that the others are compared with
FEWEST = 20  # images that are looked at whatever the time


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An unlabelled image in the order of labelling.

    Attributes
    ----------
    rank : int
        From 1.
    image : Path
    disagreement : float
        Mean over the pixels of the mutual information between answer and network, in bits.
    uncertainty : float
        Mean over the pixels of the probability that what the networks decide together is wrong.
    distance : float
        To the nearest image that is labelled or ranks higher: 1 is far, 0 a copy.
    why : str
    """

    rank: int
    image: Path
    disagreement: float
    uncertainty: float
    distance: float
    why: str

    def to_json(self) -> dict[str, Any]:
        """Return one JSON-ready object."""
        numbers = {name: round(float(getattr(self, name)), 6) for name in ("disagreement", "uncertainty", "distance")}
        return {"rank": self.rank, "image": str(self.image), **numbers, "why": self.why}


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Candidates, the best first; how many images there are; those that could not be read, each with the reason."""

    candidates: tuple[Candidate, ...] = ()
    found: int = 0
    failed: tuple[tuple[Path, str], ...] = ()


@dataclass(frozen=True)
class _Seen:
    path: Path
    look: np.ndarray
    disagreement: float
    uncertainty: float


def find_candidates(dataset: Dataset, options: DataOptions, folder: Path | None) -> list[Path]:
    """List the images without a mask: those of the data set, then those of another folder, each file once.

    Raises
    ------
    BadDataset
        There is no image in `folder`.
    """
    labelled = {case.image.resolve() for case in dataset.cases}
    found = [*find_unlabelled(dataset.root, options), *(find_images(folder) if folder is not None else ())]
    kept = {path.resolve(): path for path in reversed(found)}
    return [path for path in found if kept[path.resolve()] is path and path.resolve() not in labelled]


def rank(
    committee: Sequence[Model],
    paths: Sequence[Path],
    known: Sequence[Case],
    pages: int | None,
    *,
    seconds: float | None,
    seed: int,
    progress: Progress,
) -> Ranking:
    """Put unlabelled images in the order in which to label them.

    Parameters
    ----------
    committee : sequence of Model
        Networks that learned from different parts of the data.
    paths : sequence of Path
    known : sequence of Case
        Labelled images.
    pages : int or None
        How pages of images are read.
    seconds : float or None
        Stop looking after so long, with `FEWEST` images at least; the images are looked at in a random order.
    seed : int
    progress : Progress

    Returns
    -------
    Ranking
        Of the images that were looked at.
    """
    if not paths:
        return Ranking()
    drawn = [paths[place] for place in np.random.default_rng(seed).permutation(len(paths))[:MOST].tolist()]
    seen: list[_Seen] = []
    failed: list[tuple[Path, str]] = []
    began = time.monotonic()
    with progress.bar("looking at unlabelled images", len(drawn)) as advance:
        for path in drawn:
            if seconds is not None and len(seen) >= FEWEST and time.monotonic() - began > seconds:
                break
            try:
                seen.append(_look(committee, path, pages))
            except BadImage as error:
                failed.append((path, str(error)))
                progress.message(f"Left out: {error}")
            advance(1, path.name)
    if not seen:
        return Ranking(found=len(paths), failed=tuple(failed))
    values = np.array([one.disagreement for one in seen], np.float64)
    looks = np.stack([one.look for one in seen])
    picks = select_core_set(values, looks, _known_looks(committee[0], known, pages, looks.shape[1]))
    candidates = tuple(_candidate(number, pick, seen, values) for number, pick in enumerate(picks, 1))
    return Ranking(candidates=candidates, found=len(paths), failed=tuple(failed))


def ask(committee: Sequence[Model], pixels: np.ndarray) -> CommitteeVotes:
    """Return what all networks say of an image, of the classes that they learned."""
    poll = CommitteeVotes()
    for model in committee:
        probabilities = model.predict_pixels(pixels, probabilities=True).probabilities
        if probabilities is None:
            raise ValueError("no probabilities to compare")
        poll.add(probabilities[: class_channels(model.model_card.target, len(probabilities))])
    return poll


def middle(pixels: np.ndarray) -> np.ndarray:
    """Return the middle of an image, at most `SIDE` pixels a side."""
    starts = [max(0, (side - SIDE) // 2) for side in pixels.shape[1:]]
    rows, columns = (slice(start, start + SIDE) for start in starts)
    return pixels[:, rows, columns]


def _look(committee: Sequence[Model], path: Path, pages: int | None) -> _Seen:
    model_card = committee[0].model_card
    pixels = read_pixels(path, model_card.channels, pages).pixels
    part = middle(pixels)
    poll = ask(committee, part)
    unsure = 1 - float(poll.mean().max(0).mean(dtype=np.float64))
    apart = float(poll.disagreement().mean(dtype=np.float64))
    return _Seen(path, image_features(pixels, model_card.intensity_range), apart, unsure)


def _known_looks(model: Model, known: Sequence[Case], pages: int | None, numbers: int) -> np.ndarray:
    """Return what labelled images look like; those that cannot be read any more are left out."""
    looks: list[np.ndarray] = []
    for case in spread(known)[:KNOWN]:
        try:
            pixels = read_pixels(case.image, model.model_card.channels, pages).pixels
        except PixelwiseError:
            continue
        looks.append(image_features(pixels, model.model_card.intensity_range))
    return np.stack(looks) if looks else np.zeros((0, numbers))


def _candidate(number: int, pick: Selection, seen: Sequence[_Seen], values: np.ndarray) -> Candidate:
    one = seen[pick.index]
    return Candidate(
        rank=number,
        image=one.path,
        disagreement=one.disagreement,
        uncertainty=one.uncertainty,
        distance=pick.distance,
        why=f"{_describe_value(one.disagreement, values)}; {_describe_distance(pick, seen)}",
    )


def _describe_value(value: float, values: np.ndarray) -> str:
    others = len(values) - 1
    if not others:
        return "the only one that was looked at"
    below = int((values < value).sum())
    if below == others:
        return f"the trainings disagree most here, of {pluralise(len(values), 'image')}"
    return f"the trainings disagree more than in {below / others:.0%} of the other images"


def _describe_distance(pick: Selection, seen: Sequence[_Seen]) -> str:
    if pick.distance >= 1:
        return "unlike all that are labelled or rank higher"
    other = "a labelled image" if pick.nearest is None else f"{seen[pick.nearest].path.name}, which ranks higher"
    if pick.distance < 0.02:
        return f"looks the same as {other}"
    return f"looks {'much' if pick.distance < 0.5 else 'somewhat'} like {other}"
