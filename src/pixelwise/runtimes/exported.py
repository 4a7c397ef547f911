"""An exported file in the place of a run: .onnx, OpenVINO's .xml or its folder, a bioimage.io package. No torch."""

import zipfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from pixelwise.errors import BadModel, BadOption
from pixelwise.model_file.model_card import ModelCard, broken
from pixelwise.runtimes.base import ExportedGraph
from pixelwise.runtimes.benchmark import check_name
from pixelwise.sampling.normalise import Normalisation

GRAPH_IN_PACKAGE = "model.onnx"
GRAPH_LIMIT = 2 * 2**30  # bytes; ONNX itself holds no more in one file
EXTRAS = {"onnx": "onnxruntime", "openvino": "openvino"}  # runtime -> its package
READERS = {".onnx": ("onnx", "openvino"), ".zip": ("onnx",), ".xml": ("openvino",)}  # the first that is installed


def find_export(path: Path | str) -> Path | None:
    """Return the exported file that a path stands for; None where it is a run or another kind of file.

    Raises
    ------
    BadModel
        It is an export that only PyTorch can read.
    """
    path = Path(path)
    if path.suffix == ".pt2":
        hint = "PyTorch runs what is in such a file; pixelwise takes the run, or an export to ONNX or OpenVINO."
        raise BadModel("a model that can be read without running it", "a .pt2 file", hint, path)
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
        "auto" and "torch", which is the default elsewhere, take the first that is installed.

    Returns
    -------
    ExportedGraph
        Computes logits.
    ModelCard
        As `inference.segmentation_model` needs it: what stands inside the graph is taken out of it.

    Raises
    ------
    BadModel
        The file is missing, damaged, or nothing that pixelwise exported.
    BadOption
        The runtime cannot read such a file, or is not installed.
    """
    graph = _load(path, runtime)
    return graph, without_what_is_inside(graph.model_card)


def read_exported_model_card(path: Path) -> ModelCard:
    """Return the recipe of an exported file as it was exported, normalisation and all; parameters as in `open_export`.

    Raises
    ------
    BadModel, BadOption
        As `open_export`.
    """
    return _load(path, "auto").model_card


def choose_reader(path: Path, runtime: str) -> str:
    """Return the runtime that reads a file: the one asked for, or the first that is installed.

    Raises
    ------
    BadOption
        None can.
    """
    able = READERS[path.suffix]
    check_name(runtime)
    runtime = runtime.removesuffix("-bf16")
    if runtime in ("auto", "torch"):
        runtime = next((name for name in able if installed(EXTRAS[name])), able[0])
    if runtime not in able:
        raise BadOption(f"a runtime that reads {path.suffix}", f"`{runtime}`", f"It is read by: {', '.join(able)}.")
    if not installed(EXTRAS[runtime]):
        raise BadOption(EXTRAS[runtime], "not installed", f'Run: pip install "pixelwise[{runtime}]".')
    return runtime


def without_what_is_inside(model_card: ModelCard) -> ModelCard:
    """Return the recipe for a graph that normalises by the numbers of the training images itself."""
    if model_card.normalisation.kind == "dataset":
        return replace(model_card, normalisation=Normalisation(kind="none"))
    return model_card


def files_of(path: Path) -> list[Path]:
    """Return the files that a model consists of: the one that is named, and the weights of OpenVINO's .xml."""
    return [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]


def installed(package: str) -> bool:
    """Tell whether a package could be imported, without importing it."""
    return find_spec(package) is not None


def packaged_graph(path: Path) -> bytes:
    """Return the ONNX graph inside a bioimage.io package.

    Raises
    ------
    BadModel
        It is no package of ours, or damaged.
    """
    try:
        with zipfile.ZipFile(path) as package:
            if package.getinfo(GRAPH_IN_PACKAGE).file_size > GRAPH_LIMIT:
                raise broken(path, "a graph of more than 2 GB")
            return package.read(GRAPH_IN_PACKAGE)
    except (OSError, KeyError, zipfile.BadZipFile, RuntimeError, EOFError) as error:
        raise broken(path, f"a package that cannot be read ({error})") from error


def _load(path: Path, runtime: str) -> ExportedGraph:
    if not path.is_file():
        raise BadModel("an exported model", "no such file", "Give the path of an export.", path)
    if choose_reader(path, runtime) == "onnx":
        from pixelwise.runtimes.onnx import OnnxRuntime

        return OnnxRuntime(packaged_graph(path) if path.suffix == ".zip" else path, path=path)
    from pixelwise.runtimes.openvino import OpenVinoRuntime

    return OpenVinoRuntime(path, precision="bf16" if runtime.endswith("bf16") else "fp32")
