"""Results with the marks over them as files: the same pixels, whatever their size."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tifffile

from pixelwise.io.read import read_mask
from pixelwise.io.windows import open_windows
from pixelwise.server.marks.records import Objects, Outline, Polygon, Shape, Stroke
from pixelwise.server.workers import corrected_mask
from pixelwise.server.workers.corrected_mask import CorrectedMask, write_corrected
from pixelwise.server.workers.label_tiles import Labels

HEIGHT, WIDTH = 1100, 1300
MARKS: tuple[Shape, ...] = (
    Objects(
        kind="objects", action="delete", objects=[Outline(class_index=0, rings=[[(0, 0), (40, 0), (40, 40), (0, 40)]])]
    ),
    Objects(
        kind="objects", action="accept",
        objects=[Outline(class_index=1, rings=[[(500, 500), (530, 500), (530, 530), (500, 530)]])],
    ),
    Polygon(kind="polygon", class_index=1, points=[(1200, 900), (1290, 900), (1290, 1090)]),
    Stroke(kind="stroke", class_index=0, radius=4, points=[(900, 100), (1100, 600)]),
)  # fmt: skip


def blocks(side: int = 10, step: int = 20) -> np.ndarray:
    """Return a grid of squares with a number each, not all of the numbers from 1."""
    rows, columns = np.indices((HEIGHT, WIDTH), np.int32)
    numbers = 3 + 2 * (rows // step * (WIDTH // step + 1) + columns // step)
    return np.where((rows % step < side) & (columns % step < side), numbers, 0).astype(np.int32)


def whole(mask: CorrectedMask) -> np.ndarray:
    return mask.read((0, HEIGHT), (0, WIDTH))


def saved(path: Path, values: np.ndarray) -> Path:
    tifffile.imwrite(path, values, tile=(256, 256), compression="zlib", resolution=(2e4, 1e4), resolutionunit=3)
    return path


def test_objects_are_numbered_from_1_and_marks_lie_over_them() -> None:
    values = blocks()
    found = whole(CorrectedMask(Labels(values), MARKS, instance=True))
    assert not found[:40, :40].any(), "deleted"
    assert np.array_equal(np.unique(found), np.arange(found.max() + 1))
    for rows, columns in ((slice(500, 530), slice(500, 530)), (slice(905, 910), slice(1270, 1280))):
        assert len(np.unique(found[rows, columns])) == 1
        assert found[rows, columns].min() > 0, "drawn"
    assert found[350, 1000] == 0
    far = slice(600, 800), slice(0, 400)
    before, after = values[far], found[far]
    assert np.array_equal(before > 0, after > 0)
    assert len(np.unique(after)) == len(np.unique(before)) == len(np.unique(before.astype(np.int64) * 10**6 + after))


@pytest.mark.parametrize("instance", [True, False])
@pytest.mark.parametrize("marks", [MARKS, ()])
def test_a_large_result_is_written_window_by_window(
    instance: bool, marks: Sequence[Shape], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = blocks() if instance else np.minimum(blocks(), 1).astype(np.uint8)
    expected = whole(CorrectedMask(Labels(values), marks, instance=instance))
    source, sizes = Labels(open_windows(saved(tmp_path / "mask.tif", values))), list[int]()
    read = source.read

    def watched(rows: tuple[int, int], columns: tuple[int, int], factor: int) -> np.ndarray:
        sizes.append((rows[1] - rows[0]) * (columns[1] - columns[0]))
        return read(rows, columns, factor)

    monkeypatch.setattr(source, "read", watched)
    monkeypatch.setattr(corrected_mask, "WINDOW", 512)
    monkeypatch.setattr(corrected_mask, "MAX_PNG", values.size - 1)
    file = write_corrected(tmp_path / "corrected.png", source, marks, instance=instance)
    assert file == tmp_path / "corrected.tif"
    assert np.array_equal(read_mask(file).values, expected)
    assert max(sizes) <= 512 * 512, "memory does not grow with the image"
    source.close()
    written = open_windows(file)
    assert written.spacing == pytest.approx((1.0, 0.5))
    written.close()
    assert {path.name for path in tmp_path.iterdir()} == {"mask.tif", "corrected.tif"}


def test_a_small_result_is_a_png(tmp_path: Path) -> None:
    values = np.minimum(blocks(), 1).astype(np.uint8)
    file = write_corrected(tmp_path / "corrected.png", Labels(values), MARKS, instance=False)
    dab = Stroke(kind="stroke", class_index=2, radius=0.4, points=[(700.5, 700.5)])
    assert file.name == "corrected.png"
    assert read_mask(file).values[350, 1000] == 0
    assert whole(CorrectedMask(Labels(values), [dab], instance=False))[700, 700] == 2
