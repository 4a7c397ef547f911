"""Settings from the command line and config files, each value with its origin.

Comments and reasons are for display and never read.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from pixelwise.datasets.dataset import DataOptions
from pixelwise.errors import BadOption, nearest
from pixelwise.networks.architectures import DEFAULTS, check_options, options_read
from pixelwise.workflow.config import (
    KEYS,
    ORIGINS,
    PRESET,
    SECTIONS,
    STRENGTH,
    Config,
    Origin,
    as_section,
    full_key,
    origins_of,
    with_settings,
)
from pixelwise.workflow.presets import Choices, preset_choices

MAX_BYTES = 1 << 18  # of a config file; parsing as much takes seconds
DATA = "data."  # prefix of the keys of data options
# The displayed reason of a given value.
_REASONS: dict[Origin, str] = {
    "planned": "Planned earlier and read from the config file.",
    "preset": "From a preset.",
    "file": "Set in the config file.",
    "user": "Set by you.",
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings given on the command line or in a file; the others are planned.

    Attributes
    ----------
    values : mapping of str to Any
        "section.setting" -> value as parsed from YAML.
    origins : mapping of str to Origin
        For the same keys: "user" (command line), "file" (edited in a config file), "preset", or "planned" (chosen by
        the plan that wrote the config file).
    preset : str
        Name of the preset that is included; "" for none.
    """

    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    origins: Mapping[str, Origin] = field(default_factory=dict[str, Origin])
    preset: str = ""

    @classmethod
    def parse(cls, words: Sequence[str]) -> "Settings":
        """Parse words: `section.setting=value`, a short name (`ALIASES`), or `preset=name`.

        Keys are checked, values are parsed as YAML. Other words override the settings of the preset.

        Raises
        ------
        BadOption
            A word is not an assignment, or its key or preset is unknown (the closest one is suggested).

        Examples
        --------
        >>> Settings.parse(["network.depth=5"])
        Settings(values={'network.depth': 5}, origins={'network.depth': 'user'}, preset='')
        """
        given, preset = dict[str, Any](), cls()
        for assignment in words:
            word, equals, text = assignment.partition("=")
            if not equals:
                raise BadOption("section.setting=value", f"`{assignment}`", "For example network.depth=5.")
            value = _parse_yaml(text, f"the value of {word}")
            if word == PRESET:
                preset = _of_preset(str(value))
            else:
                given[full_key(word)] = value
        return preset._over(_of(given, "user"))

    @classmethod
    def from_file(cls, path: Path) -> "Settings":
        """Read a config file.

        Its section `origins` contains the values as pixelwise wrote them, by origin. Unchanged values keep that origin;
        all others were edited by the user.

        Raises
        ------
        BadOption
            The file is not a YAML mapping, or a section, key, origin or preset is unknown (the closest is suggested).
        """
        hint = "Give the config.yaml of a run."
        try:
            if path.exists() and (not path.is_file() or path.stat().st_size > MAX_BYTES):
                raise BadOption(
                    f"a config file of at most {MAX_BYTES:,} bytes", "a longer one, or no file of its own", hint, path
                )
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadOption("a config file in YAML", f"{error}", hint, path) from error
        content = _mapping(_parse_yaml(text, str(path)), path)
        preset, written = content.pop(PRESET, None), _mapping(content.pop(ORIGINS, None) or {}, path)
        given = _of(_flatten(content, path), "file")
        for unknown in written.keys() - STRENGTH.keys():
            raise BadOption("a known origin", f"`{unknown}`", nearest(str(unknown), list(STRENGTH)), path)
        for origin in STRENGTH:
            before = _flatten(written.get(origin) or {}, path)
            same = [key for key, value in before.items() if key in given.values and given.values[key] == value]
            given = replace(given, origins={**given.origins, **dict.fromkeys(same, origin)})
        return _of_preset(str(preset))._over(given) if preset else given

    def merged(self, above: "Settings") -> "Settings":
        """Return the union; for a common key the stronger origin wins, and `above` if they are equal.

        Examples
        --------
        >>> file = Settings(values={"network.base": 8}, origins={"network.base": "file"})
        >>> file.merged(Settings.parse(["preset=unet2015"])).values["network.base"]
        8
        >>> file.merged(Settings.parse(["network.base=16"])).values["network.base"]
        16
        """
        here = self.origins
        return self._over(above._only(k for k, o in above.origins.items() if STRENGTH[o] >= STRENGTH[here.get(k, o)]))

    def with_data(self, options: DataOptions | None) -> "Settings":
        """Return the settings with the data options replaced by those from the command line."""
        if options is None:
            return self
        default = DataOptions()
        values = {f.name: getattr(options, f.name) for f in fields(options)}
        given = {DATA + name: value for name, value in values.items() if value != getattr(default, name)}
        return self._only(key for key in self.values if not key.startswith(DATA))._over(_of(given, "user"))

    def with_planned(self, values: Mapping[str, Any]) -> "Settings":
        """Return the settings with some values replaced by planned ones."""
        return self._over(_of(values, "planned"))

    @property
    def user_set(self) -> frozenset[str]:
        """Settings with origin `user` or `file`."""
        return frozenset(key for key, origin in self.origins.items() if origin in ("user", "file"))

    @property
    def data(self) -> DataOptions:
        """The data options; those that are not given are detected.

        Raises
        ------
        BadOption
            A value is invalid.
        """
        return as_section("data", {k.removeprefix(DATA): v for k, v in self.values.items() if k.startswith(DATA)})

    @property
    def complete(self) -> bool:
        """Whether nothing is left to plan."""
        return all(key in self.values for key in KEYS if not key.startswith(DATA))

    @property
    def without_preset(self) -> "Settings":
        """The settings that do not come from a preset."""
        return self._only(key for key, origin in self.origins.items() if origin != "preset")

    @property
    def reasons(self) -> dict[str, str]:
        """The displayed reason of each setting."""
        preset = preset_choices(self.preset) if self.preset else {}
        return {
            key: preset[key][1] if origin == "preset" and key in preset else _REASONS[origin]
            for key, origin in self.origins.items()
        }

    def _over(self, above: "Settings") -> "Settings":
        return Settings(
            values={**self.values, **above.values},
            origins={**self.origins, **above.origins},
            preset=above.preset or self.preset,
        )

    def _only(self, keys: Iterable[str]) -> "Settings":
        keys = tuple(keys)
        return replace(self, values={k: self.values[k] for k in keys}, origins={k: self.origins[k] for k in keys})


