"""Approximate halo: within the tolerance, monotone in it, and exact for a tolerance of 0."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pixelwise.errors import BadOption
from pixelwise.inference.approximate_halo import smallest_halo
from pixelwise.inference.predictor import Predictor
from pixelwise.inference.tile_reading import Job
from pixelwise.io.windows import InMemoryReader
from pixelwise.networks.architectures import NetworkOptions, build, with_defaults_where_unread
from pixelwise.runtimes.torch import TorchRuntime
from pixelwise.sampling.normalise import Normalisation, intensity_scale


def predictor(core: int = 32, **options: object) -> Predictor:
    torch.manual_seed(0)
    network = build(with_defaults_where_unread(NetworkOptions(**{"base": 4, "depth": 3, **options}))).eval()
    return Predictor(TorchRuntime(network), network.geometry(), 2, core)


def jobs(*sides: int) -> list[Job]:
    images = [np.random.default_rng(side).random((1, side, side + 20)).astype(np.float32) for side in sides]
    return [Job(InMemoryReader(image), intensity_scale(image, Normalisation())) for image in images]


def error(of: Predictor, job: Job, halo: int) -> float:
    """Return the largest difference over the whole image."""
    source = job.source
    assert isinstance(source, InMemoryReader)
    exact = of.logits(source.pixels, job.scale)
    result = of.with_geometry(replace(of.geometry, halo=halo)).logits(source.pixels, job.scale)
    return float(np.abs(exact - result).max())


@pytest.mark.parametrize("tolerance", [1e-5, 1e-3, 1e-2, 0.1])
def test_the_smallest_halo_that_holds_on_the_images(tolerance: float) -> None:
    chosen, (job,) = predictor(), jobs(100)
    choice = smallest_halo(chosen, [job], tolerance)
    assert choice.tiles == 12
    assert choice.difference <= tolerance
    assert error(chosen, job, choice.geometry.halo) <= 4 * tolerance + 1e-6, "tiles that were not compared"
    smaller = choice.geometry.halo - 8
    assert smaller < 0 or error(chosen, job, smaller) > tolerance


def test_more_tolerance_never_needs_more_halo() -> None:
    chosen, given = predictor(), jobs(100, 70)
    halos = [smallest_halo(chosen, given, tolerance).geometry.halo for tolerance in (0.0, 1e-6, 1e-4, 1e-2, 100.0)]
    assert halos == sorted(halos, reverse=True)
    assert halos[0] > halos[-1], "control"
    assert halos[-1] == 0


def test_the_choice_as_text() -> None:
    choice = smallest_halo(predictor(), jobs(100), 1e-2)
    assert f"a halo of {choice.geometry.halo} pixels instead of {choice.exact}: on 12 tiles logits" in str(choice)
    one = smallest_halo(predictor(256), jobs(100), 1e-2)
    assert (one.tiles, one.geometry.halo) == (0, one.exact)
    assert "every image is a single tile" in str(one)


def test_invalid_tolerances_and_networks_are_rejected() -> None:
    with pytest.raises(BadOption, match="expected a tolerance of 0 or more; got -1"):
        smallest_halo(predictor(), jobs(50), -1.0)
    with pytest.raises(BadOption, match="got a network with whole-image layers"):
        smallest_halo(predictor(normalisation="instance"), jobs(50), 0.1)
    with pytest.raises(BadOption, match="got valid convolutions"):
        smallest_halo(predictor(name="unet2015"), jobs(50), 0.1)
