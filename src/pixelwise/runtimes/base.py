"""Interface of the runtimes: a batch of tiles in, logits out.

Each library has its own module (`torch`, `onnx`, `openvino`), so that only the one in use is imported. `benchmark`
measures which is fastest.

An exported graph takes `image` (batch, channels, *size), float32, where size is (height, width), or (depth, height,
width) of volumes, and returns `probabilities` and `logits`. If
the model normalises each image by its own mean and standard deviation, which a tile does not contain, the graph also
takes them as `mean` and `std` (batch, channels); all other normalisation is part of the graph.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32

from pixelwise.errors import PixelwiseError, printable
from pixelwise.geometry.layer_graph import Span
from pixelwise.geometry.statistics_passes import Operation, StatisticsPass
from pixelwise.geometry.subgraphs import NetworkStages, Subgraph
from pixelwise.model_file.model_card import ModelCard, invalid_model
from pixelwise.runtimes.statistics import ChannelStatistics, Moments

INPUTS = ("image", "mean", "std")
PROBABILITIES, LOGITS = "probabilities", "logits"
METADATA = "pixelwise"  # key of the model card in an exported file
Images = Float32[np.ndarray, "batch channels *size"]
PerChannel = Float32[np.ndarray, "batch channels"]


@runtime_checkable
class Runtime(Protocol):
    """Computes logits for a batch of tiles of a valid size."""

    def __call__(
        self, tiles: Float[np.ndarray, "batch channels *size"]
    ) -> Float[np.ndarray, "batch classes *output_size"]:
        """Return the logits, in the floating-point type of the network."""
        ...


@dataclass(frozen=True)
class RuntimeMemory:
    """What a runtime holds, so that a plan stays within the memory of its process.

    Attributes
    ----------
    held : int
        Bytes besides values: its libraries, weights and compiled graphs, as far as they are more than those of PyTorch.
    factor : float
        Memory of a tile relative to the values that are alive at once: copies of inputs and outputs, other layouts,
        workspaces, and blocks that the allocator keeps.
    """

    held: int = 0
    factor: float = 2.0


@runtime_checkable
class StagedRuntime(Runtime, Protocol):
    """A runtime that also computes the subgraphs of its network (see `geometry.subgraphs`)."""

    @property
    def stages(self) -> NetworkStages | None:
        """The stages of the network; None if it cannot be cut."""
        ...

    @property
    def memory(self) -> RuntimeMemory:
        """What it holds."""
        ...

    def run_subgraph(
        self, subgraph: Subgraph, *maps: Float[np.ndarray, "batch _ *_"]
    ) -> Float[np.ndarray, "batch out_channels *out_size"]:
        """Return the output of a subgraph for its inputs, in any memory layout.

        Maps, but not logits, may be overwritten by the next call. Raises ValueError if the network cannot be cut.
        """
        ...


@runtime_checkable
class WholeImageLayers(Protocol):
    """Measures the statistics of the whole-image normalisations of a network (see `geometry.statistics_passes`)."""

    @property
    def graph(self) -> tuple[Operation, ...]:
        """The operations of the network."""
        ...

    def measure(
        self,
        step: StatisticsPass,
        inputs: Mapping[int, Float[np.ndarray, "one _ *_"]],
        keep: Sequence[Span],
        statistics: Mapping[int, ChannelStatistics],
    ) -> tuple[Moments, dict[int, np.ndarray]]:
        """Compute a tile of a pass; return the moments of its target, and the values to store."""
        ...


@runtime_checkable
class MeasuringRuntime(Runtime, Protocol):
    """A runtime that also measures and fixes the statistics of whole-image normalisations."""

    @property
    def whole_image(self) -> WholeImageLayers | None:
        """How they are measured; None if there are none, or if that is not possible."""
        ...

    def with_statistics(self, statistics: Sequence[ChannelStatistics]) -> Runtime:
        """Return a runtime of the network with fixed statistics."""
        ...


class Outputs(NamedTuple):
    """Outputs of an exported graph: float32 arrays (batch, classes, *output_size)."""

    probabilities: np.ndarray
    logits: np.ndarray


@runtime_checkable
class ExportedGraph(Runtime, Protocol):
    """An exported graph with its model card."""

    model_card: ModelCard

    def outputs(self, image: Images, mean: PerChannel, std: PerChannel) -> Outputs:
        """Return all outputs for images in file values, as other programs run the graph."""
        ...


@contextmanager
def computing(path: Path, library: str) -> Generator[None]:
    """Raise what a library raises while it computes as a `BadModel` that names the file."""
    with refusing(path, f"a graph that {library} cannot compute"):
        yield


@contextmanager
def refusing(path: Path, got: str) -> Generator[None]:
    """Raise what a library raises as a `BadModel` that names the file, what was found, and the reason."""
    try:
        yield
    except PixelwiseError:
        raise
    except Exception as error:  # the errors of the libraries have no common base class
        reason = " ".join(printable(str(error)).split())[:160] or type(error).__name__
        raise invalid_model(path, f"{got} ({reason})") from error


def check_logits(logits: np.ndarray, tiles: np.ndarray, card: ModelCard, path: Path) -> np.ndarray:
    """Return the logits of an exported graph; raise `BadModel` if their shape is not that of the model card."""
    output_size = [side - 2 * card.geometry.along(axis).margin for axis, side in enumerate(tiles.shape[2:])]
    expected = (len(tiles), card.network.classes, *([] if card.task == "classification" else output_size))
    if logits.shape != expected:
        got = f"a graph whose logits have the shape {logits.shape} where its model card has {expected}"
        raise invalid_model(path, got)
    return logits


def graph_inputs(
    names: Sequence[str],
    image: Float[np.ndarray, "batch channels *size"],
    mean: PerChannel | None = None,
    std: PerChannel | None = None,
) -> dict[str, np.ndarray]:
    """Return the inputs of a graph by name; without `mean` and `std` the image is assumed to be normalised."""
    batch_channels = image.shape[:2]
    values = {
        "image": np.ascontiguousarray(image, np.float32),
        "mean": np.zeros(batch_channels, np.float32) if mean is None else mean,
        "std": np.ones(batch_channels, np.float32) if std is None else std,
    }
    return {name: values[name] for name in names}
