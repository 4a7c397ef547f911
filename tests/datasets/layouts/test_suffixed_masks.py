"""Cellpose and ilastik: label files beside images, with other outputs between them."""

from pathlib import Path

import pytest

import drawn
from pixelwise.datasets.annotations import AnnotatedSet, MaskFile
from pixelwise.datasets.dataset import detect_dataset
from pixelwise.datasets.layouts import cellpose, ilastik
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset


def masks_of(found: AnnotatedSet) -> dict[str, str | None]:
    return {
        image.image.name: image.annotation.path.name if isinstance(image.annotation, MaskFile) else None
        for image in found.images
    }


def test_cellpose_outputs_are_told_apart(tmp_path: Path) -> None:
    for name in ("0", "cell_masks_7"):
        drawn.save(tmp_path / f"{name}.png", drawn.image(0))
        drawn.save(tmp_path / f"{name}_cp_masks.png", drawn.objects(1))
        drawn.save(tmp_path / f"{name}_flows.tif", drawn.image(3))
        drawn.save(tmp_path / f"{name}_cp_output.png", drawn.image(3))
        (tmp_path / f"{name}_seg.npy").write_bytes(b"")
    assert cellpose.recognise(tmp_path)
    found = cellpose.read(tmp_path, DataOptions())
    assert found.instances
    assert masks_of(found) == {"0.png": "0_cp_masks.png", "cell_masks_7.png": "cell_masks_7_cp_masks.png"}


def test_masks_of_people_are_preferred_and_an_image_filter_is_understood(tmp_path: Path) -> None:
    drawn.save(tmp_path / "train/a_img.tif", drawn.image(0))
    drawn.save(tmp_path / "train/a_masks.tif", drawn.objects(1))
    drawn.save(tmp_path / "train/a_cp_masks.tif", drawn.objects(2))
    drawn.save(tmp_path / "test/b_img.tif", drawn.image(1))
    found = cellpose.read(tmp_path, DataOptions())
    assert masks_of(found) == {"a_img.tif": "a_masks.tif", "b_img.tif": None}
    assert [image.split for image in found.images] == ["train", "test"]
    assert any("a_cp_masks" in text for text in found.messages)


def test_pickled_files_alone_are_refused_with_the_way_out(tmp_path: Path) -> None:
    drawn.save(tmp_path / "a.png", drawn.image(0))
    (tmp_path / "a_seg.npy").write_bytes(b"\x93NUMPY")
    assert cellpose.recognise(tmp_path)
    with pytest.raises(BadDataset, match=r"a_seg\.npy.*--save_tif"):
        cellpose.read(tmp_path, DataOptions())


def test_plain_folders_are_not_taken_for_cellpose(tmp_path: Path) -> None:
    drawn.pairs(tmp_path, masks="images/{}_masks.png")
    assert not cellpose.recognise(tmp_path)


@pytest.mark.parametrize("ending", ["_Simple Segmentation", "-Simple Segmentation", "_simple_segmentation"])
def test_simple_segmentations_of_ilastik_are_paired(tmp_path: Path, ending: str) -> None:
    for index in range(2):
        drawn.save(tmp_path / f"{index}.png", drawn.image(index))
        drawn.save(tmp_path / f"{index}{ending}.tif", drawn.mask(index, 1) + 1)
        drawn.save(tmp_path / f"{index}_Probabilities.tif", drawn.image(index))
    assert ilastik.recognise(tmp_path)
    found = ilastik.read(tmp_path, DataOptions())
    assert not found.instances
    assert masks_of(found) == {f"{index}.png": f"{index}{ending}.tif" for index in range(2)}
    assert not ilastik.recognise(drawn.pairs(tmp_path / "other"))


@pytest.mark.parametrize("ending", ["_cp_masks", "_Simple Segmentation"])
def test_label_files_in_a_folder_of_their_own_are_masks_like_others(tmp_path: Path, ending: str) -> None:
    drawn.pairs(tmp_path, 4, images="pictures/{}.jpg", masks=f"results/{{}}{ending}.png")
    (tmp_path / "pictures/case_0_seg.npy").write_bytes(b"")
    assert not cellpose.recognise(tmp_path)
    assert not ilastik.recognise(tmp_path)
    assert detect_dataset(tmp_path).labelling.task == "binary"
