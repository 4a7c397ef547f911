"""What is decided for a graphics card, on a machine without one."""

import numpy as np
import pytest
import torch

from devices import CARD, insert_card
from pixelwise import device
from pixelwise.device import find_device
from pixelwise.errors import BadOption
from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.runtimes.machine import choose_device, detect_machine, has_bfloat16_units
from pixelwise.runtimes.torch import TorchRuntime
from pixelwise.training.batch import Batch
from pixelwise.training.learner import Learner, TrainingOptions
from pixelwise.training.losses import LossOptions


def test_a_card_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(device.DESCRIBE, "mps", lambda: None)
    monkeypatch.setitem(device.DESCRIBE, "cuda", lambda: None)
    assert choose_device("auto") == "cpu"
    with pytest.raises(BadOption, match="Available: cpu"):
        choose_device("cuda")
    with pytest.raises(BadOption, match="Available: cpu"):
        find_device("tpu")
    insert_card(monkeypatch)
    assert choose_device("auto") == "cuda"
    machine = detect_machine()
    assert (machine.device, machine.memory) == ("cuda", CARD.memory)
    assert has_bfloat16_units("cuda")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_batches_of_a_shape_are_captured_and_replayed(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    card = insert_card(monkeypatch)
    torch.manual_seed(0)
    network = build(NetworkOptions(base=4, depth=2)).eval()
    expected, runtime = TorchRuntime(network), TorchRuntime(network, "cuda", precision)
    assert runtime.stages is None, "maps are not moved to and fro"
    rng = np.random.default_rng(0)
    for _ in range(6):
        tiles = rng.standard_normal((2, 1, 32, 32)).astype(np.float32)
        logits, whole = runtime(tiles), expected(tiles)
        assert logits.dtype == np.float32
        assert np.abs(logits - whole).max() <= (1e-5 if precision == "fp32" else 0.05) * np.abs(whole).max()
    assert card.captured == [(2, 1, 32, 32)]
    assert card.replayed == 1 + 3, "compared once, then used"


def test_casts_are_not_cached_where_a_graph_would_outlive_them(monkeypatch: pytest.MonkeyPatch) -> None:
    insert_card(monkeypatch)
    cached: list[bool] = []
    autocast = torch.autocast

    def watched(*arguments: object, cache_enabled: bool = True) -> torch.autocast:
        cached.append(cache_enabled)
        return autocast(*arguments, cache_enabled=cache_enabled)  # type: ignore[arg-type]

    monkeypatch.setattr(torch, "autocast", watched)
    network = build(NetworkOptions(base=2, depth=1)).eval()
    for name in ("cuda", "cpu"):
        TorchRuntime(network, name, "bf16")(np.zeros((1, 1, 8, 8), np.float32))
    assert cached == [False, True]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_steps_on_a_card(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    insert_card(monkeypatch)
    images = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    batch = Batch(images, (images[:, 0] > 0).to(torch.uint8))
    losses: dict[str, list[float]] = {}
    for name in ("cpu", "cuda"):
        torch.manual_seed(0)
        network = build(NetworkOptions(base=4, depth=1))
        learner = Learner(network, TrainingOptions(steps=20, precision=precision), LossOptions(), name)
        losses[name] = [learner.step(index, batch).loss for index in range(5)]
        assert all(value.dtype == torch.float32 for value in learner.network.parameters())
    assert losses["cuda"] == losses["cpu"]
    assert losses["cuda"][-1] < losses["cuda"][0]
