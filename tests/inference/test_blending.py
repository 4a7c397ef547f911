"""Blending: weights add up to 1, seams become smaller, and resuming gives the same result."""

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.symmetries import SYMMETRIES
from pixelwise.inference.blending import Blender, blend_overlap
from pixelwise.inference.predictor import Predictor
from pixelwise.inference.tile_reading import Job
from pixelwise.io.windows import InMemoryReader
from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.runtimes.torch import TorchRuntime
from pixelwise.sampling.normalise import Scale

PLAIN = Scale(np.ones(1), np.zeros(1))
PADDED = Geometry(
    total_stride=4, reach=10, halo=12, margin=0, legal_first=4, legal_step=4, receptive_field=21, exact=False
)
VALID = replace(PADDED, halo=0, margin=10, legal_first=24)


@settings(max_examples=60)
@given(
    height=st.integers(1, 130),
    width=st.integers(1, 130),
    core=st.sampled_from([8, 16, 32, 64]),
    overlap=st.sampled_from([4, 8, 16]),
    valid=st.booleans(),
    seed=st.integers(0, 99),
)
def test_blending_reproduces_consistent_tiles(
    height: int, width: int, core: int, overlap: int, valid: bool, seed: int
) -> None:
    geometry, overlap = VALID if valid else PADDED, min(overlap, core // 2)
    truth = np.random.default_rng(seed).random((2, height, width))
    blender = Blender((height, width), core, geometry, overlap)
    result, written = np.zeros_like(truth), np.zeros((height, width), int)
    for number, tile in blender.tiles:
        (top, bottom), (left, right) = tile.write
        assert all(keep[1] - keep[0] == span[1] - span[0] for keep, span in zip(tile.keep, tile.write, strict=True))
        for window in blender.add(number, tile, truth[:, top:bottom, left:right]):
            (top, bottom), (left, right) = window.write
            result[:, top:bottom, left:right] = window.logits
            written[top:bottom, left:right] += 1
    assert (written == 1).all()
    assert blender.finished
    assert np.allclose(result, truth, atol=1e-12)


def network(normalisation: str) -> tuple[TorchRuntime, Geometry]:
    torch.manual_seed(0)
    module = build(NetworkOptions(base=8, depth=2, normalisation=normalisation)).double()
    return TorchRuntime(module), module.geometry()


def image(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return (np.sin(rows / 9) + np.cos(columns / 7) + np.random.default_rng(0).random((height, width)))[None]


def jumps(logits: np.ndarray, core: int) -> float:
    """Return the ratio of logit differences at the edges of the tile grid to those elsewhere."""
    steps = np.abs(np.diff(logits, axis=1)).mean((0, 2))
    edges = np.arange(core - 1, len(steps), core)
    return float(steps[edges].mean() / np.delete(steps, edges).mean())


def test_blending_reduces_seams_of_instance_normalisation() -> None:
    runtime, geometry = network("instance")
    rows, columns = np.mgrid[:200, :200]
    pixels = ((1 + rows / 20) * (np.sin(rows / 40) + np.cos(columns / 30)))[None]  # smooth, and other in each tile
    blended = Predictor(runtime, geometry, 2, 64)
    assert blended.overlap((200, 200)) == blend_overlap(64, geometry) == (8, 8)
    pasted = Predictor(runtime, replace(geometry, exact=True), 2, 64)
    assert pasted.overlap((200, 200)) == (0, 0)
    smooth, seamed = (jumps(p.logits(pixels, PLAIN), 64) for p in (blended, pasted))
    assert seamed > 1.1, "control: seams without blending"
    assert smooth < 1 + 0.2 * (seamed - 1)


def test_networks_without_whole_image_layers_are_not_blended() -> None:
    _, geometry = network("batch")
    assert blend_overlap(64, geometry) == (0, 0)


def test_an_image_of_one_tile_is_predicted_as_a_whole() -> None:
    runtime, geometry = network("instance")
    pixels = image(60, 50)
    expected = runtime(pixels[None, :, :60, :50].astype(np.float32)[..., :48])
    result = Predictor(runtime, geometry, 2, 64).logits(pixels[:, :, :48], PLAIN)
    assert np.allclose(result, expected[0], atol=1e-6)


def test_resuming_computes_only_the_missing_windows() -> None:
    runtime, geometry = network("instance")
    predictor = Predictor(runtime, geometry, 2, 32)
    source = InMemoryReader(image(150, 130))
    whole = Job(source, PLAIN)
    windows = [window for _, window in predictor.compute(predictor.make_batches(predictor.read_tiles([whole])))]
    rest = Job(source, PLAIN, done={window.write for window in windows[:9]})
    prepared = list(predictor.read_tiles([rest]))
    assert len(prepared) < len(windows) == 25
    again = [window for _, window in predictor.compute(predictor.make_batches(prepared))]
    assert [window.write for window in again] == [window.write for window in windows[9:]]
    assert all(np.array_equal(a.logits, b.logits) for a, b in zip(again, windows[9:], strict=True))


def test_batches_of_one_and_of_several_images_give_the_same_logits() -> None:
    runtime, geometry = network("batch")
    sources = [
        InMemoryReader(image(70, 90)),
        *(InMemoryReader(image(32, 32) * k) for k in range(1, 6)),
        InMemoryReader(image(5, 9)),
    ]
    calls: list[int] = []

    def counted(tiles: np.ndarray) -> np.ndarray:
        calls.append(len(tiles))
        return runtime(tiles)

    jobs = [Job(source, PLAIN) for source in sources]
    one = Predictor(runtime, geometry, 2, 32, SYMMETRIES)
    many = Predictor(counted, geometry, 2, 32, SYMMETRIES, batch=4)
    expected, result = (list(p.compute(p.make_batches(p.read_tiles(jobs)))) for p in (one, many))
    assert [(id(job), window.write) for job, window in result] == [(id(job), window.write) for job, window in expected]
    assert max(calls) == 4
    assert len(calls) < 8 * len(expected)
    assert all(np.allclose(a.logits, b.logits, atol=1e-9) for (_, a), (_, b) in zip(expected, result, strict=True))
