"""Plant known faults into a copy of a data set, to measure how well `pixelwise doctor` finds them.

The source is a folder with images/ and masks/. Each fault concerns a case of its own. Everything is a function of the
seed. Images and masks are written with Pillow, not with pixelwise.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

TABLES = ("classes.txt", "dataset.json")
SHIFT = (0.06, 0.15)  # of the longer side
AGAIN = "again_"  # before the name of a copy
EMPTY = 0.05  # masks are made empty only if at most this fraction is
MAX_OVERLAP = 0.7  # intersection over union of the mask before and after: a fault that changes less is none
HARD = (
    "exchanged mask", "shifted mask", "flipped mask", "transposed mask", "rescaled mask", "inverted mask",
    "empty mask", "constant mask", "mask is the image", "copied mask", "wrong ending",
    "missing mask", "orphan mask", "unreadable file",
)  # fmt: skip
# 1 instead of 255 is planted too, but masks of both are read right, so it is no hard fault.
SOFT = ("other mask values", "duplicate image", "saturated image", "blank image", "out-of-focus image")


@dataclass
class Planted:
    """A set with faults: `faults` maps a file, relative to `folder`, to the kind of its fault."""

    folder: Path
    faults: dict[str, str] = field(default_factory=dict[str, str])


@dataclass
class _World:
    """The copy while faults are planted."""

    planted: Planted
    random: np.random.Generator
    free: list[str]  # names of cases without a fault, in random order
    images: dict[str, Path]
    masks: dict[str, Path]
    two_valued: bool
    emptied: bool  # 0 is a background, and hardly any mask is empty: one more is a fault that can be seen
    ignored: int | None

    def mark(self, path: Path, kind: str) -> None:
        """Note the fault of a file."""
        self.planted.faults[path.relative_to(self.planted.folder).as_posix()] = kind

    def take(self, fits: Callable[[np.ndarray], bool]) -> tuple[str, np.ndarray] | None:
        """Return the next free case whose mask fits, and no longer offer it."""
        for name in self.free:
            mask = read(self.masks[name])
            if fits(mask):
                self.free.remove(name)
                return name, mask
        return None


def read(path: Path) -> np.ndarray:
    """Return the samples of a file: palette masks as indices."""
    with Image.open(path) as opened:
        return np.array(opened)


def rewrite(path: Path, values: np.ndarray) -> None:
    """Replace the samples of a PNG, with its palette."""
    with Image.open(path) as opened:
        palette = opened.getpalette() if opened.mode == "P" else None
    made = Image.fromarray(np.ascontiguousarray(values))
    if palette is not None and values.ndim == 2:
        made.putpalette(palette)
    made.save(path)


def plant(
    source: Path, tables: Path, folder: Path, *, seed: int, per_kind: int, cases: int, limit: int, soft: bool = False
) -> Planted:
    """Copy a set and plant faults.

    Parameters
    ----------
    source : Path
        With images/ and masks/.
    tables : Path
        Folder of classes.txt and dataset.json, if any.
    folder : Path
        The copy; new.
    seed : int
    per_kind : int
        Faults of each kind, as far as there are suitable cases.
    cases : int
        Cases that are copied, drawn at random, if there are more.
    limit : int
        Faults in all; the kinds take turns in random order.
    soft : bool
        Plant faults of images too.
    """
    random = np.random.default_rng(seed)
    images = {path.stem: path for path in sorted((source / "images").iterdir())}
    masks = {path.stem: path for path in sorted((source / "masks").iterdir())}
    names = sorted(random.permutation(sorted(images))[:cases].tolist())
    for part, files in (("images", images), ("masks", masks)):
        (folder / part).mkdir(parents=True)
        for name in names:
            files[name] = Path(shutil.copyfile(files[name], folder / part / files[name].name))
    for name in TABLES:
        if (tables / name).is_file():
            shutil.copyfile(tables / name, folder / name)
    values = set().union(*(np.unique(read(masks[name])).tolist() for name in names))
    order = random.permutation(names).tolist()
    table = (
        json.loads((tables / "dataset.json").read_text(encoding="utf-8")) if (tables / "dataset.json").is_file() else {}
    )
    names_table = (
        (tables / "classes.txt").read_text(encoding="utf-8") if (tables / "classes.txt").is_file() else "0 background"
    )
    background = "background" in names_table.splitlines()[0] or table.get("task") in ("binary", "instance")
    world = _World(
        planted=Planted(folder),
        random=random,
        free=order,
        images=images,
        masks=masks,
        two_valued=values <= {0, 255} or values <= {0, 1},
        emptied=background and sum(not drawn(read(masks[name])) for name in names) <= EMPTY * len(names),
        ignored=table.get("ignore_index"),
    )
    kinds = random.permutation([*HARD, *(SOFT if soft else ())]).tolist() * per_kind
    for kind in kinds:
        if len(world.planted.faults) < limit:
            _PLANTERS[kind](world, kind)
    return world.planted


def compare(
    planted: Planted, findings: Sequence[dict[str, Any]], *, soft: bool
) -> tuple[set[str], list[dict[str, Any]]]:
    """Return the planted files that a finding of their kind names, and the false findings; findings are JSON objects.

    Hard kinds count if the finding is hard; without `soft` only hard kinds do.
    """
    found, false = set[str](), list[dict[str, Any]]()
    for finding in findings:
        kind = finding["kind"]
        if kind not in (*HARD, *(SOFT if soft else ())) or (kind in HARD and finding["severity"] != "hard"):
            continue
        files = {file.replace(AGAIN, "") for file in finding["files"]}  # of two equal images either is the copy
        names = {file for file in files if planted.faults.get(file) == kind}
        found |= names
        false += [] if names else [finding]
    return found, false


def drawn(mask: np.ndarray) -> bool:
    """Whether a mask has more than one value."""
    return bool((mask != mask.flat[0]).any())


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Return the intersection over union of two masks: equal foreground, or equal pixels where 0 is no background."""
    if one.shape != other.shape:
        return 0.0
    background = np.bincount(one.ravel()).argmax()
    either = (one != background) | (other != background)
    return float(((one == other) & either).sum() / max(int(either.sum()), 1))


