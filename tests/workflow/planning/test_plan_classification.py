"""The plan of a classification follows from images, machine and time, and every choice has a reason."""

from dataclasses import replace

import pytest

from pixelwise.datasets.dataset import DataOptions, Labelling
from pixelwise.errors import BadOption
from pixelwise.networks.architectures import NetworkOptions, check_options
from pixelwise.runtimes.machine import Machine
from pixelwise.sampling.image_fingerprint import ClassificationFingerprint
from pixelwise.workflow.config import Config, to_yaml, values_of
from pixelwise.workflow.planning import choices
from pixelwise.workflow.planning.choices import TrainingBudget
from pixelwise.workflow.planning.plan_classification import ClassificationPlanInputs, make_classification_plan
from pixelwise.workflow.settings import Settings

CLASSES = ("airplane", "bird", "cat", "ship")
SMALL = ClassificationFingerprint(
    cases=8000,
    measured=2000,
    channels=3,
    dtype="uint8",
    heights=(32, 32, 32),
    widths=(32, 32, 32),
    intensity_mean=(125.4, 122.9, 113.8),
    intensity_std=(62.9, 62.0, 66.7),
    intensity_range=((0.0, 255.0),) * 3,
    class_cases=(2000,) * 4,
    class_shares=(0.25,) * 4,
)
LARGE = replace(SMALL, cases=2000, heights=(300, 480, 900), widths=(400, 640, 1200), class_cases=(500,) * 4)


def quick(config: Config, baseline: Config | None = None) -> float:
    """A machine on which 128 photos of 32 x 32 take ResNet-20 0.1 s; bfloat16 helps nothing."""
    layers = int(config.network.name[6:]) / 20
    width = 8 if config.network.name in ("resnet18", "resnet34") else 1
    return 0.1 * layers * width * config.classification.batch / 128 * (config.classification.side / 32) ** 2


def plan(
    limit: TrainingBudget, words: tuple[str, ...] = (), print_: ClassificationFingerprint = SMALL, used: float = 0.0
) -> Config:
    labelling = Labelling(task="classification", classes=CLASSES, values=(), colours=())
    machine = Machine(device="cpu", threads=2, memory=2**34)
    ground = ClassificationPlanInputs(
        fingerprint=print_, labelling=labelling, data=DataOptions(), machine=machine, seconds_used=used
    )
    return make_classification_plan(ground, limit, 3, Settings.parse(words), quick)


def test_small_images_get_the_network_and_the_settings_of_cifar() -> None:
    config = plan(TrainingBudget(seconds=600.0))
    assert (config.network.name, config.network.base, config.network.in_channels) == ("resnet20", 16, 3)
    assert config.network.classes == 4
    options, training = config.classification, config.training
    assert (options.side, options.shorter, options.padding, options.smallest_area) == (
        32,
        32,
        4,
        1.0,
    )
    assert (options.batch, options.flip) == (128, True)
    assert (training.optimiser, training.momentum, training.nesterov) == ("sgd", 0.9, True)
    assert (training.learning_rate, training.weight_decay, training.warmup_share) == (0.2, 5e-4, 0.15)
    assert config.loss.label_smoothing == 0.1
    assert config.normalisation.mean == SMALL.intensity_mean
    assert config.training.precision == "float32"


def test_of_a_network_only_what_it_reads_is_planned() -> None:
    large = plan(TrainingBudget(seconds=600.0), print_=LARGE)
    assert large.network == NetworkOptions(name="resnet18", in_channels=3, classes=4)
    assert large.reasons["network.base"] == "Not read by resnet18."
    check_options(large.network)
    with pytest.raises(BadOption, match=r"that resnet18 reads .*got network\.base=8"):
        plan(TrainingBudget(steps=10), ("network.base=8",), print_=LARGE)


def test_every_choice_has_its_reason() -> None:
    for config in (plan(TrainingBudget(seconds=600.0)), plan(TrainingBudget(steps=50), print_=LARGE)):
        default, chosen = values_of(Config()), values_of(config)
        unsaid = [key for key in chosen if chosen[key] != default[key] and key not in config.reasons]
        assert unsaid == []
        assert "  # " in to_yaml(config)
        assert all(reason.endswith(".") for reason in config.reasons.values())


def test_a_budget_is_filled_at_the_measured_speed() -> None:
    config = plan(TrainingBudget(seconds=600.0), used=100.0)
    assert config.training.steps == int(500 * 0.94 / 0.1)
    assert (config.training.budget, config.training.patience) == (600.0, 0)
    assert "500 s remain, at a measured 0.100 s per step." in config.reasons["training.steps"]
    assert plan(TrainingBudget(steps=77)).training.steps == 77
    assert plan(TrainingBudget(steps=77)).training.budget is None
    assert plan(TrainingBudget(epochs=2)).training.steps == 2 * 63


