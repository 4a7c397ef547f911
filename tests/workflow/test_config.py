"""The config file can be read, edited and trained again, and lists the origins of its values."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.errors import BadOption
from pixelwise.networks.architectures import NetworkOptions
from pixelwise.training.learner import TrainingOptions
from pixelwise.workflow.config import (
    ALIASES,
    KEYS,
    SECTIONS,
    Config,
    Origin,
    origins_of,
    save_config,
    to_yaml,
    values_of,
    with_settings,
)
from pixelwise.workflow.settings import Settings, apply_settings, load_config, reasons_to_json, with_reasons

sentence = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=40)
# The records are made in the test: checks of their types draw random numbers, which strategies must not.
networks = st.fixed_dictionaries(
    {
        "depth": st.integers(1, 6),
        "base": st.integers(1, 128),
        "normalisation": st.sampled_from(["batch", "group", "instance", "none"]),
        "dropout": st.floats(0, 0.9),
        "kernels": st.sampled_from([(), ((1, 3, 3), (3, 3, 3))]),
    }
)
trainings = st.fixed_dictionaries(
    {
        "steps": st.integers(1, 10**6),
        "budget": st.none() | st.floats(1, 1e5),
        "learning_rate": st.floats(1e-6, 1.0),
    }
)


@given(
    network=networks,
    training=trainings,
    origins=st.dictionaries(st.sampled_from(KEYS), st.sampled_from(["user", "file", "preset"])),
    reasons=st.dictionaries(st.sampled_from(KEYS), sentence),
)
def test_what_is_saved_is_what_is_loaded(
    tmp_path_factory: pytest.TempPathFactory,
    network: dict[str, Any],
    training: dict[str, Any],
    origins: dict[str, Origin],
    reasons: dict[str, str],
) -> None:
    config = Config(
        network=NetworkOptions(**network), training=TrainingOptions(**training), origins=origins, reasons=reasons
    )
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    save_config(path, config)
    loaded = with_reasons(load_config(path), reasons_to_json(config))
    assert replace(loaded, reasons=config.reasons) == config
    assert config.reasons.items() <= loaded.reasons.items()


def test_the_file_can_be_read_by_people() -> None:
    text = to_yaml(Config(reasons={"network.depth": "16 pixels are left at the bottom."}))
    assert "network:\n" in text
    assert "  # 16 pixels are left at the bottom.\n  depth: 4\n" in text


def test_every_setting_has_an_origin_in_the_file() -> None:
    text = to_yaml(Config(origins={"network.depth": "user", "loss.dice": "preset"}))
    origins = text.partition("origins:\n")[2]
    assert origins.startswith(
        "  user:\n    network: {depth: 4}\n  preset:\n    loss: {dice: 1.0}\n  planned:\n    data: {"
    )
    assert len(re.findall(r"\w+: ", origins)) == len(KEYS) + len(SECTIONS) + 2  # sections of two origins twice


COMMENTS: dict[str, Callable[[str], str]] = {
    "all removed": lambda text: re.sub(r"(?m)^ *#.*\n", "", text),
    "all the same": lambda text: re.sub(r"(?m)^( *)#.*$", r"\1# Set by you.", text),
    "one above every line": lambda text: re.sub(r"(?m)^( *)(\w+:)", r"\1# Set by you.\n\1\2", text),
}


@pytest.mark.parametrize("how", COMMENTS)
def test_comments_change_nothing(tmp_path: Path, how: str) -> None:
    path = tmp_path / "config.yaml"
    config = apply_settings(Config(), Settings.parse(["preset=unet2015", "target.seed_threshold=0.7"]))
    save_config(path, with_settings(config, {"target.min_area": 7}, {"target.min_area": "A tenth."}))
    before, text = load_config(path), path.read_text(encoding="utf-8")
    path.write_text(COMMENTS[how](text), encoding="utf-8")
    assert path.read_text(encoding="utf-8") != text
    assert load_config(path) == before
    assert before.user_set == {"target.seed_threshold"}


def test_an_edited_value_is_the_users(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    config = Config(
        origins={"network.base": "user"},
        reasons={"network.depth": "16 pixels are left at the bottom.", "network.base": "It is wide."},
    )
    save_config(path, config)
    path.write_text(path.read_text(encoding="utf-8").replace("  depth: 4", "  depth: 3"), encoding="utf-8")
    loaded = with_reasons(load_config(path), reasons_to_json(config))
    assert loaded.network == NetworkOptions(depth=3)
    assert loaded.origins == {"network.base": "user", "network.depth": "file"}
    assert loaded.reasons["network.base"] == "It is wide."
    assert loaded.reasons["network.depth"] != config.reasons["network.depth"], "the reason belongs to the old value"


def test_what_is_planned_later_is_no_longer_the_users() -> None:
    config = with_settings(Config(origins={"training.seed": "user"}), {"training.seed": 3}, {})
    assert origins_of(config)["training.seed"] == "planned"
    assert config.user_set == frozenset()


def test_short_words_are_none_of_the_other_words() -> None:
    assert set(ALIASES.values()) <= set(values_of(Config()))
    assert not set(ALIASES) & {"preset", "origins"}


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(BadOption, match=r"Did you mean `network\.depth`\?"):
        with_settings(Config(), {"network.dept": 3}, {})
