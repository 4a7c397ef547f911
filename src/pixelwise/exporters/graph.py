"""The graph of all export formats: file values in, probabilities and logits out."""

import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.export import Dim

from pixelwise.exporters.export_task import export_task_of
from pixelwise.labels.targets import class_channels
from pixelwise.model_file.model_card import ModelCard
from pixelwise.networks.models import AnyNetwork
from pixelwise.networks.subgraphs import staged
from pixelwise.runtimes.fold_batch_norm import fold_batch_norm
from pixelwise.runtimes.graph_stages import inner_maps
from pixelwise.sampling.normalise import Normalisation

EXAMPLE_BATCH, EXAMPLE_STEPS = 2, 3  # tracing would treat 1 as a constant


class ImageScale(nn.Module):
    """(image - mean) / std, with mean and std of each image as inputs."""

    def forward(
        self,
        image: Float[Tensor, "batch channels height width"],
        mean: Float[Tensor, "batch channels"],
        std: Float[Tensor, "batch channels"],
    ) -> Float[Tensor, "batch channels height width"]:
        """Normalise each image by its own mean and std."""
        return (image - mean[:, :, None, None]) / std[:, :, None, None]


class FixedScale(nn.Module):
    """(image - mean) / std, with mean and std of the training images as constants.

    As in `sampling.normalise.Scale`, the rounding error of the mean in float32 is corrected at the end.
    """

    def __init__(self, normalisation: Normalisation) -> None:
        super().__init__()
        mean = torch.tensor(normalisation.mean, dtype=torch.float64)
        factor = 1 / torch.tensor(normalisation.std, dtype=torch.float64)
        shift = mean.to(torch.float32)
        for name, value in (("shift", shift), ("factor", factor), ("rest", (shift - mean) * factor)):
            self.register_buffer(name, value.to(torch.float32)[:, None, None])

    def forward(
        self, image: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Normalise all images by the same mean and std."""
        return (image - self.shift) * self.factor + self.rest  # type: ignore[operator]


class ExportGraph(nn.Module):
    """A network with its normalisation and softmax, batch normalisation folded.

    Parameters
    ----------
    network : AnyNetwork
        Copied, not modified.
    model_card : ModelCard
    """

    def __init__(self, network: AnyNetwork, model_card: ModelCard) -> None:
        super().__init__()
        kinds = {"image": ImageScale, "dataset": lambda: FixedScale(model_card.normalisation), "none": nn.Identity}
        self.scale = kinds[model_card.normalisation.kind]()
        self.network = fold_batch_norm(deepcopy(network).eval())
        self.inputs = ("image", "mean", "std") if model_card.normalisation.kind == "image" else ("image",)
        self._model_card = model_card
        self._min_dynamic_side = export_task_of(model_card).min_dynamic_side
        self._classes = class_channels(model_card.target, model_card.network.classes)
        self.eval()

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return probabilities and logits, both (batch, classes, *output_size), for `inputs`."""
        return self._outputs(self.network(self.scale(*inputs)))

    def _outputs(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities and logits."""
        if self._classes == self._model_card.network.classes:
            return logits.softmax(1), logits
        # channels after the classes have a sigmoid each (`labels.targets.probabilities_of`)
        classes, rest = logits[:, : self._classes], logits[:, self._classes :]
        return torch.cat([classes.softmax(1), rest.sigmoid()], dim=1), logits

    def example(self) -> tuple[Tensor, ...]:
        """Return inputs of a small valid size, with two different sides if sizes are dynamic."""
        geometry, view, channels = self._model_card.geometry, self._model_card.view, self._model_card.channels
        steps = [EXAMPLE_STEPS, EXAMPLE_STEPS + 1]
        sides = [geometry.valid_size(geometry.legal_first + geometry.total_stride * count) for count in steps]
        if view is not None and self._min_dynamic_side is None:
            sides = [view.side, view.side]
        image = torch.linspace(-1, 1, EXAMPLE_BATCH * channels * sides[0] * sides[1])
        scale = torch.zeros(EXAMPLE_BATCH, channels), torch.ones(EXAMPLE_BATCH, channels)
        return (image.reshape(EXAMPLE_BATCH, channels, *sides), *scale)[: len(self.inputs)]

    def dynamic_shapes(self) -> tuple[tuple[dict[int, Any], ...]]:
        """Return the dynamic dimensions of the inputs: the batch, and height and width unless they are static.

        Valid sides are first + k x step. `torch.export` supports dynamic sizes only as sums and products of dynamic
        integers, so k is the dynamic one.
        """
        geometry, batch = self._model_card.geometry, Dim("batch")
        step, first = geometry.legal_step, self._min_dynamic_side
        image: dict[int, Any] = {0: batch}
        if first is not None:
            for axis, name in ((2, "rows"), (3, "columns")):
                k = Dim(name, min=max(1, first // step))
                image[axis] = k if step == 1 else step * k + first % step if first % step else step * k
        return ((image, *[{0: batch}] * (len(self.inputs) - 1)),)


class GraphWithMaps(ExportGraph):
    """An export graph that also returns the maps at which its network can be cut, in the order of `inner_maps`.

    Parameters
    ----------
    network, model_card
        As for `ExportGraph`.

    Raises
    ------
    ValueError
        The network cannot be cut.
    """

    def __init__(self, network: AnyNetwork, model_card: ModelCard) -> None:
        super().__init__(network, model_card)
        found = staged(self.network)
        if found is None:
            raise ValueError("a network that cannot be cut")
        self.staged, self.maps = found, inner_maps(found.stages)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return probabilities, logits and the maps."""
        maps = self.staged.maps(self.scale(*inputs))
        return (*self._outputs(maps["decoder", 0]), *(maps[key] for key in self.maps))


@contextmanager
def quiet() -> Generator[None, None, None]:
    """Suppress the warnings of torch's exporter."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def trace(graph: ExportGraph) -> torch.export.ExportedProgram:
    """Trace a graph with its dynamic sizes."""
    with quiet(), torch.no_grad():
        return torch.export.export(graph, graph.example(), dynamic_shapes=graph.dynamic_shapes())
