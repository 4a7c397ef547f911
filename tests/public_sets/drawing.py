"""Draw imitations of public data sets: small scenes, saved under the names and in the values of each set."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from drawn import save

SIZE = (40, 56)  # rows, columns
Coding = dict[int, int] | dict[int, tuple[int, int, int]]


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a person reads in a set.

    Attributes
    ----------
    task : str
    labels : dict
        Class numbers or object numbers by the path of the image; -1 is ignored. Empty for classes of whole images.
    names : tuple of str
        Class names that must be found; empty if the set has none.
    splits : dict
        Number of images of each given split; empty if there is none.
    options : dict
        What the set has to be told, because it is ambiguous.
    """

    task: str
    labels: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    names: tuple[str, ...] = ()
    splits: dict[str, int] = field(default_factory=dict[str, int])
    options: dict[str, object] = field(default_factory=dict[str, object])


Draw = Callable[[Path], Truth]


def areas(seed: int, kinds: int = 1) -> np.ndarray:
    """Classes 1 ... `kinds` as two discs each, on 0."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    drawn = np.zeros(SIZE, np.int64)
    for kind in [*range(1, kinds + 1)] * 2:
        centre = rng.integers(6, SIZE[0] - 6), rng.integers(6, SIZE[1] - 6)
        drawn[(rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < rng.integers(9, 30)] = kind
    for kind in range(1, kinds + 1):  # every class in every image
        drawn[2 : 2 + kind, 3 * kind : 3 * kind + 2] = kind
    return drawn


def cells(seed: int, count: int = 0) -> np.ndarray:
    """Objects 1 ... n of one region each, apart from one another."""
    rng = np.random.default_rng(seed)
    drawn = np.zeros(SIZE, np.int64)
    places = rng.permutation(12)[: count or 4 + seed % 4]
    for number, place in enumerate(places, 1):
        row, column = 13 * (place // 4), 14 * (place % 4)
        height, width = rng.integers(5, 10, 2)
        drawn[row + 1 : row + 1 + height, column + 1 : column + 1 + width] = number
    return drawn


def picture(labels: np.ndarray, seed: int, channels: int = 3) -> np.ndarray:
    """A textured image in which labelled pixels are brighter."""
    rng = np.random.default_rng(1000 + seed)
    size = (*labels.shape, channels) if channels > 1 else labels.shape
    light = 50 * (labels > 0) + 12 * (labels % 5)
    light = light[..., None] if channels > 1 else light
    return np.clip(rng.integers(20, 110, size) + light, 0, 255).astype(np.uint8)


def code(labels: np.ndarray, coding: Coding, dtype: type = np.uint8) -> np.ndarray:
    """Labels in the values or colours of a set."""
    values = np.array([coding[label] for label in range(len(coding))], dtype)
    return values[labels]


def binary(value: int = 255) -> dict[int, int]:
    """0 and one value."""
    return {0: 0, 1: value}


def gray_as_rgb(value: int = 255) -> dict[int, tuple[int, int, int]]:
    """Black and one gray value as RGB."""
    return {0: (0, 0, 0), 1: (value, value, value)}


def numbers(kinds: int) -> dict[int, int]:
    """Classes as they are numbered."""
    return {kind: kind for kind in range(kinds + 1)}


def paired(
    *patterns: tuple[str, str | None],
    coding: Coding | None = None,
    kinds: int = 1,
    count: int = 4,
    channels: int = 3,
    dtype: type = np.uint8,
    labels: Sequence[int] = (),
    extra: Callable[[Path], None] | None = None,
    start: int = 1,
    **truth: object,
) -> Draw:
    """A set of images and masks under pairs of patterns, in which {} or {:03} is the number of the image.

    `labels` are what the drawn classes are read as, by default themselves.
    """
    coding = coding or binary()

    def draw(folder: Path) -> Truth:
        found: dict[str, np.ndarray] = {}
        for place, (image, mask) in enumerate(patterns):
            for index in range(start, start + count):
                seed = 100 * place + index
                drawn = areas(seed, kinds)
                name = image.format(index)
                save(folder / name, picture(drawn, seed, channels))
                if mask is not None:
                    save(folder / mask.format(index), code(drawn, coding, dtype))
                    found[name] = np.array(labels)[drawn] if labels else drawn
        if extra is not None:
            extra(folder)
        task = "binary" if kinds == 1 else "multiclass"
        return Truth(labels=found, **{"task": task, **truth})

    return draw


def objects(
    image: str, mask: str, count: int = 5, channels: int = 1, dtype: type = np.uint16, extra: Draw | None = None
) -> Draw:
    """A set of images and label images."""

    def draw(folder: Path) -> Truth:
        found: dict[str, np.ndarray] = {}
        for index in range(1, count + 1):
            drawn = cells(index)
            save(folder / image.format(index), picture(drawn > 0, index, channels))
            save(folder / mask.format(index), drawn.astype(dtype))
            found[image.format(index)] = drawn
        if extra is not None:
            extra(folder)
        return Truth(task="instance", labels=found)

    return draw


def text(path: str, content: str) -> Callable[[Path], None]:
    """Write a text file."""

    def write(folder: Path) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content, encoding="utf-8")

    return write


def together(*parts: Callable[[Path], None]) -> Callable[[Path], None]:
    """Write several things."""

    def write(folder: Path) -> None:
        for part in parts:
            part(folder)

    return write


def pictures(pattern: str, count: int = 4, channels: int = 3, first: int = 1) -> Callable[[Path], None]:
    """Write further pictures that belong to no mask."""

    def write(folder: Path) -> None:
        for index in range(first, first + count):
            save(folder / pattern.format(index), picture(areas(500 + index), 500 + index, channels))

    return write