def apply_settings(config: Config, settings: Settings, choices: Choices | None = None) -> Config:
    """Return `config` with the given settings, and with planned choices for the others.

    Network options of a preset or of the plan that the network does not read keep their defaults.

    Parameters
    ----------
    choices : dict of str to (value, reason), optional

    Raises
    ------
    BadOption
        A value is invalid.
    """
    settled = _apply(config, settings, choices or {})
    reads = {f"network.{option}" for option in ("name", *options_read(settled.network))}
    unread = {key for key in {*(choices or {}), *settings.values} if key.startswith("network.") and key not in reads}
    unread -= settings.user_set
    defaults = {key: DEFAULTS[key.removeprefix("network.")] for key in unread}
    settled = with_settings(settled, defaults, dict.fromkeys(unread, f"Not read by {settled.network.full_name}."))
    return replace(settled, origins={key: origin for key, origin in settled.origins.items() if key not in unread})


def refuse_unread(settings: Settings) -> None:
    """Raise BadOption for network options of the user that the network does not read, before reading the data.

    Raises
    ------
    BadOption
        There is such an option, or the network or its encoder is unknown.

    Examples
    --------
    >>> refuse_unread(Settings.parse(["network=unet2015", "network.base=8"]))
    """
    names = {"network.name", "network.encoder"}
    given = {key for key in settings.user_set if key.startswith("network.")} | (names & settings.values.keys())
    if names & given:
        check_options(with_settings(Config(), {key: settings.values[key] for key in given}, {}).network)


def load_config(path: Path) -> Config:
    """Read a config file; settings that are left out come from the file's preset or keep their defaults.

    Raises
    ------
    BadOption
        See `Settings.from_file`; or a value is invalid.
    """
    return _apply(Config(), Settings.from_file(path), {})


def reasons_to_json(config: Config) -> dict[str, dict[str, str]]:
    """Return the reasons with the origins of their values, for reasons.json."""
    origins = origins_of(config)
    return {key: {"origin": origins[key], "reason": why} for key, why in config.reasons.items()}


def with_reasons(config: Config, record: Mapping[str, Mapping[str, str]]) -> Config:
    """Return a loaded config with the reasons of a record, except for values whose origin has changed since."""
    origins = origins_of(config)
    unchanged = {key: entry["reason"] for key, entry in record.items() if entry["origin"] == origins[key]}
    edited = {key: why for key, why in config.reasons.items() if key not in unchanged and origins[key] != "planned"}
    return replace(config, reasons=unchanged | edited)


def _apply(config: Config, settings: Settings, choices: Choices) -> Config:
    """Apply the given settings, and choices for the others, with reasons and origins."""
    free = {key: pair for key, pair in choices.items() if key not in settings.values}
    values = {key: value for key, (value, _) in free.items()} | dict(settings.values)
    reasons = {key: why for key, (_, why) in free.items()} | settings.reasons
    settled = with_settings(config, values, reasons)
    given = {key: origin for key, origin in settings.origins.items() if origin != "planned"}
    return replace(settled, origins={**settled.origins, **given}, preset=settings.preset or config.preset)


def _of(values: Mapping[str, Any], origin: Origin) -> Settings:
    return Settings(values=dict(values), origins=dict.fromkeys(values, origin))


def _of_preset(name: str) -> Settings:
    choices = preset_choices(name)
    return replace(_of({key: value for key, (value, _) in choices.items()}, "preset"), preset=name)


def _mapping(content: Any, path: Path) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise BadOption("sections with settings", f"{type(content).__name__}", "Start from a config.yaml.", path)
    return content


def _flatten(content: Any, path: Path) -> dict[str, Any]:
    """Flatten nested sections to "section.setting" -> value."""
    flat: dict[str, Any] = {}
    for section, values in _mapping(content, path).items():
        if section not in SECTIONS:
            raise BadOption("a known section", f"`{section}`", nearest(str(section), list(SECTIONS)), path)
        if values is not None and not isinstance(values, dict):
            raise BadOption(f"settings below `{section}`", f"`{values}`", "Write one `setting: value` per line.", path)
        for name, value in (values or {}).items():
            flat[full_key(f"{section}.{name}")] = value
    return flat


class _NoAliases(yaml.SafeLoader):
    """A safe loader without aliases, which could expand a short file to gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed in config files")
        return super().compose_node(parent, index)

    def construct_yaml_int(self, node: Any) -> int:
        """Return a whole number of at most 64 bits: those in base 60 have any length, and longer ones have no text."""
        value = int(super().construct_yaml_int(node))
        if abs(value) >= 1 << 63:
            raise yaml.YAMLError("whole numbers have at most 64 bits")
        return value


_NoAliases.add_constructor("tag:yaml.org,2002:int", _NoAliases.construct_yaml_int)


def _parse_yaml(text: str, where: str) -> Any:
    try:
        loader = _NoAliases(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except Exception as error:  # values such as `!!bool x` and deep nesting raise KeyError, RecursionError and others
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadOption("YAML", reason, f"Check {where}.") from error
