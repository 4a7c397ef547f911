"""Each network reads exactly the options that its record declares; others raise an error."""

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from torch import nn

from pixelwise.errors import BadOption
from pixelwise.model_file.model_file import load_network, save_model
from pixelwise.networks.architectures import (
    ARCHITECTURES,
    CLASSIFIERS,
    DEFAULTS,
    SEGMENTERS,
    Architecture,
    build,
    build_segmenter,
    check_options,
    options_read,
    published_options,
    readers,
    register,
    with_defaults_where_unread,
)
from pixelwise.networks.blocks import count_parameters
from pixelwise.networks.options import NetworkOptions
from pixelwise.networks.unet_on_encoder import ENCODERS
from tiny import make_photo_recipe

OPTIONS = {option.name for option in fields(NetworkOptions)} - {"name"}
FORMS = [(name, "plain") for name in ARCHITECTURES] + [("unet", encoder) for encoder in ENCODERS]


class Recorder(NetworkOptions):
    """Options that record which of them are read."""

    def __getattribute__(self, name: str) -> Any:
        if name in OPTIONS:
            super().__getattribute__("__dict__").setdefault("seen", set()).add(name)
        return super().__getattribute__(name)


def observed(architecture: Architecture, encoder: str = "plain", **options: Any) -> set[str]:
    """Return the options that the builder reads."""
    recorder = Recorder(name=architecture.name, encoder=encoder, **options)
    recorder.__dict__["seen"] = set()  # the record's own checks have read some
    with torch.device("meta"):
        architecture.builder(recorder)
    return recorder.__dict__["seen"]


@pytest.mark.parametrize(("name", "encoder"), FORMS)
def test_a_builder_reads_what_its_record_declares(name: str, encoder: str) -> None:
    declared = options_read(NetworkOptions(name=name, encoder=encoder))
    assert observed(ARCHITECTURES[name], encoder) == set(declared)
    assert len(set(declared)) == len(declared)


def test_control_a_wrong_declaration_is_detected() -> None:
    unet2015 = ARCHITECTURES["unet2015"]
    for wrong in ((*unet2015.reads, "depth"), tuple(option for option in unet2015.reads if option != "dropout")):
        assert observed(replace(unet2015, reads=wrong, published={})) != set(wrong)


# For each option some values, one of which at least must change a network that reads it.
OTHERS: dict[str, tuple[Any, ...]] = {
    "in_channels": (3,),
    "classes": (5,),
    "depth": (3,),
    "base": (6,),
    "max_width": (5,),
    "normalisation": ("group",),
    "upsampling": ("bilinear", "nearest"),
    "dropout": (0.25,),
    "encoder": ("resnet18", "vgg11"),
    "full_resolution": (True,),
    "deep_supervision": (True,),
    "gates": ("aligned",),
    "dimensions": (3,),
    "strides": (((1, 2), (2, 2)),),
    "kernels": (((1, 3), (3, 3), (3, 3)),),
    "context": (1,),
    "stem": ("deep",),
    "shortcut": ("B", "C"),
    "shortcut_padding": ("both",),
    "stride_first": (True,),
    "zero_init_residual": (True,),
}
# What another option needs to matter: the position of the zero channels matters only with shortcut A, and neighbouring
# slices are channels only of networks that stay within slices.
NEEDED: dict[str, dict[str, Any]] = {
    "shortcut_padding": {"shortcut": "A"},
    "context": {"dimensions": 3, "strides": ((1, 2, 2),) * 2, "kernels": ((1, 3, 3),) * 3},
}
# One network of each builder; the others of a family differ from it in their number of layers alone.
EFFECTIVE = [
    *((name, "plain") for name in (*SEGMENTERS, "resnet18", "resnet50", "resnet20", "plain20", "vgg11")),
    *(("unet", encoder) for encoder in ("resnet18", "vgg11")),
    pytest.param("unet", "resnet50", marks=pytest.mark.slow),
]


def on_meta(options: NetworkOptions) -> tuple[str, str]:
    """Return the modules and layers of a network as text."""
    with torch.device("meta"):
        network = build(options)
    return str(network), str(network.layer_graph())


def answer(options: NetworkOptions) -> torch.Tensor:
    """Return the output of a network with its initial weights."""
    torch.manual_seed(0)
    network = build(options).eval()
    side = network.geometry().valid_size(32)
    with torch.inference_mode():
        return network(torch.rand(1, options.in_channels, *[side] * network.dimensions))


