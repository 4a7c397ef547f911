"""The memory formula and its text; `streaming.test_images` checks that it is an upper bound."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from pixelwise.inference.memory import MIB, TileSizes, peak_memory, plan_memory
from pixelwise.runtimes.malloc import release_memory

SIZES = TileSizes(
    height=40_000,
    width=40_000,
    read=736,
    keep=512,
    channels=1,
    classes=3,
    batch=1,
    pixel_bytes=1,
    decided_bytes=1,
    blended=False,
)


def total(sizes: TileSizes = SIZES, image: int = 60 * MIB, depth: int = 2, objects: int = 0) -> int:
    return plan_memory(sizes, process=600 * MIB, image=image, depth=depth, objects=objects).total


@pytest.mark.parametrize(
    "change",
    [
        {"read": 1000},
        {"keep": 640},
        {"channels": 3},
        {"classes": 12},
        {"batch": 4},
        {"pixel_bytes": 4},
        {"decided_bytes": 2},
        {"blended": True},
        {"height": 80_000},
    ],
    ids=str,
)
def test_memory_grows_with_every_size(change: dict[str, int]) -> None:
    assert total(replace(SIZES, **change)) > total()


def test_the_object_search_starts_after_the_tiles() -> None:
    assert total(objects=10 * MIB) == total(), "less than the tiles took"
    assert total(objects=900 * MIB) > total() + 800 * MIB


def test_the_plan_as_text() -> None:
    plan = plan_memory(SIZES, process=600 * MIB, image=60 * MIB, depth=2, objects=0)
    text = str(plan)
    assert text.startswith(f"Memory stays below {plan.total / MIB:,.0f} MiB (model and one batch of tiles 600, ")
    assert "image 60" in text
    assert "blending" not in text
    assert plan.total < 1.5e9, "a base-16 U-Net on 40,000 x 40,000 pixels"


def test_what_the_process_had_that_started_this_one_does_not_count() -> None:
    held = np.ones(2**29, np.uint8)
    code = "from pixelwise.inference.memory import peak_memory; print(peak_memory())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < int(child.stdout) < len(held)


def test_the_peak_memory_of_this_process_grows() -> None:
    before = peak_memory()
    held = b"\1" * (before + 64 * MIB)
    assert peak_memory() >= len(held) >= before
    del held
    release_memory()
