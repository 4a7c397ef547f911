"""Settings from the command line and files keep their origins; errors name the mistake."""

import os
from pathlib import Path

import pytest

from pixelwise.datasets.dataset import DataOptions
from pixelwise.errors import BadOption
from pixelwise.workflow import settings
from pixelwise.workflow.config import Config, Origin, origins_of, save_config, values_of
from pixelwise.workflow.settings import MAX_BYTES, Settings, apply_settings, load_config


def settled(*words: str) -> Config:
    return apply_settings(Config(), Settings.parse(words))


def test_words_of_the_command_line() -> None:
    config = settled("network.depth=5", "network.base=8", "loss.class_weights=[1, 2.5]")
    assert (config.network.depth, config.network.base, config.loss.class_weights) == (5, 8, (1.0, 2.5))
    assert config.origins == dict.fromkeys(["network.depth", "network.base", "loss.class_weights"], "user")


@pytest.mark.parametrize(
    ("word", "messages"),
    [
        ("netwok=unet", "expected a known short name or section.setting; got `netwok`. Did you mean `network`?"),
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
        settled(word)
    assert messages in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("network:\n  dept: 5\n", "Did you mean `network.depth`?"),
        ("netwrk:\n  depth: 5\n", "Did you mean `network`?"),
        ("- 1\n- 2\n", "expected sections with settings; got list"),
        ("network: 5\n", "expected settings below `network`; got `5`"),
        ("a: &x [1]\nb: *x\n", "aliases (*name) are not allowed in config files"),
        ("network: !!python/object:os.system {}\n", "expected YAML; got"),
        ("network: [\n", "expected YAML; got"),
        ("preset: unet\n", "expected a known preset; got `unet`"),
        ("origins:\n  users:\n    network: {depth: 4}\n", "expected a known origin; got `users`. Did you mean `user`?"),
        ("origins:\n  user:\n    network: {dept: 4}\n", "Did you mean `network.depth`?"),
        ("origins:\n  user: 4\n", "expected sections with settings; got int"),
        ("origins: [4]\n", "expected sections with settings; got list"),
    ],
)
def test_edited_files_with_mistakes_are_refused(tmp_path: Path, text: str, messages: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadOption) as caught:
        load_config(path)
    assert messages in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="expected a config file in YAML"):
        Settings.from_file(tmp_path / "plan.yaml")


