"""bioimage.io: a package that Fiji, ilastik, QuPath and the model zoo read; model description 0.5.

The package holds the graph as ONNX, a real tile with what the model says of it, and the description. A graph of images
that are normalised one by one gets its normalisation from the description (`zero_mean_unit_variance`), all others
carry it inside; so does the soft-max stand in the description, because logits are what is averaged over turned inputs.
"""

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jaxtyping import Float, Num
from scipy.special import softmax

from pixelwise.commit import commit_bytes
from pixelwise.engine.exporting.to_onnx import OPSET, logits_only
from pixelwise.engine.recipe import Recipe

FORMAT = "0.5.12"
GRAPH = "model.onnx"
TEST_INPUT, TEST_OUTPUT = "test_input.npy", "test_output.npy"
SMALLEST = 64  # pixels a side
EPS = 1e-6  # of the description's normalisation; beside any real standard deviation it is nothing
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
    recipe: Recipe,
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
    recipe : Recipe
    image, logits : arrays
        A tile in file values and what torch says of it where it is a whole image: the test of the package.
    about : About
    """
    contents = {
        GRAPH: logits_only(onnx_file),
        TEST_INPUT: _npy(image),
        TEST_OUTPUT: _npy(softmax(logits, axis=1)),
        "README.md": _readme(recipe, about).encode(),
    }
    text = yaml.safe_dump(_description(recipe, contents, about), sort_keys=False, allow_unicode=True)
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in {"rdf.yaml": text.encode(), **contents}.items():
            package.writestr(zipfile.ZipInfo(name, _STAMP), content, zipfile.ZIP_DEFLATED)
    commit_bytes(path, whole.getvalue())


def _npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, np.ascontiguousarray(array, np.float32), allow_pickle=False)
    return content.getvalue()


def _description(recipe: Recipe, contents: dict[str, bytes], about: About) -> dict[str, Any]:
    def file(name: str) -> dict[str, str]:
        return {"source": name, "sha256": hashlib.sha256(contents[name]).hexdigest()}

    geometry = recipe.geometry
    least = geometry.legal_size(max(SMALLEST, 2 * geometry.halo + geometry.total_stride))
    free = {"min": least, "step": geometry.legal_step}
    inside = [{"type": "space", "id": axis, "size": dict(free)} for axis in "yx"]
    outside = [
        {
            "type": "space",
            "id": axis,
            "size": {"tensor_id": "raw", "axis_id": axis, "offset": -2 * geometry.margin},
            **({"halo": geometry.halo} if geometry.halo else {}),  # valid networks lose a margin instead
        }
        for axis in "yx"
    ]
    channels = [f"channel{index}" for index in range(recipe.channels)]
    own: list[dict[str, Any]] = [{"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}]
    if recipe.normalisation.kind == "image":
        own.append({"id": "zero_mean_unit_variance", "kwargs": {"axes": ["y", "x"], "eps": EPS}})
        # the specification would cast back to the type of the image otherwise
        own.append({"id": "ensure_dtype", "kwargs": {"dtype": "float32"}})
    return {
        "format_version": FORMAT,
        "type": "model",
        "name": about.name,
        "description": about.description or f"Finds {', '.join(recipe.classes[1:]) or 'objects'}; {recipe.task}.",
        "authors": [{"name": name} for name in about.authors or ("unknown",)],
        "cite": [
            {
                "text": "Ronneberger, Fischer, Brox 2015. U-Net: networks for biomedical image segmentation.",
                "doi": "10.1007/978-3-319-24574-4_28",
            }
        ],
        "license": about.licence,
        "documentation": file("README.md"),
        "tags": ["segmentation", recipe.task, recipe.network.name],
        "inputs": [
            {
                "id": "raw",
                "axes": [{"type": "batch"}, {"type": "channel", "channel_names": channels}, *inside],
                "data": {"type": "float32"},
                "test_tensor": file(TEST_INPUT),
                "preprocessing": own,
            }
        ],
        "outputs": [
            {
                "id": "probability",
                "axes": [{"type": "batch"}, {"type": "channel", "channel_names": _names(recipe)}, *outside],
                "data": {"type": "float32", "range": [0.0, 1.0]},
                "test_tensor": file(TEST_OUTPUT),
                "postprocessing": [{"id": "softmax", "kwargs": {"axis": "channel"}}],
            }
        ],
        "weights": {"onnx": {**file(GRAPH), "opset_version": OPSET}},
        # some readers fail without a nickname
        "config": {"bioimageio": {"nickname": "pixelwise-model", "nickname_icon": "🔬"}},
    }


def _names(recipe: Recipe) -> Sequence[str]:
    """Return a name per channel of the target: the classes, or what the target is made of."""
    made = {"components": ("background", "object"), "boundary": ("background", "interior", "boundary")}
    return list(made.get(recipe.target.kind, recipe.classes))


def _readme(recipe: Recipe, about: About) -> str:
    trained = "\n".join(f"- {name}: {value}" for name, value in recipe.trained.items())
    objects = "\nObjects are found in the probabilities by pixelwise; other tools get the probabilities alone.\n"
    return f"""# {about.name}

Probabilities per pixel for: {", ".join(_names(recipe))}.
{objects if recipe.target.kind != "classes" else ""}
Give it whole images where it normalises each image by its own mean and standard deviation.

# Training

{trained}

# Validation

The tile in `{TEST_INPUT}` is a real one; `{TEST_OUTPUT}` is what the trained network says of it in PyTorch.
"""
