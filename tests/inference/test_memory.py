"""The memory formula: every term counts, and it is told in one sentence. That it holds stands in `test_streaming`."""

from dataclasses import replace

import pytest

from pixelwise.inference.memory import MIB, TileSizes, peak_memory, plan_memory
from pixelwise.runtimes.malloc import give_back

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
def test_more_of_anything_takes_more(change: dict[str, int]) -> None:
    assert total(replace(SIZES, **change)) > total()


def test_objects_are_found_when_tiles_are_done() -> None:
    assert total(objects=10 * MIB) == total(), "less than the tiles took"
    assert total(objects=900 * MIB) > total() + 800 * MIB


def test_it_is_told_in_one_sentence() -> None:
    plan = plan_memory(SIZES, process=600 * MIB, image=60 * MIB, depth=2, objects=0)
    messages = str(plan)
    assert messages.startswith(
        f"Memory stays below {plan.total / MIB:,.0f} MiB (the model and one batch of tiles 600, "
    )
    assert "the image 60" in messages
    assert "blended" not in messages
    assert plan.total < 1.5e9, "a base-16 U-Net on 40,000 x 40,000 pixels"


def test_the_peak_of_this_process_grows_with_what_it_holds() -> None:
    before = peak_memory()
    held = b"\1" * (before + 64 * MIB)
    assert peak_memory() >= len(held) >= before
    del held
    give_back()
