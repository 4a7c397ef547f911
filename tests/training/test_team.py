"""Sums over slots are the same bits for any number of processes, and a lost process is noticed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.errors import BadOption, Interrupted
from pixelwise.training.team import Team, join_team, rank_of_process, tree_sum, world_size

Connect = Callable[..., "tuple[Team, subprocess.Popen[str]]"]

MEMBER = """
import sys
import torch
from pixelwise.training.team import join_team
team, slots = join_team("cpu"), int(sys.argv[1])
def vector(slot):
    return torch.randn(1000, generator=torch.Generator().manual_seed(slot)) * 10.0 ** (slot % 5)
for _ in range(int(sys.argv[2])):
    total = team.total(vector(slot) for slot in team.own_slots(slots))
assert team.any(team.rank == team.size - 1)
assert not team.any(False)
assert team.tell({"rank": team.rank, "text": "é", "value": 0.1 + 0.2}) == {"rank": 0, "text": "é", "value": 0.1 + 0.2}
sys.stdout.write(total.numpy().tobytes().hex())
team.leave()
"""
FOR_EVER = """
import os, sys
import torch
from pixelwise.errors import Interrupted
from pixelwise.training.team import join_team
team = join_team("cpu")
try:
    while True:
        team.total([torch.ones(10)])
        sys.stdout.write(".")
        sys.stdout.flush()
except Interrupted:
    os._exit(75)
"""


def start(program: str, size: int, folder: Path, *words: str, lost: str = "60") -> "list[subprocess.Popen[str]]":
    def environment(rank: int) -> dict[str, str]:
        numbers = {"RANK": str(rank), "WORLD_SIZE": str(size), "PIXELWISE_LOST_SECONDS": lost}
        return {**os.environ, **numbers, "PIXELWISE_STORE": str(folder / "store")}

    return [
        subprocess.Popen(
            [sys.executable, "-c", program, *words], env=environment(rank), stdout=subprocess.PIPE, text=True
        )
        for rank in range(size)
    ]


def vector(slot: int) -> torch.Tensor:
    return torch.randn(1000, generator=torch.Generator().manual_seed(slot)) * 10.0 ** (slot % 5)


def test_one_process_and_four_get_the_same_bits(tmp_path: Path) -> None:
    expected = Team().total(vector(slot) for slot in range(8)).numpy().tobytes().hex()
    for size in (2, 4):
        (tmp_path / str(size)).mkdir()
        processes = start(MEMBER, size, tmp_path / str(size), "8", "3")
        assert [process.communicate()[0] for process in processes] == [expected] * size
    plain = torch.stack([vector(slot) for slot in range(8)]).sum(0)
    ordered = sum((vector(slot) for slot in range(1, 8)), vector(0))
    assert ordered.numpy().tobytes().hex() != expected, "control: another order gives other bits"
    assert torch.allclose(plain, ordered, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_process_is_noticed(tmp_path: Path, number: int) -> None:
    processes = start(FOR_EVER, 2, tmp_path, lost="6")
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.read(1) == ".", "they exchange"
    processes[1].send_signal(number)
    began = time.monotonic()
    processes[0].communicate(timeout=300)
    assert processes[0].returncode == 75
    if number == signal.SIGSTOP:
        assert time.monotonic() - began > 3, "it waited"
    processes[1].kill()
    processes[1].communicate()


@given(st.integers(0, 5), st.data())
def test_the_tree_is_the_same_whatever_subtrees_are_added_first(depth: int, data: st.DataObject) -> None:
    count = 2**depth
    values = [torch.tensor(data.draw(st.floats(-1e6, 1e6, width=32))) for _ in range(count)]
    whole = tree_sum(values)
    for size in (2**level for level in range(depth + 1)):
        each = count // size
        assert tree_sum(tree_sum(values[i * each : (i + 1) * each]) for i in range(size)).item() == whole.item()
    reference = np.array([value.item() for value in values], np.float32)
    while len(reference) > 1:
        reference = reference[::2] + reference[1::2]
    assert whole.item() == reference[0]


def test_slots_are_shared_evenly() -> None:
    assert [list(Team(rank, 4).own_slots(8)) for rank in range(4)] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    with pytest.raises(BadOption, match=r"training\.slots"):
        Team(0, 2).own_slots(1)
    with pytest.raises(BadOption, match="power of two"):
        tree_sum([torch.ones(1)] * 3)


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    team = join_team("cpu")
    assert (team.size, team.leads, team.any(True), team.any(False), team.tell(3)) == (1, True, True, False, 3)
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(BadOption, match="1, 2, 4, 8"):
        world_size()
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert rank_of_process() == 1


def test_an_interruption_has_its_exit_code() -> None:
    assert Interrupted("", "", "").exit_code == 75


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Connect, None, None]:
    """Connect this process, as the leading one, with another one that runs a program."""
    others: list[subprocess.Popen[str]] = []

    def connect(program: str, *words: str, lost: str) -> "tuple[Team, subprocess.Popen[str]]":
        numbers = {"RANK": "1", "WORLD_SIZE": "2", "PIXELWISE_LOST_SECONDS": lost}
        store = {"PIXELWISE_STORE": str(tmp_path / "store")}
        others.append(
            subprocess.Popen(
                [sys.executable, "-c", program, *words],
                env={**os.environ, **numbers, **store},
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        for name, value in {**numbers, **store, "RANK": "0"}.items():
            monkeypatch.setenv(name, value)
        return join_team("cpu"), others[0]

    yield connect
    for other in others:
        other.kill()
        other.wait()
        if other.stdout is not None:
            other.stdout.close()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def test_two_processes_agree(pair: Connect) -> None:
    team, other = pair(MEMBER, "4", "1", lost="not a number")
    assert (team.rank, team.size, team.leads) == (0, 2, True)
    expected = Team().total(vector(slot) for slot in range(4))
    assert torch.equal(team.total(vector(slot) for slot in team.own_slots(4)), expected)
    assert team.any(False), "the flag of the other one"
    assert not team.any(False)
    assert team.tell({"rank": 0, "text": "é", "value": 0.1 + 0.2})["text"] == "é"
    written, _ = other.communicate()
    assert written == expected.numpy().tobytes().hex()
    team.leave()
    assert not torch.distributed.is_initialized()


def test_the_other_process_is_lost(pair: Connect) -> None:
    count = (
        "import numpy as np\nfrom pixelwise.training.team import join_team\njoin_team('cpu').count(np.array([3, 4]))"
    )
    team, other = pair(count, lost="20")
    own = np.array([1, 2])
    assert team.count(own).tolist() == [4, 6]
    assert own.tolist() == [1, 2]
    other.communicate()
    with pytest.raises(Interrupted, match="lost"):
        team.count(own)
