"""Image files of a folder: what cannot be read is listed, so that it is reported."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drawn import image, pairs, save
from exports import Heard
from pixelwise.datasets.dataset import scan_dataset
from pixelwise.datasets.images.files import find_images
from pixelwise.errors import BadDataset, BadImage
from pixelwise.io.read import read_image
from pixelwise.workflow.predict import predict
from pixelwise.workflow.prediction.options import PredictOptions
from privileges import bound_by_permissions
from tiny import write_model


@pytest.fixture
def barred(tmp_path: Path) -> Iterator[Path]:
    """A folder that may not be listed; what is in it may not be opened."""
    folder = tmp_path / "data" / "barred"
    save(folder / "b.png", image(1))
    with bound_by_permissions() as bound:
        if not bound:
            pytest.skip("this user may read everything")
        folder.chmod(0)
        yield folder
        folder.chmod(0o700)


def test_odd_entries_are_listed(tmp_path: Path) -> None:
    save(tmp_path / "a.png", image(0))
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing.png")
    (tmp_path / "empty.png").mkdir()
    save(tmp_path / "inner.png" / "c.png", image(2))
    (tmp_path / "notes.txt").touch()
    names = [str(path.relative_to(tmp_path)) for path in find_images(tmp_path)]
    assert names == ["a.png", "empty.png", "gone.png", "inner.png/c.png", "pipe.png"]


def test_an_unreadable_folder_is_listed_and_refused(barred: Path) -> None:
    save(barred.parent / "a.png", image(0))
    assert find_images(barred.parent) == [barred.parent / "a.png", barred]
    with pytest.raises(BadImage, match=r"no permission .* u\+rx"):
        read_image(barred)


@pytest.mark.parametrize("format", [None, "tiff"])
def test_predict_reports_it_and_goes_on(barred: Path, tmp_path: Path, format: Any) -> None:
    save(barred.parent / "a.png", image(0))
    write_model(tmp_path / "model.safetensors")
    options, heard = PredictOptions(format=format), Heard()
    result = predict(tmp_path / "model.safetensors", [barred.parent], tmp_path / "out", options, progress=heard)
    assert [path for path, _ in result.failed] == [barred]
    assert "no permission" in heard.text
    assert any(path.stem == "a" for path in result.outputs)


@pytest.mark.parametrize("format", [None, "tiff"])
def test_files_whose_folder_can_be_listed_only(barred: Path, tmp_path: Path, format: Any) -> None:
    barred.chmod(0o400)
    save(barred.parent / "a.png", image(0))
    write_model(tmp_path / "model.safetensors")
    result = predict(tmp_path / "model.safetensors", [barred.parent], tmp_path / "out", PredictOptions(format=format))
    assert [path for path, _ in result.failed] == [barred / "b.png"]
    assert len(result.outputs) > 1


def test_an_unreadable_folder_of_masks_is_refused(barred: Path) -> None:
    pairs(barred.parent)
    with pytest.raises(BadDataset, match="permission denied"):
        scan_dataset(barred.parent)
