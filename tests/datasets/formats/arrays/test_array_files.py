"""Data sets of arrays: which arrays are images and masks of one another, and what is read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from pixelwise.datasets.dataset import Dataset, find_images, scan_dataset
from pixelwise.datasets.formats.arrays import array_files
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset
from pixelwise.progress import Progress
from pixelwise.workflow.convert import convert

h5py = pytest.importorskip("h5py")

Arrange = Callable[[np.ndarray], np.ndarray]


def drawn(count: int, seed: int = 0, size: tuple[int, int] = (24, 30)) -> tuple[np.ndarray, np.ndarray]:
    """Images (count, height, width, 3) and binary masks of bright blocks."""
    rng = np.random.default_rng(seed)
    masks = rng.integers(0, 2, (count, size[0] // 6, size[1] // 6)).repeat(6, 1).repeat(6, 2).astype(np.uint8)
    images = np.clip(60 + 120 * masks[..., None] + rng.normal(0, 9, (*masks.shape, 3)), 0, 255).astype(np.uint8)
    return images, masks


def labels_by_image(dataset: Dataset) -> list[tuple[np.ndarray, np.ndarray]]:
    cases = sorted(
        dataset.cases,
        key=lambda case: (str(case.image.parent), int("0" + "".join(filter(str.isdigit, case.image.name)))),
    )
    return [dataset.read_labelled(case) for case in cases]


def check(dataset: Dataset, images: np.ndarray, masks: np.ndarray) -> None:
    assert dataset.format == "arrays"
    assert dataset.task == "binary"
    found = labels_by_image(dataset)
    assert len(found) == len(images)
    for (pixels, labels), image, mask in zip(found, images, masks, strict=True):
        np.testing.assert_array_equal(pixels, image.transpose(2, 0, 1) if image.ndim == 3 else image[None])
        np.testing.assert_array_equal(labels, mask)


@pytest.mark.parametrize("names", [("images", "masks"), ("X", "y"), ("raw", "label"), ("imgs", "segmentation")])
@pytest.mark.parametrize("kind", ["npy", "npz", "compressed", "h5"])
def test_two_stacks(tmp_path: Path, names: tuple[str, str], kind: str) -> None:
    images, masks = drawn(6)
    both = dict(zip(names, (images, masks), strict=True))
    if kind == "npy":
        for name, array in both.items():
            np.save(tmp_path / f"{name}.npy", array)
    elif kind == "h5":
        with h5py.File(tmp_path / "set.h5", "w") as file:
            for name, array in both.items():
                file[name] = array
    else:
        (np.savez if kind == "npz" else np.savez_compressed)(tmp_path / "set.npz", **both)
    check(scan_dataset(tmp_path), images, masks)


@pytest.mark.parametrize(
    ("arrange", "label"),
    [
        (lambda images: images.transpose(0, 3, 1, 2), lambda masks: masks),
        (lambda images: images, lambda masks: masks[..., None]),
        (lambda images: images, lambda masks: masks[:, None] * 255),
        (lambda images: images, lambda masks: masks.astype(np.float32)),
        (lambda images: images, lambda masks: masks > 0),
    ],
    ids=["channels first", "masks with a last axis", "masks with a channel of 0 and 255", "float masks", "bool masks"],
)
def test_axes_and_types(tmp_path: Path, arrange: Arrange, label: Arrange) -> None:
    images, masks = drawn(5)
    np.savez(tmp_path / "set.npz", images=arrange(images), masks=label(masks))
    check(scan_dataset(tmp_path), images, masks)


def test_splits_are_in_the_names(tmp_path: Path) -> None:
    for seed, split in enumerate(("train", "val", "test")):
        images, masks = drawn(3 + seed, seed)
        np.save(tmp_path / f"x_{split}.npy", images)
        np.save(tmp_path / f"y_{split}.npy", masks)
    dataset = scan_dataset(tmp_path)
    assert {name: len(cases) for name, cases in dataset.splits.items()} == {"train": 3, "val": 4, "test": 5}


def test_a_file_per_volume_is_a_group(tmp_path: Path) -> None:
    for seed in range(4):
        images, masks = drawn(4, seed)
        with h5py.File(tmp_path / f"cell_{seed}.h5", "w") as file:
            file["raw"], file["label"] = images[..., 0], masks
    dataset = scan_dataset(tmp_path)
    assert len(dataset.cases) == 16
    by_file = {
        case.image.parent: {other.split for other in dataset.cases if other.image.parent == case.image.parent}
        for case in dataset.cases
    }
    assert all(len(splits) == 1 for splits in by_file.values())


def test_one_array_per_image(tmp_path: Path) -> None:
    images, masks = drawn(5)
    for folder, arrays in (("images", images), ("masks", masks)):
        (tmp_path / folder).mkdir()
        for index, array in enumerate(arrays):
            np.save(tmp_path / folder / f"image_{index}.npy", array)
    dataset = scan_dataset(tmp_path)
    assert dataset.format == "arrays"
    assert len(dataset.cases) == 5
    for case in dataset.cases:
        index = int(case.image.stem.split("_")[1])
        np.testing.assert_array_equal(dataset.read_labels(case), masks[index])


def test_one_file_with_image_and_label_each(tmp_path: Path) -> None:
    images, masks = drawn(5)
    for index in range(5):
        np.savez(
            tmp_path / f"case{index:04}_slice.npz", image=images[index, ..., 0] / np.float32(255), label=masks[index]
        )
    dataset = scan_dataset(tmp_path)
    assert {case.name for case in dataset.cases} == {f"case{index:04}_slice" for index in range(5)}
    for case in dataset.cases:
        np.testing.assert_array_equal(dataset.read_labels(case), masks[int(case.name[4:8])])


def test_array_masks_of_ordinary_images(tmp_path: Path) -> None:
    images, masks = drawn(4)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for index in range(4):
        Image.fromarray(images[index]).save(tmp_path / "images" / f"{index}.png")
        np.save(tmp_path / "masks" / f"{index}.npy", masks[index])
    check(scan_dataset(tmp_path), images, masks)


def test_arrays_beside_images_and_masks_do_not_matter(tmp_path: Path) -> None:
    images, masks = drawn(4)
    for folder in ("images", "masks", "labels"):
        (tmp_path / folder).mkdir()
    for index in range(4):
        Image.fromarray(images[index]).save(tmp_path / "images" / f"{index}.png")
        Image.fromarray(masks[index]).save(tmp_path / "masks" / f"{index}.png")
        np.save(tmp_path / "labels" / f"{index}.npy", masks[index])
    assert not array_files.recognise(tmp_path)


def test_sizes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    images, masks = drawn(4)
    np.savez(tmp_path / "set.npz", images=images, masks=masks[:3])
    with pytest.raises(BadDataset, match="4 x 24 x 30 x 3 and 3 x 24 x 30"):
        scan_dataset(tmp_path)


def test_the_number_of_cases_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, masks = drawn(4)
    np.savez(tmp_path / "set.npz", images=images, masks=masks)
    monkeypatch.setattr(array_files, "MAX_CASES", 3)
    with pytest.raises(BadDataset, match="at most 3 images"):
        scan_dataset(tmp_path)


def test_objects_in_arrays(tmp_path: Path) -> None:
    images, masks = drawn(4)
    numbers = (masks * np.arange(1, 5)[:, None, None] * 7).astype(np.int64) << 33
    np.savez(tmp_path / "set.npz", images=images, masks=numbers)
    assert scan_dataset(tmp_path, DataOptions(task="instance")).task == "instance"


def test_arrays_are_converted_to_files(tmp_path: Path) -> None:
    images, masks = drawn(4)
    (tmp_path / "data").mkdir()
    np.savez_compressed(tmp_path / "data" / "set.npz", images=images, masks=masks)
    convert(tmp_path / "data", to="folders", out=tmp_path / "out", progress=Progress())
    dataset = scan_dataset(tmp_path / "out")
    assert dataset.format == ""
    found = [dataset.read_labelled(case) for case in sorted(dataset.cases, key=lambda case: case.name[-1])]
    for (pixels, labels), image, mask in zip(found, images, masks, strict=True):
        np.testing.assert_array_equal(pixels, image.transpose(2, 0, 1))
        np.testing.assert_array_equal(labels, mask)


def test_images_to_predict(tmp_path: Path) -> None:
    images, masks = drawn(3)
    np.save(tmp_path / "one.npy", images[0])
    np.savez(tmp_path / "set.npz", images=images, masks=masks)
    np.savez(tmp_path / "two.npz", first=images, second=images)
    assert find_images(tmp_path / "one.npy") == [tmp_path / "one.npy"]
    stack = [tmp_path / "set.npz" / "images" / str(index) for index in range(3)]
    assert find_images(tmp_path / "set.npz") == find_images(tmp_path / "set.npz" / "images") == stack
    assert find_images(stack[1]) == [stack[1]]
    with pytest.raises(BadDataset, match="one array of images; got first, second"):
        find_images(tmp_path / "two.npz")


def write_pair(path: Path, names: tuple[str, str], image: np.ndarray, mask: np.ndarray) -> None:
    """Write an image and its mask into one NPZ, HDF5, MAT 5 or MAT 7.3 file."""
    if path.suffix == ".npz":
        np.savez(path, **dict(zip(names, (image, mask), strict=True)))
    elif path.suffix == ".mat":
        savemat(path, dict(zip(names, (image, mask), strict=True)))
    else:
        with h5py.File(path, "w") as file:
            for name, array in zip(names, (image, mask), strict=True):
                file[name] = array


class TestNamesOfTheUser:
    """Arrays whose names say nothing about their roles."""

    @pytest.mark.parametrize(
        ("ending", "names", "colour"),
        [("npz", ("arr_0", "arr_1"), True), ("npz", ("A", "B"), False), ("h5", ("foo/first", "bar"), True),
         ("mat", ("I", "BW"), False), ("mat", ("A", "B"), True)],
    )  # fmt: skip
    def test_they_are_listed_and_the_flags_work(
        self, tmp_path: Path, ending: str, names: tuple[str, str], colour: bool
    ) -> None:
        images, masks = drawn(4)
        for index, (image, mask) in enumerate(zip(images, masks, strict=True)):
            pixels = image if colour else image[..., 0]
            write_pair(tmp_path / f"c{index}.{ending}", names, pixels, mask)
        with pytest.raises(BadDataset) as refused:
            scan_dataset(tmp_path)
        assert all(name in refused.value.got for name in names)
        flags = f"--images {names[0]} --masks {names[1]}" if colour else "--images NAME --masks NAME"
        assert flags in refused.value.hint
        dataset = scan_dataset(tmp_path, DataOptions(images=names[0], masks=names[1]))
        assert [case.name for case in dataset.cases] == ["c0", "c1", "c2", "c3"]
        for case, image, mask in zip(dataset.cases, images, masks, strict=True):
            example = dataset.read(case)
            assert np.array_equal(example.image[0], image[..., 0])
            assert example.labels is not None
            assert np.array_equal(example.labels > 0, mask > 0)

    def test_a_file_without_one_of_them_is_refused(self, tmp_path: Path) -> None:
        (image, *_), (mask, *_) = drawn(2)
        write_pair(tmp_path / "a.npz", ("p", "q"), image, mask)
        np.savez(tmp_path / "b.npz", p=image)
        with pytest.raises(BadDataset, match=r"b\.npz"):
            scan_dataset(tmp_path, DataOptions(images="p", masks="q"))

    def test_folders_may_have_the_names(self, tmp_path: Path) -> None:
        images, masks = drawn(3)
        for index, (image, mask) in enumerate(zip(images, masks, strict=True)):
            for folder, array in (("p", image), ("q", mask)):
                (tmp_path / folder).mkdir(exist_ok=True)
                Image.fromarray(array * (1 if folder == "p" else 255)).save(tmp_path / f"{folder}/{index}.png")
        assert len(scan_dataset(tmp_path, DataOptions(images="p", masks="q")).cases) == 3