def test_more_time_makes_the_net_deeper() -> None:
    names = [plan(TrainingBudget(seconds=60.0 * minutes)).network.name for minutes in (10, 60, 120, 600)]
    assert names[0] == "resnet20"
    assert names[-1] == "resnet56"
    assert [int(name[6:]) for name in names] == sorted(int(name[6:]) for name in names)
    deep = plan(TrainingBudget(seconds=36000.0))
    assert plan(TrainingBudget(steps=100)).network.name == plan(TrainingBudget(epochs=10)).network.name == "resnet20"
    assert plan(TrainingBudget(epochs=200)).network.name == "resnet56"
    assert "with at least 150 epochs" in deep.reasons["network.name"]
    assert deep.training.steps == pytest.approx(36000 * 0.94 / 0.28, rel=0.01)


def test_large_photos_are_learned_as_large_as_the_time_allows() -> None:
    sides = [
        plan(TrainingBudget(seconds=60.0 * minutes), print_=LARGE).classification.side for minutes in (2, 30, 60, 600)
    ]
    assert sides[0] == 64
    assert sides[-1] == 224
    assert sides == sorted(sides)
    config = plan(TrainingBudget(seconds=36000.0), print_=LARGE)
    assert config.network.name in ("resnet18", "resnet34")
    assert (config.classification.shorter, config.classification.padding) == (256, 0)
    assert config.classification.smallest_area < 1
    assert config.training.learning_rate == pytest.approx(0.2 * config.classification.batch / 128)


def test_few_photos_are_learned_in_small_batches() -> None:
    for cases, batch in ((20, 8), (200, 16), (500, 32), (8000, 128)):
        config = plan(TrainingBudget(steps=10), print_=replace(SMALL, cases=cases))
        assert config.classification.batch == batch
        assert config.training.learning_rate == pytest.approx(0.2 * batch / 128)


def test_the_users_own_words_stand_above_the_plan() -> None:
    words = (
        "network.name=resnet32",
        "classification.side=24",
        "training.learning_rate=0.05",
        "training.precision=bfloat16",
    )
    config = plan(TrainingBudget(seconds=600.0), words)
    assert (config.network.name, config.classification.side, config.classification.shorter) == ("resnet32", 24, 32)
    assert (config.training.learning_rate, config.training.precision) == (0.05, "bfloat16")
    assert config.user_set == {word.split("=")[0] for word in words}
    assert config.training.steps == int(600 * 0.94 / quick(config))
    assert plan(TrainingBudget(steps=5), ("classification.side=48",)).classification.shorter == 48
    assert plan(TrainingBudget(seconds=60.0), ("classification.side=160",), LARGE).classification.side == 160
    assert plan(TrainingBudget(seconds=600.0), ("network=resnet18",)).network.name == "resnet18"


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(BadOption, match="unet"):
        plan(TrainingBudget(steps=5), ("network.name=unet",))
    with pytest.raises(BadOption, match=r"expected classification\.side to be a valid integer"):
        plan(TrainingBudget(steps=5), ("classification.side=large",))


def test_photos_of_other_scales_keep_their_digits() -> None:
    tiny = replace(SMALL, intensity_mean=(1.2345678e-5,) * 3, intensity_std=(4.5e-6, 4.5e-6, 0.0))
    config = plan(TrainingBudget(steps=5), print_=tiny)
    assert config.normalisation.mean[0] == pytest.approx(1.23457e-5, rel=1e-9)
    assert config.normalisation.std == (4.5e-6, 4.5e-6, 1.0), "a channel without spread is left as it is"


def test_the_precision_is_measured_on_a_small_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "has_bfloat16_units", lambda device: True)
    asked: list[Config] = []

    def watched(config: Config, baseline: Config | None = None) -> float:
        asked.append(config)
        return 0.5 if config.training.precision == "bfloat16" else 1.0

    labelling = Labelling(task="classification", classes=CLASSES, values=(), colours=())
    machine = Machine(device="cpu", threads=2, memory=2**34)
    ground = ClassificationPlanInputs(fingerprint=LARGE, labelling=labelling, data=DataOptions(), machine=machine)
    config = make_classification_plan(ground, TrainingBudget(seconds=600.0), 0, Settings(), watched)
    assert config.training.precision == "bfloat16"
    assert "2.00 times as fast" in config.reasons["training.precision"]
    assert [(c.training.precision, c.classification.batch, c.classification.side) for c in asked[:2]] == [
        ("float32", 16, 64),
        ("bfloat16", 16, 64),
    ]
