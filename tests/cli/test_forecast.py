"""The command `forecast`: arguments of the verb, output and exit codes."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.active_learning.candidates import Candidate, Ranking
from pixelwise.active_learning.results import Forecast
from pixelwise.cli import main
from pixelwise.datasets.options import DataOptions
from pixelwise.metrics.learning_curve import Curve, Projection, SubsetScores


def forecast(failed: tuple[tuple[Path, str], ...] = ()) -> Forecast:
    """A made-up forecast from 8 masks."""
    masks = np.array([2, 4, 8, 2, 4, 8])
    rows = np.full((6, 5, 2), 1.0)
    rows[:, :, 0] = 0.9 - 0.4 * masks[:, None] ** -0.5
    trials = SubsetScores(masks=masks, rows=rows, statistic=lambda total: float(total[0] / total[1]))
    draws = np.tile([0.9, 0.4, 0.5], (9, 1))
    projection = Projection(
        curve=Curve(limit=0.9, drop=0.4, bend=0.5), now=8, rise=(0.1, 0.05, 0.15), draws=draws, tail=0.1
    )
    new = Candidate(
        rank=1, image=Path("a.png"), mutual_information=0.1, uncertainty=0.2, distance=1.0, why="unlike all"
    )
    ranking = Ranking(candidates=(new,), found=1 + len(failed), failed=failed)
    return Forecast(
        folder=Path("out"),
        data="cells",
        score="mean_dice",
        steps=500,
        trials=trials,
        projection=projection,
        more=(4,),
        ranking=ranking,
    )


def call(monkeypatch: pytest.MonkeyPatch, answer: Forecast, *words: str) -> tuple[int, dict[str, Any]]:
    """Run the command with a mock of the verb; return the exit code and the arguments of the verb."""
    seen: dict[str, Any] = {}

    def verb(*args: Any, **kwargs: Any) -> Forecast:
        seen.update(kwargs, args=args)
        return answer

    monkeypatch.setattr("pixelwise.active_learning.forecast.forecast", verb)
    monkeypatch.setattr(sys, "argv", ["pixelwise", "forecast", *words])
    with pytest.raises(SystemExit) as stop:
        main.main()
    return int(stop.value.code or 0), seen


def test_options_reach_the_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "DATA network.depth=3 --budget 5m --unlabelled NEW --more 5,20 --out F --seed 2 --classes ground,cell"
    code, seen = call(monkeypatch, forecast(), *words.split())
    assert code == 0
    assert seen["args"] == (Path("DATA"),)
    assert (seen["budget"], seen["steps"], seen["unlabelled"]) == ("5m", None, Path("NEW"))
    assert (seen["more"], seen["out"], seen["seed"], seen["device"]) == ((5, 20), Path("F"), 2, "auto")
    assert seen["options"] == DataOptions(classes=("ground", "cell"))
    assert list(seen["overrides"]) == ["network.depth=3"]


def test_workers_may_run_the_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, forecast(), "DATA")[1]["train_first"] is None
    assert callable(call(monkeypatch, forecast(), "DATA", "--on", "local:2")[1]["train_first"])
    assert call(monkeypatch, forecast(), "DATA", "--on", "elsewhere")[0] == 2


def test_text_and_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    call(monkeypatch, forecast(), "DATA")
    lines = capsys.readouterr().out.splitlines()
    then, now = 0.9 - 0.4 * 12**-0.5, 0.9 - 0.4 * 8**-0.5
    assert lines[0].startswith(f"With 4 more masks: mean Dice {now:.3f} -> {then:.3f} (80 % interval ")
    assert lines[-1] == "Label next: a.png."
    call(monkeypatch, forecast(), "DATA", "--json")
    result = json.loads(capsys.readouterr().out)
    assert result["more"][0]["gain"]["value"] == pytest.approx(then - now, abs=1e-6)
    assert result["label_next"][0]["image"] == "a.png"
    assert [row["masks"] for row in result["trainings"]] == [2, 2, 4, 4, 8, 8]


def test_images_that_could_not_be_read_end_with_3(monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, forecast(((Path("b.png"), "not an image"),)), "DATA")[0] == 3


@pytest.mark.parametrize("text", ["ten", "5,", "1.5", "-3"])
def test_more_must_be_whole_numbers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    code, seen = call(monkeypatch, forecast(), "DATA", f"--more={text}")
    assert code == 2
    assert seen == {}
    assert f"expected comma-separated whole numbers for --more; got `{text}`" in capsys.readouterr().err