@pytest.mark.parametrize("kind", ["pipe", "device", "long"])
def test_what_has_no_end_is_no_config_file(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path("/dev/zero") if kind == "device" else tmp_path / "config.yaml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "long":
        path.write_text("# comment\n" * (MAX_BYTES // 10 + 1), "utf-8")
    with pytest.raises(BadOption, match="at most"):
        Settings.from_file(path)
    if kind == "long":
        monkeypatch.setattr(settings, "MAX_BYTES", 1 << 20)  # the control
        with pytest.raises(BadOption, match="settings"):
            Settings.from_file(path)


def test_short_words_stand_for_settings() -> None:
    config = settled("network=unet2015", "encoder_weights=imagenet", "freeze=5ep")
    assert (config.network.name, config.transfer.encoder_weights, config.transfer.freeze) == (
        "unet2015",
        "imagenet",
        "5ep",
    )
    assert config.user_set == {"network.name", "transfer.encoder_weights", "transfer.freeze"}


def test_a_preset_is_written_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    config = settled("preset=unet2015", "network.base=16")
    save_config(path, config)
    assert "preset: unet2015\n" in path.read_text(encoding="utf-8")
    loaded = load_config(path)
    assert (values_of(loaded), loaded.origins, loaded.preset) == (values_of(config), config.origins, "unet2015")
    assert set(config.origins.values()) == {"preset", "user"}


def test_what_a_file_leaves_out_comes_from_its_preset(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("preset: unet2015\nnetwork:\n  base: 16\n", encoding="utf-8")
    config = load_config(path)
    assert (config.network.name, config.network.base, config.training.momentum) == ("unet2015", 16, 0.99)
    assert config.user_set == {"network.base"}
    assert config.origins["training.momentum"] == "preset"
    assert config.reasons["network.name"].startswith("preset unet2015: ")


def test_a_file_that_leaves_settings_out_is_told_from_a_whole_plan(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    save_config(path, settled("preset=unet2015", "network.base=8"))
    assert Settings.from_file(path).complete
    path.write_text("preset: unet2015\nnetwork:\n  base: 8\n  classes: 3\ndata:\n  val_share: 0.4\n", encoding="utf-8")
    assert not Settings.from_file(path).complete


def test_a_value_in_a_file_is_the_users_unless_the_file_says_that_it_was_planned(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    sections = "target:\n  seed_threshold: 0.7\n  foreground_threshold: 0.6\n  min_area: 9\n"
    path.write_text(sections, encoding="utf-8")
    assert set(Settings.from_file(path).origins.values()) == {"file"}
    written = "origins:\n  user:\n    target: {seed_threshold: 0.7}\n"
    path.write_text(
        f"{sections}{written}  planned:\n    target: {{foreground_threshold: 0.6, min_area: 3, kind: boundary}}\n",
        encoding="utf-8",
    )
    settings = Settings.from_file(path)
    assert settings.origins == {
        "target.seed_threshold": "user",
        "target.foreground_threshold": "planned",
        "target.min_area": "file",
    }
    assert apply_settings(Config(), settings).user_set == {"target.seed_threshold", "target.min_area"}


RANKED: tuple[Origin, ...] = ("planned", "preset", "file", "user")


@pytest.mark.parametrize("below", RANKED)
@pytest.mark.parametrize("above", RANKED)
def test_the_stronger_origin_counts(below: Origin, above: Origin) -> None:
    key = "network.base"
    merged = Settings(values={key: 1}, origins={key: below}).merged(Settings(values={key: 2}, origins={key: above}))
    wins = RANKED.index(above) >= RANKED.index(below)
    assert (merged.values[key], merged.origins[key]) == ((2, above) if wins else (1, below))


def test_flags_about_the_data_stand_in_the_place_of_a_files_answers() -> None:
    file = Settings(values={"data.pages": 3, "network.base": 8}, origins={"data.pages": "file", "network.base": "file"})
    assert file.with_data(None) == file
    assert file.data == DataOptions(pages=3)
    settings = file.with_data(DataOptions(val_share=0.4)).merged(Settings.parse(["data.group_by='(a)'"]))
    assert settings.data == DataOptions(val_share=0.4, group_by="(a)")
    assert settings.origins == {"network.base": "file", "data.val_share": "user", "data.group_by": "user"}


def test_choices_are_taken_where_nothing_is_given() -> None:
    choices = {"network.base": (32, "The widest."), "network.depth": (3, "It is enough.")}
    config = apply_settings(Config(), Settings.parse(["network.depth=5"]), choices)
    assert (config.network.base, config.network.depth) == (32, 5)
    assert config.reasons["network.base"] == "The widest."
    assert {key: origins_of(config)[key] for key in choices} == {"network.base": "planned", "network.depth": "user"}


def test_values_that_fit_together_alone_are_put_together() -> None:
    """A shorter side of 16 does not fit the usual side of a photo, but the one that is given beside it."""
    config = apply_settings(
        Config(), Settings.parse(["classification.side=16"]), {"classification.shorter": (16, "All of it.")}
    )
    assert (config.classification.side, config.classification.shorter) == (16, 16)


@pytest.mark.parametrize("number", ["1" + ":59" * 3000, "0x" + "f" * 5000, "9" * 30, "-9223372036854775809"])
def test_whole_numbers_of_any_length_are_refused(number: str) -> None:
    """Those of base 60 and 16 have no limit in Python, but their texts have one."""
    with pytest.raises(BadOption, match="YAML"):
        Settings.parse([f"training.steps={number}"])
    assert Settings.parse(["training.steps=1:59"]).values == {"training.steps": 119}
