"""What the campaign reads: whole files of every format, and the readers of a mutated one."""

import io
import json
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import scipy.io
import tifffile
from PIL import Image
from pydantic import ValidationError

import drawn_volumes
from fuzz.mutations import ODD
from fuzz.test_fuzz_annotations import SETS, TOKENS, annotation_files, read_set
from fuzz.test_fuzz_images import FILES, read_windows, write_sharded_store, write_store
from fuzz.test_fuzz_models import graph_bytes, replace_card
from fuzz.test_fuzz_requests import MARKS, TENSOR
from pixelwise.errors import PixelwiseError
from pixelwise.inference.segmentation_model import load_model_for_prediction
from pixelwise.io.arrays.read import list_arrays
from pixelwise.io.read import probe, read_image, read_mask
from pixelwise.model_file.model_card import read_model_card_text
from pixelwise.model_file.model_file import load_model
from pixelwise.server.failures import Failure
from pixelwise.server.kserve_routes import parse_request
from pixelwise.server.marks.records import parse_mark
from pixelwise.training.checkpoint import MANIFEST, newest_checkpoint, save_checkpoint
from pixelwise.workflow.config import Config, save_config
from pixelwise.workflow.settings import Settings, load_config
from tiny import as_json, make_recipe, write_model
from training.test_checkpoint import state_of

