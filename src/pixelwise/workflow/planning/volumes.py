"""Rules for volumes: voxel size, patch, strides and kernels of the network, batch, augmentation and normalisation.

After nnU-Net (Isensee et al. 2021, doi 10.1038/s41592-020-01008-z, supplementary note 4; numbers of version 2) with
two changes: the patch has no more voxels than a training step on the device has time for, and slices that are very far
apart are segmented one by one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pixelwise.networks.options_read import options_read
from pixelwise.runtimes.machine import Machine
from pixelwise.sampling.resample import ANISOTROPY, coarse_axis, resampled_shape
from pixelwise.sampling.volume_fingerprint import VolumeFingerprint
from pixelwise.text import pluralise
from pixelwise.workflow.config import Config
from pixelwise.workflow.planning.dimensions import (
    AXES,
    MIN_EDGE,
    Size,
    Views,
    describe_view,
    plan_context,
    propose_views,
)
from pixelwise.workflow.presets import Choices

PATCH_VOXELS = {"cpu": 2**17, "cuda": 2**21, "mps": 2**19}  # at most, in a patch
STEP_VOXELS = {"cpu": 3 * 2**16, "cuda": 2**22, "mps": 2**20}  # about, in a step: patches are batched up to them
MAX_BATCH = 16
MAX_DEPTH = {"cpu": 4, "cuda": 5, "mps": 4}
MAX_WIDTH = 320  # channels of a stage
SAME_SPACING = 0.05  # relative difference up to which volumes are not resampled
SYMMETRIC = 0.25  # difference between the classes of both ends of an axis up to which it is mirrored
ANGLE, FREE_ANGLE = 30.0, 180.0  # degrees
CT_LOWEST = -500.0  # Hounsfield units: air is -1000
BYTES_PER_VALUE = 2 * 4 * 16  # of a training step, per voxel of a patch and channel of the finest stage: two per map
MEMORY_SHARE = 0.5  # of the machine, for a training step
GUESSED_BASE = 32


@dataclass(frozen=True, kw_only=True)
class Topology:
    """Strides between the stages and kernels of the stages, fine to coarse, along each axis."""

    strides: tuple[tuple[int, ...], ...]
    kernels: tuple[tuple[int, ...], ...]

    @property
    def isotropic(self) -> bool:
        """Whether all axes are alike at all stages."""
        return all(set(row) == {2} for row in self.strides) and all(set(row) == {3} for row in self.kernels)

    @property
    def total_strides(self) -> tuple[int, ...]:
        """The product of the strides along each axis."""
        return tuple(math.prod(row[axis] for row in self.strides) for axis in range(len(self.strides[0])))


def plan_spacing(fingerprint: VolumeFingerprint) -> tuple[tuple[float, ...], str]:
    """Return the voxel size to which volumes are resampled, in millimetres, or () for none, and the reason.

    The median along each axis; of an axis that is coarse and has few slices percentile 10, because interpolating slices
    that are far apart invents them, and the finer volumes would lose theirs.
    """
    if fingerprint.voxel_size is None:
        return (), "Not every file contains the size of its voxels: volumes are not resampled."
    low, middle, high = fingerprint.voxel_size
    text = " x ".join(f"{side:.3g}" for side in middle)
    if all(b - a <= SAME_SPACING * a for a, b in zip(low, high, strict=True)):
        return (), f"All volumes have voxels of about {text} mm: none is resampled."
    target, why = list(middle), f"The median voxel size along each axis is {text} mm"
    axis = coarse_axis(middle)
    if axis is not None:
        others = [place for place in range(3) if place != axis]
        size = fingerprint.median_size
        if size[axis] * ANISOTROPY < min(size[place] for place in others):
            target[axis] = max(low[axis], *(middle[place] for place in others))
            why += f"; along the {AXES[axis]} percentile 10, so that no volume loses many slices"
    return tuple(round(side, 4) for side in target), f"{why}."


def plan_topology(size: Size, spacing: Sequence[float], depth: int, *, fixed: bool = False) -> Topology:
    """Return strides and kernels for a patch: no pooling along a coarse axis until it is as fine as the others.

    Parameters
    ----------
    size : tuple of int
        Of the patch.
    spacing : sequence of float
        Along each axis, in any unit.
    depth : int
        Largest number of poolings; the number itself if `fixed`.

    Examples
    --------
    >>> topology = plan_topology((16, 64, 64), (3.0, 1.0, 1.0), 4)
    >>> topology.strides
    ((1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))
    >>> topology.kernels[:3]
    ((1, 3, 3), (3, 3, 3), (3, 3, 3))
    """
    sides, steps = list(size), list(spacing)
    strides: list[tuple[int, ...]] = []
    kernels = [_kernels(steps, [1] * len(sides))]
    while len(strides) < depth:
        long = [axis for axis, side in enumerate(sides) if side >= 2 * MIN_EDGE]
        candidates = list(range(len(sides))) if fixed and not long else long
        pooled = [axis for axis in candidates if steps[axis] < 2 * min(steps[place] for place in candidates)]
        if not fixed and (not pooled or (len(pooled) == 1 and sides[pooled[0]] < 3 * MIN_EDGE)):
            break
        row = tuple(2 if axis in pooled else 1 for axis in range(len(sides)))
        sides = [-(-side // stride) for side, stride in zip(sides, row, strict=True)]
        steps = [step * stride for step, stride in zip(steps, row, strict=True)]
        strides.append(row)
        kernels.append(_kernels(steps, kernels[-1]))
    if not strides:  # a tiny patch: one pooling, so that there are two stages
        strides, kernels = [(2,) * len(sides)], [kernels[0]] * 2
    return Topology(strides=tuple(strides), kernels=(*kernels[:-1], (3,) * len(sides)))


def _kernels(steps: Sequence[float], before: Sequence[int]) -> tuple[int, ...]:
    """Return the kernel of each axis: 3 as soon as it is within a factor of 2 of the finest one."""
    finest = min(steps)
    return tuple(3 if last == 3 or step < 2 * finest else 1 for step, last in zip(steps, before, strict=True))


def plan_patch(size: Size, spacing: Sequence[float], voxels: int) -> Size:
    """Return a patch of at most about `voxels`, a cube in millimetres as far as the median volume of `size` is one.

    Examples
    --------
    >>> plan_patch((35, 50, 36), (1.0, 1.0, 1.0), 2**17), plan_patch((200, 200, 200), (1.0, 1.0, 1.0), 2**15)
    ((35, 50, 36), (32, 32, 32))
    """
    sides: dict[int, float] = {}
    free, left = set(range(len(size))), float(voxels)
    while free:
        # the same length along all axes that are not limited by the volume
        length = (left * math.prod(spacing[axis] for axis in free)) ** (1 / len(free))
        limited = [axis for axis in free if length / spacing[axis] >= size[axis]]
        for axis in limited or free:
            sides[axis] = size[axis] if limited else length / spacing[axis]
            left /= sides[axis]
        free -= set(limited or free)
    return tuple(max(1, round(sides[axis])) for axis in range(len(size)))


def voxel_grid(fingerprint: VolumeFingerprint, config: Config) -> tuple[Size, tuple[float, ...], Choices]:
    """Return size and spacing of the median volume as the network sees it, and the choice of the spacing."""
    target, why = plan_spacing(fingerprint)
    if "patches.spacing" in config.user_set:
        target = config.patches.spacing
    stored = fingerprint.voxel_size[1] if fingerprint.voxel_size else (1.0,) * 3
    spacing = target or stored
    return resampled_shape(fingerprint.median_size, stored, spacing), spacing, {"patches.spacing": (target, why)}


def choose_patches(
    fingerprint: VolumeFingerprint, machine: Machine, config: Config, view: tuple[float, str] | None = None
) -> Choices:
    """Choose voxel size, patch, batch, and the network's depth, strides and kernels, each with its reason.

    Sides, depth, dimensions and voxel size that the user has set are kept, and the rest follows from them. `view` are
    the dimensions that a race has chosen, and why.
    """
    given = config.user_set
    fixed_depth = "network.depth" in given
    size, spacing, resampled = voxel_grid(fingerprint, config)
    views = propose_views(size, spacing)
    dimensions, why_kind = _dimensions(views, config, view)
    depth = config.network.depth if fixed_depth else MAX_DEPTH[machine.device]
    context: Choices = {}
    if dimensions == 3.0:
        patch = plan_patch(size, spacing, PATCH_VOXELS[machine.device])
        sides = zip(AXES, patch, strict=True)
        patch = tuple(getattr(config.patches, name) if f"patches.{name}" in given else side for name, side in sides)
        topology = plan_topology(patch, spacing, depth, fixed=fixed_depth)
        why = f"The median volume has {_times(size)} voxels of {_times(spacing)} mm"
    else:
        patch, topology = _within_slices(size, spacing, views.axis, machine, depth, fixed=fixed_depth)
        why = f"One slice of the median volume of {_times(size)} voxels"
    if dimensions == 2.5:
        slices = plan_context(size, spacing, views.axis)
        why_context = f"{pluralise(2 * slices, 'neighbour')} of a slice along the {AXES[views.axis]} are channels too."
        context = {"network.context": (slices, why_context)}
    patch = tuple(map(_nearest_multiple, patch, topology.total_strides))
    batch = max(2, min(MAX_BATCH, round(STEP_VOXELS[machine.device] / math.prod(patch))))
    batch, why_batch = _within_memory(batch, math.prod(patch), machine.memory)
    rare = min((share for share in fingerprint.class_shares[1:] if share > 0), default=0.5)
    share = 0.5 if rare < 0.01 else 0.33 if rare < 0.3 else 0.0
    rows = () if topology.isotropic else topology.strides
    kernels = () if topology.isotropic else topology.kernels
    alike = "All axes are pooled alike." if not rows else _describe_strides(topology, spacing)
    most = f"{why}; at most about {PATCH_VOXELS[machine.device]:,} voxels in a patch, and a multiple of the stride."
    return {
        "network.dimensions": (3, "Volumes have three axes, also for networks that see slices."),
        "patches.dimensions": (dimensions, why_kind),
        **context,
        "network.depth": (len(topology.strides), f"Axes are halved while {MIN_EDGE} voxels remain."),
        "network.strides": (rows, alike),
        "network.kernels": (kernels, "See strides: 1 along an axis that is coarse at that stage."),
        "network.max_width": (MAX_WIDTH, "As in nnU-Net for volumes: wider stages cost memory and gain little."),
        **resampled,
        **{f"patches.{name}": (side, most) for name, side in zip(AXES, patch, strict=True)},
        "patches.batch": (batch, why_batch),
        "patches.foreground_share": (share, f"The rarest class has {rare:.2%} of the voxels."),
    }


def _nearest_multiple(side: int, stride: int) -> int:
    """Return the multiple of a stride nearest to a side: the next larger one would be half empty for small volumes."""
    return stride * max(1, round(side / stride))


def _dimensions(views: Views, config: Config, view: tuple[float, str] | None) -> tuple[float, str]:
    """Return what the network sees: as the user, the race or the first of the views says, and the reason."""
    if "kernels" not in options_read(config.network):
        return 3.0, f"{config.network.full_name} has the same kernels along all axes: a network in three dimensions."
    if "patches.dimensions" in config.user_set:
        return config.patches.dimensions or views.dimensions[0], "Set by you."
    if "network.context" in config.user_set and config.network.context:
        return 2.5, "A context (network.context) is that of slices."
    return view or (views.dimensions[0], describe_view(views.dimensions[0], views))


def _within_slices(
    size: Size, spacing: Sequence[float], axis: int, machine: Machine, depth: int, *, fixed: bool
) -> tuple[Size, Topology]:
    """Return patch and topology of a network that sees one slice."""
    others = [place for place in range(3) if place != axis]
    plane = plan_patch(
        tuple(size[place] for place in others), [spacing[place] for place in others], PATCH_VOXELS[machine.device] // 2
    )
    flat = plan_topology(plane, [spacing[place] for place in others], depth, fixed=fixed)

    def widened(row: Sequence[int]) -> tuple[int, ...]:
        values = iter(row)
        return tuple(1 if place == axis else next(values) for place in range(3))

    topology = Topology(strides=tuple(map(widened, flat.strides)), kernels=tuple(map(widened, flat.kernels)))
    return widened(plane), topology


def _within_memory(batch: int, voxels: int, memory: int) -> tuple[int, str]:
    """Return the batch size that fits the memory, and the reason."""
    per_patch = voxels * GUESSED_BASE * BYTES_PER_VALUE
    fitting = max(1, min(batch, int(MEMORY_SHARE * memory / per_patch)))
    size = f"{fitting * voxels / 1e6:.2f} million voxels per step, with base width {GUESSED_BASE} about "
    text = f"{size}{fitting * per_patch / 2**30:.1f} GB of maps"
    return fitting, f"{text}: more do not fit into half of the memory." if fitting < batch else f"{text}."


def _describe_strides(topology: Topology, spacing: Sequence[float]) -> str:
    counts = [sum(row[axis] == 2 for row in topology.strides) for axis in range(3)]
    halved = ", ".join(f"the {AXES[axis]} {pluralise(count, 'time')}" for axis, count in enumerate(counts))
    return (
        f"Voxels of {_times(spacing)} mm: {halved}, each as soon as it is as fine as the others and while it is long."
    )


def choose_augmentation(
    fingerprint: VolumeFingerprint, spacing: Sequence[float], slice_axis: int | None = None
) -> Choices:
    """Choose rotation, mirrored axes, and the axis along which slices are not mixed: that of a network of slices."""
    axis = slice_axis
    if axis is None and spacing:
        axis = coarse_axis(spacing)
    turned = [place for place in range(3) if axis is None or place != axis]
    free = axis is not None and all(fingerprint.asymmetry[place] <= SYMMETRIC for place in turned)
    angle = FREE_ANGLE if free else ANGLE
    why = "Of nnU-Net for volumes: positions are part of what is learned."
    if free:
        why = "Within slices; the classes at both ends of their axes are alike."
    coarse = "No axis is coarse." if axis is None else f"Slices along the {AXES[axis]} are not mixed."
    choices: Choices = {
        "augmentation.rotation": (angle, why),
        "augmentation.rotation_share": (0.2, "Of nnU-Net: interpolation of volumes blurs them."),
        "augmentation.scale_share": (0.2, "Of nnU-Net: interpolation of volumes blurs them."),
        "augmentation.elastic_share": (0.0, "None: nnU-Net found no gain."),
        "augmentation.coarse_axis": (axis, coarse),
    }
    for name, difference in zip(("front_back", "upside_down", "flip"), fingerprint.asymmetry, strict=True):
        text = f"Classes at both ends of this axis differ by {difference:.0%}"
        text = f"{text}: not mirrored." if difference > SYMMETRIC else f"{text}: mirrored."
        choices[f"augmentation.{name}"] = (difference <= SYMMETRIC, text)
    return choices


def choose_normalisation(fingerprint: VolumeFingerprint) -> Choices:
    """Choose one scale for all volumes if their values are absolute, as in CT, and a scale per volume otherwise."""
    if fingerprint.lowest > CT_LOWEST:
        why = "Each volume is normalised to mean 0 and standard deviation 1: MRI and most others have no unit."
        return {"normalisation.kind": ("image", why)}
    why = f"The lowest values are about {fingerprint.lowest:.0f}, as of air in CT: values have a unit. As in nnU-Net, "
    clipped = f"{why}they are limited to percentiles 0.5 and 99.5 of the foreground."
    scaled = f"{why}mean and standard deviation are those of the foreground of all training volumes."
    std = tuple(max(value, 1e-6) for value in fingerprint.foreground_std)
    clip = tuple((low, max(high, low + 1.0)) for low, high in fingerprint.foreground_range)
    return {
        "normalisation.kind": ("dataset", scaled),
        "normalisation.mean": (fingerprint.foreground_mean, scaled),
        "normalisation.std": (std, scaled),
        "normalisation.clip": (clip, clipped),
    }


def _times(values: Sequence[float] | Sequence[int]) -> str:
    return " x ".join(f"{value:.3g}" for value in values)
