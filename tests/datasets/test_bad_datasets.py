"""Rows 61 to 90 of the catalogue of bad inputs: folders of images and masks."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage

from badfiles import Row
from drawn import SIZE, coloured, image, mask, objects, pairs, save, several
from pixelwise.datasets.dataset import DataOptions, Dataset, detect_dataset, scan_dataset
from pixelwise.datasets.problems import KINDS
from pixelwise.errors import BadDataset

Corrupt = Callable[[Path], object]


def corrupted(corrupt: Corrupt, **kwargs: object) -> Callable[[Path], Path]:
    """Write a valid data set, then corrupt it."""

    def make(folder: Path) -> Path:
        corrupt(pairs(folder / "data", **kwargs))
        return folder / "data"

    return make


def parts(corrupt: Corrupt = lambda root: None, draw: Callable[[int], np.ndarray] = mask) -> Callable[[Path], Path]:
    """Write a valid data set with three splits, then corrupt it."""

    def make(folder: Path) -> Path:
        for index, part in enumerate(("train", "val", "test")):
            pairs(folder / "data" / part, 4, draw=draw, first=10 * index)
        corrupt(folder / "data")
        return folder / "data"

    return make


def exif(root: Path) -> None:
    picture = Image.fromarray(image(0, (32, 40)))
    marks = Image.Exif()
    marks[274] = 6
    picture.save(root / "images/case_0.png", exif=marks)


def smooth(array: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(array.astype(float), 0.7).round().astype(np.uint8)


def hidden_only(folder: Path) -> Path:
    for name in (".DS_Store", "Thumbs.db", ".a.png"):
        (folder / name).write_bytes(b"x")
    return folder


def zipped(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "data.zip", "w") as archive:
        archive.writestr("images/a.png", b"x")
    return folder / "data.zip"


def copy(root: Path, what: str, where: str) -> None:
    shutil.copy(root / what, root / where)


def both(root: Path, source: str, target: str) -> None:
    for kind in ("images", "masks"):
        copy(root, source.replace("*", kind), target.replace("*", kind))


def of(count: int) -> Callable[[Dataset], bool]:
    return lambda dataset: len(dataset.cases) == count


CASE = "images/case_0.png"
MASK = "masks/case_0.png"
ROWS = (
    Row(60, "16-bit ids above 255", corrupted(lambda r: None, draw=lambda s: (objects(s) * 300 * (objects(s) > 0))),
        "dataset", "accept", (), lambda d: d.labelling.task == "instance"),
    Row(61, "other size", corrupted(lambda r: save(r / MASK, mask(0, size=(30, 31)))), "dataset", "refuse",
        ("case_0.png", "image 32 x 40, mask 30 x 31")),
    Row(61, "transposed", corrupted(lambda r: save(r / MASK, mask(0).T)), "dataset", "refuse", ("transposed",)),
    Row(61, "scaled by 2", corrupted(lambda r: save(r / MASK, mask(0).repeat(2, 0).repeat(2, 1))), "dataset", "refuse",
        ("the mask is larger by a factor of 2",)),
    Row(58, "rotated by EXIF", corrupted(exif), "dataset", "accept", (),
        lambda d: d.reading.exif == "ignore" and any("EXIF" in t and "--exif" in t for t in d.messages)),
    Row(62, "off by one pixel", corrupted(lambda r: save(r / MASK, mask(0)[1:])), "dataset", "refuse",
        ("mask 31 x 40",)),
    Row(63, "JPEG mask", corrupted(lambda r: [save(r / f"masks/case_{i}.jpg", mask(i)) and
                                            (r / f"masks/case_{i}.png").unlink() for i in range(6)]),
        "dataset", "accept", (), lambda d: any("JPEG" in t and "--mask-threshold" in t for t in d.messages)),
    Row(63, "JPEG mask of several classes", corrupted(lambda r: None, draw=several(60, 120, 180), masks="masks/{}.jpg"),
        "dataset", "refuse", ("lossy", "PNG")),
    Row(64, "smoothed mask", corrupted(lambda r: save(r / MASK, smooth(mask(0)))), "dataset", "accept", (),
        lambda d: any("1 of 6 masks" in t and "--mask-threshold" in t for t in d.messages)),
    Row(64, "all masks smoothed", corrupted(lambda r: None, draw=lambda s: smooth(mask(s))), "dataset", "accept", (),
        lambda d: d.labelling.threshold == 127.5),
    Row(65, "0 and 255", corrupted(lambda r: None), "dataset", "accept", (),
        lambda d: d.labelling.values == (0, 255) and d.labelling.ignore_value is None),
    Row(66, "255 undeclared", corrupted(lambda r: None, draw=several(1, 255)), "dataset", "accept", (),
        lambda d: d.labelling.values == (0, 1, 255) and any("--ignore-index 255" in t for t in d.messages)),
    Row(67, "whole floats",
        corrupted(lambda r: [tifffile.imwrite(r / f"masks/case_{i}.tif", mask(i, 1).astype(np.float32)) or
                           (r / f"masks/case_{i}.png").unlink() for i in range(6)]),
        "dataset", "accept", (), lambda d: d.labelling.values == (0, 1)),
    Row(67, "broken floats", corrupted(lambda r: (tifffile.imwrite(r / "masks/case_0.tif", mask(0) * np.float32(0.3)),
                                                (r / MASK).unlink())),
        "dataset", "refuse", ("whole numbers", "case_0")),
    Row(67, "NaN", corrupted(lambda r: (tifffile.imwrite(r / "masks/case_0.tif", np.where(mask(0), np.nan, 0)
                                                       .astype(np.float32)), (r / MASK).unlink())),
        "dataset", "refuse", ("NaN", "case_0")),
    Row(68, "colours without a table", corrupted(lambda r: None, draw=coloured), "dataset", "accept", (),
        lambda d: len(d.classes) == 3 and any("255,0,0" in t and "classes.txt" in t for t in d.messages)),
    Row(68, "unknown colour", corrupted(lambda r: (r / "classes.txt").write_text("0 a 0,0,0\n1 b 255,0,0\n", "utf-8"),
                                         draw=coloured),
        "dataset", "refuse", ("unknown colours", "0,0,255")),
    Row(69, "all masks empty", corrupted(lambda r: None, draw=lambda s: mask(s, 0)), "dataset", "refuse",
        ("foreground in at least one mask", "every mask contains only 0")),
    Row(69, "a split without foreground", parts(lambda r: [save(r / f"val/masks/case_{10 + i}.png", mask(i, 0))
                                                     for i in range(4)]),
        "dataset", "warn", ("split without foreground",)),
    Row(70, "class in validation only", parts(lambda r: save(r / "val/masks/case_10.png", several(1, 2, 3)(0)),
                                              several(1, 2)),
        "dataset", "refuse", ("every class in the training split", "class_3", "val")),
    Row(71, "mask is the image", corrupted(lambda r: copy(r, CASE, MASK)), "dataset", "refuse",
        ("same pixels as the image",)),
    Row(71, "masks are other images", corrupted(lambda r: None, draw=lambda s: image(s + 100)), "dataset", "refuse",
        ("6 x too many values", "an image rather than a mask")),
    Row(72, "missing mask", corrupted(lambda r: (r / MASK).unlink()), "dataset", "refuse",
        ("a mask for every image", "case_0.png", "--allow-missing")),
    Row(72, "orphan mask", corrupted(lambda r: (r / CASE).unlink()), "dataset", "refuse",
        ("an image for every mask", "--allow-missing")),
    Row(73, "same stem twice", corrupted(lambda r: save(r / "images/case_0.tif", image(50))), "dataset", "refuse",
        ("same name as images/case_0",)),
    Row(73, "same stem in other case", corrupted(lambda r: save(r / "images/CASE_0.PNG", image(50))), "dataset",
        "refuse", ("same name as",)),
    Row(74, "emoji and accents", corrupted(lambda r: both(r, "*/case_0.png", "*/é🙂.png")), "dataset", "warn",
        ("duplicate image",)),
    Row(75, "newline and dash", corrupted(lambda r: [save(r / "images/-a\nb'.png", image(77)),
                                                   save(r / "masks/-a\nb'.png", mask(2))]),
        "dataset", "accept", (), of(7)),
    Row(76, "bytes that are no UTF-8", corrupted(lambda r: [save(r / "images/a\udcff.png", image(77)),
                                                          save(r / "masks/a\udcff.png", mask(2))]),
        "dataset", "accept", (), of(7)),
    Row(78, "empty folder", lambda folder: folder, "dataset", "refuse", ("images", "none among 0 files")),
    Row(79, "hidden files only", hidden_only, "dataset", "refuse", ("none among 3 files",)),
    Row(80, "one image", corrupted(lambda r: None, count=1), "dataset", "refuse", ("at least 2 images",)),
    Row(81, "image in two splits", parts(lambda r: both(r, "train/*/case_0.png", "test/*/again.png")), "dataset",
        "refuse", ("no image in two splits", "--allow-duplicates")),
    Row(82, "nearly equal images in two splits", parts(lambda r: (save(r / "test/images/again.png",
                                                                  image(0) // 8 * 8),
                                                             copy(r, "train/masks/case_0.png",
                                                                  "test/masks/again.png"))),
        "dataset", "warn", ("near duplicate across splits", "train/case_0 ~ test/again")),
    Row(84, "conflicting masks", corrupted(lambda r: (copy(r, CASE, "images/again.png"),
                                                    save(r / "masks/again.png", mask(3)))),
        "dataset", "warn", ("conflicting masks", "again", "masks differ")),
    Row(90, "archive", zipped, "dataset", "refuse", ("an archive", "Unpack")),
    Row(92, "URL", lambda folder: Path("https://example.org/data"), "dataset", "refuse", ("URL", "Download")),
    Row(1, "no such path", lambda folder: folder / "nowhere", "dataset", "refuse", ("a path that does not exist",)),
    Row(2, "empty file", corrupted(lambda r: (r / CASE).write_bytes(b"")), "dataset", "refuse",
        ("case_0.png", "a readable image")),
    Row(3, "text called png", corrupted(lambda r: (r / MASK).write_text("not a picture", encoding="utf-8")), "dataset",
        "refuse", ("a readable mask",)),
    Row(56, "channels mixed", corrupted(lambda r: [tifffile.imwrite(r / f"images/case_{i}.tif", image(i, (4, *SIZE)),
                                                                 photometric="minisblack", planarconfig="separate") or
                                                 (r / f"images/case_{i}.png").unlink() for i in range(2)]),
        "dataset", "refuse", ("2 x mixed channels",)),
    Row(57, "gray and colour", corrupted(lambda r: save(r / CASE, image(0, (*SIZE, 3)))), "dataset", "accept", (),
        lambda d: d.channels == 3),
)  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.number}-{row.name}")
def test_row(row: Row, tmp_path: Path) -> None:
    root = row.make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    if row.outcome == "refuse":
        with pytest.raises(BadDataset) as caught:
            detect_dataset(root)
        text = str(caught.value)
        assert all(word in text for word in row.words), text
        assert caught.value.exit_code == 2
        assert ("\n" not in text) or "problems (" in text
    else:
        dataset = detect_dataset(root)
        text = " ".join(f"{p.file} {p.kind} {p.text}" for p in dataset.problems)
        assert bool(dataset.problems) == (row.outcome == "warn"), text
        assert all(word in text for word in row.words), text
        assert row.check(dataset)
    assert ".. " not in text.replace("...", ""), "a sentence ends twice"
    assert sorted(tmp_path.rglob("*")) == before, "a file was written next to the user's images"


def test_every_problem_is_listed_in_one_pass(tmp_path: Path) -> None:
    pairs(tmp_path, 40)
    for index in range(30):
        (tmp_path / f"masks/case_{index}.png").unlink()
    save(tmp_path / "masks/case_31.png", mask(1).T)
    (tmp_path / "images/case_32.png").write_bytes(b"")
    with pytest.raises(BadDataset, match=r"32 problems \(30 x missing mask") as caught:
        detect_dataset(tmp_path)
    text = str(caught.value)
    assert "1 x size mismatch" in text
    assert "1 x unreadable image" in text
    assert "and 12 more" in text
    assert text.count("\n  images/") == 20
    assert ".. " not in text.replace("...", ""), "a sentence ends twice"
    assert {p.kind for p in scan_dataset(tmp_path).problems} >= {"missing mask", "size mismatch", "unreadable image"}


def test_flags_accept_problems(tmp_path: Path) -> None:
    root = corrupted(lambda r: ((r / MASK).unlink(), (r / "images/case_1.png").unlink()))(tmp_path)
    dataset = detect_dataset(root, DataOptions(allow_missing=True))
    assert len(dataset.cases) == 4
    assert any("1 image without mask and 1 mask without image" in text for text in dataset.messages)
    root = parts(lambda r: both(r, "train/*/case_0.png", "test/*/again.png"))(tmp_path / "b")
    assert len(detect_dataset(root, DataOptions(allow_duplicates=True)).cases) == 13


def test_valid_sets_have_no_problems(tmp_path: Path) -> None:
    # the control of all rows with problems
    for make in (corrupted(lambda r: None), parts()):
        (tmp_path / str(id(make))).mkdir()
        assert detect_dataset(make(tmp_path / str(id(make)))).problems == ()


def test_every_kind_has_a_text_and_a_hint() -> None:
    assert all(expected and hint.endswith(".") for expected, hint in KINDS.values())
