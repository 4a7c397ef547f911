"""Tile size: the fastest that fits into memory, aligned with the network and the file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.geometry.sizes import Geometry
from pixelwise.inference import tile_size
from pixelwise.inference.predictor import Predictor
from pixelwise.inference.tile_size import choose_tile_size, stored_core, stored_tile, tile_side

PADDED = Geometry(total_stride=16, reach=100, halo=112, margin=0, legal_first=16, legal_step=16, receptive_field=200)
VALID = Geometry(total_stride=16, reach=93, halo=0, margin=92, legal_first=188, legal_step=16, receptive_field=187)


class Machine:
    """A runtime with given seconds and memory per tile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds_per_pixel: dict[int, float]) -> None:
        self.seconds, self.now, self.peak, self.seen = seconds_per_pixel, 0.0, 100, list[int]()
        monkeypatch.setattr(tile_size, "peak_memory", lambda: self.peak)

    def __call__(self, tiles: np.ndarray) -> np.ndarray:
        side = tiles.shape[-1]
        core = side - 224
        self.seen.append(core)
        self.now += self.seconds.get(core, 1.0) * core**2
        self.peak = max(self.peak, 100 + side**2 // 1000)
        return tiles

    def clock(self) -> float:
        return self.now


def chosen(monkeypatch: pytest.MonkeyPatch, memory: int, seconds: dict[int, float]) -> tuple[list[int], list[int]]:
    machine = Machine(monkeypatch, seconds)
    result = choose_tile_size(Predictor(machine, PADDED, 2, 64), 1, memory, machine.clock)
    return [m.core for m in result], sorted(set(machine.seen))


def test_the_fastest_size_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = {512: 3.0, 768: 2.5, 1024: 2.0, 1536: 1.9, 2048: 1.8}
    assert chosen(monkeypatch, 10**9, speeds)[0][0] == 2048
    best, tried = chosen(monkeypatch, 2000, speeds)
    assert best[0] == 1024
    assert tried == [512, 768, 1024], "larger ones do not fit and are not tried"
    assert chosen(monkeypatch, 1, speeds)[0] == [512], "the smallest is always included"


def test_the_search_stops_after_the_best_size(monkeypatch: pytest.MonkeyPatch) -> None:
    best, tried = chosen(monkeypatch, 10**9, {512: 1.0, 768: 0.9, 1024: 1.5})
    assert best[0] == 768
    assert tried == [512, 768, 1024]


@given(core=st.integers(1, 3000), geometry=st.sampled_from([PADDED, VALID]))
def test_cores_are_multiples_of_stride_and_file_tile(core: int, geometry: Geometry) -> None:
    result = stored_core(core, geometry)
    assert result >= core
    assert result % geometry.total_stride == 0
    assert result % stored_tile(result) == 0
    assert stored_tile(result) >= (256 if core >= 256 else 16)
    assert geometry.is_valid(tile_side(result, geometry))
