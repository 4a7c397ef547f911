"""Plans of volumes: voxel size, patch, strides, slices that are far apart, CT, and what the user sets."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.datasets.dataset import DataOptions, Labelling
from pixelwise.errors import BadOption
from pixelwise.networks.architectures import build
from pixelwise.runtimes.machine import Machine
from pixelwise.sampling.resample import coarse_axis
from pixelwise.sampling.volume_fingerprint import VolumeFingerprint
from pixelwise.workflow.config import Config
from pixelwise.workflow.planning import choices
from pixelwise.workflow.planning.choices import TrainingBudget
from pixelwise.workflow.planning.dimensions import FEW_SLICES, MIN_EDGE, describe_view, plan_context, propose_views
from pixelwise.workflow.planning.plan_masks import PlanInputs, make_plan
from pixelwise.workflow.planning.volumes import plan_patch, plan_spacing, plan_topology
from pixelwise.workflow.settings import Settings

MACHINE = Machine(device="cpu", threads=2, memory=2**34)
LABELS = Labelling(
    task="multiclass", classes=("background", "a", "b"), values=(0, 1, 2), colours=((0, 0, 0), (9, 9, 9), (99, 99, 99))
)


def fingerprint(
    size: tuple[int, int, int] = (36, 50, 35),
    spacing: tuple[float, float, float] | None = (1.0, 1.0, 1.0),
    **changes: object,
) -> VolumeFingerprint:
    """Small volumes of MRI with two structures, one at each end of the height."""
    return replace(
        VolumeFingerprint(
            cases=100,
            channels=1,
            pixels=100 * 63_000,
            dtype="float32",
            depths=(size[0], size[0], size[0]),
            heights=(size[1], size[1], size[1]),
            widths=(size[2], size[2], size[2]),
            intensity_mean=(300.0,),
            intensity_std=(90.0,),
            intensity_range=((0.0, 900.0),),
            class_shares=(0.95, 0.03, 0.02),
            class_cases=(100, 100, 100),
            empty_share=0.0,
            ignored_share=0.0,
            objects_per_case=(1, 1, 1),
            object_diameter=(10.0, 12.0, 14.0),
            touching_share=0.0,
            voxel_size=spacing and (spacing, spacing, spacing),
            foreground_mean=(400.0,),
            foreground_std=(50.0,),
            foreground_range=((100.0, 700.0),),
            peaks=(500.0, 900.0),
            lowest=0.0,
            asymmetry=(0.1, 0.9, 0.0),
        ),
        **changes,
    )


@pytest.fixture(autouse=True)
def units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no machine have units for bfloat16."""
    monkeypatch.setattr(choices, "has_bfloat16_units", lambda device: False)


def plan(found: VolumeFingerprint, *words: str, seconds: float = 600.0) -> Config:
    def probe(config: Config, baseline: Config | None = None) -> float:
        return 2e-6 * config.patches.pixels * (config.network.base / 16) ** 1.5

    inputs = PlanInputs(fingerprint=found, labelling=LABELS, data=DataOptions(), machine=MACHINE, oriented=0.0)
    return make_plan(inputs, TrainingBudget(seconds=seconds), 0, Settings.parse(words), probe)


def check(config: Config) -> None:
    """A network can be built, and takes the patches; a reason is given for each choice."""
    with torch.device("meta"):
        network = build(config.network)
        logits = network(torch.zeros(1, 1, *config.patches.size))
    margins = [network.geometry().along(axis).margin for axis in range(3)]
    assert logits.shape[2:] == tuple(side - 2 * m for side, m in zip(config.patches.size, margins, strict=True))
    names = (
        "network.dimensions",
        "patches.dimensions",
        "network.strides",
        "patches.depth",
        "patches.spacing",
        "patches.batch",
    )
    assert all(len(config.reasons[name]) > 10 for name in names)


def test_small_isotropic_volumes_are_taken_nearly_whole() -> None:
    config = plan(fingerprint())
    check(config)
    assert config.network.dimensions == 3
    assert config.network.depth == 3
    assert (config.network.strides, config.network.kernels, config.patches.spacing) == ((), (), ())
    assert config.patches.size == (32, 48, 32)
    assert config.patches.low_res_fraction == 0.0
    assert config.normalisation.kind == "image"
    assert config.target.split_depth == 0


def test_axes_whose_ends_differ_are_not_mirrored() -> None:
    augmentation = plan(fingerprint()).augmentation
    assert (augmentation.front_back, augmentation.upside_down, augmentation.flip) == (True, False, True)
    assert augmentation.rotation == 30.0
    assert augmentation.coarse_axis is None


