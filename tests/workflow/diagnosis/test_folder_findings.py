"""Faults of files: found by name, and put right in the corrected copy, whose masks are those that were drawn."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drawn import save
from pixelwise.datasets.dataset import DataOptions, scan_dataset
from pixelwise.errors import OutputFailed
from pixelwise.progress import Progress
from pixelwise.workflow.diagnosis.diagnosis import Diagnosis, diagnose
from pixelwise.workflow.doctor import doctor, undo
from spots import spots, write_spots

QUIET = Progress()
GROUND, SPOT = (10, 20, 30), (200, 60, 90)


def hard(found: Diagnosis) -> dict[str, str]:
    """The kind of each hard fault, by its first file."""
    return {one.files[0]: one.kind for one in found.hard}


def spot_masks(folder: Path) -> dict[str, np.ndarray]:
    """Whether each pixel of the masks of a set with one foreground class is a spot."""
    dataset = scan_dataset(folder)
    assert [problem for problem in dataset.problems if problem.fatal] == []
    labels = {case.name: dataset.read(case).labels for case in dataset.cases}
    return {name: np.asarray(found) == 1 for name, found in labels.items()}


def test_a_value_of_no_class_is_replaced_if_it_can_mean_one_class_only(tmp_path: Path) -> None:
    data = write_spots(tmp_path / "data", 10)
    (data / "classes.txt").write_text("0 ground\n255 spot\n", "utf-8")
    save(data / "masks" / "spots_3.png", spots(3)[1] * 7)
    two = spots(4)[1] * 7
    two[:3, :3] = 9
    save(data / "masks" / "spots_4.png", two)
    found = doctor(data, fix=tmp_path / "out", progress=QUIET)
    assert hard(found) == {"masks/spots_3.png": "other mask values", "masks/spots_4.png": "unusable file"}
    fixed = spot_masks(tmp_path / "out")
    assert "spots_4" not in fixed
    assert np.array_equal(fixed["spots_3"], spots(3)[1] > 0)


def test_masks_of_other_sizes(tmp_path: Path) -> None:
    """Two that were exchanged, and one that fits no image."""
    data = write_spots(tmp_path / "data", 10)
    sizes = {"spots_3": (40, 56), "spots_4": (44, 60)}
    drawn = {name: spots(50 + index, size) for index, (name, size) in enumerate(sizes.items())}
    for name, other in (("spots_3", "spots_4"), ("spots_4", "spots_3")):
        save(data / "images" / f"{name}.png", drawn[name][0])
        save(data / "masks" / f"{name}.png", drawn[other][1] * 255)
    save(data / "masks" / "spots_6.png", spots(6, (20, 90))[1] * 255)
    found = doctor(data, fix=tmp_path / "out", progress=QUIET)
    assert hard(found) == {
        "masks/spots_3.png": "exchanged mask",
        "masks/spots_4.png": "exchanged mask",
        "masks/spots_6.png": "unusable file",
    }
    fixed = spot_masks(tmp_path / "out")
    assert "spots_6" not in fixed
    for name, (_, mask) in drawn.items():
        assert np.array_equal(fixed[name], mask > 0)


def test_a_file_that_is_no_image_has_no_wrong_ending(tmp_path: Path) -> None:
    data = write_spots(tmp_path / "data", 10)
    (data / "images" / "spots_3.png").write_bytes(b"no image at all")
    found = doctor(data, fix=tmp_path / "out", progress=QUIET)
    assert hard(found) == {"images/spots_3.png": "unreadable file"}
    assert len(spot_masks(tmp_path / "out")) == 9


@pytest.mark.parametrize("kind", ["colours", "palette"])
def test_changed_masks_in_colours_stay_in_colours(tmp_path: Path, kind: str) -> None:
    """A mask that is upside down among masks whose classes are colours, or numbers with a palette."""
    data = write_spots(tmp_path / "data", 12)
    if kind == "colours":
        (data / "classes.txt").write_text("0 ground 10,20,30\n1 spot 200,60,90\n", "utf-8")
    for seed in range(12):
        mask = spots(seed)[1][:: -1 if seed == 3 else 1]
        path = data / "masks" / f"spots_{seed}.png"
        if kind == "colours":
            save(path, np.array([GROUND, SPOT], np.uint8)[mask])
            continue
        indexed = Image.fromarray(mask, "P")
        indexed.putpalette([*GROUND, *SPOT])
        indexed.save(path)
    found = doctor(data, fix=tmp_path / "out", progress=QUIET)
    assert hard(found) == {"masks/spots_3.png": "flipped mask"}
    fixed = spot_masks(tmp_path / "out")
    assert all(np.array_equal(fixed[f"spots_{seed}"], spots(seed)[1] > 0) for seed in range(12))


def test_changed_masks_keep_numbers_of_any_size(tmp_path: Path) -> None:
    """Objects whose numbers need more than 16 bits, one mask upside down."""
    data = write_spots(tmp_path / "data", 12)
    truth: dict[int, np.ndarray] = {}
    for seed in range(12):
        (data / "masks" / f"spots_{seed}.png").unlink()
        mask = spots(seed)[1].astype(np.int32)
        mask[:, 32:] *= 2
        truth[seed] = np.where(mask > 0, mask + 100_000 + seed, 0)
        drawn = truth[seed][:: -1 if seed == 3 else 1]
        save(data / "masks" / f"spots_{seed}.tif", np.ascontiguousarray(drawn))
    found = doctor(data, fix=tmp_path / "out", task="instance", progress=QUIET)
    assert hard(found) == {"masks/spots_3.tif": "flipped mask"}
    assert np.array_equal(np.array(Image.open(tmp_path / "out" / "masks" / "spots_3.tif")), truth[3])


def test_the_usual_value_of_the_foreground(tmp_path: Path) -> None:
    """A mask of 0 and 128 among masks of 0 and 255."""
    data = write_spots(tmp_path / "data", 20)
    save(data / "masks" / "spots_3.png", spots(3)[1] * 128)
    found = doctor(data, fix=tmp_path / "out", progress=QUIET)
    assert hard(found) == {"masks/spots_3.png": "other mask values"}
    assert np.array_equal(spot_masks(tmp_path / "out")["spots_3"], spots(3)[1] > 0)


def test_a_mask_that_fits_nowhere_is_shown_and_kept(tmp_path: Path) -> None:
    data = write_spots(tmp_path / "data", 20)
    save(data / "masks" / "spots_3.png", spots(120)[1] * 255)
    found = diagnose(data, DataOptions(), QUIET)
    unfitting = [one for one in found.findings if one.kind == "unfitting mask"]
    assert [one.files[0] for one in unfitting] == ["masks/spots_3.png"]
    assert not unfitting[0].steps


def test_few_masks_are_not_compared(tmp_path: Path) -> None:
    data = write_spots(tmp_path / "data", 3)
    save(data / "masks" / "spots_1.png", spots(1)[1][::-1] * 255)
    assert hard(diagnose(data, DataOptions(), QUIET)) == {}


def test_copies_of_an_image_are_compared_if_their_masks_differ(tmp_path: Path) -> None:
    """Of objects the area is compared, whatever their numbers."""
    data = write_spots(tmp_path / "data", 10)
    image, mask = spots(2)
    numbers = mask.astype(np.uint16)
    numbers[:, 32:] *= 2
    for name, labels in (("same", numbers), ("spots_2", numbers), ("other", np.where(numbers > 0, 3 - numbers, 0))):
        save(data / "images" / f"{name}.png", image)
        save(data / "masks" / f"{name}.png", labels.astype(np.uint16))
    found = diagnose(data, DataOptions(task="instance"), QUIET)
    compared = [one for one in found.findings if one.kind == "two masks"]
    assert {frozenset(one.files) for one in compared} == {
        frozenset({"images/other.png", "images/same.png"}),
        frozenset({"images/other.png", "images/spots_2.png"}),
    }
    assert all(one.text.endswith("1.000") for one in compared)


def test_a_shift_in_a_large_image_is_exact(tmp_path: Path) -> None:
    size = (600, 700)
    data = write_spots(tmp_path / "data", 2, size)
    truth: dict[int, np.ndarray] = {}
    for seed in range(8):
        rows, columns = np.indices(size)
        drawn = np.zeros(size, np.uint8)
        random = np.random.default_rng(seed)
        for radius in (30, 50, 70):
            row, column = random.uniform(radius + 20, size[0] - radius - 20), random.uniform(radius + 20, 600 - radius)
            drawn[(rows - row) ** 2 + (columns - column) ** 2 < radius**2] = 1
        truth[seed] = drawn
        image = np.clip(70 + 90.0 * drawn + random.normal(0, 12, size), 0, 255)
        save(data / "images" / f"spots_{seed}.png", image.astype(np.uint8))
        save(data / "masks" / f"spots_{seed}.png", np.roll(drawn, (13, -9), (0, 1)) * 255 if seed == 3 else drawn * 255)
    found = doctor(data, fix=tmp_path / "out", progress=QUIET)
    assert hard(found) == {"masks/spots_3.png": "shifted mask"}
    assert np.array_equal(spot_masks(tmp_path / "out")["spots_3"], truth[3] > 0)


@pytest.mark.parametrize("name", ["../outside.png", "/outside.png"])
def test_a_log_that_was_changed_by_hand_reaches_no_file_elsewhere(tmp_path: Path, name: str) -> None:
    data = write_spots(tmp_path / "data", 10)
    save(data / "masks" / "spots_3.png", spots(3)[1][::-1] * 255)
    doctor(data, fix=tmp_path / "out", progress=QUIET)
    log = json.loads((tmp_path / "out" / "changes.json").read_text("utf-8"))
    for entry in log["files"]:
        if entry["action"] == "change":
            entry["file"] = name
    (tmp_path / "out" / "changes.json").write_text(json.dumps(log), "utf-8")
    with pytest.raises(OutputFailed, match=r"outside\.png"):
        undo(tmp_path / "out")
    (tmp_path / "out" / "changes.json").write_text("{", "utf-8")
    with pytest.raises(OutputFailed, match=r"changes\.json"):
        undo(tmp_path / "out")
