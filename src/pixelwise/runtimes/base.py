"""What computes a batch of tiles: arrays in, arrays out.

One file per library that can do it, so that none is imported for another: `torch`, `onnx`,
`openvino`. Which one is fastest here is measured in `benchmark`.

An exported graph takes `image` (batch, channels, height, width), float32, and gives `probabilities` and `logits`. Where
the model normalises every image by its own mean and standard deviation, which no tile can know, the graph also takes
them as `mean` and `std` (batch, channels); all other normalisation stands inside.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32

from pixelwise.model_file.model_card import ModelCard

INPUTS = ("image", "mean", "std")
PROBABILITIES, LOGITS = "probabilities", "logits"
METADATA = "pixelwise"  # the key of the recipe inside an exported file


@runtime_checkable
class Runtime(Protocol):
    """Computes logits for a batch of tiles of a legal size."""

    def __call__(
        self, tiles: Float[np.ndarray, "batch channels height width"]
    ) -> Float[np.ndarray, "batch classes *output_size"]:
        """Return the logits, in the floating type the network computes in."""
        ...


class Outputs(NamedTuple):
    """What an exported graph gives: float32 arrays (batch, classes, *output_size)."""

    probabilities: np.ndarray
    logits: np.ndarray


@runtime_checkable
class ExportedGraph(Runtime, Protocol):
    """An exported graph, which carries its recipe."""

    model_card: ModelCard

    def outputs(self, image: np.ndarray, mean: np.ndarray, std: np.ndarray) -> Outputs:
        """Return all outputs for images in file values, as a stranger runs the graph."""
        ...


def graph_inputs(
    names: Sequence[str],
    image: Float[np.ndarray, "batch channels height width"],
    mean: Float32[np.ndarray, "batch channels"] | None = None,
    std: Float32[np.ndarray, "batch channels"] | None = None,
) -> dict[str, np.ndarray]:
    """Return the inputs of a graph by name; without `mean` and `std` the image is taken as normalised already."""
    flat = image.shape[:2]
    values = {
        "image": np.ascontiguousarray(image, np.float32),
        "mean": np.zeros(flat, np.float32) if mean is None else mean,
        "std": np.ones(flat, np.float32) if std is None else std,
    }
    return {name: values[name] for name in names}
