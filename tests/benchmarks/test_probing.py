"""Estimates of the speed bench, and which sides are left out."""

import math

import pytest
from machine import AVX2, instruction_sets, limited_to, machine, use_avx2_only
from speed_parts.probing import PROBE, PROBE_LIMIT, TOO_SLOW, Estimate, estimate, left_out, probe, windows
from speed_parts.sides import Answer


def answer(seconds: float) -> Answer:
    return Answer(seconds=[seconds], processor=[seconds], start=1.0, peak=0)


def of(seconds: float) -> Estimate:
    return Estimate(start=1.0, prediction=seconds, processor=seconds)


@pytest.mark.parametrize(
    ("side", "times"),
    [("whole", 64), ("torch", 64), ("loop", 4), ("monai", 9), ("nnunet", 9), ("monai-equal", 4)],
)
def test_time_grows_with_pixels_or_with_windows(side: str, times: int) -> None:
    """1024 pixels are 8 x 8 small pictures of 128; two windows of 512 a side, or three that overlap."""
    assert estimate(side, answer(0.5), 8 * PROBE, 512, 512).prediction == times * 0.5


@pytest.mark.parametrize(("length", "count"), [(128, 1), (512, 1), (513, 4), (896, 4), (897, 9)])
def test_windows_that_overlap_by_a_quarter(length: int, count: int) -> None:
    assert windows(length, 512, 0.75) == count


def test_warming_up_is_part_of_the_start() -> None:
    assert estimate("whole", answer(0.5), 2 * PROBE, 512, 512).start == 1.0 + 4 * 0.5


def test_runtimes_far_slower_than_plain_pytorch_are_left_out_and_peers_are_not() -> None:
    reasons = left_out({"loop": of(5), "torch": of(4), "torch-bf16": of(300), "nnunet-mirrored": of(300)}, "loop", 600)
    assert list(reasons) == ["torch-bf16"]


def test_what_other_work_on_the_machine_made_slow_is_not_left_out() -> None:
    waited = Estimate(start=1.0, prediction=300.0, processor=4.0)
    assert left_out({"loop": of(5), "torch": waited}, "loop", 600) == {}


def test_what_takes_longer_than_allowed_is_left_out_but_not_the_reference() -> None:
    assert list(left_out({"loop": of(700), "whole": of(700)}, "loop", 600)) == ["whole"]
    assert left_out({"loop": of(700), "whole": of(500)}, "loop", 600) == {}


def test_what_did_not_even_predict_the_small_picture_is_left_out() -> None:
    def ask(side: str, limit: float | None) -> Answer:
        if side == "torch-bf16":
            raise TimeoutError
        return answer(0.5)

    estimates = probe(["loop", "torch-bf16"], ask, 1024, 512, 512)
    assert estimates["torch-bf16"] == TOO_SLOW
    assert math.isfinite(estimates["loop"].whole)
    assert list(left_out(estimates, "loop", math.inf)) == ["torch-bf16"]


@pytest.mark.parametrize(("seconds", "limit"), [(3.0, PROBE_LIMIT), (100.0, 400.0)])
def test_a_busy_machine_gives_every_side_more_time(seconds: float, limit: float) -> None:
    limits: list[float | None] = []
    now = 0.0

    def ask(side: str, limit: float | None) -> Answer:
        nonlocal now
        now += seconds
        limits.append(limit)
        return answer(0.5)

    probe(["loop", "torch", "onnx"], ask, 1024, 512, 512, lambda: now)
    assert limits == [None, limit, limit]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("sse avx", "no AVX2, no bfloat16 units"),
        ("avx2", "AVX2, no bfloat16 units"),
        ("avx2 avx512f", "AVX-512, no bfloat16 units"),
        ("avx2 avx512f avx512_bf16", "AVX-512, bfloat16 units (AVX-512)"),
    ],
)
def test_instruction_sets_are_read_from_the_flags(flags: str, words: str) -> None:
    assert instruction_sets(flags.split()) == words


def test_the_limit_is_in_the_environment_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in AVX2:
        monkeypatch.setenv(name, "")  # put back after the test
    assert limited_to() == ""
    assert "limited" not in str(machine()["with"])
    use_avx2_only()
    assert limited_to() == "avx2"
    assert "limited to AVX2" in str(machine()["with"])
