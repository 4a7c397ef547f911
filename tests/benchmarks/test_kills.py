"""A few seeded kills of every command end in equal results; the control finds a file that differs."""

from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="processes are forked")


@pytest.mark.parametrize("kills", [4, pytest.param(12, marks=pytest.mark.slow)])
def test_killed_commands_end_in_equal_results(tmp_path: Path, kills: int) -> None:
    from kills import run_campaign

    assert run_campaign(tmp_path, kills, 1, ("train", "predict", "predict --format tiff", "convert")) == []


def test_control_a_write_that_is_not_atomic_is_found(tmp_path: Path) -> None:
    """The rest of a half-written file stays, because the command that continues believes it."""
    from kills import Reference, Scenario, attempt

    class Always:
        def random(self) -> float:
            return 0.9

        def randint(self, low: int, high: int) -> int:
            return high

    scenario = Scenario(
        command=lambda folder, again: ["cache"],
        results=lambda folder: {"a": (folder / "a").read_bytes() if (folder / "a").exists() else b""},
        share=1,
    )
    reference = Reference(results={"a": b"whole"}, operations=1, seconds=1.0)
    assert "differs: a" in attempt(scenario, reference, tmp_path / "trial", Always())  # type: ignore[arg-type]
