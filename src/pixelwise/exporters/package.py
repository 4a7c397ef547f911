"""Check of a bioimage.io package by its own description: digests of its files, and its test input and outputs."""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.special import softmax

from pixelwise.errors import ExportFailed
from pixelwise.model_file.model_card import invalid_model
from pixelwise.runtimes.base import refusing
from pixelwise.runtimes.exported import GRAPH_LIMIT, check_member, packaged_graph

DESCRIPTION = "rdf.yaml"
TEST_INPUT, TEST_OUTPUT, TEST_LOGITS = "test_input.npy", "test_output.npy", "test_logits.npy"
DESCRIPTION_LIMIT = 2**18  # bytes; parsing as many takes seconds
TOLERANCE = 1e-3  # of an output, relative to the larger of its largest value and 1


def check_package(path: Path) -> None:
    """Run the test of a package as another program would: by its description alone.

    The files must match their digests, and the test input with the described preprocessing must give the test outputs.

    Raises
    ------
    BadModel
        A file is missing, damaged or replaced, or the description has content that pixelwise never writes.
    ExportFailed
        The test input does not give the test outputs.
    """
    from pixelwise.runtimes.onnx import OnnxRuntime

    # what yaml, zipfile and numpy raise on damaged files has no common base class
    with refusing(path, "a package that does not follow its description"):
        with zipfile.ZipFile(path) as package:
            description: dict[str, Any] = yaml.safe_load(_member(package, DESCRIPTION, path, DESCRIPTION_LIMIT))
            (described,), outputs = description["inputs"], list(description["outputs"])
            tests = [tensor["test_tensor"] for tensor in (described, *outputs)]
            for file in (description["documentation"], description["weights"]["onnx"], *tests):
                if hashlib.sha256(_member(package, file["source"], path)).hexdigest() != file["sha256"]:
                    raise invalid_model(path, f"a package whose {file['source']} does not match its description")
            image, *expected = [_array(package, test["source"], path) for test in tests]
        ready = _process(described.get("preprocessing", ()), image, _axis_names(described))
        values = OnnxRuntime(packaged_graph(path), path=path).all_outputs(ready)
        for output, value, reference in zip(outputs, values, expected, strict=True):
            processed = _process(output.get("postprocessing", ()), value, _axis_names(output))
            _compare(output["id"], processed, reference, path)


def _axis_names(tensor: dict[str, Any]) -> list[str]:
    return [str(axis.get("id", axis["type"])) for axis in tensor["axes"]]


def _member(package: zipfile.ZipFile, name: str, path: Path, limit: int = GRAPH_LIMIT) -> bytes:
    check_member(package.getinfo(name), path, limit)
    return package.read(name)


def _array(package: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    return np.load(io.BytesIO(_member(package, name, path)), allow_pickle=False)


def _process(steps: Any, values: np.ndarray, axes: list[str]) -> np.ndarray:
    """Apply the processing steps of a description (model description 0.5)."""
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


def _compare(name: str, values: np.ndarray, expected: np.ndarray, path: Path) -> None:
    if values.shape != expected.shape:
        raise ValueError(f"{name} of shape {values.shape}, the test has {expected.shape}")
    difference = float(np.abs(values - expected).max()) / max(1.0, float(np.abs(expected).max()))
    if not difference <= TOLERANCE:
        got = f"{name} differs by {difference:.2g} (limit {TOLERANCE:g})"
        raise ExportFailed("a package whose test input gives its test output", got, "Export the run again.", path)
