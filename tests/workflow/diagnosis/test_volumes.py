"""doctor on volumes: every planted fault is found, and nothing in a set without faults."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import drawn_volumes as drawn
from pixelwise.datasets.options import DataOptions
from pixelwise.progress import Progress
from pixelwise.workflow.diagnosis import mask_findings
from pixelwise.workflow.diagnosis.diagnosis import Diagnosis, diagnose
from pixelwise.workflow.doctor import doctor

pytest.importorskip("nibabel")

COUNT = 9
AFFINE = np.diag([1.0, 1.0, 1.5, 1.0])
Pair = tuple[np.ndarray, np.ndarray]


def write(root: Path, change: Callable[[list[Pair]], None] = lambda pairs: None) -> Path:
    pairs = [drawn.body(number) for number in range(COUNT)]
    change(pairs)
    for number, (image, labels) in enumerate(pairs):
        drawn.save_nifti(root / "images" / f"case_{number}.nii.gz", image, AFFINE)
        drawn.save_nifti(root / "masks" / f"case_{number}.nii.gz", np.ascontiguousarray(labels), AFFINE)
    return root


def found(root: Path) -> Diagnosis:
    return diagnose(root, DataOptions(task="multiclass"), Progress())


def kinds(diagnosis: Diagnosis) -> dict[str, set[str]]:
    """The kinds of hard faults, with the cases that have them."""
    result: dict[str, set[str]] = {}
    for finding in diagnosis.hard:
        result.setdefault(finding.kind, set()).add(finding.case)
    return result


def mask_of(case: int, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[list[Pair]], None]:
    def apply(pairs: list[Pair]) -> None:
        pairs[case] = pairs[case][0], change(pairs[case][1])

    return apply


def shift(mask: np.ndarray) -> np.ndarray:
    return np.roll(mask, 7, axis=1)


def exchange(pairs: list[Pair]) -> None:
    pairs[2], pairs[5] = (pairs[2][0], pairs[5][1]), (pairs[5][0], pairs[2][1])


def copy(pairs: list[Pair]) -> None:
    pairs[2] = pairs[2][0], pairs[5][1]


def test_a_set_without_faults(tmp_path: Path) -> None:
    diagnosis = found(write(tmp_path))
    assert diagnosis.findings == ()
    assert any("across depth" in message for message in diagnosis.messages)


@pytest.mark.parametrize(
    ("kind", "cases", "change"),
    [
        pytest.param("flipped mask", {3}, mask_of(3, lambda mask: mask[:, :, ::-1]), marks=pytest.mark.slow),
        ("flipped mask", {3}, mask_of(3, lambda mask: mask[:, ::-1])),
        pytest.param("flipped mask", {3}, mask_of(3, lambda mask: mask[::-1]), marks=pytest.mark.slow),
        pytest.param("shifted mask", {3}, mask_of(3, shift), marks=pytest.mark.slow),
        ("exchanged mask", {2, 5}, exchange),
        pytest.param("copied mask", {2}, copy, marks=pytest.mark.slow),
        pytest.param("constant mask", {4}, mask_of(4, np.ones_like), marks=pytest.mark.slow),
    ],
    ids=["width", "height", "depth", "shift", "exchange", "copy", "constant"],
)
def test_planted_faults(tmp_path: Path, kind: str, cases: set[int], change: Callable[[list[Pair]], None]) -> None:
    assert kinds(found(write(tmp_path, change))) == {kind: {f"case_{number}" for number in cases}}


@pytest.mark.slow
def test_an_empty_mask_is_reported(tmp_path: Path) -> None:
    diagnosis = found(write(tmp_path, mask_of(4, np.zeros_like)))
    assert [(one.case, one.kind in ("empty mask", "small mask")) for one in diagnosis.findings] == [("case_4", True)]


def test_without_the_comparison_a_flip_goes_unseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control of the comparison of planes."""
    monkeypatch.setattr(mask_findings, "_MIN_CASES", COUNT + 1)
    assert kinds(found(write(tmp_path, mask_of(3, lambda mask: mask[:, ::-1])))) == {}


