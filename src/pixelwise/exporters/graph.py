"""The graph of every export: file values in, probabilities and logits out. All formats are made from this one."""

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
from pixelwise.networks.models import Trained
from pixelwise.runtimes.fold_batch_norm import fold_batch_norm
from pixelwise.sampling.normalise import Normalisation

EXAMPLE_BATCH, EXAMPLE_STEPS = 2, 3  # 1 would be taken for a constant


class ImageScale(nn.Module):
    """(image - mean) / std, with mean and std of each image, which come from outside."""

    def forward(
        self,
        image: Float[Tensor, "batch channels height width"],
        mean: Float[Tensor, "batch channels"],
        std: Float[Tensor, "batch channels"],
    ) -> Float[Tensor, "batch channels height width"]:
        """Scale every image by its own numbers."""
        return (image - mean[:, :, None, None]) / std[:, :, None, None]


class FixedScale(nn.Module):
    """(image - mean) / std, with mean and std of the training images, which stand inside.

    As in `sampling.normalise.Scale`, what rounding the mean to float32 leaves over is added at the end.
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
        """Scale all images alike."""
        return (image - self.shift) * self.factor + self.rest  # type: ignore[operator]


class ExportGraph(nn.Module):
    """A network between its normalisation and its soft-max, batch normalisation folded.

    Parameters
    ----------
    network : Trained
        Is copied, and stays as it is.
    model_card : ModelCard
    """

    def __init__(self, network: Trained, model_card: ModelCard) -> None:
        super().__init__()
        kinds = {"image": ImageScale, "dataset": lambda: FixedScale(model_card.normalisation), "none": nn.Identity}
        self.scale = kinds[model_card.normalisation.kind]()
        self.network = fold_batch_norm(deepcopy(network).eval())
        self.inputs = ("image", "mean", "std") if model_card.normalisation.kind == "image" else ("image",)
        self._recipe = model_card
        self._free_from = export_task_of(model_card).free_from
        self._classes = class_channels(model_card.target, model_card.network.classes)
        self.eval()

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities and logits, both (batch, classes, *output_size), for `inputs`."""
        logits = self.network(self.scale(*inputs))
        if self._classes == self._recipe.network.classes:
            return logits.softmax(1), logits
        # channels behind the classes stand for a logistic function each (`labels.targets.probabilities_of`)
        classes, rest = logits[:, : self._classes], logits[:, self._classes :]
        return torch.cat([classes.softmax(1), rest.sigmoid()], dim=1), logits

    def example(self) -> tuple[Tensor, ...]:
        """Return inputs of a small legal size, of two different sides where sides are free."""
        geometry, view, channels = self._recipe.geometry, self._recipe.view, self._recipe.channels
        steps = [EXAMPLE_STEPS, EXAMPLE_STEPS + 1]
        sides = [geometry.legal_size(geometry.legal_first + geometry.total_stride * count) for count in steps]
        if view is not None and self._free_from is None:
            sides = [view.side, view.side]
        image = torch.linspace(-1, 1, EXAMPLE_BATCH * channels * sides[0] * sides[1])
        flat = torch.zeros(EXAMPLE_BATCH, channels), torch.ones(EXAMPLE_BATCH, channels)
        return (image.reshape(EXAMPLE_BATCH, channels, *sides), *flat)[: len(self.inputs)]

    def dynamic_shapes(self) -> tuple[tuple[dict[int, Any], ...]]:
        """Return what is free in the inputs: the batch, and every legal height and width where sides are free.

        Legal sides are first + k x step. `torch.export` knows free sizes only as products and sums of free whole
        numbers, so k is what is free.
        """
        geometry, batch = self._recipe.geometry, Dim("batch")
        step, first = geometry.legal_step, self._free_from
        image: dict[int, Any] = {0: batch}
        if first is not None:
            for axis, name in ((2, "rows"), (3, "columns")):
                free = Dim(name, min=max(1, first // step))
                image[axis] = free if step == 1 else step * free + first % step if first % step else step * free
        return ((image, *[{0: batch}] * (len(self.inputs) - 1)),)


@contextmanager
def quiet() -> Generator[None, None, None]:
    """Keep to itself what torch's exporter says to its own makers."""
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
    """Trace a graph with all its free sizes."""
    with quiet(), torch.no_grad():
        return torch.export.export(graph, graph.example(), dynamic_shapes=graph.dynamic_shapes())
