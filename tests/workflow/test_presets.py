"""Presets: every setting has a reason, overrides the plan, and is overridden by the user."""

import pytest

from pixelwise.errors import BadOption
from pixelwise.networks.architectures import check_options, options_read
from pixelwise.workflow.config import Config, values_of
from pixelwise.workflow.presets import PRESETS, preset_choices
from pixelwise.workflow.settings import Settings, apply_settings


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_has_reasons(name: str) -> None:
    config = apply_settings(Config(), Settings.parse([f"preset={name}"]))
    assert config.preset == name
    choices = preset_choices(name)
    reads = {f"network.{option}" for option in ("name", *options_read(config.network))}
    unread = {key for key in choices if key.startswith("network.")} - reads
    assert set(choices) <= set(values_of(Config()))
    for key, (value, why) in choices.items():
        if key in unread:
            assert config.origins.get(key) is None
        else:
            assert values_of(config)[key] == value
            assert config.reasons[key] == why
        assert why.startswith(f"preset {name}: ")
        assert len(why) > len(f"preset {name}: ") + 5


def test_the_numbers_of_2015() -> None:
    config = apply_settings(Config(), Settings.parse(["preset=unet2015"]))
    assert (config.training.optimiser, config.training.momentum, config.patches.batch) == ("sgd", 0.99, 1)
    assert (config.loss.border_weight, config.loss.border_sigma, config.loss.balanced) == (10.0, 5.0, True)
    assert (config.augmentation.elastic_sd, config.target.separate, config.network.dropout) == (10.0, 1, 0.5)
    assert (config.patches.height, config.network.base, config.prediction.tta) == (572, 64, 7)


@pytest.mark.parametrize("words", [("preset=unet2015", "network.base=16"), ("network.base=16", "preset=unet2015")])
def test_user_settings_override_the_preset(words: tuple[str, ...]) -> None:
    config = apply_settings(Config(), Settings.parse([*words, "network=unet"]))
    assert (config.network.base, config.network.name, config.loss.border_weight) == (16, "unet", 10.0)
    assert config.user_set == {"network.base", "network.name"}
    assert config.origins["loss.border_weight"] == "preset"


def test_a_preset_sets_what_the_chosen_network_reads() -> None:
    for network, read in (
        ("unet2015", {"dropout"}),
        ("unet", {"dropout", "normalisation"}),
        ("vnet", {"normalisation"}),
    ):
        words = ["preset=unet2015", f"network={network}"]
        config = apply_settings(Config(), Settings.parse(words))
        brought = {key for key in config.origins if key.startswith("network.")}
        assert brought == {"network.name", "network.base", *(f"network.{option}" for option in read)}
        check_options(config.network)
    config = apply_settings(Config(), Settings.parse(["preset=unet2015", "network=vnet", "network.dropout=0.1"]))
    with pytest.raises(BadOption, match="expected options that vnet reads"):
        check_options(config.network)


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(BadOption, match=r"expected a known preset; got `unet15`\. Did you mean `unet2015`"):
        preset_choices("unet15")
