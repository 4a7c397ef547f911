"""PyTorch runtime: threads, memory format and torch.compile."""

import os
import shutil
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch

from exports import make_network
from pixelwise.errors import BadOption
from pixelwise.geometry.subgraphs import Subgraph
from pixelwise.inference.segmentation_model import load_model_for_prediction
from pixelwise.runtimes import torch as runtime_torch
from pixelwise.runtimes.torch import TorchRuntime
from tiny import write_model


@pytest.mark.parametrize(("usable", "before", "expected"), [(1, 3, 1), (2, 3, 2), (64, 3, 3)])
def test_threads_stay_within_the_cores(
    monkeypatch: pytest.MonkeyPatch, usable: int, before: int, expected: int
) -> None:
    monkeypatch.setattr(runtime_torch, "usable_threads", lambda: usable)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(before)
        TorchRuntime(make_network()[0])
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(threads)


def test_logits_are_contiguous() -> None:
    """Post-processing is slow in channels-last format."""
    network = make_network()[0]
    tiles = np.random.default_rng(0).standard_normal((2, 1, 32, 48), np.float32)
    assert TorchRuntime(network)(tiles).flags.c_contiguous
    last = torch.channels_last
    with torch.inference_mode():  # control: channels last in, channels last out
        raw = deepcopy(network).to(memory_format=last)(torch.from_numpy(tiles).to(memory_format=last))  # type: ignore[call-overload]
    assert not raw.is_contiguous()


def test_torch_compile_without_a_compiler_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "model.safetensors")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(BadOption, match=r"expected a C\+\+ compiler for .*; got no `no-such-compiler`\. Install it"):
        load_model_for_prediction(tmp_path / "model.safetensors", device="cpu", runtime="torch-compile")


COMPILED = """
import sys
import numpy as np
from pixelwise.inference.segmentation_model import load_model_for_prediction

names = ("torch", "torch-compile")
plain, compiled = (load_model_for_prediction(sys.argv[1], runtime=name, device="cpu") for name in names)
for shape in ((1, 1, 32, 32), (3, 1, 32, 32), (1, 1, 48, 32)):
    tiles = np.random.default_rng(0).standard_normal(shape, np.float32)
    expected = plain.predictor.runtime(tiles)
    assert np.abs(compiled.predictor.runtime(tiles) - expected).max() < 1e-5 * np.abs(expected).max()
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_compiled_networks_give_the_same_output(tmp_path: Path) -> None:
    write_model(tmp_path / "model.safetensors")
    # in a separate process, because the shape checks of the tests cannot be compiled,
    # and without the cache folder that PyTorch's compiler may have set in this process
    clean = {name: value for name, value in os.environ.items() if name != "TORCHINDUCTOR_CACHE_DIR"}
    command = [sys.executable, "-W", "error", "-c", COMPILED, str(tmp_path / "model.safetensors")]
    subprocess.run(command, env=clean | {"PIXELWISE_CACHE": str(tmp_path / "cache")}, check=True)
    assert any((tmp_path / "cache" / "compiled").rglob("*.so")), "nothing was compiled"


def test_loading_and_predicting_do_not_load_the_compiler(tmp_path: Path) -> None:
    write_model(tmp_path / "model.safetensors")
    code = (
        "import sys, numpy; from pixelwise.inference.segmentation_model import load_model_for_prediction as load;"
        "load(sys.argv[1]).predict(numpy.eye(40)); print('torch._dynamo' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model.safetensors")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


def test_maps_stay_in_the_format_of_the_network() -> None:
    """The first axis of a window of one map has a stride of 0."""
    layout = torch.channels_last
    window = torch.from_numpy(np.moveaxis(np.ones((16, 16, 4), np.float32), -1, 0)[None])
    assert window.stride(0) == 0

    def channels_are_adjacent(values: torch.Tensor) -> bool:
        return torch.nn.functional.max_pool2d(values, 2).stride(1) == 1

    laid_out = runtime_torch._with_layout(window, layout)
    assert channels_are_adjacent(laid_out)
    assert laid_out.data_ptr() == window.data_ptr(), "not copied"
    assert not channels_are_adjacent(window.contiguous(memory_format=layout)), "control"


def test_a_compiled_network_is_called_with_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler is replaced: what is compiled for real is slow, and tested above."""
    network = make_network()[0]
    asked: list[dict[str, object]] = []

    def compiler(network: torch.nn.Module, **words: object) -> torch.nn.Module:
        asked.append(words)
        return network

    monkeypatch.setattr(torch, "compile", compiler)
    monkeypatch.setenv("CXX", sys.executable)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    tiles = np.random.default_rng(0).standard_normal((2, 1, 32, 48), np.float32)
    compiled = TorchRuntime(network, compiled=True)
    assert np.array_equal(compiled(tiles), TorchRuntime(network)(tiles))
    assert asked == [{"dynamic": False, "options": {"freezing": True}}]
    assert not compiled.divides_threads


def test_a_compiler_that_fails_is_an_error_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def compiler(network: torch.nn.Module, **words: object) -> object:
        from torch._dynamo.exc import TorchDynamoException

        def fail(batch: torch.Tensor) -> torch.Tensor:
            raise TorchDynamoException("Python.h: No such file\n  more")

        return fail

    monkeypatch.setattr(torch, "compile", compiler)
    monkeypatch.setenv("CXX", sys.executable)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    runtime = TorchRuntime(make_network()[0], compiled=True)
    with pytest.raises(BadOption, match=r"fails \(Python\.h: No such file\)"):
        runtime(np.zeros((1, 1, 32, 32), np.float32))


def test_half_precision_has_neither_stages_nor_statistics() -> None:
    network = make_network()[0]
    plain, half = TorchRuntime(network), TorchRuntime(network, precision="bf16")
    tiles = np.random.default_rng(0).standard_normal((1, 1, 32, 32), np.float32)
    logits = half(tiles)
    assert logits.dtype == np.float32
    assert 0 < np.abs(logits - plain(tiles)).max() < 0.1 * np.abs(logits).max()
    assert plain.stages is not None
    assert (half.stages, half.whole_image) == (None, None)
    with pytest.raises(ValueError, match="cannot be cut"):
        half.run_subgraph(Subgraph(0, 2), tiles)
    with pytest.raises(ValueError, match="without whole-image"):
        half.with_statistics([])
