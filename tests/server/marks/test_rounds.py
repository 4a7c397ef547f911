"""The options of the next round of training."""

from pathlib import Path

import pytest

from pixelwise.server.marks.rounds import Length, can_continue, continue_from
from pixelwise.workflow.settings import Settings


@pytest.mark.parametrize("name", ["runs/0001", "my run: 2", "#1", "a, b", "ä [x]"])
@pytest.mark.parametrize("length", [Length(60), Length(steps=9)])
def test_the_settings_say_what_was_meant(name: str, length: Length) -> None:
    option, config, *words = continue_from(Path(name), length, 3)
    assert (option, config) == ("--config", str(Path(name, "config.yaml")))
    values = Settings.parse(words).values
    assert values["transfer.initial_model"] == str(Path(name))
    assert values["transfer.keep_predictions"] == 1
    assert values["training.budget"] == length.seconds
    assert values.get("training.steps") == length.steps
    assert (values["training.seed"], values["patches.low_res_fraction"]) == (3, 0)


def test_what_can_be_continued(tmp_path: Path) -> None:
    assert not can_continue(tmp_path)
    for name in ("config.yaml", "model.safetensors"):
        (tmp_path / name).touch()
    assert can_continue(tmp_path)
    (tmp_path / "folds").mkdir()
    assert not can_continue(tmp_path), "an ensemble"