def changed(options: NetworkOptions) -> Iterator[tuple[str, bool]]:
    """Return for each option that is read whether another value changes the network."""
    for option in options_read(options):
        start = replace(options, **NEEDED.get(option, {}))
        others = [with_defaults_where_unread(replace(start, **{option: value})) for value in OTHERS[option]]
        before = on_meta(start)
        different = any(on_meta(other) != before for other in others)
        yield option, different or any(not torch.equal(answer(other), answer(start)) for other in others)


@pytest.mark.parametrize(("name", "encoder"), EFFECTIVE)
def test_every_declared_option_changes_the_network(name: str, encoder: str) -> None:
    options = with_defaults_where_unread(NetworkOptions(name=name, encoder=encoder, base=4, depth=2))
    assert [option for option, different in changed(options) if not different] == []


def test_every_option_is_read_by_some_network() -> None:
    assert set(OTHERS) == set(DEFAULTS) == OPTIONS
    assert [option for option in OPTIONS if not readers(option)] == []


@pytest.mark.parametrize(("name", "encoder"), FORMS)
def test_options_that_a_network_does_not_read_raise(name: str, encoder: str) -> None:
    plain = NetworkOptions(name=name, encoder=encoder)
    reads = options_read(plain)
    check_options(plain)
    for option in OPTIONS - {"encoder"}:
        changed = replace(plain, **{option: OTHERS[option][0]})
        if option in reads:
            check_options(changed)
            assert with_defaults_where_unread(changed) == changed
        else:
            with pytest.raises(BadOption) as caught:
                build(changed)
            assert plain.full_name in caught.value.expected
            assert all(own in caught.value.expected for own in reads)
            assert f"network.{option}=" in caught.value.got
            assert all(reader in caught.value.hint for reader in readers(option))
            assert with_defaults_where_unread(changed) == plain


def test_the_error_names_alternatives() -> None:
    with pytest.raises(BadOption) as caught:
        build(NetworkOptions(name="unet2015", depth=6, deep_supervision=True))
    error = caught.value
    assert error.expected == "options that unet2015 reads (in_channels, classes, base, dropout, dimensions)"
    assert error.got == "network.depth=6 and network.deep_supervision=true"
    assert "Leave network.depth at its default, 4, or choose a network that reads it: unet without" in error.hint
    assert "Leave network.deep_supervision at its default, false, or choose" in error.hint
    assert error.hint.endswith("unetplusplus.")
    build_segmenter(NetworkOptions(name="unet2015", base=2, depth=4))  # its default is no request


def test_values_that_only_some_variants_read_raise() -> None:
    with pytest.raises(BadOption, match=r"got network\.encoder=resnet18"):
        check_options(NetworkOptions(name="resnet18", encoder="resnet18"))
    with pytest.raises(BadOption, match=r"got network\.stride_first=true"):
        check_options(NetworkOptions(name="resnet34", stride_first=True))
    check_options(NetworkOptions(name="resnet50", stride_first=True))
    with pytest.raises(BadOption, match="a registered encoder; got `resnet19`"):
        check_options(NetworkOptions(encoder="resnet19"))


@pytest.mark.parametrize("name", [name for name, one in ARCHITECTURES.items() if one.parameters is not None])
def test_published_numbers_of_parameters(name: str) -> None:
    with torch.device("meta"):
        network = build(published_options(name))
    assert count_parameters([network]) == ARCHITECTURES[name].parameters


def builder(options: NetworkOptions) -> Any:
    """Raise if called."""
    return nn.Identity()


def test_inconsistent_records_raise() -> None:
    good = Architecture(name="new", builder=builder, reads=("in_channels", "classes", "depth"))
    assert good.summary == "Raise if called."
    with pytest.raises(BadOption, match=r"got `dept`\. Did you mean `depth`"):
        replace(good, reads=("in_channels", "classes", "dept"))
    with pytest.raises(BadOption, match="classes in `reads` of new"):
        replace(good, reads=("in_channels",))
    with pytest.raises(BadOption, match="got `base`"):
        replace(good, published={"depth": 3, "base": 64})
    with pytest.raises(BadOption, match="`unet`, which is already registered"):
        register(replace(good, name="unet"))
    assert list(ARCHITECTURES) == [*SEGMENTERS, *CLASSIFIERS]


def test_an_older_model_file_loads(tmp_path: Any) -> None:
    """Older plans gave `resnet18` a base of 16, which it does not read."""
    model_card = make_photo_recipe()
    network = build(model_card.network).eval()
    old = replace(model_card, network=replace(model_card.network, depth=6))
    save_model(tmp_path / "old.safetensors", network, old)
    loaded, found = load_network(tmp_path / "old.safetensors")
    assert found.network.depth == 6
    assert loaded.state_dict().keys() == network.state_dict().keys()
