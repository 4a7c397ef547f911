"""The tiles of a streamed image: measured, computed, and turned into what is stored, while others are read."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Integer

from pixelwise.inference.pipeline import BackgroundWriter, prefetch
from pixelwise.inference.predictor import Predictor
from pixelwise.inference.streaming.instances import pack
from pixelwise.inference.tile_reading import Job, ReadTile
from pixelwise.labels.instances import class_of, foreground_of, most_probable_class, seeds_of
from pixelwise.labels.targets import TargetOptions, most_probable_wins, probabilities_of, splits_regions
from pixelwise.progress import Progress
from pixelwise.runtimes.malloc import release_memory
from pixelwise.runtimes.statistics import statistics_from_json, statistics_to_json
from pixelwise.text import pluralise

DEPTH = 2  # length of the queues between reader, network and writer


@runtime_checkable
class Notes(Protocol):
    """What was measured of an image, in the journal of its tiles."""

    @property
    def notes(self) -> Mapping[str, Any]:
        """The notes by name."""
        ...

    def note(self, name: str, value: Any, /) -> None:
        """Write a note."""
        ...


def choose_exact(predictor: Predictor, size: tuple[int, ...], memory: int) -> Predictor:
    """Return the predictor for an image that is not in memory, with exact tiles if they do not cost too much."""
    exact = predictor.exact_for(size, memory)
    return exact if exact.needs_statistics or exact.geometry.exact else predictor.without_statistics()


def with_measured_statistics(predictor: Predictor, job: Job, tiles: Notes, progress: Progress) -> Predictor:
    """Return the predictor with the statistics of an image, from the journal or from passes over the image."""
    if not predictor.needs_statistics:
        return predictor
    stored = tiles.notes.get("statistics")
    if stored is not None:
        return predictor.with_statistics(statistics_from_json(stored))
    with progress.bar("measuring statistics", predictor.count_passes(job.source.shape[1:])) as advance:
        statistics = predictor.measure(job, advance)
    tiles.note("statistics", statistics_to_json(statistics))
    return predictor.with_statistics(statistics)


def decider(
    target: TargetOptions,
) -> tuple[Literal["uint8", "uint16"], Callable[[Float[np.ndarray, " classes *size"]], Integer[np.ndarray, "*size"]]]:
    """Return the type of the stored tiles, and the function that computes them from logits."""
    if most_probable_wins(target):
        return "uint8", most_probable_class
    if target.kind == "classes" and not splits_regions(target):
        return "uint8", lambda logits: class_of(probabilities_of(logits, target), target)
    if target.kind == "components":
        return "uint8", lambda logits: foreground_of(probabilities_of(logits, target), target).astype(np.uint8)
    return "uint16", lambda logits: pack(*seeds_of(probabilities_of(logits, target), target))


def compute_windows(
    predictor: Predictor,
    job: Job,
    write: Callable[[Any, np.ndarray], None],
    decide: Callable[[np.ndarray], np.ndarray],
    progress: Progress,
    resumed: int,
    watch: Callable[[Any, np.ndarray], object] = lambda window, logits: None,
) -> int:
    """Predict the missing tiles, with threads for reading and for compressing and writing; return their number.

    Parameters
    ----------
    write : callable
        (window, numbers) in the order of computation, called in a thread of its own.
    decide : callable
        Logits -> numbers.
    resumed : int
        Number of tiles that are done.
    watch : callable
        Receives (window, logits) of each computed tile.
    """
    count = predictor.count(job.source.shape[1:])
    if resumed:
        progress.message(f"Resumed: {resumed:,} of {pluralise(count, 'tile')} already done.")
    computed = 0

    def put(item: tuple[Any, np.ndarray]) -> None:
        write(*item)

    with (
        closing(prefetch(predictor.read_tiles([job]), DEPTH)) as read,
        BackgroundWriter(put, DEPTH) as writer,
        progress.bar("predicting", count) as advance,
    ):
        advance(resumed, "")
        for _, window in predictor.compute(predictor.make_batches(_release_on_resize(read))):
            writer.put((window.write, decide(window.logits)))
            watch(window.write, window.logits)
            computed += 1
            advance(1, "")
    return computed


@dataclass
class _Kept:
    """The shape of the tiles that the blocks fit which the allocator of this process keeps."""

    shape: tuple[int, ...] | None = None


_kept = _Kept()


def _release_on_resize(tiles: Iterable[ReadTile]) -> Iterator[ReadTile]:
    """Yield tiles; release the memory that the allocator keeps whenever their size changes, also between two calls."""
    for tile in tiles:
        if tile.window.shape != _kept.shape:
            release_memory()
            _kept.shape = tile.window.shape
        yield tile
