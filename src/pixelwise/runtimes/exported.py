"""Loading exported models without torch: .onnx, OpenVINO .xml or its folder, bioimage.io packages."""

import zipfile
import zlib
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from pixelwise.errors import BadModel, BadOption, printable
from pixelwise.model_file.model_card import ModelCard, invalid_model
from pixelwise.runtimes.base import ExportedGraph
from pixelwise.runtimes.benchmark import check_name
from pixelwise.sampling.normalise import Normalisation

GRAPH_IN_PACKAGE = "model.onnx"
GRAPH_LIMIT = 2 * 2**30  # bytes; the limit of one ONNX file
_MAX_RATIO, _UNPACKED = 100, 2**24  # weights shrink little; smaller files may be anything
# runtime -> its packages; ONNX Runtime runs loops without end, so graphs are read with `onnx` first
EXTRAS = {"onnx": ("onnx", "onnxruntime"), "openvino": ("openvino",)}
READERS = {".onnx": ("onnx", "openvino"), ".zip": ("onnx",), ".xml": ("openvino",)}  # in order of preference


def find_export(path: Path | str) -> Path | None:
    """Return the exported file at a path or in its folder; None for a run or another kind of file.

    Raises
    ------
    BadModel
        The file is a torch.export file.
    """
    path = Path(path)
    if path.suffix == ".pt2":
        hint = "Loading a .pt2 file can run code; use the run, or an export to ONNX or OpenVINO."
        raise BadModel("a model file that is safe to load", "a .pt2 file", hint, path)
    if path.is_dir():
        graphs = sorted(path.glob("*.xml"))
        return graphs[0] if len(graphs) == 1 else None
    return path if path.suffix in READERS else None


def open_export(path: Path, runtime: str = "auto") -> tuple[ExportedGraph, ModelCard]:
    """Load an exported file.

    Parameters
    ----------
    path : Path
        As `find_export` returns it.
    runtime : {"auto", "torch", "onnx", "openvino", "openvino-bf16"}
        "auto" and "torch" (the default for runs) use the first runtime that is installed.

    Returns
    -------
    ExportedGraph
    ModelCard
        Without the normalisation that is part of the graph.

    Raises
    ------
    BadModel
        The file is missing, damaged, or not an export of pixelwise.
    BadOption
        The runtime cannot read such a file, or is not installed.
    """
    graph = _load(path, runtime)
    return graph, without_graph_normalisation(graph.model_card)


def read_exported_model_card(path: Path) -> ModelCard:
    """Return the model card of an exported file, including its normalisation.

    Raises
    ------
    BadModel, BadOption
        As `open_export`.
    """
    return _load(path, "auto").model_card


def choose_reader(path: Path, runtime: str) -> str:
    """Return the requested runtime, or the first installed one that reads the file.

    Raises
    ------
    BadOption
        The runtime is unknown, not installed, or cannot read the file.
    """
    readers = READERS[path.suffix]
    check_name(runtime)
    runtime = runtime.removesuffix("-bf16")
    if runtime in ("auto", "torch"):
        runtime = next((name for name in readers if installed(*EXTRAS[name])), readers[0])
    if runtime not in readers:
        raise BadOption(f"a runtime that reads {path.suffix}", f"`{runtime}`", f"Use one of: {', '.join(readers)}.")
    missing = [package for package in EXTRAS[runtime] if not installed(package)]
    if missing:
        raise BadOption(" and ".join(missing), "not installed", f'Run: pip install "pixelwise[{runtime}]".')
    return runtime


def without_graph_normalisation(model_card: ModelCard) -> ModelCard:
    """Return the model card without a normalisation that is part of the exported graph."""
    if model_card.normalisation.kind == "dataset":
        return replace(model_card, normalisation=Normalisation(kind="none"))
    return model_card


def model_files(path: Path) -> list[Path]:
    """Return the files of an exported model: the given one, and the .bin weights of an OpenVINO .xml."""
    return [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]


def installed(*packages: str) -> bool:
    """Return whether packages are installed, without importing them."""
    return all(find_spec(package) is not None for package in packages)


def packaged_graph(path: Path) -> bytes:
    """Return the ONNX graph inside a bioimage.io package.

    Raises
    ------
    BadModel
        It is damaged, or not a package of pixelwise.
    """
    try:
        with zipfile.ZipFile(path) as package:
            check_member(package.getinfo(GRAPH_IN_PACKAGE), path, GRAPH_LIMIT)
            return package.read(GRAPH_IN_PACKAGE)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, zlib.error, RuntimeError, EOFError) as error:
        raise invalid_model(path, f"a package that cannot be read ({error})") from error


def check_member(member: zipfile.ZipInfo, path: Path, limit: int) -> None:
    """Raise `BadModel` if a file in a package is larger than `limit`, or unpacks to far more than it takes there."""
    ratio = member.file_size / max(1, member.compress_size)
    if member.file_size > limit or (ratio > _MAX_RATIO and member.file_size > _UNPACKED):
        got = f"a package whose {printable(member.filename)} unpacks to {member.file_size:,} bytes"
        raise invalid_model(path, got)


def _load(path: Path, runtime: str) -> ExportedGraph:
    if not path.is_file():
        raise BadModel("an exported model", "no such file", "Give the path of an export.", path)
    for file in model_files(path):
        if file.exists() and not file.is_file():  # reading a pipe would wait
            raise invalid_model(path, f"{printable(file.name)}, which is no regular file")
    if choose_reader(path, runtime) == "onnx":
        from pixelwise.runtimes.onnx import OnnxRuntime

        return OnnxRuntime(packaged_graph(path) if path.suffix == ".zip" else path, path=path)
    from pixelwise.runtimes.openvino import OpenVinoRuntime

    return OpenVinoRuntime(path, precision="bf16" if runtime.endswith("bf16") else "fp32")