def _change(world: _World, kind: str, change: Callable[[np.ndarray], np.ndarray]) -> bool:
    """Change a mask by a function, unless that hardly changes it."""
    taken = world.take(lambda mask: drawn(mask) and overlap(mask, change(mask)) < MAX_OVERLAP)
    if taken is None:
        return False
    name, mask = taken
    rewrite(world.masks[name], change(mask))
    world.mark(world.masks[name], kind)
    return True


def _exchange(world: _World, kind: str) -> bool:
    first = world.take(drawn)
    if first is None:
        return False
    name, mask = first
    second = world.take(lambda other: drawn(other) and other.shape == mask.shape and overlap(other, mask) < MAX_OVERLAP)
    if second is None:
        return False
    rewrite(world.masks[name], second[1])
    rewrite(world.masks[second[0]], mask)
    world.mark(world.masks[name], kind)
    world.mark(world.masks[second[0]], kind)
    return True


def _shift(world: _World, kind: str) -> bool:
    share, angle = world.random.uniform(*SHIFT), world.random.uniform(0, 2 * np.pi)

    def change(mask: np.ndarray) -> np.ndarray:
        rows, columns = (round(share * max(mask.shape) * f(angle)) for f in (np.sin, np.cos))
        moved = np.zeros_like(mask)
        height, width = mask.shape[:2]
        moved[max(rows, 0) : height + min(rows, 0), max(columns, 0) : width + min(columns, 0)] = mask[
            max(-rows, 0) : height + min(-rows, 0), max(-columns, 0) : width + min(-columns, 0)
        ]
        return moved

    return _change(world, kind, change)


def _flip(world: _World, kind: str) -> bool:
    flips: list[Callable[[np.ndarray], np.ndarray]] = [np.fliplr, np.flipud, lambda mask: mask[::-1, ::-1]]
    return _change(world, kind, flips[world.random.integers(3)])


def _transpose(world: _World, kind: str) -> bool:
    return _change(world, kind, lambda mask: mask.T if mask.ndim == 2 else mask.swapaxes(0, 1))


def _rescale(world: _World, kind: str) -> bool:
    step = int(world.random.integers(2, 4))
    return _change(world, kind, lambda mask: mask[::step, ::step])


def _invert(world: _World, kind: str) -> bool:
    return world.two_valued and _change(world, kind, lambda mask: mask.max() - mask)