def test_grids_spacing_files_and_values(tmp_path: Path) -> None:
    root = write(tmp_path)
    _, labels = drawn.body(1)
    moved = AFFINE.copy()
    moved[:3, 3] = 5
    drawn.save_nifti(root / "masks" / "case_1.nii.gz", labels, moved)
    (root / "masks" / "case_2.nii.gz").unlink()
    (root / "images" / "case_3.nii.gz").unlink()
    damaged = root / "images" / "case_4.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:2000])
    for name, volume in (("images", drawn.body(6)[0]), ("masks", drawn.body(6)[1])):
        drawn.save_nifti(root / name / "case_6.nii.gz", volume, np.diag([1.0, 1.0, 6.0, 1.0]))
    drawn.save_nifti(root / "masks" / "case_7.nii.gz", drawn.body(7)[1].transpose(1, 0, 2), AFFINE)
    diagnosis = found(root)
    by_kind = {finding.kind: finding.files for finding in diagnosis.findings}
    assert "images/case_1.nii.gz" in by_kind["geometry mismatch"]
    assert by_kind["missing mask"] == ("images/case_2.nii.gz",)
    assert by_kind["orphan mask"] == ("masks/case_3.nii.gz",)
    assert by_kind["unreadable file"] == ("images/case_4.nii.gz",)
    assert by_kind["mixed spacing"] == ("images/case_6.nii.gz",)
    assert by_kind["transposed mask"][0] == "masks/case_7.nii.gz"
    assert all(finding.fixable for finding in diagnosis.hard)


def test_an_inverted_mask_whose_outer_planes_have_one_class(tmp_path: Path) -> None:
    def change(pairs: list[Pair]) -> None:
        pairs[:] = [(image, (labels == 1).astype(np.uint8)) for image, labels in pairs]
        pairs[6] = pairs[6][0], 1 - pairs[6][1]

    diagnosis = diagnose(write(tmp_path, change), DataOptions(), Progress())
    assert [(one.kind, one.case) for one in diagnosis.hard] == [("inverted mask", "case_6")]


def test_the_page_shows_three_planes(tmp_path: Path) -> None:
    root, page = write(tmp_path / "data", mask_of(3, lambda mask: mask[:, ::-1])), tmp_path / "page.html"
    diagnosis = doctor(root, html=page, task="multiclass", progress=Progress())
    text = page.read_text("utf-8")
    assert diagnosis.exit_code == 6
    assert "three planes" in text
    assert "mask on the image" in text


def test_a_mask_that_fits_nowhere_is_shown(tmp_path: Path) -> None:
    def change(pairs: list[Pair]) -> None:
        strange = np.zeros_like(pairs[6][1])
        strange[2:28:9, 3:5, 4:30] = 1
        pairs[:] = [(image, (labels == 1).astype(np.uint8)) for image, labels in pairs]
        pairs[6] = pairs[6][0], strange

    diagnosis = diagnose(write(tmp_path, change), DataOptions(), Progress())
    assert [(one.kind, one.case, one.fixable) for one in diagnosis.findings] == [("unfitting mask", "case_6", False)]


def test_a_mask_of_another_size_without_a_place_is_left_out(tmp_path: Path) -> None:
    """Pages of TIFF: nothing says where the voxels of the mask are."""
    for number in range(4):
        image, labels = drawn.draw(number)
        drawn.save_stack(tmp_path / "data/images" / f"case_{number}.tif", image.astype(np.uint16))
        drawn.save_stack(tmp_path / "data/masks" / f"case_{number}.tif", labels[:9] if number == 2 else labels)
    diagnosis = doctor(tmp_path / "data", fix=tmp_path / "out", task="multiclass", volumes=True, progress=Progress())
    assert [one.kind for one in diagnosis.hard] == ["unusable file"]
    assert "images/case_2.tif" in diagnosis.hard[0].files
    for folder in ("images", "masks"):
        assert sorted(path.name for path in (tmp_path / "out" / folder).iterdir()) == [
            f"case_{number}.tif" for number in (0, 1, 3)
        ]
