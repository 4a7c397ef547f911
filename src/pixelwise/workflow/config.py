"""Config: every option of a run in one record, as a YAML file that people can read, edit and train again.

The file has two levels, section and setting. A comment line above a setting is its reason; both are read back. On top
may stand a preset: the settings that are left out below come from it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

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
from pixelwise.workflow.presets import Choices, preset_choices

_HEADER = """\
# The plan of a pixelwise run. Every setting can be changed here and trained again:
#   pixelwise train DATA --config THIS_FILE
# The comment above a setting says why it has its value.
"""


@dataclass(frozen=True, kw_only=True)
class Config:
    """All options of a run; each section belongs to the module that reads it.

    `reasons` maps "section.setting" to the sentence that says why the setting has its value. `preset` names the
    preset that was followed, if any.
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
    reasons: Mapping[str, str] = field(default_factory=dict[str, str])


SECTIONS: dict[str, type] = {
    "data": DataOptions,
    "network": NetworkOptions,
    "normalisation": Normalisation,
    "patches": PatchOptions,
    "photos": ClassificationOptions,
    "augmentation": Augmentation,
    "target": TargetOptions,
    "loss": LossOptions,
    "training": TrainingOptions,
    "transfer": TransferOptions,
    "prediction": PredictionOptions,
}

OWN = "Set by you."
PRESET = "preset"  # the one setting that stands in no section
# Short words of the command line, and the settings they stand for.
ALIASES = {
    "network": "network.name",
    "encoder": "network.encoder",
    "encoder_weights": "transfer.encoder_weights",
    "freeze": "transfer.freeze",
}


def settings(config: Config) -> dict[str, Any]:
    """Return every setting of the sections as "section.setting" -> value, in the order of the file."""
    return {
        f"{section}.{f.name}": getattr(getattr(config, section), f.name)
        for section, kind in SECTIONS.items()
        for f in fields(kind)
    }


def with_settings(config: Config, values: Mapping[str, Any], reasons: Mapping[str, str]) -> Config:
    """Return `config` with some settings replaced and their reasons noted.

    Raises
    ------
    BadOption
        A key is unknown (the nearest known one is named), or a value does not fit.
    """
    changed: dict[str, dict[str, Any]] = {}
    parts: dict[str, Any] = {PRESET: values[PRESET]} if PRESET in values else {}
    for key, value in values.items():
        if key == PRESET:
            continue
        section, name = _split(key)
        changed.setdefault(section, {})[name] = value
    parts |= {s: _section(s, _as_dict(getattr(config, s)) | values) for s, values in changed.items()}
    noted = {key: reason for key, reason in reasons.items() if key != PRESET}
    return replace(config, **parts, reasons={**config.reasons, **noted})


def override(config: Config, assignments: Sequence[str]) -> Config:
    """Apply words of the command line (`parse_assignments`) to a config."""
    return explain(with_settings(config, parse_assignments(assignments), {}), assignments)


def explain(config: Config, assignments: Sequence[str]) -> Config:
    """Note of each setting that words of the command line made whether it is the user's own or a preset's."""
    return with_settings(config, {}, {key: reason for key, (_, reason) in _read_words(assignments).items()})


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """Read words of the command line: `section.setting=value`, a short word (`ALIASES`), or `preset=name`.

    Keys are checked, values are read as YAML. A preset brings all its settings; words beside it stand above them.

    Raises
    ------
    BadOption
        A word is no assignment, or its key or preset is unknown (the nearest known one is named).
    """
    return {key: value for key, (value, _) in _read_words(assignments).items()}


def without_preset(assignments: Sequence[str]) -> list[str]:
    """Return the words that are the user's own settings."""
    return [word for word in assignments if word.partition("=")[0] != PRESET]


def _read_words(assignments: Sequence[str]) -> Choices:
    own: Choices = {}
    for assignment in assignments:
        word, equals, text = assignment.partition("=")
        if not equals:
            raise BadOption("section.setting=value", f"`{assignment}`", "Write for example network.depth=5.")
        key = PRESET if word == PRESET else ".".join(_split(word))
        own[key] = _parse(text, f"the value of {word}"), OWN
    return (preset_choices(str(own[PRESET][0])) if PRESET in own else {}) | own


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
            lines.append(f"  {f.name}: {_flow(getattr(getattr(config, section), f.name))}")
        lines.append("")
    return "\n".join(lines)