def _recode(world: _World, kind: str) -> bool:
    taken = world.take(drawn) if world.two_valued else None
    if taken is None:
        return False
    name, mask = taken
    rewrite(world.masks[name], np.where(mask > 0, 1 if mask.max() == 255 else 255, 0).astype(np.uint8))
    world.mark(world.masks[name], kind)
    return True


def _empty(world: _World, kind: str) -> bool:
    return world.emptied and _change(world, kind, np.zeros_like)


def _fill(world: _World, kind: str) -> bool:
    def change(mask: np.ndarray) -> np.ndarray:
        return np.full_like(mask, max(value for value in np.unique(mask).tolist() if value != world.ignored))

    return _change(world, kind, change)


def _copy_image(world: _World, kind: str) -> bool:
    taken = world.take(drawn)
    if taken is None:
        return False
    path = world.masks[taken[0]]
    Image.fromarray(read(world.images[taken[0]])).save(path)
    world.mark(path, kind)
    return True


def _copy_mask(world: _World, kind: str) -> bool:
    taken = world.take(drawn)
    if taken is None:
        return False
    name, mask = taken
    for other in world.free:
        found = read(world.masks[other])
        if drawn(found) and found.shape == mask.shape and overlap(found, mask) < MAX_OVERLAP:
            world.free.remove(other)  # its own mask stays as it is
            rewrite(world.masks[name], found)
            world.mark(world.masks[name], kind)
            return True
    return False


def _rename(world: _World, kind: str) -> bool:
    taken = world.take(lambda mask: True)
    if taken is None:
        return False
    path = world.images[taken[0]]
    other = ".jpg" if path.suffix == ".png" else ".png"
    world.images[taken[0]] = path.rename(path.with_suffix(other))
    world.mark(world.images[taken[0]], kind)
    return True


def _remove(world: _World, kind: str) -> bool:
    taken = world.take(lambda mask: True)
    if taken is None:
        return False
    image, mask = world.images[taken[0]], world.masks[taken[0]]
    gone, left = (mask, image) if kind == "missing mask" else (image, mask)
    gone.unlink()
    world.mark(left, kind)
    return True


def _damage(world: _World, kind: str) -> bool:
    taken = world.take(lambda mask: True)
    if taken is None:
        return False
    path = world.images[taken[0]] if world.random.random() < 0.5 else world.masks[taken[0]]
    content = path.read_bytes()
    middle = len(content) // 2
    cut = world.random.random() < 0.5
    path.write_bytes(content[:middle] if cut else bytes(64) + content[64:])
    world.mark(path, kind)
    return True


def _duplicate(world: _World, kind: str) -> bool:
    taken = world.take(drawn)
    if taken is None:
        return False
    for files in (world.images, world.masks):
        path = files[taken[0]]
        shutil.copyfile(path, path.with_name(AGAIN + path.name))
    world.mark(world.images[taken[0]], kind)
    return True


def _spoil(world: _World, kind: str) -> bool:
    from scipy import ndimage

    taken = world.take(lambda mask: True)
    if taken is None:
        return False
    path = world.images[taken[0]]
    pixels = read(path)
    if kind == "blank image":
        pixels = np.full_like(pixels, int(pixels.mean()))
    elif kind == "saturated image":
        pixels = np.clip(pixels.astype(float) * (255 / max(float(np.median(pixels)), 1)), 0, 255).astype(pixels.dtype)
    else:
        sigma = (4.0, 4.0, 0.0)[: pixels.ndim]
        pixels = ndimage.gaussian_filter(pixels.astype(float), sigma).astype(pixels.dtype)
    path.unlink()
    Image.fromarray(pixels).save(path.with_suffix(".png"))
    world.mark(path.with_suffix(".png"), kind)
    return True


_PLANTERS: dict[str, Callable[[_World, str], bool]] = {
    "exchanged mask": _exchange,
    "shifted mask": _shift,
    "flipped mask": _flip,
    "transposed mask": _transpose,
    "rescaled mask": _rescale,
    "inverted mask": _invert,
    "empty mask": _empty,
    "constant mask": _fill,
    "mask is the image": _copy_image,
    "copied mask": _copy_mask,
    "other mask values": _recode,
    "wrong ending": _rename,
    "missing mask": _remove,
    "orphan mask": _remove,
    "unreadable file": _damage,
    "duplicate image": _duplicate,
    **dict.fromkeys(("saturated image", "blank image", "out-of-focus image"), _spoil),
}
