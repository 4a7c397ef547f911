"""The examples in the docstrings of the benches run."""

import doctest
from types import ModuleType

import machine
import pytest
from speed_parts import probing
from street_parts import load


@pytest.mark.parametrize("module", [machine, probing, load], ids=lambda module: module.__name__)
def test_examples_say_what_comes_out(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0
