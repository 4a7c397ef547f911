"""Images and masks with other names than usual: paired by a rule that is reported, or refused with the rule."""

from pathlib import Path

import numpy as np
import pytest

from drawn import image, mask, pairs, save
from pixelwise.datasets.annotations import files_of_annotation
from pixelwise.datasets.folder_layout import FolderLayout, read_layout
from pixelwise.datasets.options import DataOptions

PLAIN = DataOptions()


def paired(layout: FolderLayout) -> list[tuple[str, str]]:
    assert not layout.problems, layout.problems
    return [(pair.image.name, files_of_annotation(pair.annotation)[0].name) for pair in layout.pairs]


def numbered(root: Path, images: str, masks: str, count: int = 5) -> list[tuple[str, str]]:
    """Write pairs under patterns with a number, and return their names."""
    for seed in range(count):
        save(root / images.format(seed), np.stack([image(seed)] * 3, -1))
        save(root / masks.format(seed), mask(seed))
    return [(Path(images.format(seed)).name, Path(masks.format(seed)).name) for seed in range(count)]


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("IMG_{:04}.png", "IMG_{:04}_mask.png"),  # the names of a camera begin like a word for images
        ("image-{:04}.png", "image-{:04}-labels.png"),
        ("IMG_{:04}.png", "mask_IMG_{:04}.png"),
        ("img_{:03}.png", "mask_{:03}.png"),
        ("{:03}.png", "mask_{:03}.png"),
        ("{:03}_sat.jpg", "{:03}_mask.png"),
        ("{:03}_sat.jpg", "{:03}_map.png"),
        ("{}-rgb.png", "{}-classes.png"),
        ("frame-{}.png", "frame-{}-gt.png"),
        ("{}.jpg", "{}.jpg.png"),
        ("{}.jpg", "{}.gif"),
        ("images/{}.jpg", "masks/{}.jpg.png"),
        ("images/{:03}.png", "masks/{}.png"),
        ("images/{:03}.png", "masks/area_{}.png"),
        ("images/IMG_{:04}.png", "masks/IMG_{:04}_mask.png"),
        ("images/photo_{}.png", "masks/drawn_{}.png"),
        ("train/car_{}.jpg", "train_masks/car_{}_mask.gif"),
        ("img_dir/train/{}.png", "ann_dir/train/{}.png"),
        ("images/training/{}.png", "annotations/training/{}.png"),
        ("x_images/{}.png", "y_masks/{}.png"),
        ("set/img/{}.png", "set/masks_machine/{}.png"),
        ("train/{}.png", "trainannot/{}.png"),
        ("sat/{}_sat.jpg", "map/{}_map.png"),
        ("ortho/{}.png", "parcels/{}.png"),
        ("case{}/image.png", "case{}/label.png"),  # a folder per image
        ("case{}/img.png", "case{}/mask.png"),
        ("IMG_{:04}.png", "IMG_{:04}mask.png"),
        ("DJI_{:04}.JPG", "DJI_{:04}.mask.png"),
        ("ortho/train/o{}.png", "parcels/train/p{}.png"),
        ("train/ortho/{}.png", "train/parcels/{}.png"),
    ],
)
def test_like_pairs_are_found(tmp_path: Path, images: str, masks: str) -> None:
    truth = numbered(tmp_path, images, masks)
    assert sorted(paired(read_layout(tmp_path, PLAIN))) == sorted(truth)


def test_a_found_rule_is_reported_with_the_flags_that_fix_it(tmp_path: Path) -> None:
    truth = numbered(tmp_path, "images/{}_sat.png", "masks/{}_map.png")
    layout = read_layout(tmp_path, PLAIN)
    assert any("--image-suffix _sat --mask-suffix _map" in text for text in layout.messages)
    fixed = read_layout(tmp_path, DataOptions(image_suffix="_sat", mask_suffix="_map"))
    assert sorted(paired(fixed)) == sorted(truth)
    assert not any("--image-suffix" in text for text in fixed.messages)


def test_flags_pair_an_incomplete_set(tmp_path: Path) -> None:
    numbered(tmp_path, "images/case_{}_0000.png", "masks/case_{}.png", 6)
    (tmp_path / "masks/case_3.png").unlink()
    (problem,) = read_layout(tmp_path, PLAIN).problems
    assert problem.kind == "names differ"
    assert problem.text.endswith("all masks would pair without `_0000` in the names of images: --image-suffix _0000")
    assert "--allow-missing" not in problem.text + problem.hint
    layout = read_layout(tmp_path, DataOptions(image_suffix="_0000"))
    assert len(layout.pairs) == 5
    assert [problem.kind for problem in layout.problems] == ["missing mask"]