def load_config(path: Path) -> Config:
    """Read a config file; settings that are left out are those of the file's preset, or keep their defaults.

    Raises
    ------
    BadOption
        The file is no YAML mapping, a key or the preset is unknown, or a value does not fit its setting.
    """
    text, given = _read_file(path)
    settled = override(Config(), [f"{PRESET}={given.pop(PRESET)}"]) if PRESET in given else Config()
    reasons = {key: why for key, why in settled.reasons.items() if key not in given}
    return replace(with_settings(settled, given, {}), reasons={**reasons, **_reasons(text)})


def left_out(path: Path) -> bool:
    """Tell whether a config file leaves settings out; a saved plan has them all."""
    return not set(settings(Config())) <= set(_read_file(path)[1])


def file_as_words(path: Path) -> list[str]:
    """Return the preset and the settings of a config file, but those of the data, as words of the command line."""
    return [f"{key}={_flow(value)}" for key, value in _read_file(path)[1].items() if not key.startswith("data.")]


def _read_file(path: Path) -> tuple[str, dict[str, Any]]:
    """Return the text of a config file, and what it sets: "section.setting" -> value as YAML has it, and the preset."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadOption("a plan file in YAML", f"{error}", "Give the config.yaml of a run.", path) from error
    content = _parse(text, str(path))
    if not isinstance(content, dict):
        raise BadOption("sections with settings", f"{type(content).__name__}", "Start from a config.yaml.", path)
    preset = content.pop(PRESET, None)
    given: dict[str, Any] = {PRESET: preset} if preset else {}
    for section, values in content.items():
        if section not in SECTIONS:
            raise BadOption("a known section", f"`{section}`", nearest(str(section), list(SECTIONS)), path)
        if values is not None and not isinstance(values, dict):
            raise BadOption(f"settings below `{section}`", f"`{values}`", "Write one `setting: value` a line.", path)
        for name, value in (values or {}).items():
            given[".".join(_split(f"{section}.{name}"))] = value
    return text, given


class _NoAliases(yaml.SafeLoader):
    """Plain values only: an alias could unfold a short file into gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not used in plan files")
        return super().compose_node(parent, index)


def _parse(text: str, where: str) -> Any:
    try:
        loader = _NoAliases(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise BadOption("YAML", " ".join(str(error).split()), f"Check {where}.") from error


def _split(key: str) -> tuple[str, str]:
    """Return section and setting of a key or of a short word."""
    section, dot, name = ALIASES.get(key, key).partition(".")
    if not dot:
        raise BadOption("a known word or section.setting", f"`{key}`", nearest(key, [PRESET, *ALIASES]))
    known = [f"{s}.{f.name}" for s, kind in SECTIONS.items() for f in fields(kind)]
    if f"{section}.{name}" not in known:
        near = known if section not in SECTIONS else [k for k in known if k.startswith(section + ".")]
        raise BadOption("a known setting", f"`{key}`", nearest(key, near))
    return section, name


def _section(section: str, values: Mapping[str, Any]) -> Any:
    try:
        return TypeAdapter(SECTIONS[section]).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join([section, *(str(part) for part in first["loc"])])
        expected = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
        raise BadOption(f"{name} to be {expected}", f"`{first['input']}`", f"Change {name}.") from error


def _as_dict(options: Any) -> dict[str, Any]:
    return {f.name: getattr(options, f.name) for f in fields(options)}


def _flow(value: Any) -> str:
    """Write one value on one line of YAML; tuples become lists."""
    plain = _plain(value)
    text = yaml.safe_dump(plain, default_flow_style=True, width=2**20, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def _reasons(text: str) -> dict[str, str]:
    """Collect the comment line directly above each setting."""
    reasons: dict[str, str] = {}
    section, comment = "", ""
    for line in text.splitlines():
        if match := re.fullmatch(r"(\w+):\s*", line):
            section, comment = match[1], ""
        elif match := re.fullmatch(r"  # (.*)", line):
            comment = match[1]
        elif match := re.match(r"  (\w+):", line):
            if comment:
                reasons[f"{section}.{match[1]}"] = comment
            comment = ""
    return reasons
