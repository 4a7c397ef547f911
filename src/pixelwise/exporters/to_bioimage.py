"""bioimage.io packages for Fiji, ilastik, QuPath and the model zoo; model description 0.5.

A package holds the ONNX graph, a test tile with the output of the model, and the description. Per-image normalisation
is part of the description (`zero_mean_unit_variance`), dataset normalisation part of the graph. The softmax is part of
the description too, because test-time augmentation averages logits. If a softmax over all channels does not give
probabilities (distance channel), the graph returns both.
"""

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jaxtyping import Float, Num

from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.exporters.description import Description
from pixelwise.exporters.export_task import export_task_of
from pixelwise.exporters.package import DESCRIPTION, TEST_INPUT, TEST_LOGITS, TEST_OUTPUT
from pixelwise.exporters.to_onnx import OPSET, logits_only
from pixelwise.model_file.model_card import ModelCard
from pixelwise.runtimes.exported import GRAPH_IN_PACKAGE as GRAPH

FORMAT = "0.5.12"
EPS = 1e-6  # of the normalisation in the description; negligible relative to real standard deviations
CITED = {
    "segmentation": {
        "text": "Ronneberger, Fischer, Brox 2015. U-Net: networks for biomedical image segmentation.",
        "doi": "10.1007/978-3-319-24574-4_28",
    },
    "classification": {
        "text": "He, Zhang, Ren, Sun 2016. Deep residual learning for image recognition.",
        "doi": "10.1109/CVPR.2016.90",
    },
}
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)  # makes packages reproducible


@dataclass(frozen=True, kw_only=True)
class PackageInfo:
    """Metadata of a package: name, authors, licence as an SPDX identifier, description."""

    name: str = "pixelwise model"
    authors: tuple[str, ...] = ()
    licence: str = "CC-BY-4.0"
    description: str = ""


def write_bioimage(
    path: Path,
    onnx_file: bytes,
    model_card: ModelCard,
    image: Num[np.ndarray, "1 channels *size"],
    logits: Float[np.ndarray, "1 classes *output_size"],
    about: PackageInfo,
) -> None:
    """Write the package.

    Parameters
    ----------
    path : Path
        The .zip file.
    onnx_file : bytes
        The graph with one input `image`, without per-image normalisation.
    image, logits : arrays
        Test image in file values and its PyTorch logits when normalised as a whole image.
    """
    export_task = export_task_of(model_card)
    task = export_task.describe()
    contents = {
        GRAPH: logits_only(onnx_file) if task.postprocessing else onnx_file,
        TEST_INPUT: _npy(image),
        TEST_OUTPUT: _npy(export_task.probabilities(logits)),
        **({} if task.postprocessing else {TEST_LOGITS: _npy(logits)}),
        "README.md": _readme(model_card, task, about).encode(),
    }
    text = yaml.safe_dump(_description(model_card, task, contents, about), sort_keys=False, allow_unicode=True)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in {DESCRIPTION: text.encode(), **contents}.items():
            package.writestr(zipfile.ZipInfo(name, _TIMESTAMP), content, zipfile.ZIP_DEFLATED)
    atomic_write_bytes(path, buffer.getvalue())


def _npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, np.ascontiguousarray(array, np.float32), allow_pickle=False)
    return content.getvalue()


def _description(
    model_card: ModelCard, task: Description, contents: dict[str, bytes], about: PackageInfo
) -> dict[str, Any]:
    def file(name: str) -> dict[str, str]:
        return {"source": name, "sha256": hashlib.sha256(contents[name]).hexdigest()}

    channels = [f"channel{index}" for index in range(model_card.channels)]
    space = [axis["id"] for axis in task.input_axes]
    preprocessing: list[dict[str, Any]] = [{"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}]
    if model_card.normalisation.kind == "image":
        preprocessing.append({"id": "zero_mean_unit_variance", "kwargs": {"axes": space, "eps": EPS}})
        # otherwise the specification casts back to the type of the image
        preprocessing.append({"id": "ensure_dtype", "kwargs": {"dtype": "float32"}})

    def axes() -> list[dict[str, Any]]:
        return [
            {"type": "batch"},
            {"type": "channel", "channel_names": list(task.channels)},
            *map(dict, task.output_axes),
        ]

    outputs: list[dict[str, Any]] = [
        {
            "id": "probability",
            "axes": axes(),
            "data": {"type": "float32", "range": [0.0, 1.0]},
            "test_tensor": file(TEST_OUTPUT),
            "postprocessing": list(task.postprocessing),
        }
    ]
    if not task.postprocessing:
        outputs.append({"id": "logits", "axes": axes(), "data": {"type": "float32"}, "test_tensor": file(TEST_LOGITS)})
    return {
        "format_version": FORMAT,
        "type": "model",
        "name": about.name,
        "description": about.description or task.summary,
        "authors": [{"name": name} for name in about.authors or ("unknown",)],
        "cite": [dict(CITED[task.tag])],
        "license": about.licence,
        "documentation": file("README.md"),
        "tags": list(dict.fromkeys([task.tag, model_card.task, model_card.network.name])),
        "inputs": [
            {
                "id": "raw",
                "axes": [{"type": "batch"}, {"type": "channel", "channel_names": channels}, *task.input_axes],
                "data": {"type": "float32"},
                "test_tensor": file(TEST_INPUT),
                "preprocessing": preprocessing,
            }
        ],
        "outputs": outputs,
        "weights": {"onnx": {**file(GRAPH), "opset_version": OPSET}},
        # some readers fail without a nickname
        "config": {"bioimageio": {"nickname": "pixelwise-model", "nickname_icon": "🔬"}},
    }


def _readme(model_card: ModelCard, task: Description, about: PackageInfo) -> str:
    trained = "\n".join(f"- {name}: {value}" for name, value in model_card.trained.items())
    notes = "\n".join(task.notes)
    return f"""# {about.name}

{task.summary} The output channels, in order: {", ".join(task.channels)}.

{notes}

# Training

{trained}

# Validation

`{TEST_INPUT}` is an image that was not used in training; `{TEST_OUTPUT}` is the output of the network in PyTorch.
"""
