"""Networks trained with folds on masks with planted errors: the errors come first in the ranking."""

from pathlib import Path

import numpy as np
import pytest

from drawn import save
from pixelwise.datasets.dataset import scan_dataset
from pixelwise.progress import Progress
from pixelwise.workflow.annotation_errors.ranking import rank_annotation_errors
from pixelwise.workflow.train import train

IMAGES, DISCS = 20, 6
WRONG = {3: "dropped", 40: "swapped", 58: "dropped", 77: "swapped", 91: "dropped", 110: "swapped"}  # 5 % of the discs
SMALL = (
    "network.base=8", "network.depth=2", "patches.height=48", "patches.width=48", "patches.batch=4",
    "training.precision=float32",
)  # fmt: skip
Place = tuple[str, int, int]


def write_data(folder: Path) -> list[Place]:
    """Bright and dim discs are two classes; return image and centre of those whose annotation is wrong."""
    rows, columns = np.mgrid[:64, :96]
    places: list[Place] = []
    for number in range(IMAGES):
        random = np.random.default_rng(number)
        image, mask = random.normal(40, 8, rows.shape), np.zeros(rows.shape, np.uint8)
        for index in range(DISCS):
            row, column = 16 + 32 * (index // 3), 16 + 32 * (index % 3)
            disc = (rows - row) ** 2 + (columns - column) ** 2 < random.integers(40, 90)
            kind = int(random.integers(1, 3))
            image[disc] += 60 * kind
            fault = WRONG.get(DISCS * number + index)
            mask[disc] = {None: kind, "dropped": 0, "swapped": 3 - kind}[fault]
            if fault:
                places.append((str(number), row, column))
        save(folder / "images" / f"{number}.png", image.clip(0, 255).astype(np.uint8))
        save(folder / "masks" / f"{number}.png", mask)
    return places


@pytest.mark.slow
def test_planted_errors_are_in_the_first_five_percent(tmp_path: Path) -> None:
    places = write_data(tmp_path / "data")
    run = train(tmp_path / "data", out=tmp_path / "run", folds=2, steps=80, overrides=SMALL, progress=Progress())
    dataset = scan_dataset(tmp_path / "data", run.config.data)
    found = rank_annotation_errors(run, dataset, progress=Progress())
    first = found.ranked[: round(0.05 * found.regions)]
    hits = {
        (case, row, column)
        for case, row, column in places
        for error in first
        if error.case == case
        and error.box is not None
        and error.box[0] <= row < error.box[2]
        and error.box[1] <= column < error.box[3]
    }
    assert len(hits) >= 0.6 * len(places)
    assert {error.kind for error in first} >= {"missed object", "swapped class"}
