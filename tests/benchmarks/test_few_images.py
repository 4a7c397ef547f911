"""`benchmarks/accuracy.py --first N`: contenders see N images of train and nothing else."""

from pathlib import Path

from accuracy_parts.contenders import Place, seen

from drawn import pairs


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_first_images_by_name_are_seen_and_no_other_part(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        pairs(tmp_path / "sets" / "dsb2018_nuclei" / part, 5)
    place = Place(data=tmp_path / "sets", out=tmp_path / "out", first=2)
    folder = seen(place, "dsb2018_nuclei")
    found = names(folder)
    images = [name for name in names(tmp_path / "sets" / "dsb2018_nuclei" / "train") if name.startswith("images/")]
    assert found == sorted(f"train/{kind}/{Path(name).name}" for name in images[:2] for kind in ("images", "masks"))
    everything = Place(data=tmp_path / "sets", out=tmp_path / "out")
    assert {name.split("/")[0] for name in names(seen(everything, "dsb2018_nuclei"))} == {"train", "val"}