def test_thick_slices_are_pooled_later() -> None:
    config = plan(fingerprint((40, 256, 256), (4.0, 1.0, 1.0)))
    check(config)
    assert config.network.strides[:2] == ((1, 2, 2), (1, 2, 2))
    assert config.network.kernels[0] == (1, 3, 3)
    assert config.network.kernels[-1] == (3, 3, 3)
    assert config.augmentation.coarse_axis == 0
    assert config.patches.depth < config.patches.height


def test_slices_very_far_apart_are_segmented_one_by_one() -> None:
    config = plan(fingerprint((40, 256, 256), (10.0, 1.0, 1.0), asymmetry=(0.0, 0.0, 0.0)))
    check(config)
    assert config.patches.depth == 1
    assert all(row[0] == 1 for row in (*config.network.strides, *config.network.kernels))
    assert (config.patches.dimensions, config.network.context) == (2.0, 0)
    assert "two dimensions" in config.reasons["patches.dimensions"]
    assert (config.augmentation.rotation, config.augmentation.coarse_axis) == (180.0, 0)
    few = plan(fingerprint((200, 3, 200), None))
    check(few)
    assert few.patches.height == 1


THICK = {"size": (40, 256, 256), "spacing": (5.0, 1.0, 1.0)}


@pytest.mark.parametrize("dimensions", ["2", "2.5", "3"])
def test_the_user_chooses_the_dimensions(dimensions: str) -> None:
    found = (fingerprint(), 2), (fingerprint(**THICK), 1), (fingerprint((40, 256, 256), (10.0, 1.0, 1.0)), 1)
    for volumes, context in found:
        config = plan(volumes, f"dimensions={dimensions}")
        check(config)
        assert config.patches.dimensions == float(dimensions)
        assert (config.network.slice_axis == 0) == (dimensions != "3")
        assert config.network.context == (context if dimensions == "2.5" else 0)
        assert config.patches.depth == (2 * config.network.context + 1 if dimensions != "3" else config.patches.depth)
        assert dimensions == "3" or config.augmentation.coarse_axis == 0
        assert config.reasons["patches.dimensions"] == "Set by you."


def test_a_context_is_that_of_slices() -> None:
    config = plan(fingerprint(), "network.context=3")
    check(config)
    assert (config.patches.dimensions, config.patches.depth) == (2.5, 7)
    for words in (("network.context=1", "dimensions=3"), ("network.context=1", "dimensions=2")):
        with pytest.raises(BadOption, match=r"network\.context with dimensions=2\.5"):
            plan(fingerprint(), *words)
    with pytest.raises(BadOption, match="a network within slices for dimensions=2"):
        plan(fingerprint(), "network=unet3d", "dimensions=2")
    far = plan(fingerprint((40, 256, 256), (10.0, 1.0, 1.0)), "network=unet3d")
    assert far.patches.dimensions == 3.0, "it has no kernels per axis"
    with pytest.raises(BadOption, match="a network that sees neighbouring slices"):
        plan(fingerprint(), "network=vnet", "dimensions=2.5")
    with pytest.raises(BadOption, match=r"patches\.dimensions of 2, 2\.5 or 3"):
        plan(fingerprint(), "dimensions=4")


def test_a_measured_view_is_taken_unless_the_user_has_chosen() -> None:
    inputs = PlanInputs(
        fingerprint=fingerprint(**THICK),
        labelling=LABELS,
        data=DataOptions(),
        machine=MACHINE,
        oriented=0.0,
        view=(2.5, "It did best."),
    )
    kwargs = {"limit": TrainingBudget(steps=5), "seed": 0, "probe": lambda config, baseline=None: 0.01}
    config = make_plan(inputs, settings=Settings(), **kwargs)
    check(config)
    assert (config.patches.dimensions, config.reasons["patches.dimensions"]) == (2.5, "It did best.")
    assert make_plan(inputs, settings=Settings.parse(["dimensions=3"]), **kwargs).patches.dimensions == 3.0


@given(
    size=st.tuples(*[st.integers(1, 300)] * 3), spacing=st.tuples(*[st.floats(0.1, 20.0)] * 3), place=st.integers(0, 2)
)
def test_views_are_proposed_for_any_volume(size: tuple[int, ...], spacing: tuple[float, ...], place: int) -> None:
    views = propose_views(size, spacing)
    first = views.dimensions[0]
    assert set(views.dimensions) <= {2.0, 2.5, 3.0}
    assert first == 2.0 or size[views.axis] >= FEW_SLICES or coarse_axis(spacing) is None
    assert 2.5 not in views.dimensions or size[views.axis] > 1
    assert 1 <= plan_context(size, spacing, views.axis) <= max(1, size[views.axis] - 1)
    assert len(describe_view(first, views)) > 20


