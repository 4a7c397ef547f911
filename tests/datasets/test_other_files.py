"""Folders without images or masks are refused with what they contain, and what to do."""

from pathlib import Path

import pytest

from drawn import image, save
from pixelwise.datasets.dataset import detect_dataset
from pixelwise.errors import BadDataset


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("tissuenet_train.npz", "TIFF or PNG"),
        ("imagesTr/spleen_0.nii.gz", "slices"),
        ("scan.czi", "TIFF"),
        ("data.zip", "Unpack"),
        ("clip.mp4", "frames"),
        ("photo.HEIC", "PNG"),
    ],
)
def test_files_of_another_kind_are_named_with_a_way_out(tmp_path: Path, name: str, advice: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"0123")
    with pytest.raises(BadDataset) as caught:
        detect_dataset(tmp_path)
    assert Path(name).suffix.casefold() in str(caught.value)
    assert advice in str(caught.value)


@pytest.mark.parametrize("name", ["Annotations/case_0.xml", "outlines.mat", "labels.json"])
def test_annotations_without_a_known_format_are_named(tmp_path: Path, name: str) -> None:
    for index in range(2):
        save(tmp_path / f"images/case_{index}.png", image(index))
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("<Annotations/>", "utf-8")
    with pytest.raises(BadDataset) as caught:
        detect_dataset(tmp_path)
    assert name in str(caught.value)
