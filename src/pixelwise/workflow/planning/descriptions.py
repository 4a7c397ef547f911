"""Short descriptions of a plan: its network and its steps."""

import torch

from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.text import pluralise
from pixelwise.workflow.config import Config


def describe_patches(config: Config) -> str:
    """Describe network and patches of a segmentation."""
    patches, steps = config.patches, pluralise(config.training.steps, "step")
    low_res = f" ({patches.low_res_fraction:.0%} of them at half resolution)" if patches.low_res_fraction else ""
    size = " x ".join(map(str, patches.size))
    spacing = f" at {' x '.join(f'{side:g}' for side in patches.spacing)} mm" if patches.spacing else ""
    return (
        f"{describe_network(config.network)}, {steps} of "
        f"{pluralise(patches.batch, 'patch')} of {size}{spacing}{low_res}"
    )


def describe_images(config: Config) -> str:
    """Describe network and images of a classification."""
    options, steps = config.classification, pluralise(config.training.steps, "step")
    return f"{config.network.name}, {steps} of {pluralise(options.batch, 'image')} of {options.side} x {options.side}"


def describe_network(network: NetworkOptions) -> str:
    """Describe a segmentation network with its size as built: some networks have a fixed depth."""
    with torch.device("meta"):
        stride = build(network).geometry().total_stride
    if network.encoder != "plain":
        return f"{network.full_name} of total stride {stride}, decoder of base width {network.base}"
    return f"{network.name}{_describe_view(network)} of depth {stride.bit_length() - 1} and base width {network.base}"


def _describe_view(network: NetworkOptions) -> str:
    """Describe what a network of volumes sees of them."""
    if network.dimensions == 2:
        return ""
    if network.slice_axis is None:
        return " in 3-D"
    return f" of {2 * network.context + 1} slices in 2.5-D" if network.context else " within slices"