def test_flags_leave_other_files_out(tmp_path: Path) -> None:
    numbered(tmp_path, "images/{}_a.png", "masks/{}_m.png", 4)
    numbered(tmp_path, "images/{}_b.png", "masks/{}_n.png", 4)
    layout = read_layout(tmp_path, DataOptions(image_suffix="_a", mask_suffix="_m"))
    assert len(paired(layout)) == 4
    assert sum("4" in text and "left out" in text.casefold() for text in layout.messages) == 2


def test_names_without_anything_in_common_are_one_problem(tmp_path: Path) -> None:
    for seed, (one, other) in enumerate((("ant", "1"), ("bee", "2"), ("cow", "3"))):
        save(tmp_path / f"images/{one}.png", image(seed))
        save(tmp_path / f"masks/{other}.png", mask(seed))
    (problem,) = read_layout(tmp_path, PLAIN).problems
    assert problem.kind == "names differ"
    assert "ant.png" in problem.text
    assert "1.png" in problem.text


def test_numbers_of_other_images_never_pair(tmp_path: Path) -> None:
    for seed in range(4):
        save(tmp_path / f"images/train{seed}.png", image(seed))
        save(tmp_path / f"masks/train{seed}0.png", mask(seed))
    layout = read_layout(tmp_path, PLAIN)
    assert not layout.pairs
    assert layout.problems


def test_a_colour_preview_of_the_mask_is_left_out(tmp_path: Path) -> None:
    for seed in range(3):
        for name, drawn in (("img", image(seed)), ("label", mask(seed, 1)), ("label_viz", image(seed + 9))):
            save(tmp_path / f"photo_{seed}_json/{name}.png", drawn)
    assert paired(read_layout(tmp_path, PLAIN)) == [("img.png", "label.png")] * 3


def test_two_kinds_of_images_are_not_images_and_masks(tmp_path: Path) -> None:
    """Control: the names alone do not make masks."""
    for seed in range(4):
        save(tmp_path / f"{seed}_left.png", image(seed))
        save(tmp_path / f"{seed}_right.png", image(seed + 10))
    assert not read_layout(tmp_path, PLAIN).pairs


@pytest.mark.parametrize("masks", ["{}_cp_masks.png", "{}_masks.tif", "masks/{}.png"])
def test_the_output_of_programs_is_left_out(tmp_path: Path, masks: str) -> None:
    pairs(tmp_path, 4, images="{}.png", masks=masks)
    for seed in range(4):
        save(tmp_path / f"case_{seed}_flows.tif", np.zeros((8, 8), np.uint8))
        save(tmp_path / f"case_{seed}_cp_output.png", image(seed))
        np.save(tmp_path / f"case_{seed}_seg.npy", mask(seed))
    layout = read_layout(tmp_path, PLAIN)
    assert len(paired(layout)) == 4
    for affix in ("_flows", "_cp_output", "_seg.npy"):
        assert any("4 files" in text and affix in text for text in layout.messages)


def test_folders_of_overlays_are_left_out(tmp_path: Path) -> None:
    numbered(tmp_path, "ortho/{}.png", "parcels/{}.png")
    numbered(tmp_path, "overlays/{}.png", "parcels/{}.png")
    layout = read_layout(tmp_path, PLAIN)
    assert {pair.image.parent.name for pair in layout.pairs} == {"ortho"}
    assert any("overlays (5 files) was left out" in text for text in layout.messages)


def test_pickled_masks_alone_are_refused_with_the_way_out(tmp_path: Path) -> None:
    for seed in range(3):
        save(tmp_path / f"{seed}.png", image(seed))
        np.save(tmp_path / f"{seed}_seg.npy", mask(seed))
    (problem,) = read_layout(tmp_path, PLAIN).problems
    assert problem.kind == "pickled masks"
    assert "_cp_masks" in problem.hint


def test_three_folders_of_which_some_hold_masks_ask_for_flags(tmp_path: Path) -> None:
    numbered(tmp_path, "ortho/{}.png", "parcels/{}.png")
    numbered(tmp_path, "infrared/{}.png", "parcels/{}.png")
    layout = read_layout(tmp_path, PLAIN)
    assert [problem.kind for problem in layout.problems] == ["ambiguous folders"]
    assert len(paired(read_layout(tmp_path, DataOptions(images="ortho", masks="parcels")))) == 5
