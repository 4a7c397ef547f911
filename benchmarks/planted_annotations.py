"""Plant annotation errors of single objects into copies of label images, to measure how well they are ranked.

The source is a folder with images/ and masks/ of numbered objects. Everything is a function of the seed. Masks are
written with Pillow, not with pixelwise.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("background", "small", "large")


@dataclass(frozen=True)
class PlantedError:
    """An object that was dropped, or given the other class; `box` is (top, left, bottom, right), ends excluded."""

    name: str
    kind: str
    box: tuple[int, int, int, int]


def plant(source: Path, folder: Path, *, layout: str, images: int, share: float, seed: int) -> list[PlantedError]:
    """Copy images with masks, of which a share of the objects is wrong.

    Parameters
    ----------
    source : Path
        With images/ and masks/.
    folder : Path
        The copy; new. It also gets planted.json.
    layout : {"objects", "classes"}
        Label images with dropped objects; or masks of the classes `CLASSES`, in which half of the wrong objects are
        dropped and half have the other class. Small objects are those below the median area of all.
    images : int
        Images that are copied, drawn at random.
    share : float
        Fraction of the objects that is wrong.
    seed : int
    """
    random = np.random.default_rng(seed)
    names = sorted(path.name for path in (source / "images").iterdir())
    names = sorted(random.permutation(names)[:images].tolist())
    masks = {name: _read(source / "masks" / name) for name in names}
    objects = [(name, number) for name in names for number in np.unique(masks[name]).tolist() if number]
    areas = {name: np.bincount(masks[name].ravel()) for name in names}
    median = float(np.median([areas[name][number] for name, number in objects]))
    chosen = random.permutation(len(objects))[: round(share * len(objects))].tolist()
    dropped = len(chosen) if layout == "objects" else len(chosen) // 2
    kinds = {objects[index]: "dropped" if place < dropped else "swapped" for place, index in enumerate(chosen)}
    planted: list[PlantedError] = []
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for name in names:
        shutil.copyfile(source / "images" / name, folder / "images" / name)
        mask, large = masks[name], areas[name] >= median
        wrong = {number: kind for (file, number), kind in kinds.items() if file == name}
        planted += [PlantedError(Path(name).stem, kind, _box(mask == number)) for number, kind in wrong.items()]
        table = np.arange(len(large)) if layout == "objects" else np.where(large, 2, 1)
        table[0] = 0
        for number, kind in wrong.items():
            table[number] = 0 if kind == "dropped" else 3 - table[number]
        values = table[mask].astype(np.uint16 if layout == "objects" else np.uint8)
        Image.fromarray(values).save(folder / "masks" / name)
    if layout == "classes":
        (folder / "classes.txt").write_text(
            "".join(f"{index} {name}\n" for index, name in enumerate(CLASSES)), encoding="utf-8"
        )
    record = {"objects": len(objects), "planted": [asdict(error) for error in planted]}
    (folder / "planted.json").write_text(json.dumps(record), encoding="utf-8")
    return planted


def read_planted(folder: Path) -> tuple[int, list[PlantedError]]:
    """Return the number of objects before, and the errors, of a folder that `plant` wrote."""
    record = json.loads((folder / "planted.json").read_text(encoding="utf-8"))
    errors = [PlantedError(one["name"], one["kind"], tuple(one["box"])) for one in record["planted"]]
    return record["objects"], errors


def _read(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.array(opened)


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
