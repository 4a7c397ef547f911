"""Choice of the network width that fits the required number of steps into the time."""

from pixelwise.networks.architectures import options_read
from pixelwise.workflow.config import Config, with_settings
from pixelwise.workflow.planning.step_times import Probe
from pixelwise.workflow.settings import Settings

WIDTHS = (8, 12, 16, 24, 32, 48, 64)
GUESSED_WIDTH = 16  # measured first
GROWTH = 1.6  # exponent of the step time as a function of the width
UNMEASURED = 1.0  # assumed seconds of a step without a measurement; the clock corrects it during training
TOLERATED = 1.15  # times the allowed seconds of a step: the next smaller width is much smaller


def find_widest(config: Config, settings: Settings, probe: Probe, allowed: float) -> tuple[int, float]:
    """Return the largest width with steps of at most `allowed` seconds, and its seconds per step.

    Widths are estimated from the first one if there is no time to measure them. A network that does not read `base` has
    only one width.
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
    """Return the reason for the width."""
    widths = ", ".join(map(str, WIDTHS))
    if measured > TOLERATED * allowed:
        return f"The smallest of {widths}: a step takes {measured:.3f} s, above the target of {allowed:.3f} s."
    over = f" ({TOLERATED - 1:.0%} more are tolerated)" if measured > allowed else ""
    return f"The largest of {widths} with a step of at most {allowed:.3f} s{over}; measured {measured:.3f} s."
