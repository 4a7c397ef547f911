"""Parameters, work and receptive field of every network, beside what was published.

    python benchmarks/golden.py

Nothing is run: everything follows from the steps that the networks tell. Multiply-adds are counted once, as the
publications do. Published numbers are those of the papers where they give any, else of the implementations that became
the reference (named in the last column); "-" where nobody has published one.
"""

from dataclasses import dataclass

import torch

from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.networks.blocks import count_parameters

PHOTO: dict[str, object] = {"in_channels": 3, "classes": 1000}
SMALL_PHOTO: dict[str, object] = {"in_channels": 3, "classes": 10, "base": 16}
ONE: dict[str, object] = {"in_channels": 3, "classes": 1}
ON_PHOTOS: dict[str, object] = {**ONE, "base": 16}
CIFAR = {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85, 110: 1.7}
TORCHVISION = {
    "resnet18": (11_689_512, 1.814),
    "resnet34": (21_797_672, 3.664),
    "resnet50": (25_557_032, 4.089),
    "resnet101": (44_549_160, 7.801),
    "resnet152": (60_192_808, 11.514),
    "vgg11": (132_863_336, 7.609),
    "vgg13": (133_047_848, 11.308),
    "vgg16": (138_357_544, 15.47),
    "vgg19": (143_667_240, 19.632),
    "vgg11_bn": (132_868_840, 7.609),
    "vgg13_bn": (133_053_736, 11.308),
    "vgg16_bn": (138_365_992, 15.47),
    "vgg19_bn": (143_678_248, 19.632),
}
SMP = {
    "resnet18": 14_328_209,
    "resnet34": 24_436_369,
    "resnet50": 32_521_105,
    "resnet101": 51_513_233,
    "resnet152": 67_156_881,
}

FIELDS = {"resnet18": 435, "resnet34": 899, "vgg16": 212}


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A network in its published form and what is known of it; `giga` are multiply-adds for `size`, in 10^9."""

    label: str
    options: dict[str, object]
    size: int
    parameters: int | str = "-"
    giga: float | None = None
    field: int | None = None
    note: str


def facts() -> list[Fact]:
    """Return a fact per network."""
    return [*_segmenters(), *_on_encoders(), *_classifiers()]


def _segmenters() -> list[Fact]:
    bias_free = "counted by its steps; the paper gives no number"
    return [
        Fact(
            label="unet2015, 1 to 2",
            options={"name": "unet2015", "base": 64},
            size=572,
            parameters=31_030_658,
            giga=150.4,
            note="figure 1 of the paper, worked out",
        ),
        Fact(
            label="unet, base 64", options={"base": 64}, size=512, parameters=31_036_546, note="batch norm, no biases"
        ),
        Fact(
            label="unet, base 64, bilinear",
            options={"base": 64, "in_channels": 3, "upsampling": "bilinear"},
            size=512,
            parameters=17_263_042,
            note="the popular port with bilinear up-sampling",
        ),
        Fact(
            label="resunet",
            options={"name": "resunet", "base": 64, "depth": 3, **ONE},
            size=224,
            parameters="7.8 M",
            note="the paper's 7.8 M are the 3 x 3 kernels and the head; shortcuts, norms and biases add 0.44 M",
        ),
        Fact(
            label="resencunet, 6 halvings",
            options={"name": "resencunet", "depth": 6, "base": 32, "max_width": 512, "normalisation": "instance"},
            size=512,
            note=bias_free,
        ),
        Fact(
            label="unetplusplus, 1 head",
            options={"name": "unetplusplus", "normalisation": "none", **ONE},
            size=96,
            parameters="9.04 M",
            note="table 3 of the paper; no norms, transposed convolutions",
        ),
        Fact(
            label="attention_unet, gates of the popular port",
            options={"name": "attention_unet", "base": 64, "in_channels": 3, "gates": "aligned"},
            size=256,
            parameters=31_389_230,
            note="gates on the padded U-Net; 351,532 of them in the gates, as in the port",
        ),
        Fact(
            label="vnet, 3-D",
            options={"name": "vnet", "base": 16, "normalisation": "none", "dimensions": 3},
            size=128,
            parameters="65.2 M",
            field=551,
            note="table 1 counts an up-convolution as a whole coarse step more; going down the fields are the table's",
        ),
    ]


def _on_encoders() -> list[Fact]:
    counted = [
        Fact(
            label=f"unet on {name}",
            options={"encoder": name, **ON_PHOTOS},
            size=256,
            parameters=parameters,
            note="segmentation_models.pytorch, exactly",
        )
        for name, parameters in SMP.items()
    ]
    vggs = [name for name in TORCHVISION if name.startswith("vgg")]
    return counted + [
        Fact(label=f"unet on {name}", options={"encoder": name, **ON_PHOTOS}, size=256, note="see the parity table")
        for name in vggs
    ]


def _classifiers() -> list[Fact]:
    found = [
        Fact(
            label=name,
            options={"name": name, **PHOTO},
            size=224,
            parameters=parameters,
            giga=giga,
            field=FIELDS.get(name),
            note="torchvision",
        )
        for name, (parameters, giga) in TORCHVISION.items()
    ]
    found.append(
        Fact(
            label="resnet50, stride first (V1)",
            options={"name": "resnet50", "stride_first": True, **PHOTO},
            size=224,
            parameters=25_557_032,
            field=483,
            note="Araujo et al. 2019; with the stride in the 3 x 3 kernel (V1.5) the field is smaller",
        )
    )
    for depth, millions in CIFAR.items():
        options = {"name": f"resnet{depth}", **SMALL_PHOTO}
        found.append(
            Fact(
                label=f"resnet{depth}",
                options=options,
                size=32,
                parameters=f"{millions} M",
                note="table 6 of the paper",
            )
        )
    for depth in (20, 32, 44):
        options = {"name": f"plain{depth}", **SMALL_PHOTO}
        note = "as the ResNet: shortcuts A have no parameters"
        found.append(Fact(label=f"plain{depth}", options=options, size=32, parameters=f"{CIFAR[depth]} M", note=note))
    return found


def main() -> None:
    """Print the table."""
    columns = ["network", "input", "parameters", "published", "giga multiply-adds", "published"]
    columns += ["receptive field", "published", "source, differences"]
    print(f"| {' | '.join(columns)} |")
    print("|---" * len(columns) + "|")
    for fact in facts():
        with torch.device("meta"):
            network = build(NetworkOptions(**fact.options))  # type: ignore[arg-type]
        giga = sum(layer.flops for layer in network.layers(fact.size)) / 2e9
        known = f"{fact.parameters:,}" if isinstance(fact.parameters, int) else fact.parameters
        row = [fact.label, str(fact.size), f"{count_parameters([network]):,}", known, f"{giga:.3f}"]
        row += ["-" if fact.giga is None else f"{fact.giga}", str(network.geometry().receptive_field)]
        row += ["-" if fact.field is None else str(fact.field), fact.note]
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