def test_the_voxel_size_is_the_median_of_those_that_differ() -> None:
    differing = ((0.8, 0.7, 0.7), (1.0, 0.9, 0.9), (1.4, 1.0, 1.0))
    assert plan_spacing(fingerprint(voxel_size=differing))[0] == (1.0, 0.9, 0.9)
    coarse = ((3.0, 0.7, 0.7), (5.0, 0.9, 0.9), (6.0, 1.0, 1.0))
    assert plan_spacing(fingerprint((30, 300, 300), voxel_size=coarse))[0] == (3.0, 0.9, 0.9)
    assert plan_spacing(fingerprint((300, 300, 300), voxel_size=coarse))[0] == (5.0, 0.9, 0.9)
    assert plan_spacing(fingerprint(spacing=None))[0] == ()
    config = plan(fingerprint((40, 100, 100), voxel_size=differing))
    check(config)
    assert config.patches.spacing == (1.0, 0.9, 0.9)


def test_ct_has_one_scale_for_all_volumes() -> None:
    scale = plan(fingerprint(lowest=-1024.0)).normalisation
    assert (scale.kind, scale.mean, scale.std, scale.clip) == ("dataset", (400.0,), (50.0,), ((100.0, 700.0),))


def test_the_users_settings_stand() -> None:
    config = plan(fingerprint(), "network.depth=2", "patches.width=24", "network.base=8")
    check(config)
    assert (config.network.depth, config.patches.width, config.network.base) == (2, 24, 8)
    other = plan(fingerprint(), "network=vnet")
    check(other)
    with pytest.raises(BadOption, match="a network of 3 dimensions for volumes"):
        plan(fingerprint(), "encoder=resnet18")
    with pytest.raises(BadOption, match="a network of 3 dimensions for volumes"):
        plan(fingerprint(), "network.dimensions=2")
    with pytest.raises(BadOption, match=r"patches\.low_res_fraction for images"):
        plan(fingerprint(), "patches.low_res_fraction=0.5")


def test_little_time_makes_steps_smaller() -> None:
    short = plan(fingerprint((128, 128, 128)), seconds=10.0)
    check(short)
    assert short.patches.pixels < plan(fingerprint((128, 128, 128))).patches.pixels


def test_memory_limits_the_batch() -> None:
    inputs = PlanInputs(
        fingerprint=fingerprint(),
        labelling=LABELS,
        data=DataOptions(),
        machine=replace(MACHINE, memory=2**29),
        oriented=0.0,
    )
    config = make_plan(inputs, TrainingBudget(steps=5), 0, Settings(), lambda config, baseline=None: 0.01)
    assert config.patches.batch == 1
    assert "memory" in config.reasons["patches.batch"]


@given(
    size=st.tuples(*[st.integers(1, 200)] * 3),
    spacing=st.tuples(*[st.floats(0.2, 8.0)] * 3),
    depth=st.integers(1, 5),
    fixed=st.booleans(),
)
def test_any_topology_is_a_network(size: tuple[int, ...], spacing: tuple[float, ...], depth: int, fixed: bool) -> None:
    topology = plan_topology(size, spacing, depth, fixed=fixed)
    assert 1 <= len(topology.strides) <= depth
    assert len(topology.strides) == depth or not fixed
    assert len(topology.kernels) == len(topology.strides) + 1
    assert all(2 in row for row in topology.strides)
    sides, steps = list(size), list(spacing)
    for row in topology.strides:
        pooled = [axis for axis in range(3) if row[axis] == 2]
        if len(topology.strides) > 1 and not fixed:
            assert all(sides[axis] >= 2 * MIN_EDGE for axis in pooled)
            assert max(steps[axis] for axis in pooled) < 2 * min(steps[axis] for axis in pooled)
        sides = [-(-side // stride) for side, stride in zip(sides, row, strict=True)]
        steps = [step * stride for step, stride in zip(steps, row, strict=True)]


@given(size=st.tuples(*[st.integers(1, 300)] * 3), spacing=st.tuples(*[st.floats(0.2, 8.0)] * 3))
def test_a_patch_is_a_cube_in_millimetres_within_the_volume(size: tuple[int, ...], spacing: tuple[float, ...]) -> None:
    patch = plan_patch(size, spacing, 2**15)
    assert all(1 <= side <= whole for side, whole in zip(patch, size, strict=True))
    free = [side * step for side, step, whole in zip(patch, spacing, size, strict=True) if side < whole]
    assert not free or max(free) - min(free) <= 1.01 * max(spacing)
