"""Images in NPY, NPZ and HDF5 files: what is read, and what is refused."""

import io
import itertools
import os
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from pixelwise.errors import BadImage
from pixelwise.io.array_paths import parse_array_path
from pixelwise.io.arrays import hdf5, npz
from pixelwise.io.arrays.read import list_arrays
from pixelwise.io.read import probe, read_image, read_mask

h5py = pytest.importorskip("h5py")


def photo(channels: int = 3, size: tuple[int, int] = (12, 17)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (*size, channels)).astype(np.uint8)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (photo()[..., 0], photo()[..., 0][None]),
        (photo(), photo().transpose(2, 0, 1)),
        (photo().transpose(2, 0, 1), photo().transpose(2, 0, 1)),
        (photo(1), photo(1).transpose(2, 0, 1)),
        (np.asfortranarray(photo()[..., 1]), photo()[..., 1][None]),
        (photo()[..., 0].astype(">u2"), photo()[..., 0][None].astype(np.uint16)),
        (photo()[..., 0] > 100, (photo()[..., 0][None] > 100).astype(np.uint8)),
        (photo()[..., 0].astype(np.float16), photo()[..., 0][None].astype(np.float32)),
    ],
    ids=["gray", "colours last", "colours first", "one channel", "columns first", "big endian", "bool", "half"],
)
def test_an_array_is_an_image_in_every_kind_of_file(tmp_path: Path, array: np.ndarray, expected: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", photo=array)
    np.savez_compressed(tmp_path / "b.npz", photo=array)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("inner/photo", data=array, compression="gzip")
    for name in ("a.npy", "a.npz", "a.npz/photo", "b.npz", "a.h5", "a.h5/inner/photo"):
        found = read_image(tmp_path / name).pixels
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
        header = probe(tmp_path / name)
        assert (header.channels, header.height, header.width) == expected.shape


def test_images_of_a_stack_by_their_position(tmp_path: Path) -> None:
    stack = np.random.default_rng(1).integers(0, 9, (5, 8, 9)).astype(np.uint16)
    np.save(tmp_path / "s.npy", stack)
    np.savez(tmp_path / "s.npz", **{"a/labels": stack})
    np.savez_compressed(tmp_path / "c.npz", labels=stack)
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["labels"] = stack
    for name in ("s.npy", "s.npz/a/labels", "c.npz/labels", "s.h5/labels"):
        for index in (0, 4):
            np.testing.assert_array_equal(read_mask(tmp_path / name / str(index)).values, stack[index])
        with pytest.raises(BadImage):
            read_mask(tmp_path / name / "5")
        with pytest.raises(BadImage, match="by its position"):
            read_mask(tmp_path / name)


def test_the_arrays_of_a_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=photo(), names=np.array(["a", "b"]), vector=np.arange(4))
    found = list_arrays(tmp_path / "a.npz")
    assert [(array.path, array.shape) for array in found] == [(tmp_path / "a.npz" / "images", (12, 17, 3))]


def test_of_several_arrays_one_must_be_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", first=photo(), second=photo())
    with pytest.raises(BadImage, match="2 arrays: first, second"):
        read_image(tmp_path / "a.npz")


def test_python_objects_are_never_opened(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return Path.touch, (tmp_path / "executed",)

    harmful = np.empty(2, object)
    harmful[:] = Harmful()
    np.save(tmp_path / "a.npy", harmful, allow_pickle=True)
    np.savez(tmp_path / "a.npz", images=harmful)
    for name in ("a.npy", "a.npz", "a.npz/images"):
        with pytest.raises(BadImage, match="execute code"):
            read_image(tmp_path / name)
    assert not (tmp_path / "executed").exists()
    np.load(tmp_path / "a.npy", allow_pickle=True)  # control: what is refused would be executed
    assert (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.h5"])
@pytest.mark.parametrize("keep", [0, 7, 60, 0.5, 0.99])
def test_a_file_that_is_cut_off(tmp_path: Path, name: str, keep: float) -> None:
    np.save(tmp_path / "a.npy", photo())
    np.savez_compressed(tmp_path / "a.npz", photo=photo())
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["photo"] = photo()
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(keep if keep > 1 or keep == 0 else keep * len(content))])
    with pytest.raises(BadImage):
        read_image(tmp_path / name)


