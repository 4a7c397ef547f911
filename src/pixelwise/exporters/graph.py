"""The graph of all export formats: file values in, probabilities and logits out."""

import logging
import math
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.export import Dim

from pixelwise.exporters.export_task import export_task_of
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
        image: Float[Tensor, "batch channels *size"],
        mean: Float[Tensor, "batch channels"],
        std: Float[Tensor, "batch channels"],
    ) -> Float[Tensor, "batch channels *size"]:
        """Normalise each image by its own mean and std."""
        per_channel = (..., *(None,) * (image.dim() - 2))
        return (image - mean[per_channel]) / std[per_channel]


class FixedScale(nn.Module):
    """(image - mean) / std, with mean and std of the training images as constants, and their limits if it has any.

    As in `sampling.normalise.Scale`, the rounding error of the mean in float32 is corrected at the end.
    """

    def __init__(self, normalisation: Normalisation, dimensions: int = 2) -> None:
        super().__init__()
        mean = torch.tensor(normalisation.mean, dtype=torch.float64)
        factor = 1 / torch.tensor(normalisation.std, dtype=torch.float64)
        shift = mean.to(torch.float32)
        for name, value in (("shift", shift), ("factor", factor), ("rest", (shift - mean) * factor)):
            self.register_buffer(name, value.to(torch.float32)[(..., *(None,) * dimensions)])
        limits = torch.tensor(normalisation.clip, dtype=torch.float32).reshape(-1, 2).T
        self.register_buffer("limits", limits[(..., *(None,) * dimensions)] if normalisation.clip else None)
        self._limited = bool(normalisation.clip)

    def forward(self, image: Float[Tensor, "batch channels *size"]) -> Float[Tensor, "batch channels *size"]:
        """Normalise all images by the same mean and std."""
        if self._limited:
            image = torch.minimum(torch.maximum(image, self.limits[0]), self.limits[1])  # type: ignore[index]
        return (image - self.shift) * self.factor + self.rest  # type: ignore[operator]


class ExportGraph(nn.Module):
    """A network with its normalisation and softmax, batch normalisation folded.

    Parameters
    ----------
    network : AnyNetwork
        Copied, not modified.
    """

    def __init__(self, network: AnyNetwork, model_card: ModelCard) -> None:
        super().__init__()
        self._model_card = model_card
        kinds = {"image": ImageScale, "dataset": self._fixed_scale, "none": nn.Identity}
        self.scale = kinds[model_card.normalisation.kind]()
        self.network = fold_batch_norm(network)
        self.inputs = ("image", "mean", "std") if model_card.normalisation.kind == "image" else ("image",)
        self._min_dynamic_side = export_task_of(model_card).min_dynamic_side
        self._classes = model_card.softmax_channels
        self.eval()

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return probabilities and logits, both (batch, classes, *output_size), for `inputs`."""
        return self._outputs(self.network(self.scale(*inputs)))

    def _outputs(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities and logits."""
        if self._classes == self._model_card.network.classes:
            return logits.softmax(1), logits
        if not self._classes:  # regions
            return logits.sigmoid(), logits
        # channels after the classes have a sigmoid each (`labels.targets.probabilities_of`)
        classes, rest = logits[:, : self._classes], logits[:, self._classes :]
        return torch.cat([classes.softmax(1), rest.sigmoid()], dim=1), logits

    def _fixed_scale(self) -> FixedScale:
        return FixedScale(self._model_card.normalisation, self._model_card.network.dimensions)

    def example(self) -> tuple[Tensor, ...]:
        """Return inputs of a small valid size, with different sides if sizes are dynamic."""
        view, channels = self._model_card.view, self._model_card.channels
        axes = [self._model_card.geometry.along(axis) for axis in range(self._model_card.network.dimensions)]
        first = EXAMPLE_STEPS if len(axes) == 2 else 1  # volumes are small, so that they are traced in little memory
        sides = [
            axis.valid_size(axis.legal_first + axis.total_stride * count) for count, axis in enumerate(axes, first)
        ]
        if view is not None and self._min_dynamic_side is None:
            sides = [view.side, view.side]
        image = torch.linspace(-1, 1, EXAMPLE_BATCH * channels * math.prod(sides))
        scale = torch.zeros(EXAMPLE_BATCH, channels), torch.ones(EXAMPLE_BATCH, channels)
        return (image.reshape(EXAMPLE_BATCH, channels, *sides), *scale)[: len(self.inputs)]

    def dynamic_shapes(self) -> tuple[tuple[dict[int, Any], ...]]:
        """Return the dynamic dimensions of the inputs: the batch, and the sides of the image unless they are static.

        Valid sides are first + k x step. `torch.export` supports dynamic sizes only as sums and products of dynamic
        integers, so k is the dynamic one.
        """
        geometry, batch = self._model_card.geometry, Dim("batch")
        image: dict[int, Any] = {0: batch}
        if self._min_dynamic_side is not None:
            names = ("depth", "rows", "columns")[-self._model_card.network.dimensions :]
            for axis, name in enumerate(names):
                step, margin = geometry.along(axis).legal_step, geometry.along(axis).margin
                first = geometry.along(axis).legal_first if geometry.axes else self._min_dynamic_side
                # the exporter specialises a size of 1: with a context there are at least two slices of logits
                k = Dim(name, min=max(1, first // step + int(step == 1 and margin > 0)))
                image[2 + axis] = k if step == 1 else step * k + first % step if first % step else step * k
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
