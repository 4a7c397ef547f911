"""A drawn set with planted faults: found in one pass, shown, fixed, read again; and every change undone."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from planted_faults import HARD, plant
from typer.testing import CliRunner

from drawn import pairs, save
from pixelwise.cli.main import app
from pixelwise.datasets.checks.finding import Finding
from pixelwise.datasets.dataset import DataOptions, scan_dataset
from pixelwise.errors import OutputFailed
from pixelwise.progress import Progress
from pixelwise.workflow.diagnosis.diagnosis import FINDINGS, Diagnosis, diagnose
from pixelwise.workflow.doctor import doctor, undo
from spots import spots, write_spots

QUIET = Progress()


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@dataclass(frozen=True)
class Treated:
    """A set with planted faults, what was found in it, and its corrected copy."""

    folder: Path
    faults: dict[str, str]
    before: dict[str, bytes]
    found: Diagnosis
    out: Path
    page: Path


@pytest.fixture(scope="module")
def treated(tmp_path_factory: pytest.TempPathFactory) -> Treated:
    """A drawn set with a fault of each of the 15 hard kinds, and its corrected copy."""
    base = tmp_path_factory.mktemp("faulty")
    source = write_spots(base / "source", 48)
    planted = plant(source, source, base / "data", seed=1, per_kind=1, cases=48, limit=99)
    before, page = files_below(planted.folder), base / "page.html"
    found = doctor(planted.folder, fix=base / "out", html=page, progress=QUIET)
    return Treated(planted.folder, planted.faults, before, found, base / "out", page)


def test_every_planted_fault_is_found_and_nothing_else(treated: Treated) -> None:
    assert set(treated.faults.values()) == set(HARD)
    named = {(file, one.kind) for one in treated.found.hard for file in one.files}
    assert set(treated.faults.items()) <= named
    false = [one for one in treated.found.hard if not any(treated.faults.get(file) == one.kind for file in one.files)]
    assert false == []
    assert treated.found.exit_code == 0, "the faults are fixed"
    assert files_below(treated.folder) == treated.before
    assert json.loads(json.dumps(treated.found.to_json()))["hard"] == len(treated.found.hard)


def test_a_fault_without_a_fix_remains(treated: Treated) -> None:
    fault = Finding(kind="unusable file", files=(), text="colours without classes")
    assert replace(treated.found, findings=(fault,)).exit_code == FINDINGS


def test_the_fixed_copy_needs_no_option_and_has_the_right_masks(treated: Treated) -> None:
    copy = scan_dataset(treated.out)
    assert [problem for problem in copy.problems if problem.fatal] == []
    assert copy.task == "binary"
    fixed = {"exchanged mask", "flipped mask", "transposed mask", "inverted mask", "rescaled mask"}
    names = {Path(file).stem for file, kind in treated.faults.items() if kind in fixed}
    cases = {case.name: case for case in copy.cases}
    assert names <= set(cases)
    for name in names:
        truth = spots(int(name.split("_")[1]))[1]
        labels = copy.read(cases[name]).labels
        assert labels is not None
        wrong = float((labels != truth).mean())
        assert wrong == 0 or (wrong < 0.06 and treated.faults[f"masks/{name}.png"] == "rescaled mask"), name


def test_the_log_has_a_reason_for_every_change(treated: Treated) -> None:
    log = json.loads((treated.out / "changes.json").read_text("utf-8"))
    assert all(entry["reason"] for entry in log["files"] if entry["action"] in ("change", "leave out"))
    left_out = {entry["source"] for entry in log["files"] if entry["action"] == "leave out"}
    unusable = ("empty mask", "missing mask", "orphan mask", "unreadable file")
    assert {file for file, kind in treated.faults.items() if kind in unusable} <= left_out


def test_the_page_shows_evidence_and_loads_nothing(treated: Treated) -> None:
    page = treated.page.read_text("utf-8")
    assert page.count("data:image/png") > len(treated.found.hard)
    assert "http" not in page


def test_a_change_is_undone(treated: Treated, tmp_path: Path) -> None:
    out = Path(shutil.copytree(treated.out, tmp_path / "out"))
    flipped = next(file for file, kind in treated.faults.items() if kind == "flipped mask")
    assert (out / flipped).read_bytes() != treated.before[flipped]
    assert undo(out, (flipped,)) == [flipped]
    assert (out / flipped).read_bytes() == treated.before[flipped]
    assert flipped not in undo(out)
    with pytest.raises(OutputFailed):
        undo(treated.folder)


def test_a_shift_is_undone_by_moving_the_mask(tmp_path: Path) -> None:
    data = write_spots(tmp_path / "data", 10)
    truth = spots(3)[1]
    wrong = np.zeros_like(truth)
    wrong[8:, 5:] = truth[:-8, :-5]
    save(data / "masks" / "spots_3.png", wrong * 255)
    found = doctor(data, fix=tmp_path / "out", progress=QUIET)
    assert [one.kind for one in found.hard] == ["shifted mask"]
    fixed = np.array(Image.open(tmp_path / "out" / "masks" / "spots_3.png")) > 0
    assert np.array_equal(fixed[:-9, :-6], truth[:-9, :-6] > 0)


def test_a_quarter_turn_is_one_fault(tmp_path: Path) -> None:
    data = write_spots(tmp_path / "data", 10)
    save(data / "masks" / "spots_3.png", np.rot90(spots(3)[1]) * 255)
    found = doctor(data, fix=tmp_path / "out", progress=QUIET)
    assert [one.kind for one in found.hard] == ["transposed mask"]
    fixed = np.array(Image.open(tmp_path / "out" / "masks" / "spots_3.png")) > 0
    assert np.array_equal(fixed, spots(3)[1] > 0)


def test_splits_and_class_tables_are_kept(tmp_path: Path) -> None:
    for split, first in (("train", 0), ("val", 20), ("test", 30)):
        for seed in range(first, first + 8):
            image, mask = spots(seed)
            save(tmp_path / "data" / split / "images" / f"{seed}.png", image)
            save(tmp_path / "data" / split / "masks" / f"{seed}.png", mask)
    (tmp_path / "data" / "classes.txt").write_text("0 ground\n1 spot\n", "utf-8")
    doctor(tmp_path / "data", fix=tmp_path / "out", progress=QUIET)
    copy = scan_dataset(tmp_path / "out")
    assert copy.classes == ("ground", "spot")
    assert {name: len(cases) for name, cases in copy.splits.items()} == {"train": 8, "val": 8, "test": 8}


def test_options_of_the_user_are_written_into_the_copy(tmp_path: Path) -> None:
    for seed in range(10):
        image, mask = spots(seed)
        mask[:3] = 7
        save(tmp_path / "data" / "images" / f"{seed}.png", image)
        save(tmp_path / "data" / "masks" / f"{seed}.png", mask)
    doctor(tmp_path / "data", fix=tmp_path / "out", ignore_index=7, progress=QUIET)
    assert scan_dataset(tmp_path / "out").labelling.ignore_value == 7


def test_two_masks_of_one_image_are_compared(tmp_path: Path) -> None:
    data = write_spots(tmp_path / "data", 10)
    image, mask = spots(2)
    save(data / "images" / "other.png", image)
    save(data / "masks" / "other.png", np.roll(mask, 1, 0) * 255)
    found = [one for one in diagnose(data, DataOptions(), QUIET).findings if one.kind == "two masks"]
    assert len(found) == 1
    assert 0.8 < float(found[0].text.rsplit(" ", 1)[1]) < 1


def test_class_folders_are_checked_for_damaged_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for seed in range(8):
            save(tmp_path / "data" / name / f"{seed}.png", spots(seed + 50 * (name == "b"))[0])
    path = tmp_path / "data" / "a" / "3.png"
    path.write_bytes(path.read_bytes()[:200])
    found = doctor(tmp_path / "data", fix=tmp_path / "out", progress=QUIET)
    assert [(one.kind, one.files[0]) for one in found.hard] == [("unreadable file", "a/3.png")]
    assert len(scan_dataset(tmp_path / "out").cases) == 15


def test_noise_with_unrelated_masks_gives_no_hard_fault(tmp_path: Path) -> None:
    assert diagnose(pairs(tmp_path, 12), DataOptions(), QUIET).hard == ()


@pytest.mark.parametrize("where", ["data/inner", ".", "full"])
def test_the_copy_goes_to_a_new_folder_outside(tmp_path: Path, where: str) -> None:
    data = write_spots(tmp_path / "data", 6)
    save(tmp_path / "full" / "a.png", spots(0)[0])
    with pytest.raises(OutputFailed):
        doctor(data, fix=tmp_path / where, progress=QUIET)
    with pytest.raises(OutputFailed):
        doctor(data, html=data / "page.html", progress=QUIET)


def test_the_command_line(tmp_path: Path) -> None:
    data = write_spots(tmp_path / "data", 10)
    runner = CliRunner()
    clean = runner.invoke(app, ["doctor", str(data)])
    assert clean.exit_code == 0, clean.output
    save(data / "masks" / "spots_3.png", spots(3)[1][::-1] * 255)
    result = runner.invoke(app, ["doctor", str(data), "--json"])
    assert result.exit_code == FINDINGS
    report = json.loads(result.stdout)
    assert [one["kind"] for one in report["findings"] if one["severity"] == "hard"] == ["flipped mask"]
    out = tmp_path / "out"
    assert runner.invoke(app, ["doctor", str(data), "--fix", str(out), "--copy"]).exit_code == 0
    assert runner.invoke(app, ["doctor", str(out), "--undo", "all"]).exit_code == 0
    assert (out / "masks" / "spots_3.png").read_bytes() == (data / "masks" / "spots_3.png").read_bytes()
