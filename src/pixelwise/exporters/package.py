"""A bioimage.io package, read as its description says: the files it names, and the test that it brings with it."""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.special import softmax

from pixelwise.errors import ExportFailed
from pixelwise.model_file.model_card import broken
from pixelwise.runtimes.exported import GRAPH_LIMIT, packaged_graph

DESCRIPTION = "rdf.yaml"
TEST_INPUT, TEST_OUTPUT, TEST_LOGITS = "test_input.npy", "test_output.npy", "test_logits.npy"
TOLERANCE = 1e-3  # of a described output, as a share of its largest value or of 1


def check_package(path: Path) -> None:
    """Run the test of a package as another program would: by its description alone.

    The description's files must be the ones it has digests of; its test input, prepared as it says, must give its test
    outputs.

    Raises
    ------
    BadModel
        A file is missing, damaged or another one, or the description says what pixelwise never writes.
    ExportFailed
        Test input and test outputs do not belong together.
    """
    from pixelwise.runtimes.onnx import OnnxRuntime

    try:
        with zipfile.ZipFile(path) as package:
            messages: dict[str, Any] = yaml.safe_load(_member(package, DESCRIPTION, path))
            (given,), outputs = messages["inputs"], list(messages["outputs"])
            for named in (messages["documentation"], messages["weights"]["onnx"], *_tests(given, *outputs)):
                if hashlib.sha256(_member(package, named["source"], path)).hexdigest() != named["sha256"]:
                    raise broken(path, f"a package with another {named['source']} than its description names")
            image = _array(package, given["test_tensor"]["source"], path)
            expected = [_array(package, output["test_tensor"]["source"], path) for output in outputs]
        ready = _process(given.get("preprocessing", ()), image, _names(given))
        found = OnnxRuntime(packaged_graph(path), path=path).every(ready)
        for output, values, wanted in zip(outputs, found, expected, strict=True):
            _compare(output["id"], _process(output.get("postprocessing", ()), values, _names(output)), wanted, path)
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile, yaml.YAMLError) as error:
        raise broken(path, f"a package that cannot be read as its description says ({error})") from error


def _tests(*tensors: dict[str, Any]) -> list[dict[str, str]]:
    return [tensor["test_tensor"] for tensor in tensors]


def _names(tensor: dict[str, Any]) -> list[str]:
    return [str(axis.get("id", axis["type"])) for axis in tensor["axes"]]


def _member(package: zipfile.ZipFile, name: str, path: Path) -> bytes:
    if package.getinfo(name).file_size > GRAPH_LIMIT:
        raise broken(path, f"a {name} of more than 2 GB")
    return package.read(name)


def _array(package: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    return np.load(io.BytesIO(_member(package, name, path)), allow_pickle=False)


def _process(steps: Any, values: np.ndarray, axes: list[str]) -> np.ndarray:
    """Do what the description says, in its words (model description 0.5)."""
    for step in steps:
        name, options = step["id"], step.get("kwargs", {})
        if name == "ensure_dtype":
            values = values.astype(options["dtype"])
        elif name == "zero_mean_unit_variance":
            over = tuple(axes.index(axis) for axis in options["axes"])
            mean, std = values.mean(over, np.float64, keepdims=True), values.std(over, np.float64, keepdims=True)
            values = (values - mean) / (std + options["eps"])
        elif name == "softmax":
            values = softmax(values, axis=axes.index(options["axis"]))
        else:
            raise ValueError(f"an unknown step {name}")
    return values


def _compare(name: str, found: np.ndarray, expected: np.ndarray, path: Path) -> None:
    if found.shape != expected.shape:
        raise ValueError(f"{name} of shape {found.shape}, the test has {expected.shape}")
    gap = float(np.abs(found - expected).max()) / max(1.0, float(np.abs(expected).max()))
    if not gap <= TOLERANCE:
        got = f"{name} differs by {gap:.2g} (limit {TOLERANCE:g})"
        raise ExportFailed("a package whose test input gives its test output", got, "Export the run again.", path)
