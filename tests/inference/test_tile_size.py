"""Tile size: the largest that fits into memory, aligned with the network and the file."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.geometry.sizes import Geometry
from pixelwise.inference.memory import tile_budget
from pixelwise.inference.tile_size import (
    BESIDE,
    MAX_CORE,
    MEMORY,
    MIN_CORE,
    stored_core,
    stored_tile,
    streamed_core,
    tile_side,
)
from pixelwise.io.read import write_image
from pixelwise.networks.architectures import NetworkOptions, build
from tiny import make_recipe, write_model

PADDED = Geometry(total_stride=16, reach=100, halo=112, margin=0, legal_first=16, legal_step=16, receptive_field=200)
VALID = Geometry(total_stride=16, reach=93, halo=0, margin=92, legal_first=188, legal_step=16, receptive_field=187)


@pytest.mark.parametrize("base", [4, 16, 32, 64])
@pytest.mark.parametrize("geometry", [PADDED, VALID])
def test_the_tiles_of_large_images_fit_into_the_memory(base: int, geometry: Geometry) -> None:
    core = streamed_core(base, geometry)
    assert MIN_CORE <= core <= MAX_CORE + geometry.total_stride
    needed = tile_side(core, geometry) ** 2 * (tile_budget(base).tile_pixel + BESIDE)
    assert core == MIN_CORE or needed <= MEMORY
    larger = tile_side(core + 256, geometry) ** 2 * (tile_budget(base).tile_pixel + BESIDE)
    assert core >= MAX_CORE or larger > MEMORY, "the largest that fits: its halo is the smallest part"


PROCESS = 1.1e9  # bytes of a process that predicts an image of any size
PREDICT = """
from pixelwise.cli.main import main
from pixelwise.inference.memory import peak_memory
try:
    main()
except SystemExit as end:
    assert not end.code
print(peak_memory())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measured on Linux")
@pytest.mark.parametrize(("base", "larger"), [(4, 0), (8, 0), (16, 0), (8, MAX_CORE)])
def test_a_process_stays_within_the_memory(base: int, larger: int, tmp_path: Path) -> None:
    core = larger or streamed_core(base, build(NetworkOptions(base=base)).geometry())
    write_model(tmp_path / "model.safetensors", replace(make_recipe(base=base, depth=4), tile=512))
    side = 2 * core if larger else 3 * core
    pixels = np.random.default_rng(0).integers(0, 256, (1, side, side), np.uint8)
    write_image(tmp_path / "large.tif", pixels)
    words = ["predict", "model.safetensors", "large.tif", "--out", "out", "--tile", str(core)]
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PREDICT, *words, "--format", "tiff", "--runtime", "torch"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (int(ended.stdout.splitlines()[-1]) > PROCESS) == bool(larger), "larger tiles, the control, need more"


@given(core=st.integers(1, 3000), geometry=st.sampled_from([PADDED, VALID]))
def test_cores_are_multiples_of_stride_and_file_tile(core: int, geometry: Geometry) -> None:
    result = stored_core(core, geometry)
    assert result >= core
    assert result % geometry.total_stride == 0
    assert result % stored_tile(result) == 0
    assert stored_tile(result) >= (256 if core >= 256 else 16)
    assert geometry.is_valid(tile_side(result, geometry))
