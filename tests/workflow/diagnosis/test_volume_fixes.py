"""doctor --fix on volumes: masks are put right in three dimensions, on the exact grids of their volumes, and back."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import drawn_volumes as drawn
from drawn_volumes import body
from pixelwise.datasets.dataset import scan_dataset
from pixelwise.progress import Progress
from pixelwise.workflow.diagnosis import volume_fixes
from pixelwise.workflow.diagnosis.diagnosis import Diagnosis
from pixelwise.workflow.doctor import doctor, undo

nibabel: Any = pytest.importorskip("nibabel")

COUNT = 12
QUIET = Progress()
Pair = tuple[np.ndarray, np.ndarray]


def write(root: Path, change: Callable[[int, np.ndarray], np.ndarray] = lambda number, mask: mask) -> Path:
    """Write volumes on an oblique grid whose axes run against the standard ones."""
    for number in range(COUNT):
        image, labels = body(number)
        drawn.save_nifti(root / "images" / f"case_{number}.nii.gz", image, drawn.OBLIQUE)
        drawn.save_nifti(root / "masks" / f"case_{number}.nii.gz", change(number, labels), drawn.OBLIQUE)
    return root


def moved(mask: np.ndarray) -> np.ndarray:
    """Move a mask by 4 voxels along height and -5 along width."""
    result = np.zeros_like(mask)
    result[:, 4:, :-5] = mask[:, :-4, 5:]
    return result


def spoil(number: int, mask: np.ndarray) -> np.ndarray:
    return {2: mask[:, ::-1], 4: moved(mask)}.get(number, mask)


def stored(root: Path, folder: str, number: int) -> np.ndarray:
    return np.asarray(nibabel.load(root / folder / f"case_{number}.nii.gz").dataobj).transpose(2, 1, 0)


def fixed_kinds(found: Diagnosis) -> dict[str, str]:
    return {one.case or one.files[-1]: one.kind for one in found.hard if one.fixable}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Diagnosis, Path]:
    """A set with a mask of each kind of fault, and its corrected copy."""
    base = tmp_path_factory.mktemp("volumes")
    root = write(base / "data", spoil)
    half = np.diag([2.0, 2.0, 2.0, 1.0])
    drawn.save_nifti(root / "masks" / "case_6.nii.gz", body(6)[1], np.eye(4))
    drawn.save_nifti(root / "masks" / "case_7.nii.gz", body(7)[1].transpose(2, 1, 0), np.eye(4))
    drawn.save_nifti(root / "masks" / "case_8.nii.gz", body(8)[1][::2, ::2, ::2], drawn.OBLIQUE @ half)
    drawn.save_nifti(root / "masks" / "case_9.nii.gz", np.full_like(body(9)[1], 1), drawn.OBLIQUE)
    (root / "masks" / "case_10.nii.gz").unlink()
    (root / "images" / "case_11.nii.gz").rename(root / "images" / "case_11.nii")  # but compressed
    page = base / "page.html"
    found = doctor(root, task="multiclass", fix=base / "out", html=page, progress=QUIET)
    assert "after the fix" in page.read_text("utf-8")
    return root, found, base / "out"


def test_each_fault_is_found_with_its_fix(faulty: tuple[Path, Diagnosis, Path]) -> None:
    assert fixed_kinds(faulty[1]) == {
        "case_2": "flipped mask",
        "case_4": "shifted mask",
        "case_6": "geometry mismatch",
        "case_7": "transposed mask",
        "case_8": "rescaled mask",
        "case_9": "constant mask",
        "images/case_10.nii.gz": "missing mask",
        "images/case_11.nii": "wrong ending",
    }
    assert faulty[1].exit_code == 0


def test_the_copy_has_the_right_masks_on_the_grids_of_the_volumes(faulty: tuple[Path, Diagnosis, Path]) -> None:
    root, _, out = faulty
    copy = scan_dataset(out)
    assert not any(problem.fatal for problem in copy.problems)
    assert {case.name for case in copy.cases} == {f"case_{number}" for number in range(COUNT) if number not in (9, 10)}
    for number in (0, 2, 6, 7):
        assert np.array_equal(stored(out, "masks", number), body(number)[1]), number
    inner = np.s_[:, :-5, 6:]  # what a shift uncovers is unknown
    assert np.array_equal(stored(out, "masks", 4)[inner], body(4)[1][inner])
    coarse, halved = body(8)[1][::2, ::2, ::2], stored(out, "masks", 8)
    assert (halved == 255).mean() < 0.1, "voxels outside of the coarser mask are ignored"
    places = [[np.minimum((np.arange(2 * n) + up) // 2, n - 1) for up in (0, 1)] for n in coarse.shape]
    nearest = [halved == coarse[np.ix_(*place)] for place in product(*places)]
    assert np.any(nearest, axis=0)[halved != 255].all(), "halfway between two voxels either is the nearest"
    for case in copy.cases:
        image, mask = (nibabel.load(out / name / f"{case.name}.nii.gz") for name in ("images", "masks"))
        assert np.array_equal(image.affine, mask.affine)
        assert image.shape == mask.shape
        (source,) = (root / "images").glob(f"{case.name}.nii*")
        assert (out / "images" / f"{case.name}.nii.gz").read_bytes() == source.read_bytes()


def test_a_mask_is_put_back(faulty: tuple[Path, Diagnosis, Path]) -> None:
    root, _, out = faulty
    changed = {f"masks/case_{number}.nii.gz" for number in (2, 4, 6, 7, 8)} | {"images/case_11.nii.gz"}
    log = json.loads((out / "changes.json").read_text("utf-8"))
    assert {entry["file"] for entry in log["files"] if entry["action"] == "change"} == changed
    assert set(undo(out)) == changed
    assert (out / "images" / "case_11.nii").is_file()
    for number in (2, 6, 7, 8):
        one, other = (nibabel.load(base / "masks" / f"case_{number}.nii.gz") for base in (root, out))
        assert np.array_equal(np.asarray(one.dataobj), np.asarray(other.dataobj))
        assert np.allclose(one.affine, other.affine)


def test_masks_on_the_grids_of_other_volumes_are_exchanged(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for number in range(COUNT):
        image, labels = body(number)
        affine = drawn.OBLIQUE.copy()
        affine[:3, 3] += 10 * number
        other = {3: 5, 5: 3}.get(number, number)
        drawn.save_nifti(root / "images" / f"case_{number}.nii.gz", image, affine)
        drawn.save_nifti(root / "masks" / f"case_{other}.nii.gz", labels, affine)
    found = doctor(root, task="multiclass", fix=tmp_path / "out", progress=QUIET)
    assert fixed_kinds(found) == {"case_3": "exchanged mask", "case_5": "exchanged mask"}
    for number in (3, 5):
        assert np.array_equal(stored(tmp_path / "out", "masks", number), body(number)[1])
        image, mask = (nibabel.load(tmp_path / "out" / name / f"case_{number}.nii.gz") for name in ("images", "masks"))
        assert np.allclose(image.affine, mask.affine)


@pytest.mark.slow
def test_a_change_that_does_not_help_in_three_dimensions_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control of the confirmation: a wrong step leaves the fault, and no fix."""
    root = write(tmp_path, lambda number, mask: mask[:, ::-1] if number == 2 else mask)
    wrong = volume_fixes.step_in_planes("symmetry", 0)
    monkeypatch.setattr(volume_fixes, "step_in_planes", lambda *_, **__: wrong)
    found = doctor(root, task="multiclass", progress=QUIET)
    assert [(one.kind, one.fixable) for one in found.hard] == [("flipped mask", False)]
