"""Width: how many channels a network can have so that the steps that are wanted fit into the time."""

from pixelwise.networks.architectures import options_read
from pixelwise.workflow.config import Config, with_settings
from pixelwise.workflow.planning.step_times import Probe
from pixelwise.workflow.settings import Settings

WIDTHS = (8, 12, 16, 24, 32, 48, 64)
GUESSED_WIDTH = 16  # measured first
GROWTH = 1.6  # power of the width that the seconds of a step go with
UNMEASURED = 1.0  # seconds: what is assumed of a step where nothing can be measured; the clock corrects it on the way
TOLERATED = 1.15  # times the wanted seconds of a step: the next width is far narrower


def find_widest(config: Config, settings: Settings, probe: Probe, allowed: float) -> tuple[int, float]:
    """Return the widest network whose step stays under `allowed` seconds, and its seconds per step.

    Widths for which there is no time to measure are estimated from the first one. A network that does not read `base`
    has one width.
    """
    guess = settings.values.get("network.base", GUESSED_WIDTH)
    if "base" not in options_read(config.network):
        return config.network.base, probe(config) or UNMEASURED
    first = probe(with_settings(config, {"network.base": guess}, {})) or UNMEASURED
    if "network.base" in settings.values:
        return guess, first
    # between linear (memory-bound) and quadratic (arithmetic-bound) in the width
    seconds = {width: first * (width / guess) ** GROWTH for width in WIDTHS}
    fitting = [width for width in WIDTHS if seconds[width] <= allowed] or [WIDTHS[0]]
    for width in reversed(fitting):
        if width != guess:
            seconds[width] = probe(with_settings(config, {"network.base": width}, {})) or seconds[width]
        if seconds[width] <= TOLERATED * allowed:
            return width, seconds[width]
    return fitting[0], seconds[fitting[0]]


def describe_width(measured: float, allowed: float) -> str:
    """Say how the width was found."""
    widths = ", ".join(map(str, WIDTHS))
    if measured > TOLERATED * allowed:
        return f"The narrowest of {widths}: even so a step takes {measured:.3f} s, where {allowed:.3f} s are wanted."
    over = f" ({TOLERATED - 1:.0%} more are tolerated)" if measured > allowed else ""
    return f"The widest of {widths} with a step of at most {allowed:.3f} s{over}; measured {measured:.3f} s."
