"""Thresholds that the user has set are not tuned, however they were set; comments have no effect."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pixelwise.datasets.dataset import DataOptions
from pixelwise.datasets.synthetic import write_demo
from pixelwise.progress import Progress
from pixelwise.workflow.fit import segmentation_task
from pixelwise.workflow.train import train

SMALL = (
    "network.base=4", "network.depth=2", "patches.height=64", "patches.width=64", "patches.batch=2",
    "training.precision=float32",
)  # fmt: skip


def test_what_the_user_has_set_in_words_or_in_a_file_is_not_tuned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned: list[set[str]] = []

    def tune(
        predictions: object, model_card: Any, seconds: object, *, user_set: Sequence[str], progress: object
    ) -> Any:
        tuned.append(set(user_set))
        return model_card, ""

    monkeypatch.setattr(segmentation_task, "select_object_thresholds", tune)
    write_demo(tmp_path / "cells", train=2, val=1, test=0, size=64)
    words = (*SMALL, "target.kind=boundary", "target.seed_threshold=0.45")
    first = train(
        tmp_path / "cells", out=tmp_path / "first", steps=1, overrides=words, progress=Progress(),
        options=DataOptions(task="instance"),
    )  # fmt: skip
    assert tuned.pop() == {"kind", "seed_threshold"}
    plan = tmp_path / "plan.yaml"
    text = first.config_path.read_text(encoding="utf-8")
    assert "  # " in text
    plan.write_text(re.sub(r"(?m)^( *)#.*$", r"\1# Set by you.", text), encoding="utf-8")
    again = train(tmp_path / "cells", out=tmp_path / "again", config=plan, progress=Progress())
    assert again.config.origins == first.config.origins
    assert tuned.pop() == {"kind", "seed_threshold"}, "comments have no effect"
    bare, changed = re.subn(
        r"(?m)^  foreground_threshold: .*$", "  foreground_threshold: 0.61", re.sub(r"(?m)^ *#.*\n", "", text)
    )
    assert changed == 1
    plan.write_text(bare, encoding="utf-8")
    edited = train(tmp_path / "cells", out=tmp_path / "edited", config=plan, progress=Progress())
    assert tuned.pop() == {"kind", "seed_threshold", "foreground_threshold"}
    assert edited.config.origins["target.foreground_threshold"] == "file"
