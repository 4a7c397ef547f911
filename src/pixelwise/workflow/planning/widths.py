"""Width: how many channels a network can have so that the steps that are wanted fit into the time."""

from collections.abc import Mapping
from typing import Any

from pixelwise.workflow.config import Config, with_settings
from pixelwise.workflow.planning.choices import Probe

WIDTHS = (8, 12, 16, 24, 32, 48, 64)
GUESSED_WIDTH = 16  # measured first
TOLERATED = 1.15  # times the wanted seconds of a step: the next width is far narrower


def find_widest(config: Config, fixed: Mapping[str, Any], probe: Probe, allowed: float) -> tuple[int, float]:
    """Return the widest network whose step stays under `allowed` seconds, and its measured seconds per step."""
    if "network.base" in fixed:
        return fixed["network.base"], probe(config)
    guess = GUESSED_WIDTH
    seconds = {guess: probe(with_settings(config, {"network.base": guess}, {}))}
    # between linear (memory-bound) and quadratic (arithmetic-bound) in the width
    fitting = [w for w in WIDTHS if seconds[guess] * (w / guess) ** 1.6 <= allowed] or [WIDTHS[0]]
    for width in reversed(fitting):
        if width not in seconds:
            seconds[width] = probe(with_settings(config, {"network.base": width}, {}))
        if seconds[width] <= TOLERATED * allowed:
            return width, seconds[width]
    narrowest = fitting[0]
    return narrowest, seconds[narrowest]


def say_width(measured: float, allowed: float) -> str:
    """Say how the width was found."""
    widths = ", ".join(map(str, WIDTHS))
    if measured > TOLERATED * allowed:
        return f"The narrowest of {widths}: even so a step takes {measured:.3f} s, where {allowed:.3f} s are wanted."
    over = f" ({TOLERATED - 1:.0%} more are tolerated)" if measured > allowed else ""
    return f"The widest of {widths} with a step of at most {allowed:.3f} s{over}; measured {measured:.3f} s."
