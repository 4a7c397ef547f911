"""The config file can be read, edited and trained again; mistakes are named."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.errors import BadOption
from pixelwise.networks.architectures import NetworkOptions
from pixelwise.training.learner import TrainingOptions
from pixelwise.workflow.config import (
    ALIASES,
    SECTIONS,
    Config,
    file_as_words,
    left_out,
    load_config,
    override,
    save_config,
    settings,
    to_yaml,
)

sentence = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=40)
configs = st.builds(
    Config,
    network=st.builds(
        NetworkOptions,
        depth=st.integers(1, 6),
        base=st.integers(1, 128),
        normalisation=st.sampled_from(["batch", "group", "instance", "none"]),
        dropout=st.floats(0, 0.9),
    ),
    training=st.builds(
        TrainingOptions,
        steps=st.integers(1, 10**6),
        budget=st.none() | st.floats(1, 1e5),
        learning_rate=st.floats(1e-6, 1.0),
    ),
    reasons=st.dictionaries(st.sampled_from(sorted(settings(Config()))), sentence),
)


@given(config=configs)
def test_what_is_saved_is_what_is_loaded(tmp_path_factory: pytest.TempPathFactory, config: Config) -> None:
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    save_config(path, config)
    assert load_config(path) == config


def test_the_file_can_be_read_by_people() -> None:
    text = to_yaml(Config(reasons={"network.depth": "16 pixels are left at the bottom."}))
    assert "network:\n" in text
    assert "  # 16 pixels are left at the bottom.\n  depth: 4\n" in text


def test_every_section_stands_in_the_record() -> None:
    assert list(SECTIONS) == [f.name for f in fields(Config) if f.name not in ("reasons", "preset")]


def test_words_of_the_command_line() -> None:
    config = override(Config(), ["network.depth=5", "network.base=8", "loss.class_weights=[1, 2.5]"])
    assert (config.network.depth, config.network.base, config.loss.class_weights) == (5, 8, (1.0, 2.5))
    assert config.reasons["network.depth"] == "Set by you."


@pytest.mark.parametrize(
    ("word", "messages"),
    [
        ("netwok=unet", "expected a known word or section.setting; got `netwok`. Did you mean `network`?"),
        ("frozen=5ep", "got `frozen`. Did you mean `freeze`? Known: preset, network,"),
        ("encoder.weights=imagenet", "got `encoder.weights`. Did you mean `transfer.encoder_weights`?"),
        ("preset=unet2016", "expected a known preset; got `unet2016`. Did you mean `unet2015`?"),
        ("transfer.freeze=soon", "expected transfer.freeze as a number with ep, st or %; got `soon`"),
        ("prediction.tta=5", "expected prediction.tta to be 1, 4, 7 or 8; got `5`"),
        ("network.dept=5", "got `network.dept`. Did you mean `network.depth`?"),
        ("netwrk.depth=5", "got `netwrk.depth`. Did you mean `network.depth`?"),
        ("network.depth", "expected section.setting=value; got `network.depth`"),
        ("network.depth=deep", "expected network.depth to be a valid integer"),
        ("network.depth=99", "expected network.depth in 1...8; got 99"),
        ("network.normalisation=layer", "got `layer`. Change network.normalisation"),
        ("training.steps=-1", "expected training.steps above 0; got -1"),
        ("network.depth=[", "expected YAML; got"),
    ],
)
def test_mistakes_are_named(word: str, messages: str) -> None:
    with pytest.raises(BadOption) as caught:
        override(Config(), [word])
    assert messages in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("network:\n  dept: 5\n", "Did you mean `network.depth`?"),
        ("netwrk:\n  depth: 5\n", "Did you mean `network`?"),
        ("- 1\n- 2\n", "expected sections with settings; got list"),
        ("network: 5\n", "expected settings below `network`; got `5`"),
        ("a: &x [1]\nb: *x\n", "aliases (*name) are not used in plan files"),
        ("network: !!python/object:os.system {}\n", "expected YAML; got"),
        ("network: [\n", "expected YAML; got"),
    ],
)
def test_edited_files_with_mistakes_are_refused(tmp_path: Path, text: str, messages: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(BadOption) as caught:
        load_config(path)
    assert messages in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="expected a plan file in YAML"):
        load_config(tmp_path / "plan.yaml")


def test_an_edited_value_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    save_config(path, Config())
    path.write_text(path.read_text().replace("  depth: 4", "  depth: 3"))
    assert load_config(path) == replace(Config(), network=NetworkOptions(depth=3))


def test_short_words_stand_for_settings() -> None:
    config = override(Config(), ["network=unet2015", "encoder_weights=imagenet", "freeze=5ep"])
    assert (config.network.name, config.transfer.encoder_weights, config.transfer.freeze) == (
        "unet2015",
        "imagenet",
        "5ep",
    )
    assert config.reasons["network.name"] == "Set by you."
    assert set(ALIASES.values()) <= set(settings(Config()))
    assert not set(ALIASES) & {"preset"}


def test_a_recipe_is_written_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    config = override(Config(), ["preset=unet2015", "network.base=16"])
    save_config(path, config)
    assert "preset: unet2015\n" in path.read_text()
    assert load_config(path) == config


def test_what_a_file_leaves_out_comes_from_its_recipe(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("preset: unet2015\nnetwork:\n  base: 16\n")
    config = load_config(path)
    assert (config.network.name, config.network.base, config.training.momentum) == ("unet2015", 16, 0.99)
    assert "network.base" not in config.reasons
    assert config.reasons["network.name"].startswith("preset unet2015: ")
    path.write_text("preset: unet\n")
    with pytest.raises(BadOption, match="expected a known preset; got `unet`"):
        load_config(path)


def test_a_file_that_leaves_settings_out_is_told_from_a_whole_plan(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    save_config(path, override(Config(), ["preset=unet2015", "network.base=8"]))
    assert not left_out(path)
    path.write_text("preset: unet2015\nnetwork:\n  base: 8\n  classes: 3\ndata:\n  val_share: 0.4\n")
    assert left_out(path)
    assert file_as_words(path) == ["preset=unet2015", "network.base=8", "network.classes=3"]


def test_the_words_of_a_file_make_the_config_of_the_file(tmp_path: Path) -> None:
    """All but the data: its flags stand beside the words."""
    path = tmp_path / "plan.yaml"
    words = ["preset=unet2015", "augmentation.scale=[0.5, 2.0]", "training.budget=null", "transfer.freeze=5ep"]
    save_config(path, override(Config(), words))
    assert settings(override(Config(), file_as_words(path))) == settings(load_config(path))
