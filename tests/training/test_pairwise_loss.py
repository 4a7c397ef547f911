"""The pairwise loss: its definition, and that it puts boundaries on the edges of an image."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from pixelwise.labels.targets import IGNORE
from pixelwise.training import pairwise_loss as module
from pixelwise.training.losses import LossOptions, segmentation_loss
from pixelwise.training.pairwise_loss import DISTANCES, WINDOW, pairwise_loss

SIDE = 24


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_hand(logits: Tensor, images: Tensor) -> float:
    """Return the loss pair by pair, as it is defined."""
    chances, pixels, half = logits.double().softmax(1).numpy(), images.double().numpy(), WINDOW // 2
    count, height, width = pixels.shape[0], *pixels.shape[2:]
    total = weights = 0.0
    for image in range(count):
        own = pixels[image]
        steps = np.zeros((height, width))
        steps[:-1] += (np.diff(own, axis=1) ** 2).sum(0) / 2
        steps[:, :-1] += (np.diff(own, axis=2) ** 2).sum(0) / 2

        def usual(row: int, column: int, steps: np.ndarray = steps) -> float:
            rows, columns = slice(max(0, row - half), row + half + 1), slice(max(0, column - half), column + half + 1)
            return float(steps[rows, columns].mean())

        for distance, direction in itertools.product(DISTANCES, [(0, 1), (1, -1), (1, 0), (1, 1)]):
            for row, column in np.ndindex(height, width):
                other = row + distance * direction[0], column + distance * direction[1]
                if not (other[0] < height and 0 <= other[1] < width):
                    continue
                squared = ((own[:, row, column] - own[:, *other]) ** 2).sum()
                weight = np.exp(-squared / (usual(row, column) + usual(*other)))
                total += weight * (1 - (chances[image][:, row, column] * chances[image][:, *other]).sum())
                weights += weight
    return total / weights


def test_it_is_its_definition() -> None:
    logits, images = noise(2, 3, 9, 17), noise(2, 2, 9, 17, seed=1)
    assert float(pairwise_loss(logits, images)) == pytest.approx(by_hand(logits, images), rel=1e-5)


def test_it_is_zero_without_a_boundary_and_ignores_the_scale_of_intensities() -> None:
    logits, images = noise(1, 2, 12, 12), noise(1, 1, 12, 12, seed=1)
    assert float(pairwise_loss(torch.tensor([50.0, 0]).view(1, 2, 1, 1).expand(1, 2, 12, 12), images)) < 1e-6
    torch.testing.assert_close(pairwise_loss(logits, 1000 * images + 7), pairwise_loss(logits, images))
    assert bool(torch.isfinite(pairwise_loss(logits, torch.zeros_like(images))))


def test_sides_below_the_largest_distance_have_the_pairs_that_fit() -> None:
    logits, images = noise(1, 2, 3, 9), noise(1, 1, 3, 9, seed=1)
    assert float(pairwise_loss(logits, images)) == pytest.approx(by_hand(logits, images), rel=1e-5)


def test_volumes_have_the_pairs_of_three_axes() -> None:
    logits, images = noise(1, 2, 6, 7, 8), noise(1, 1, 6, 7, 8, seed=1)
    turned = pairwise_loss(logits.permute(0, 1, 4, 2, 3), images.permute(0, 1, 4, 2, 3))
    assert float(turned) == pytest.approx(float(pairwise_loss(logits, images)), rel=1e-5)


def two_objects() -> Tensor:
    """A very bright object at the top left, and a dim one from column 40 on, on a noisy ground."""
    image = 0.02 * noise(1, 1, 64, 64)
    image[..., :12, :12] += 60.0
    image[..., 40:] += 1.0
    return image


def energy(image: Tensor, column: int) -> float:
    """Return the loss if the dim object began at a column."""
    logits = torch.zeros(1, 2, 64, 64)
    logits[:, 1] = -20
    logits[:, 1, :12, :12] = logits[:, 1, :, column:] = 20
    return float(pairwise_loss(logits, image))


def test_the_edge_of_a_dim_object_beside_a_bright_one_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    image = two_objects()
    on_edge, beside = energy(image, 40), energy(image, 43)
    assert on_edge < 0.6 * beside
    usual = module._usual_difference(image).mean()  # pyright: ignore[reportPrivateUsage]
    whole = torch.full((1, 1, 64, 64), float(usual))
    monkeypatch.setattr(module, "_usual_difference", lambda images: whole)
    assert energy(image, 40) > 0.9 * energy(image, 43), "control: with the mean over the image it does not"


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_strokes_grow_to_the_edges_of_the_image(weight: float) -> None:
    """Free logits, without a network: only the pairs say anything about pixels without a stroke."""
    truth = torch.zeros(SIDE, SIDE, dtype=torch.uint8)
    truth[6:17, 5:16] = 1
    image = truth.float()[None, None] + 0.1 * noise(1, 1, SIDE, SIDE)
    target = torch.full((1, SIDE, SIDE), IGNORE, dtype=torch.uint8)
    target[0, 10, 8:13], target[0, 2, 3:20], target[0, 21, 3:20] = 1, 0, 0
    logits = torch.zeros(1, 2, SIDE, SIDE, requires_grad=True)
    optimiser = torch.optim.Adam([logits], 0.1)
    for _ in range(150):
        optimiser.zero_grad()
        loss = segmentation_loss(logits, target, LossOptions()) + weight * pairwise_loss(logits, image)
        loss.backward()
        optimiser.step()
    found = logits.detach().argmax(1)[0]
    overlap = 2 * int(((found == 1) & (truth == 1)).sum()) / int((found == 1).sum() + (truth == 1).sum())
    assert (overlap > 0.97) == bool(weight), f"{overlap:.3f}"
