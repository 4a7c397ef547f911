"""Config: every option of a run in one record, with where each value comes from, and its file in YAML.

The file has two levels, section and setting. A comment line above a setting is its reason, for people: comments are
never read. Where the values come from stands in a section of its own, `origins`. On top may stand a preset: what is
left out below comes from it. `workflow.settings` reads such files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
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
from pixelwise.training.fine_tuning import TransferOptions
from pixelwise.training.learner import TrainingOptions
from pixelwise.training.losses import LossOptions

_HEADER = """\
# The plan of a pixelwise run. Every setting can be changed here and trained again:
#   pixelwise train DATA --config THIS_FILE
# The comment above a setting says why it has its value. Comments are for you: they are never read.
"""
_ORIGINS_HEADER = """\
# Where each value comes from: user (a word or a flag), file (an edited file), preset (a preset), planned.
# Leave this as it is: a setting above that has another value than here counts as yours."""

Origin = Literal["planned", "preset", "file", "user"]  # from the weakest to the strongest
STRENGTH: dict[Origin, int] = {origin: strength for strength, origin in enumerate(get_args(Origin))}


@dataclass(frozen=True, kw_only=True)
class Config:
    """All options of a run; each section belongs to the module that reads it.

    `preset` names the preset that was followed, if any. `origins` maps "section.setting" to where its value comes from;
    what is not in it was planned, or left as it is by the plan. `reasons` maps "section.setting" to the sentence that
    tells people why the setting has its value; nothing is decided by it.
    """

    data: DataOptions = DataOptions()
    network: NetworkOptions = NetworkOptions()
    normalisation: Normalisation = Normalisation()
    patches: PatchOptions = PatchOptions()
    photos: ClassificationOptions = ClassificationOptions()
    augmentation: Augmentation = Augmentation()
    target: TargetOptions = TargetOptions()
    loss: LossOptions = LossOptions()
    training: TrainingOptions = TrainingOptions()
    transfer: TransferOptions = TransferOptions()
    prediction: PredictionOptions = PredictionOptions()
    preset: str = ""
    origins: Mapping[str, Origin] = field(default_factory=dict[str, Origin])
    reasons: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def user_set(self) -> frozenset[str]:
        """Settings that the user has decided, in words or in a file: nothing else is chosen in their place."""
        return frozenset(key for key, origin in self.origins.items() if origin in ("user", "file"))


SECTIONS: dict[str, type] = {f.name: type(f.default) for f in fields(Config) if is_dataclass(f.default)}
KEYS = tuple(f"{section}.{f.name}" for section, kind in SECTIONS.items() for f in fields(kind))
PRESET, ORIGINS = "preset", "origins"  # what stands in a config file beside the sections
# Short words of the command line, and the settings they stand for.
ALIASES = {
    "network": "network.name",
    "encoder": "network.encoder",
    "encoder_weights": "transfer.encoder_weights",
    "freeze": "transfer.freeze",
}


def values_of(config: Config) -> dict[str, Any]:
    """Return every setting of the sections as "section.setting" -> value, in the order of the file."""
    return {key: _value(config, key) for key in KEYS}


def origins_of(config: Config) -> dict[str, Origin]:
    """Return where the value of every setting comes from, in the order of the file."""
    return {key: config.origins.get(key, "planned") for key in KEYS}


def with_settings(config: Config, values: Mapping[str, Any], reasons: Mapping[str, str]) -> Config:
    """Return `config` with some settings replaced by planned values, and with reasons noted.

    Raises
    ------
    BadOption
        A key is unknown (the nearest known one is named), or a value does not fit.
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
    """Return the "section.setting" that a key or a short word stands for.

    Raises
    ------
    BadOption
        It is unknown; the nearest known one is named.
    """
    key = ALIASES.get(word, word)
    section, dot, _ = key.partition(".")
    if not dot:
        raise BadOption("a known word or section.setting", f"`{word}`", nearest(word, [PRESET, *ALIASES]))
    if key not in KEYS:
        near = [known for known in KEYS if known.startswith(f"{section}.")]
        raise BadOption("a known setting", f"`{word}`", nearest(word, near or KEYS))
    return key


def as_section(section: str, values: Mapping[str, Any]) -> Any:
    """Return the record of a section.

    Raises
    ------
    BadOption
        A value does not fit its setting.
    """
    try:
        return TypeAdapter(SECTIONS[section]).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join([section, *(str(part) for part in first["loc"])])
        expected = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
        raise BadOption(f"{name} to be {expected}", f"`{first['input']}`", f"Change {name}.") from error


def save_config(path: Path, config: Config) -> None:
    """Write the config as YAML with each reason above its setting."""
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
    """Return a line per origin and section, with the values themselves: so a value that is edited later is known."""
    found: dict[Origin, dict[str, dict[str, Any]]] = {}
    for key, origin in origins_of(config).items():
        section, _, name = key.partition(".")
        found.setdefault(origin, {}).setdefault(section, {})[name] = _value(config, key)
    lines: list[str] = []
    for origin in sorted(found, key=STRENGTH.__getitem__, reverse=True):
        lines += [f"  {origin}:", *(f"    {section}: {_flow(values)}" for section, values in found[origin].items())]
    return lines


def _value(config: Config, key: str) -> Any:
    section, _, name = key.partition(".")
    return getattr(getattr(config, section), name)


def _as_dict(options: Any) -> dict[str, Any]:
    return {f.name: getattr(options, f.name) for f in fields(options)}


def _flow(value: Any) -> str:
    """Write one value on one line of YAML; tuples become lists."""
    text = yaml.safe_dump(_plain(value), default_flow_style=True, width=2**20, allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
