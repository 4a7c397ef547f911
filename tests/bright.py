"""A model made by hand that finds what is brighter than its surroundings, and images for it."""

from pathlib import Path

import numpy as np
import torch

from pixelwise.model_file.model_file import ModelCard, save_model
from pixelwise.networks.architectures import build
from tiny import make_recipe

THRESHOLD = 1.0  # standard deviations above the mean of the image
SLOPE = 8.0


def drawn_image(seed: int = 0, side: int = 96) -> np.ndarray:
    """Bright discs on a dark ground, (1, side, side) uint8."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    image = random.normal(40, 8, (side, side))
    for row, column in random.uniform(12, side - 12, (6, 2)):
        image[(rows - row) ** 2 + (columns - column) ** 2 < 64] += 120
    return image.clip(0, 255).astype(np.uint8)[None]


def write_bright_model(path: Path, task: str = "instance") -> ModelCard:
    """Write a U-Net whose only path averages 3 x 3 pixels and goes through the first skip connection to the head."""
    card = make_recipe(task)
    network = build(card.network)
    state = network.state_dict()
    for name, value in state.items():
        if name.endswith(("weight", "bias")) and value.ndim != 1:
            value.zero_()
    state["encoder.stages.0.layers.0.weight"][0, 0] = 1 / 9
    state["encoder.stages.0.layers.3.weight"][0, 0, 1, 1] = 1
    state["decoder.blocks.1.layers.0.weight"][0, [0, 4], 1, 1] = 1  # upsampled and skipped, in either order
    state["decoder.blocks.1.layers.3.weight"][0, 0, 1, 1] = 1
    state["head.layer.weight"][1, 0] = SLOPE
    state["head.layer.bias"][:] = torch.tensor([0.0, -SLOPE * THRESHOLD, -20.0][: card.network.classes])
    network.load_state_dict(state)
    save_model(path, network, card)
    return card
