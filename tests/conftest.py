"""Shared fixtures."""

import os
import signal
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

import array_checks

array_checks.install()

# The same examples every time: a red test must stay red until it is mended. No deadline: shared machines stall.
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=40)
settings.load_profile("repeatable")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Generator[None, None, None]:
    """Keep runtimes that were measured on this machine, or by other tests at the same time, from deciding a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIXELWISE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def graphs_of_this_run(tmp_path_factory: pytest.TempPathFactory) -> Generator[None, None, None]:
    """Let the processes that share the tests of this run share the graphs they export (`exports.graph_of`)."""
    folder = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIXELWISE_TEST_GRAPHS", str((folder.parent if is_shared() else folder) / "graphs"))
        yield


def is_shared() -> bool:
    """Return whether this process is one of several of pytest-xdist, whose folders are in one of this run."""
    return "PYTEST_XDIST_WORKER" in os.environ


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_not_ignored() -> None:
    """Let the processes of tests be stopped as from a terminal: those started in the background ignore SIGINT."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def files_survive_processes_alone() -> Generator[None, None, None]:
    """Write nothing through to the disk: that protects from power failures, which no test can cause, and takes time.

    Tests of what happens when writing through fails replace `os.fsync` themselves.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data sets beside the checkout."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data sets (../shared/data) are not on this machine")
    return folder
