"""Insight: what a network sees in one image. Feature maps along the U, gates, and the evidence for a class.

Needs the network itself, in PyTorch: evidence is a gradient, which no exported model gives. Nothing is changed in the
network; hooks listen to its finished parts and are taken off again.
"""

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor, nn

from pixelwise.errors import BadOption, nearest
from pixelwise.explain.activations import Activation, ActivationRecorder, Stage
from pixelwise.networks.models import Network


@dataclass(frozen=True)
class Attribution:
    """Where a stage speaks for a class (Grad-CAM).

    Attributes
    ----------
    stage : str
    stride : int
    weights : float32 array (channels,)
        How much the score rises with each channel, on average over its pixels.
    heat : float32 array (height, width)
        The weighted sum of the maps, negative values cut off. All zero: nothing at this stage speaks for the class.
    """

    stage: str
    stride: int
    weights: Float32[np.ndarray, " channels"]
    heat: Float32[np.ndarray, "height width"]


class Insight:
    """One pass of an image through a network, kept open for questions.

    Parameters
    ----------
    network : Segmenter or Classifier
        For two-dimensional images, on the CPU. It is looked at as in prediction (no dropout, kept statistics) and left
        as it was.
    image : float32 array (channels, height, width)
        On the scale of the network, of a legal size.

    Attributes
    ----------
    logits : float32 array (classes, height, width), or (classes,) of a classifier
    stages : tuple of Stage
        In the order of computing; a skip stands before the stage that it goes into.
    gates : tuple of Gating

    Raises
    ------
    BadOption
        The size is not legal.

    Notes
    -----
    Memory: all maps on the way are kept, about twice what `Segmenter.layers` counts as `values`.
    """

    def __init__(self, network: Network, image: Float32[np.ndarray, "channels height width"]) -> None:
        listener = ActivationRecorder()
        self._image = torch.from_numpy(np.ascontiguousarray(image))[None].requires_grad_()
        with ExitStack() as stack:
            stack.enter_context(_as_in_prediction(network))
            for hook in listener.listen(network):
                stack.callback(hook.remove)
            stack.enter_context(torch.enable_grad())
            self._logits: Tensor = network(self._image)
        self.logits: np.ndarray = self._logits[0].detach().numpy()
        self._heard = tuple(listener.maps)
        self.stages = tuple(Stage(h.name, h.part, h.stride, h.cut(h.tensor)) for h in self._heard)
        self.gates = tuple(listener.gates)

    @property
    def coarsest(self) -> str:
        """The name of the stage that sees most: the last of the encoder."""
        return [stage.name for stage in self.stages if stage.part == "encoder"][-1]

    @property
    def finest(self) -> str:
        """The name of the last stage at the finest resolution: of the decoder where there is one."""
        least = min(stage.stride for stage in self.stages)
        return [s.name for s in self.stages if s.part != "skip" and s.stride == least][-1]

    def evidence(
        self,
        class_index: int,
        region: Bool[np.ndarray, "rows columns"] | None = None,
        stages: Sequence[str] = (),
    ) -> tuple[Attribution, ...]:
        """Return where stages speak for a class.

        Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391, equations 1 and 2): each map is weighted by the mean gradient
        of the score with respect to it; the sum, where positive, is the evidence. The score of a classifier is its
        logit; that of a segmenter the sum of its logits over a region (Seg-Grad-CAM: Vinogradova et al. 2020, arXiv
        2002.11434).

        Parameters
        ----------
        class_index : int
        region : bool array (rows, columns), optional
            Of the logits; by default all of them. Not for classifiers.
        stages : sequence of str
            Names; by default the coarsest and the finest.

        Raises
        ------
        BadOption
            No such class or stage; or a region that holds nothing, or is not of the size of the logits.
        """
        score = self._score(class_index, region)
        asked = [self._find(name) for name in stages or (self.coarsest, self.finest)]
        gradients = torch.autograd.grad(score, [heard.tensor for heard in asked], retain_graph=True, allow_unused=True)
        return tuple(_weigh(heard, gradient) for heard, gradient in zip(asked, gradients, strict=True))

    def sensitivity(
        self, class_index: int, region: Bool[np.ndarray, "rows columns"] | None = None
    ) -> Float32[np.ndarray, "height width"]:
        """Return how strongly each pixel of the image moves the score: the largest gradient over its channels.

        Simonyan, Vedaldi, Zisserman 2014, "Deep inside convolutional networks", arXiv 1312.6034, section 3. It is zero
        where the receptive field of the region ends. Arguments and errors as for `evidence`.
        """
        (gradient,) = torch.autograd.grad(self._score(class_index, region), [self._image], retain_graph=True)
        return gradient[0].abs().amax(0).numpy()

    def _score(self, class_index: int, region: np.ndarray | None) -> Tensor:
        classes = len(self.logits)
        if not 0 <= class_index < classes:
            raise BadOption(f"a class in 0...{classes - 1}", f"{class_index}", "Choose one of them.")
        logits = self._logits[0, class_index]
        if region is None:
            return logits.sum()
        if region.shape != tuple(logits.shape):
            got = f"one of {region.shape}"
            raise BadOption(f"a region of the size of the logits, {tuple(logits.shape)}", got, "Cut or pad it.")
        if not region.any():
            raise BadOption("a region with pixels", "an empty one", "Give another region, or None for the whole.")
        return logits[torch.from_numpy(region)].sum()

    def _find(self, name: str) -> Activation:
        found = [heard for heard in self._heard if heard.name == name]
        if not found:
            raise BadOption("a stage of the network", f"`{name}`", nearest(name, [h.name for h in self._heard]))
        return found[0]


def _weigh(heard: Activation, gradient: Tensor | None) -> Attribution:
    """Weight maps by their mean gradients; no gradient means that the score does not depend on them."""
    maps = heard.cut(heard.tensor)
    slopes = np.zeros_like(maps) if gradient is None else heard.cut(gradient)
    weights = slopes.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)
    heat = np.maximum(np.tensordot(weights, maps, axes=1), 0).astype(np.float32)
    return Attribution(heard.name, heard.stride, weights, heat)


@contextmanager
def _as_in_prediction(network: nn.Module) -> Generator[None, None, None]:
    """Switch to evaluation, and keep no gradients of weights, which would double the memory; then put all back."""
    training = {module: module.training for module in network.modules()}
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    try:
        network.eval().requires_grad_(False)
        yield
    finally:
        for module, mode in training.items():
            module.training = mode
        for parameter in learning:
            parameter.requires_grad_(True)
