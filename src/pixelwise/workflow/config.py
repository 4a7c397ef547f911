"""Configuration of a run: all settings with the origin of each value, and the YAML file.

The file has two levels, section and setting. A comment above a setting is its reason; comments are never read. The
section `origins` lists where the values come from. A `preset` at the top provides the settings that are left out.
`workflow.settings` reads these files.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import TypeAdapter, ValidationError

from pixelwise.atomic_write import atomic_write_text
from pixelwise.datasets.dataset import DataOptions
from pixelwise.errors import BadOption, nearest
from pixelwise.inference.predictor import PredictionOptions
from pixelwise.labels.targets import TargetOptions
from pixelwise.networks.architectures import NetworkOptions
from pixelwise.sampling.augment import Augmentation
from pixelwise.sampling.normalise import Normalisation
from pixelwise.sampling.patches import PatchOptions
from pixelwise.sampling.whole_images import ClassificationOptions
from pixelwise.training.fine_tuning import FineTuningOptions
from pixelwise.training.learner import TrainingOptions
from pixelwise.training.losses import LossOptions

_HEADER = """\
# The configuration of a pixelwise run. Change settings here and train again:
#   pixelwise train DATA --config THIS_FILE
# The comment above a setting explains its value. Comments are never read.
"""
_ORIGINS_HEADER = """\
# The origin of each value: user (command line), file (an edited file), preset or planned.
# Do not edit this section: a setting above whose value differs from this one counts as edited by you."""

