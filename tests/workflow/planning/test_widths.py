"""The width follows from the allowed seconds per step, with few measurements."""

import pytest

from pixelwise.networks.architectures import NetworkOptions
from pixelwise.workflow.config import Config
from pixelwise.workflow.planning.widths import WIDTHS, describe_width, find_widest
from pixelwise.workflow.settings import Settings


@pytest.mark.parametrize(
    ("allowed", "width"),
    [(0.1, 16), (0.088, 12), (0.05, 8), (0.01, 8), (0.4, 32), (0.34, 24), (100.0, 64)],
)
def test_the_widest_that_fits_is_found(allowed: float, width: int) -> None:
    """A step of width 16 takes 0.1 s here, twice the width four times as long; 15 % more is tolerated."""
    asked: list[int] = []

    def probe(config: Config, baseline: Config | None = None) -> float:
        asked.append(config.network.base)
        return 0.1 * (config.network.base / 16) ** 2

    assert find_widest(Config(), Settings(), probe, allowed) == (width, pytest.approx(0.1 * (width / 16) ** 2))
    assert len(asked) == len(set(asked)), "nothing is measured twice"
    assert len(asked) <= 1 + len(WIDTHS)


def test_a_width_of_ones_own_is_measured_and_kept() -> None:
    own = Settings.parse(["network.base=40"])
    assert find_widest(Config(), own, lambda config, baseline=None: 2.0, 0.1) == (40, 2.0)


def test_widths_without_time_to_measure_are_estimated_from_the_first() -> None:
    def probe(config: Config, baseline: Config | None = None) -> float | None:
        return 0.1 if config.network.base == 16 else None

    # 0.1 s at width 16; with the power 1.6 width 24 takes 0.19 s, width 32 takes 0.30 s
    assert find_widest(Config(), Settings(), probe, 0.2) == (24, pytest.approx(0.1 * 1.5**1.6))


def test_how_the_width_was_found_is_told() -> None:
    assert (
        describe_width(0.1, 0.2)
        == "The largest of 8, 12, 16, 24, 32, 48, 64 with a step of at most 0.200 s; measured 0.100 s."
    )
    assert "(15% more are tolerated); measured 0.110 s" in describe_width(0.11, 0.1)
    assert describe_width(0.2, 0.1).startswith("The smallest of 8, ")


def test_a_network_that_reads_no_base_has_one_width() -> None:
    config = Config(network=NetworkOptions(name="vgg11"))
    assert find_widest(config, Settings(), lambda config, baseline=None: 2.0, 0.1) == (config.network.base, 2.0)
