"""Descriptions of networks and steps."""

from dataclasses import replace

from pixelwise.networks.architectures import NetworkOptions
from pixelwise.sampling.patches import PatchOptions
from pixelwise.sampling.whole_images import ClassificationOptions
from pixelwise.training.learner import TrainingOptions
from pixelwise.workflow.config import Config
from pixelwise.workflow.planning.descriptions import describe_images, describe_network, describe_patches


def test_a_network_is_named_by_what_it_was_built_with() -> None:
    assert describe_network(NetworkOptions(depth=3, base=12)) == "unet of depth 3 and base width 12"
    assert describe_network(NetworkOptions(name="unet2015")) == "unet2015 of depth 4 and base width 32"
    on = describe_network(NetworkOptions(encoder="resnet18", base=16))
    assert on == "unet on resnet18 of total stride 32, decoder of base width 16"


def test_what_a_network_sees_of_a_volume_is_named() -> None:
    deep = NetworkOptions(depth=1, base=4, dimensions=3)
    flat = replace(deep, strides=((1, 2, 2),), kernels=((1, 3, 3),) * 2)
    assert describe_network(deep) == "unet in 3-D of depth 1 and base width 4"
    assert describe_network(flat) == "unet within slices of depth 1 and base width 4"
    assert describe_network(replace(flat, context=1)) == "unet of 3 slices in 2.5-D of depth 1 and base width 4"


def test_one_patch_is_no_patches() -> None:
    config = Config(network=NetworkOptions(base=8), patches=PatchOptions(batch=1), training=TrainingOptions(steps=1))
    size = f"{config.patches.height} x {config.patches.width}"
    assert describe_patches(config) == f"unet of depth 4 and base width 8, 1 step of 1 patch of {size}"


def test_images_are_described_with_their_size() -> None:
    config = Config(
        network=NetworkOptions(name="resnet20"),
        classification=ClassificationOptions(side=16, shorter=16, batch=8),
        training=TrainingOptions(steps=2),
    )
    assert describe_images(config) == "resnet20, 2 steps of 8 images of 16 x 16"
