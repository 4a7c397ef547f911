"""The same network as others run it: plain PyTorch, MONAI's sliding window, smp in a loop, nnU-Net's predictor.

Each takes pixels and gives class indices, in float32, contiguous memory, without gradients, as tutorials have it. The
network is pixelwise's own module with the weights of the model in the folder, or for smp its own network with these
weights under its names. Each library is imported where it is used.
"""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pixelwise.model_file.model_card import ModelCard
from pixelwise.model_file.model_file import load_model
from pixelwise.sampling.normalise import intensity_scale

BATCH = 4  # windows that MONAI computes at once
Logits = Callable[[Tensor], Tensor]  # (1, channels, height, width) -> (1, classes, height, width)


def make_peer(side: str, folder: Path, tile: int, roi: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return what predicts: normalise, compute logits, take the most probable class.

    Parameters
    ----------
    side : str
        whole: the network once on the whole picture. loop, smp: windows of `roi` side by side. monai: windows of
        `roi`, its default overlap of a quarter, Gaussian. monai-equal: windows that keep `tile` and overlap by our
        exact halo. nnunet: windows of `roi`, its default step of a half, Gaussian; nnunet-mirrored: with its default
        mirroring along both axes.
    folder : Path
        Of the model.
    tile, roi : int
    """
    network, model_card = load_model(folder / "model.safetensors")
    network.eval()
    if side == "loop":
        return _masks(model_card, network, roi)
    if side == "smp":
        return _masks(model_card, _smp(network, model_card), roi)
    if side == "whole":
        return _picture(model_card, network)
    if side == "monai":
        return _picture(model_card, _monai(network, roi, 0.25))
    if side == "monai-equal":
        window = tile + 2 * model_card.geometry.halo
        return _picture(model_card, _monai(network, window, 2 * model_card.geometry.halo / window))
    return _picture(model_card, _nnunet(network, model_card, roi, mirrored=side.endswith("mirrored")))


def _picture(model_card: ModelCard, logits: Logits) -> Callable[[np.ndarray], np.ndarray]:
    def predict(pixels: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return logits(_tensor(model_card, pixels)).argmax(1)[0].numpy().astype(np.uint8)

    return predict


def _masks(model_card: ModelCard, network: nn.Module, roi: int) -> Callable[[np.ndarray], np.ndarray]:
    """Predict windows side by side, as a script does; the last ones are filled up with zeros."""

    def predict(pixels: np.ndarray) -> np.ndarray:
        image = _tensor(model_card, pixels)
        height, width = image.shape[2:]
        mask = np.zeros((height, width), np.uint8)
        with torch.no_grad():
            for top in range(0, height, roi):
                for left in range(0, width, roi):
                    window = image[:, :, top : top + roi, left : left + roi]
                    rows, columns = window.shape[2:]
                    if (rows, columns) != (roi, roi):
                        window = nn.functional.pad(window, (0, roi - columns, 0, roi - rows))
                    classes = network(window).argmax(1)[0].numpy()
                    mask[top : top + rows, left : left + columns] = classes[:rows, :columns]
        return mask

    return predict


def _tensor(model_card: ModelCard, pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(intensity_scale(pixels, model_card.normalisation).apply(pixels))[None]


def _monai(network: nn.Module, roi: int, overlap: float) -> Logits:
    from monai.inferers import sliding_window_inference  # pyright: ignore[reportMissingImports]

    window: Any = sliding_window_inference
    return lambda image: window(image, (roi, roi), BATCH, network, overlap=overlap, mode="gaussian")


def _smp(network: nn.Module, model_card: ModelCard) -> nn.Module:
    import segmentation_models_pytorch as smp  # pyright: ignore[reportMissingImports]

    from pixelwise.networks.weight_names import published_names

    options = model_card.network
    peer = smp.Unet(options.encoder, encoder_weights=None, in_channels=options.in_channels, classes=options.classes)
    peer.load_state_dict(published_names(network))  # type: ignore[arg-type]
    return peer.eval()


def _nnunet(network: nn.Module, model_card: ModelCard, roi: int, *, mirrored: bool) -> Logits:
    """Give nnU-Net's predictor the network by hand, with the plan that it would read from a file."""
    with contextlib.redirect_stdout(io.StringIO()):  # it speaks of folders that nobody needs here
        from nnunetv2.inference.predict_from_raw_data import (  # pyright: ignore[reportMissingImports]
            nnUNetPredictor,
        )
        from nnunetv2.utilities.plans_handling.plans_handler import (  # pyright: ignore[reportMissingImports]
            PlansManager,
        )

        predictor = nnUNetPredictor(use_mirroring=mirrored, device=torch.device("cpu"), allow_tqdm=False)
        ours = {"network_class_name": type(network).__name__, "arch_kwargs": {}, "_kw_requires_import": []}
        plans = PlansManager({"configurations": {"2d": {"patch_size": [roi, roi], "architecture": ours}}})
        labels = {f"class {number}" if number else "background": number for number in range(model_card.network.classes)}
        messages = {"labels": labels, "channel_names": {"0": "gray"}}
        axes = (0, 1) if mirrored else None
        predictor.manual_initialization(network, plans, plans.get_configuration("2d"), None, messages, "", axes)

    def logits(image: Tensor) -> Tensor:
        found = predictor.predict_sliding_window_return_logits(image[0][:, None])
        return found[:, 0][None]

    return logits