LIMIT = 1 << 24  # pixels: a mutated header must not allocate more
Put = Callable[[bytes], object]
Reader = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A format.

    Attributes
    ----------
    name : str
    wholes : sequence of bytes
        Contents that are accepted as they are.
    put : callable
        Stores mutated contents where the readers look.
    readers : sequence of callable
        Each returns, or raises one of `refusals`.
    words : sequence of bytes
        Inserted by mutations: what has a meaning in this format.
    values : sequence
        JSON values that replace others; empty if the contents are not JSON.
    """

    name: str
    wholes: Sequence[bytes]
    put: Put
    readers: Sequence[Reader]
    refusals: tuple[type[Exception], ...] = (PixelwiseError,)
    words: Sequence[bytes] = ()
    values: Sequence[Any] = ()


def make_subjects(folder: Path) -> list[Subject]:
    """Return all formats whose libraries are installed; their files are written into a folder."""
    makers = (_images, _stores, _arrays, _volumes, _models, _annotations, _texts, _requests)
    return [subject for make in makers for subject in make(folder)]


def _file(folder: Path, name: str) -> Path:
    return Path(tempfile.mkdtemp(dir=folder)) / name


def _images(folder: Path) -> Iterator[Subject]:
    for name, content in (FILES | _tiffs() | _further_images()).items():
        path = _file(folder, name)
        yield Subject(
            name=f"image {name}",
            wholes=[content],
            put=path.write_bytes,
            readers=[
                lambda path=path: probe(path),
                lambda path=path: read_image(path, max_pixels=LIMIT),
                lambda path=path: read_mask(path, max_pixels=LIMIT),
                lambda path=path: read_windows(path),
            ],
        )


def _further_images() -> dict[str, bytes]:
    """Return images of formats that few programs write, and TIFF files with streams of others inside."""
    colour = np.arange(20 * 24 * 3, dtype=np.uint8).reshape(20, 24, 3)
    files = {"a.jp2": bytes(imagecodecs.jpeg2k_encode(colour, codecformat="jp2", level=0))}
    for name, format in (("a.gif", "GIF"), ("a.ppm", "PPM")):
        file = io.BytesIO()
        Image.fromarray(colour).save(file, format)
        files[name] = file.getvalue()
    for kind in ("jpeg", "jpeg2000", "webp"):
        file = io.BytesIO()
        tifffile.imwrite(file, colour, compression=kind)
        files[f"{kind}.tif"] = file.getvalue()
    return files


def _tiffs() -> dict[str, bytes]:
    """Return TIFF files with the metadata of several programs, and with directories in chains and trees."""
    page = np.arange(20 * 24, dtype=np.uint8).reshape(20, 24)
    options: dict[str, dict[str, Any]] = {
        "a.ome.tif": {"metadata": {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "\u00b5m"}},
        "imagej.tif": {"imagej": True, "metadata": {"unit": "um", "spacing": 2.0, "slices": 1}},
        "shaped.tif": {"metadata": {"axes": "YX"}},
        "map.tif": {"extratags": [(33550, 12, 3, (1.0, 1.0, 0.0), True), (42113, 2, 2, "0", True)]},
    }
    files: dict[str, bytes] = {}
    for name, given in options.items():
        file = io.BytesIO()
        tifffile.imwrite(file, page, ome=".ome" in name, photometric="minisblack", **given)
        files[name] = file.getvalue()
    pyramid = io.BytesIO()
    with tifffile.TiffWriter(pyramid) as writer:
        writer.write(page, subifds=1, tile=(16, 16), metadata=None, photometric="minisblack")
        writer.write(page[::2, ::2], subfiletype=1, tile=(16, 16), metadata=None, photometric="minisblack")
        writer.write(page[:10], metadata=None, photometric="minisblack")
    return files | {"pyramid.tif": pyramid.getvalue()}


def _stores(folder: Path) -> Iterator[Subject]:
    if not find_spec("zarr"):
        return
    for name in (".zattrs", "0/.zarray", "zarr.json", "0/zarr.json"):
        store = _file(folder, "a.zarr")
        (write_sharded_store if name.endswith("zarr.json") else write_store)(store)
        yield Subject(
            name=f"OME-Zarr {name}",
            wholes=[(store / name).read_bytes()],
            put=(store / name).write_bytes,
            readers=[lambda store=store: read_windows(store)],
            values=[*ODD, [24, 99_999_999], 2**31, 10**9],
        )


def _arrays(folder: Path) -> Iterator[Subject]:
    pixels = np.arange(600, dtype=np.uint8).reshape(20, 30)
    files: dict[str, bytes] = {}
    for name, save in (("a.npy", np.save), ("a.npz", np.savez_compressed)):
        file = io.BytesIO()
        save(file, pixels)
        files[name] = file.getvalue()
    for name, packed in (("a.mat", False), ("packed.mat", True)):
        file = io.BytesIO()
        scipy.io.savemat(file, {"image": pixels, "truth": {"mask": pixels, "names": ["a"]}}, do_compression=packed)
        files[name] = file.getvalue()
    if find_spec("h5py"):
        import h5py

        file = io.BytesIO()
        with h5py.File(file, "w") as opened:
            opened["image"] = pixels
        files["a.h5"] = file.getvalue()
    for name, content in files.items():
        path = _file(folder, name)
        path.write_bytes(content)
        yield Subject(
            name=f"array {name}",
            wholes=[content],
            put=path.write_bytes,
            readers=[
                lambda path=path: list_arrays(path),
                lambda path=path: probe(path / "image" if path.suffix == ".mat" else path),
                lambda path=path: read_image(path / "image" if path.suffix == ".mat" else path, max_pixels=LIMIT),
            ],
        )


def _volumes(folder: Path) -> Iterator[Subject]:
    volume = drawn_volumes.draw(shape=(3, 4, 5))[0]
    savers: dict[str, Callable[[Path, np.ndarray, np.ndarray], None]] = {}
    if find_spec("nibabel"):
        savers |= dict.fromkeys((".nii", ".nii.gz"), drawn_volumes.save_nifti)
    if find_spec("SimpleITK"):
        savers |= dict.fromkeys((".nrrd", ".mha"), drawn_volumes.save_itk)
    for suffix, save in savers.items():
        path = _file(folder, f"a{suffix}")
        save(path, volume, drawn_volumes.OBLIQUE)
        yield Subject(
            name=f"volume {suffix}",
            wholes=[path.read_bytes()],
            put=path.write_bytes,
            readers=[lambda path=path: probe(path), lambda path=path: read_image(path)],
        )
    if find_spec("SimpleITK"):
        path = _file(folder, "slice_000.dcm")
        drawn_volumes.save_dicom(path.parent, volume, drawn_volumes.OBLIQUE)
        yield Subject(
            name="volume .dcm",
            wholes=[path.read_bytes()],
            put=path.write_bytes,
            readers=[lambda path=path: read_image(path)],
        )


def _models(folder: Path) -> Iterator[Subject]:
    image = np.zeros((1, 32, 32), np.uint8)
    path = _file(folder, "model.safetensors")
    write_model(path, make_recipe())
    whole = path.read_bytes()
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    tail = whole[header:]
    yield Subject(
        name="model file",
        wholes=[whole[:header]],
        put=lambda content: path.write_bytes(content + tail),
        readers=[lambda: load_model(path)],
    )
    card = json.dumps(as_json(make_recipe())).encode()
    predicted = _file(folder, "model.safetensors")
    predicted.write_bytes(whole)
    yield Subject(
        name="model card, predicted",
        wholes=[card],
        put=lambda content: replace_card(predicted, content.decode("utf-8", "replace")),
        readers=[lambda: load_model_for_prediction(predicted, runtime="torch").predict(image)],
        values=ODD,
    )
    texts = _file(folder, "card.json")
    yield Subject(
        name="model card",
        wholes=[json.dumps(as_json(make_recipe(task))).encode() for task in ("binary", "multiclass", "instance")],
        put=texts.write_bytes,
        readers=[lambda: read_model_card_text(texts.read_text("utf-8", "replace"), texts)],
        values=[*ODD, 10**9, 1e-300, 300, [[300, -5, 0]], ["a"] * 5],
    )
    if find_spec("onnx") and find_spec("onnxruntime"):
        graph = _file(folder, "model.onnx")
        yield Subject(
            name="ONNX file",
            wholes=[graph_bytes(json.dumps(as_json(make_recipe()) | {"normalisation": {"kind": "none"}}))],
            put=graph.write_bytes,
            readers=[lambda: load_model_for_prediction(graph, runtime="onnx").predict(image)],
        )
    run = Path(tempfile.mkdtemp(dir=folder))
    save_checkpoint(run, state_of(10))
    manifest = save_checkpoint(run, state_of(20)) / MANIFEST
    yield Subject(
        name="checkpoint manifest",
        wholes=[manifest.read_bytes()],
        put=manifest.write_bytes,
        readers=[lambda: _newest(run)],
        values=ODD,
    )


def _newest(run: Path) -> None:
    result, _ = newest_checkpoint(run)
    if result is None:
        raise AssertionError("an older checkpoint is whole, but none was found")


def _annotations(folder: Path) -> Iterator[Subject]:
    for name, make in SETS.items():
        root = make(Path(tempfile.mkdtemp(dir=folder)))
        by_suffix = {path.suffix: path for path in annotation_files(root)}  # one file of each kind
        for path in by_suffix.values():
            whole = path.read_bytes()
            yield Subject(
                name=f"{name} {path.suffix}",
                wholes=[whole],
                put=path.write_bytes,
                readers=[lambda root=root: read_set(root)],
                values=[*ODD, False, 0.5, 2**70, [[1, 2]], {"a": 1}, [None] * 3] if _is_json(whole) else (),
            )


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def _texts(folder: Path) -> Iterator[Subject]:
    path = _file(folder, "config.yaml")
    save_config(path, Config())
    tokens = [token.encode() for token in TOKENS]
    yield Subject(
        name="config.yaml",
        wholes=[path.read_bytes()],
        put=path.write_bytes,
        readers=[lambda: load_config(path)],
        words=tokens,
    )
    text = _Text()
    yield Subject(
        name="settings",
        wholes=[b"network.depth=3", b"training.precision=float32", b"patches.height=[1, 2]"],
        put=text.put,
        readers=[lambda: Settings.parse([text.value])],
        words=tokens,
    )


class _Text:
    """A text that is not in a file."""

    def __init__(self) -> None:
        self.content = b""

    def put(self, content: bytes) -> None:
        self.content = content

    @property
    def value(self) -> str:
        return self.content.decode("utf-8", "replace")


def _requests(folder: Path) -> Iterator[Subject]:
    del folder
    refusals = (Failure, ValidationError, PixelwiseError)
    body, mark = _Text(), _Text()
    deep = "[" * 50_000
    yield Subject(
        name="inference request",
        wholes=[json.dumps(TENSOR).encode()],
        put=body.put,
        readers=[
            lambda: parse_request(body.content, {}),
            lambda: parse_request(body.content, {"inference-header-content-length": str(len(body.content) // 2)}),
        ],
        refusals=refusals,
        values=[*ODD, deep, [[1, 2, 3], [4, 5, 6]], 2**70],
    )
    yield Subject(
        name="mark",
        wholes=[json.dumps(each).encode() for each in MARKS],
        put=mark.put,
        readers=[lambda: parse_mark(mark.content)],
        refusals=refusals,
        values=[*ODD, deep, [[1, 2, 3]], 2**70],
    )
