"""bioimage.io: a package that Fiji, ilastik, QuPath and the model zoo read; model description 0.5.

The package holds the graph as ONNX, a real tile with what the model says of it, and the description. A graph of images
that are normalised one by one gets its normalisation from the description (`zero_mean_unit_variance`), all others
carry it inside; so does the soft-max stand in the description, because logits are what is averaged over turned inputs.
Where a soft-max over all channels does not make probabilities (distances beside classes), the graph gives both.
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
EPS = 1e-6  # of the description's normalisation; beside any real standard deviation it is nothing
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
_STAMP = (1980, 1, 1, 0, 0, 0)  # the same package for the same model


@dataclass(frozen=True, kw_only=True)
class About:
    """What a package says of itself: a name, who made it, and its licence as an SPDX identifier."""

    name: str = "pixelwise model"
    authors: tuple[str, ...] = ()
    licence: str = "CC-BY-4.0"
    description: str = ""


def write_bioimage(
    path: Path,
    onnx_file: bytes,
    model_card: ModelCard,
    image: Num[np.ndarray, "1 channels rows columns"],
    logits: Float[np.ndarray, "1 classes *output_size"],
    about: About,
) -> None:
    """Write the package.

    Parameters
    ----------
    path : Path
        The .zip file.
    onnx_file : bytes
        The graph, with one input `image`: without the normalisation where that is each image's own.
    model_card : ModelCard
    image, logits : arrays
        A tile or a photo in file values, and what torch says of it where it is a whole image: the test of the package.
    about : About
    """
    export_task = export_task_of(model_card)
    said = export_task.describe()
    contents = {
        GRAPH: logits_only(onnx_file) if said.postprocessing else onnx_file,
        TEST_INPUT: _npy(image),
        TEST_OUTPUT: _npy(export_task.probabilities(logits)),
        **({} if said.postprocessing else {TEST_LOGITS: _npy(logits)}),
        "README.md": _readme(model_card, said, about).encode(),
    }
    text = yaml.safe_dump(_description(model_card, said, contents, about), sort_keys=False, allow_unicode=True)
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in {DESCRIPTION: text.encode(), **contents}.items():
            package.writestr(zipfile.ZipInfo(name, _STAMP), content, zipfile.ZIP_DEFLATED)
    atomic_write_bytes(path, whole.getvalue())


def _npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, np.ascontiguousarray(array, np.float32), allow_pickle=False)
    return content.getvalue()


def _description(model_card: ModelCard, said: Description, contents: dict[str, bytes], about: About) -> dict[str, Any]:
    def file(name: str) -> dict[str, str]:
        return {"source": name, "sha256": hashlib.sha256(contents[name]).hexdigest()}

    channels = [f"channel{index}" for index in range(model_card.channels)]
    own: list[dict[str, Any]] = [{"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}]
    if model_card.normalisation.kind == "image":
        own.append({"id": "zero_mean_unit_variance", "kwargs": {"axes": ["y", "x"], "eps": EPS}})
        # the specification would cast back to the type of the image otherwise
        own.append({"id": "ensure_dtype", "kwargs": {"dtype": "float32"}})

    def axes() -> list[dict[str, Any]]:
        return [{"type": "batch"}, {"type": "channel", "channel_names": list(said.channels)}, *map(dict, said.outside)]

    outputs: list[dict[str, Any]] = [
        {
            "id": "probability",
            "axes": axes(),
            "data": {"type": "float32", "range": [0.0, 1.0]},
            "test_tensor": file(TEST_OUTPUT),
            "postprocessing": list(said.postprocessing),
        }
    ]
    if not said.postprocessing:
        outputs.append({"id": "logits", "axes": axes(), "data": {"type": "float32"}, "test_tensor": file(TEST_LOGITS)})
    return {
        "format_version": FORMAT,
        "type": "model",
        "name": about.name,
        "description": about.description or said.finds,
        "authors": [{"name": name} for name in about.authors or ("unknown",)],
        "cite": [dict(CITED[said.tag])],
        "license": about.licence,
        "documentation": file("README.md"),
        "tags": list(dict.fromkeys([said.tag, model_card.task, model_card.network.name])),
        "inputs": [
            {
                "id": "raw",
                "axes": [{"type": "batch"}, {"type": "channel", "channel_names": channels}, *said.inside],
                "data": {"type": "float32"},
                "test_tensor": file(TEST_INPUT),
                "preprocessing": own,
            }
        ],
        "outputs": outputs,
        "weights": {"onnx": {**file(GRAPH), "opset_version": OPSET}},
        # some readers fail without a nickname
        "config": {"bioimageio": {"nickname": "pixelwise-model", "nickname_icon": "🔬"}},
    }


def _readme(model_card: ModelCard, said: Description, about: About) -> str:
    trained = "\n".join(f"- {name}: {value}" for name, value in model_card.trained.items())
    notes = "\n".join(said.notes)
    return f"""# {about.name}

{said.finds} The channels of its output, in order: {", ".join(said.channels)}.

{notes}

# Training

{trained}

# Validation

The image in `{TEST_INPUT}` is a real one; `{TEST_OUTPUT}` is what the trained network says of it in PyTorch.
"""