Origin = Literal["planned", "preset", "file", "user"]  # from the weakest to the strongest
STRENGTH: dict[Origin, int] = {origin: strength for strength, origin in enumerate(get_args(Origin))}


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of a run; each section belongs to the module that reads it.

    `preset` is the name of the preset, if any. `origins` maps "section.setting" to the origin of its value; missing
    settings are planned or have their defaults. `reasons` maps "section.setting" to the explanation of its value, for
    display only.
    """

    data: DataOptions = DataOptions()
    network: NetworkOptions = NetworkOptions()
    normalisation: Normalisation = Normalisation()
    patches: PatchOptions = PatchOptions()
    classification: ClassificationOptions = ClassificationOptions()
    augmentation: Augmentation = Augmentation()
    target: TargetOptions = TargetOptions()
    loss: LossOptions = LossOptions()
    training: TrainingOptions = TrainingOptions()
    transfer: FineTuningOptions = FineTuningOptions()
    prediction: PredictionOptions = PredictionOptions()
    preset: str = ""
    origins: Mapping[str, Origin] = field(default_factory=dict[str, Origin])
    reasons: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        """Check that batch normalisation has several values per channel."""
        patches, network = self.patches, self.network
        sides = [side for side in (patches.depth, patches.height, patches.width) if side]  # images have no depth
        rows = network.strides or ((2,) * len(sides),) * network.depth
        strides = [math.prod(row[axis] for row in rows) for axis in range(min(map(len, rows)))]
        values = patches.batch * math.prod(-(-side // s) for side, s in zip(sides, strides, strict=False))
        if values == 1 and self.network.normalisation == "batch":
            size = " x ".join(map(str, sides))
            got = f"1: patches.batch={patches.batch} with {size} pixels at depth "
            raise BadOption(
                "at least 2 values per channel for batch normalisation in the coarsest stage",
                f"{got}{self.network.depth}",
                "Use a larger patches.batch, a smaller network.depth, or network.normalisation=group.",
            )

    @property
    def user_set(self) -> frozenset[str]:
        """Settings with origin `user` or `file`: they are never changed automatically."""
        return frozenset(key for key, origin in self.origins.items() if origin in ("user", "file"))


SECTIONS: dict[str, type] = {f.name: type(f.default) for f in fields(Config) if is_dataclass(f.default)}
KEYS = tuple(f"{section}.{f.name}" for section, kind in SECTIONS.items() for f in fields(kind))
PRESET, ORIGINS = "preset", "origins"  # keys of a config file besides the sections
# Short names on the command line, and their settings.
ALIASES = {
    "network": "network.name",
    "dimensions": "patches.dimensions",
    "encoder": "network.encoder",
    "encoder_weights": "transfer.encoder_weights",
    "freeze": "transfer.freeze",
}


def values_of(config: Config) -> dict[str, Any]:
    """Return every setting of the sections as "section.setting" -> value, in the order of the file."""
    return {key: _value(config, key) for key in KEYS}


def origins_of(config: Config) -> dict[str, Origin]:
    """Return the origin of every setting, in the order of the file."""
    return {key: config.origins.get(key, "planned") for key in KEYS}


def with_settings(config: Config, values: Mapping[str, Any], reasons: Mapping[str, str]) -> Config:
    """Return `config` with some settings replaced by planned values, and their reasons.

    Raises
    ------
    BadOption
        A key is unknown (the closest one is suggested), or a value is invalid.
    """
    changed: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, _, name = full_key(key).partition(".")
        changed.setdefault(section, {})[name] = value
    return replace(
        config,
        **{section: as_section(section, _as_dict(getattr(config, section)) | new) for section, new in changed.items()},
        origins={key: origin for key, origin in config.origins.items() if key not in values},
        reasons={**config.reasons, **reasons},
    )


def full_key(word: str) -> str:
    """Return the "section.setting" of a key or a short name.

    Raises
    ------
    BadOption
        It is unknown; the closest one is suggested.
    """
    key = ALIASES.get(word, word)
    section, dot, _ = key.partition(".")
    if not dot:
        raise BadOption("a known short name or section.setting", f"`{word}`", nearest(word, [PRESET, *ALIASES]))
    if key not in KEYS:
        near = [known for known in KEYS if known.startswith(f"{section}.")]
        raise BadOption("a known setting", f"`{word}`", nearest(word, near or KEYS))
    return key


def as_section(section: str, values: Mapping[str, Any]) -> Any:
    """Return the record of a section.

    Raises
    ------
    BadOption
        A value is invalid.
    """
    try:
        return _adapter(section).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join([section, *map(str, first["loc"])])
        expected = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
        raise BadOption(f"{name} to be {expected}", f"`{first['input']}`", f"Change {name}.") from error


@cache
def _adapter(section: str) -> Any:  # TypeAdapter[...], which beartype cannot check
    """Return the validator of a section; making one takes milliseconds."""
    return TypeAdapter(SECTIONS[section])


def save_config(path: Path, config: Config) -> None:
    """Write the config as YAML, each reason above its setting."""
    atomic_write_text(path, to_yaml(config))


def to_yaml(config: Config) -> str:
    """Return the text of the config file."""
    lines = [_HEADER]
    if config.preset:
        lines.append(f"# Settings that are left out below come from this preset.\n{PRESET}: {config.preset}\n")
    for section, kind in SECTIONS.items():
        lines.append(f"{section}:")
        for f in fields(kind):
            reason = config.reasons.get(f"{section}.{f.name}")
            if reason:
                lines.append(f"  # {' '.join(reason.split())}")
            lines.append(f"  {f.name}: {_flow(_value(config, f'{section}.{f.name}'))}")
        lines.append("")
    return "\n".join([*lines, _ORIGINS_HEADER, f"{ORIGINS}:", *_write_origins(config), ""])


def _write_origins(config: Config) -> list[str]:
    """Return a line per origin and section with the values, so that later edits are detected."""
    by_origin: dict[Origin, dict[str, dict[str, Any]]] = {}
    for key, origin in origins_of(config).items():
        section, _, name = key.partition(".")
        by_origin.setdefault(origin, {}).setdefault(section, {})[name] = _value(config, key)
    lines: list[str] = []
    for origin in sorted(by_origin, key=STRENGTH.__getitem__, reverse=True):
        lines += [f"  {origin}:", *(f"    {section}: {_flow(values)}" for section, values in by_origin[origin].items())]
    return lines


def _value(config: Config, key: str) -> Any:
    section, _, name = key.partition(".")
    return getattr(getattr(config, section), name)


def _as_dict(options: Any) -> dict[str, Any]:
    return {f.name: getattr(options, f.name) for f in fields(options)}


def _flow(value: Any) -> str:
    """Return a value as one line of YAML; tuples become lists."""
    text = yaml.safe_dump(_plain(value), default_flow_style=True, width=2**20, allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
