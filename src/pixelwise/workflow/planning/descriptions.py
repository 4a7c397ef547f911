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
    kind = f"{network.name}{'' if network.dimensions == 2 else ' within slices' if _is_flat(network) else ' in 3-D'}"
    return f"{kind} of depth {stride.bit_length() - 1} and base width {network.base}"


def _is_flat(network: NetworkOptions) -> bool:
    """Return whether the network of volumes sees one slice at a time: along an axis all kernels are 1."""
    return any({row[axis] for row in network.kernels} == {1} for axis in range(network.dimensions))
