"""Grad-CAM, input gradients, feature maps and attention gates of one image or volume.

Requires the PyTorch network, because exported models have no gradients. The hooks are removed after the forward pass,
and the network is not changed.
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
    """Grad-CAM of one stage for one class.

    Attributes
    ----------
    weights : float32 array (channels,)
        Mean gradient of the score with respect to each channel.
    heat : float32 array (height, width) or (depth, height, width)
        The heat map: weighted sum of the channels, negative values set to 0. All zero: the stage does not support the
        class.
    """

    stage: str
    stride: int
    weights: Float32[np.ndarray, " channels"]
    heat: Float32[np.ndarray, "*size"]


class GradCam:
    """Forward pass of one image with its autograd graph, for Grad-CAM and input gradients.

    Parameters
    ----------
    network : Segmenter or Classifier
        On the CPU. Run in evaluation mode; its state is restored afterwards.
    image : float32 array (channels, height, width), or (channels, depth, height, width) for a network of volumes
        Normalised, of a valid size.

    Attributes
    ----------
    logits : float32 array (classes, *size), or (classes,) of a classifier
    stages : tuple of Stage
        In execution order; a skip precedes the stage that reads it.
    gates : tuple of Gating

    Raises
    ------
    BadOption
        The size is not valid.

    Notes
    -----
    Memory: all feature maps are kept, about twice what `Segmenter.layers` counts as `values`.
    """

    def __init__(self, network: Network, image: Float32[np.ndarray, " channels *size"]) -> None:
        recorder = ActivationRecorder()
        self._image = torch.from_numpy(np.ascontiguousarray(image))[None].requires_grad_()
        with ExitStack() as stack:
            stack.enter_context(_evaluation_mode(network))
            for hook in recorder.register(network):
                stack.callback(hook.remove)
            stack.enter_context(torch.enable_grad())
            self._logits: Tensor = network(self._image)
        self.logits: np.ndarray = self._logits[0].detach().numpy()
        self._activations = tuple(recorder.maps)
        self.stages = tuple(Stage(a.name, a.part, a.stride, a.cut(a.tensor)) for a in self._activations)
        self.gates = tuple(recorder.gates)

    @property
    def coarsest(self) -> str:
        """The name of the coarsest stage: the last of the encoder."""
        return [stage.name for stage in self.stages if stage.part == "encoder"][-1]

    @property
    def finest(self) -> str:
        """The name of the last stage at the finest resolution: of the decoder if there is one."""
        min_stride = min(stage.stride for stage in self.stages)
        return [s.name for s in self.stages if s.part != "skip" and s.stride == min_stride][-1]

    def attributions(
        self, class_index: int, region: Bool[np.ndarray, "*size"] | None = None, stages: Sequence[str] = ()
    ) -> tuple[Attribution, ...]:
        """Return the Grad-CAM of stages for a class.

        Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391, equations 1 and 2): the ReLU of the sum of all channels, each
        weighted by the mean gradient of the score with respect to it. The score of a classifier is its logit; that of a
        segmentation network is the sum of its logits over a region (Seg-Grad-CAM: Vinogradova et al. 2020, arXiv
        2002.11434).

        Parameters
        ----------
        region : bool array of the size of the logits, optional
            Pixels of the logits; by default all. Not for classifiers.
        stages : sequence of str
            Names; by default the coarsest and the finest.

        Raises
        ------
        BadOption
            Unknown class or stage; or the region is empty or does not have the size of the logits.
        """
        score = self._score(class_index, region)
        activations = [self._find(name) for name in stages or (self.coarsest, self.finest)]
        tensors = [activation.tensor for activation in activations]
        gradients = torch.autograd.grad(score, tensors, retain_graph=True, allow_unused=True)
        return tuple(_attribution(*pair) for pair in zip(activations, gradients, strict=True))

    def sensitivity(
        self, class_index: int, region: Bool[np.ndarray, "*size"] | None = None
    ) -> Float32[np.ndarray, "*input_size"]:
        """Return the saliency map: the absolute input gradient of the score, as a maximum over channels.

        Simonyan, Vedaldi, Zisserman 2014, "Deep inside convolutional networks", arXiv 1312.6034, section 3. It is zero
        outside the receptive field of the region. Arguments and errors as for `attributions`.
        """
        (gradient,) = torch.autograd.grad(self._score(class_index, region), [self._image], retain_graph=True)
        return gradient[0].abs().amax(0).numpy()

    def _score(self, class_index: int, region: np.ndarray | None) -> Tensor:
        classes = len(self.logits)
        if not 0 <= class_index < classes:
            raise BadOption(f"a class in 0...{classes - 1}", f"{class_index}", "Choose another class index.")
        logits = self._logits[0, class_index]
        if region is None:
            return logits.sum()
        if region.shape != tuple(logits.shape):
            got = f"{region.shape}"
            raise BadOption(f"a region of the size of the logits, {tuple(logits.shape)}", got, "Crop or pad it.")
        if not region.any():
            raise BadOption("a region with pixels", "an empty one", "Use another region, or None for the whole image.")
        return logits[torch.from_numpy(region)].sum()

    def _find(self, name: str) -> Activation:
        for activation in self._activations:
            if activation.name == name:
                return activation
        raise BadOption("a stage of the network", f"`{name}`", nearest(name, [a.name for a in self._activations]))


def _attribution(activation: Activation, gradient: Tensor | None) -> Attribution:
    """Weight channels by their mean gradients; None if the score does not depend on the stage."""
    maps = activation.cut(activation.tensor)
    gradients = np.zeros_like(maps) if gradient is None else activation.cut(gradient)
    weights = gradients.mean(axis=tuple(range(1, gradients.ndim)), dtype=np.float64).astype(np.float32)
    heat = np.maximum(np.tensordot(weights, maps, axes=1), 0).astype(np.float32)
    return Attribution(activation.name, activation.stride, weights, heat)


@contextmanager
def _evaluation_mode(network: nn.Module) -> Generator[None, None, None]:
    """Switch to evaluation mode without weight gradients, which would double the memory; restore both at the end."""
    training = {module: module.training for module in network.modules()}
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    try:
        network.eval().requires_grad_(False)
        yield
    finally:
        for module, mode in training.items():
            module.training = mode
        for parameter in trainable:
            parameter.requires_grad_(True)
