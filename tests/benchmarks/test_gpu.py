"""What a machine lacks is listed at once; what is measured runs on any device."""

from pathlib import Path

import pytest
import torch


def test_everything_that_is_missing_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gpu

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpu, "NEEDED", ("torch", "a_package_that_is_not_there"))
    monkeypatch.setattr(gpu, "DISK", 10**18)
    problems = gpu.find_problems(["camvid11", "unknown"], tmp_path, tmp_path / "out")
    for word in ("a_package_that_is_not_there", "CUDA device", "unknown", str(tmp_path), "room in"):
        assert any(word in problem for problem in problems), word
    assert len(problems) == 5


def test_a_card_without_units_for_bfloat16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gpu

    (tmp_path / "camvid11").mkdir()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Old Card")
    for able in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, able=able: able)
        problems = gpu.find_problems(["camvid11"], tmp_path, tmp_path / "out")
        assert [problem for problem in problems if "bfloat16" in problem] == (
            [] if able else ["units for bfloat16: Old Card has none"]
        )


def test_the_command_ends_before_it_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import gpu

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["gpu.py", "--data", str(tmp_path), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as stop:
        gpu.main()
    assert stop.value.code == gpu.NO_DEVICE
    assert capsys.readouterr().err.count("  - ") >= 2


def test_all_sets_fit_into_the_minutes() -> None:
    import gpu

    budget = gpu.budget_of_each(5, 480, with_speed=True)
    assert 5 * (budget + gpu.SET_SECONDS) + gpu.SPEED_SECONDS <= 480
    assert budget > gpu.LEAST_BUDGET


def test_speed_is_measured_on_any_device(monkeypatch: pytest.MonkeyPatch) -> None:
    import gpu

    monkeypatch.setattr(gpu, "BATCHES", (1, 2))
    rows = gpu.speed("cpu", base=2, side=32, matrix=32)
    assert len(rows) == 7
    assert all(row.reached > 0 for row in rows)
