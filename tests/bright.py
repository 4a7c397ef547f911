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


def drawn_volume(seed: int = 0, shape: tuple[int, int, int] = (12, 40, 48)) -> np.ndarray:
    """Bright balls, one in each half, on a dark ground of computed tomography: (depth, height, width) int16."""
    random = np.random.default_rng(seed)
    z, y, x = np.indices(shape)
    volume = random.normal(-900, 20, shape)
    for number in range(2):
        centre = (shape[0] / 2, shape[1] / 2, (2 * number + 1) * shape[2] / 4)
        volume[(z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < 25] += 1000
    return volume.astype(np.int16)


def write_bright_model(path: Path, task: str = "instance", dimensions: int = 2) -> ModelCard:
    """Write a U-Net whose only path averages 3 x 3 pixels and goes through the first skip connection to the head.

    With three dimensions it averages 27 voxels, and takes volumes as they are.
    """
    card = make_recipe(task, dimensions=dimensions)
    middle = (1,) * dimensions
    network = build(card.network)
    state = network.state_dict()
    for name, value in state.items():
        if name.endswith(("weight", "bias")) and value.ndim != 1:
            value.zero_()
    state["encoder.stages.0.layers.0.weight"][0, 0] = 1 / 3**dimensions
    state["encoder.stages.0.layers.3.weight"][(0, 0, *middle)] = 1
    state["decoder.blocks.1.layers.0.weight"][(0, [0, 4], *middle)] = 1  # upsampled and skipped, in either order
    state["decoder.blocks.1.layers.3.weight"][(0, 0, *middle)] = 1
    state["head.layer.weight"][1, 0] = SLOPE
    state["head.layer.bias"][:] = torch.tensor([0.0, -SLOPE * THRESHOLD, -20.0][: card.network.classes])
    network.load_state_dict(state)
    save_model(path, network, card)
    return card