def test_a_compressed_array_may_not_be_larger_than_it_says(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 20, 1 << 20)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("photo.npy", header.getvalue() + bytes(100))
    with pytest.raises(BadImage, match="damaged"):
        read_image(tmp_path / "a.npz")


def test_the_limit_of_compressed_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "a.npz", photo=photo())
    monkeypatch.setattr(npz, "MAX_BYTES", 100)
    with pytest.raises(BadImage, match="at most 100 bytes"):
        read_image(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", photo=photo())  # what is not compressed is not read as a whole
    read_image(tmp_path / "b.npz")


def test_decompressed_arrays_do_not_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "_KEPT_BYTES", 2 * photo().nbytes)
    npz._kept.clear()
    for index in range(5):
        np.savez_compressed(tmp_path / f"{index}.npz", photo=photo())
        read_image(tmp_path / f"{index}.npz")
        assert sum(array.nbytes for array in npz._kept.values()) <= 2 * photo().nbytes


@pytest.mark.parametrize(("side", "chunks"), [(20_000, (1, 1)), (40_000, None), (40_000, (1000, 1000))])
def test_data_sets_of_more_than_the_file_holds(
    tmp_path: Path, side: int, chunks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of 1,400 bytes that would be a picture of a billion pixels, or of 400 million chunks."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("image", (side, side), np.uint8, chunks=chunks, fillvalue=3)
    with pytest.raises(BadImage, match="got none"):
        probe(tmp_path / "a.h5")
    for name in ("MAX_CHUNKS", "_ABSENT"):  # the control
        monkeypatch.setattr(hdf5, name, 10**12)
    assert probe(tmp_path / "a.h5").width == side


def test_an_empty_mask_of_hdf5_may_be_absent(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("mask", (2000, 3000), np.uint8, chunks=(100, 100))
    assert not read_mask(tmp_path / "a.h5").values.any()


def test_what_leads_out_of_an_hdf5_file_is_not_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["photo"] = photo()
    photo().tofile(tmp_path / "secret.bin")
    layout = h5py.VirtualLayout(photo().shape, np.uint8)
    layout[...] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "photo", photo().shape)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["link"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "photo")
        file["soft"] = h5py.SoftLink("/link")
        file.create_virtual_dataset("virtual", layout)
        external = [(str(tmp_path / "secret.bin"), 0, photo().nbytes)]
        file.create_dataset("external", photo().shape, np.uint8, external=external)
        file["records"] = np.zeros((4, 4), [("a", "u1"), ("b", "f4")])
    assert list_arrays(tmp_path / "a.h5") == []
    with h5py.File(tmp_path / "a.h5") as file:  # control: the library would follow them
        assert all(file[name].shape == photo().shape for name in ("link", "soft", "virtual", "external"))


def test_groups_within_groups_end(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["/".join("g" * 18)] = photo()
    with pytest.raises(BadImage, match="groups within one another"):
        list_arrays(tmp_path / "a.h5")


def test_a_group_of_many_paths_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links in circles, and two links to each of 14 groups: 16,384 paths to one array."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file
        for _ in range(14):
            inner = group.create_group("a")
            group["b"], inner["up"], group = inner, file, inner
        group["photo"] = photo()
    monkeypatch.setattr(hdf5, "MAX_OBJECTS", 100)
    assert len(list_arrays(tmp_path / "a.h5")) == 1
    addresses = itertools.count()
    monkeypatch.setattr(hdf5, "_address", lambda _: next(addresses))  # the control
    with pytest.raises(BadImage, match="more"):
        list_arrays(tmp_path / "a.h5")


@pytest.mark.parametrize("name", ["../../../outside", "/outside", "a//b", "./a"])
def test_names_that_lead_out_of_an_npz_file(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive, archive.open(f"{name}.npy", "w") as file:
        np.lib.format.write_array(file, photo())
    with pytest.raises(BadImage, match="names of arrays inside the file"):
        list_arrays(tmp_path / "a.npz")
    assert [array.shape for array in npz.open_npz(tmp_path / "a.npz").values()] == [photo().shape]  # the control


@pytest.mark.parametrize("packed", [None, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_headers_of_any_length(tmp_path: Path, packed: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy reads a header of a stated gigabyte before it refuses it; bzip2 decompresses 45 bytes to 900 kB."""
    content = b"\x93NUMPY\2\0" + struct.pack("<I", 1 << 25) + bytes(1 << 25)
    path = tmp_path / ("a.npy" if packed is None else "a.npz")
    if packed is None:
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w", packed) as archive:
            archive.writestr("a.npy", content)
    assert peak_of(lambda: read_image(path)) < 1 << 20
    monkeypatch.setattr(npz, "MAX_HEAD", 1 << 26)  # the control
    assert packed == zipfile.ZIP_BZIP2 or peak_of(lambda: read_image(path)) > 1 << 24


def peak_of(read: Callable[[], object]) -> int:
    """Return the peak of the memory of a refusal."""
    tracemalloc.start()
    with pytest.raises(BadImage):
        read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_more_arrays_than_files_can_be_open(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{f"a{number}": photo() for number in range(20)})
    before = len(list(Path("/proc/self/fd").iterdir()))
    arrays = npz.open_npz(tmp_path / "a.npz")
    kept = [array[...] for array in arrays.values()]
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert all(np.array_equal(array, photo()) for array in kept)


@pytest.mark.parametrize("name", ["a.h5", "a.mat", "a.npz"])
def test_an_image_among_many_is_looked_up_alone(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images = {f"g/{number}": photo()[..., 0] + np.uint8(number) for number in range(9)}
    path = tmp_path / name
    if name == "a.npz":
        np.savez_compressed(path, **images)
    else:
        with h5py.File(path, "w", userblock_size=512) as file:
            for inner, image in images.items():
                file[inner] = image.T if name == "a.mat" else image
        if name == "a.mat":
            content = path.read_bytes()
            path.write_bytes(b"MATLAB 7.3".ljust(512) + content[512:])
    assert len(list_arrays(path)) == 9
    opened = list[object]()

    def count(original: Callable[..., object]) -> Callable[..., object]:
        return lambda *arguments: opened.append(arguments) or original(*arguments)

    monkeypatch.setattr(npz, "_open_member", count(npz._open_member))
    monkeypatch.setattr(hdf5, "_open_object", count(hdf5._open_object))
    assert np.array_equal(read_image(path / "g/7").pixels[0], images["g/7"])
    assert len(opened) < 9, "not all of them"
    with pytest.raises(BadImage, match="9 arrays"):
        read_image(path / "g/70")
    for outside in ("g/../g/7", "g/7/x"):
        with pytest.raises(BadImage):
            read_image(path / outside)


@pytest.mark.parametrize("order", ["C", "F"])
def test_images_along_the_first_or_the_last_axis(
    tmp_path: Path, order: Literal["C", "F"], monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = np.asarray(np.random.default_rng(1).integers(0, 255, (5, 6, 7)), np.int16, order=order)
    np.save(tmp_path / "a.npy", stack)
    array = npz.open_npy(tmp_path / "a.npy")
    for block in (1 << 20, 100):
        monkeypatch.setattr(npz, "_BLOCK", block)
        for number in (0, 4):
            assert np.array_equal(array[number], stack[number])
            assert np.array_equal(array[..., number], stack[..., number])
    assert np.array_equal(array[...], stack)


def test_a_file_that_becomes_shorter_while_it_is_used(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 300, 400), np.uint8))
    array = npz.open_npy(tmp_path / "a.npy")
    first = array[0]
    os.truncate(tmp_path / "a.npy", 200)
    assert first.sum() == 0  # a map would end the process here
    with pytest.raises(BadImage, match="complete NumPy"):
        array[3]


def test_other_paths_are_no_array_paths(tmp_path: Path) -> None:
    (tmp_path / "folder.npy").mkdir()
    assert parse_array_path(tmp_path / "folder.npy" / "a.png") is None
    assert parse_array_path(tmp_path / "missing.npy") is None
