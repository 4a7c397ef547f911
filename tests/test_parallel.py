"""The same function over many items gives the same results in the same order, however many threads work."""

import os
import threading
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from pixelwise import parallel
from pixelwise.parallel import cores, cpu_quota, let_idle_threads_sleep, one_blas_thread, parallel_map, usable_threads


@pytest.mark.parametrize("threads", [None, 1, 3])
def test_results_come_in_order(threads: int | None) -> None:
    assert list(parallel_map(str, range(100), threads)) == [str(i) for i in range(100)]


def test_threads_really_work_side_by_side() -> None:
    both = threading.Barrier(2, timeout=10)
    assert sorted(parallel_map(lambda _: both.wait(), [0, 1], 2)) == [0, 1]


def test_an_error_comes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        list(parallel_map(lambda x: 1 // x, [1, 0], 2))


def test_there_is_a_core() -> None:
    assert cores() >= 1


def test_products_of_matrices_use_one_thread_for_a_while() -> None:
    def threads() -> list[int]:
        return [found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"]

    with threadpool_limits(2, "blas"):
        assert max(threads()) == 2
        with one_blas_thread():
            assert set(threads()) == {1}
        assert max(threads()) == 2


def test_waiting_threads_sleep_unless_the_user_wants_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    let_idle_threads_sleep()
    assert (os.environ["OMP_WAIT_POLICY"], os.environ["OPENBLAS_NUM_THREADS"]) == ("PASSIVE", "1")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    let_idle_threads_sleep()
    assert (os.environ["OMP_WAIT_POLICY"], os.environ["OPENBLAS_NUM_THREADS"]) == ("ACTIVE", "7")


def groups(root: Path, listing: str, **files: str) -> Path:
    """Draw the files that control groups show: `listing` is /proc/self/cgroup, the others lie below /sys/fs/cgroup."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(listing, encoding="utf-8")
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


V1 = "5:memory:/a\n2:cpu,cpuacct:/docker/a1\n1:name=systemd:/\n"
V1_TOP = {"cpu,cpuacct/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}


@pytest.mark.parametrize(
    ("listing", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {}, None),
        ("0::/a/b\n", {"cpu.max": "max 100000\n", "a/cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000\n"}, 2.0),
        ("0::/a/b\n", {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "50000 100000\n"}, 0.5),
        ("0::/a/b\n", {"a/cpu.max": "100000 100000\n", "a/b/cpu.max": "300000 100000\n"}, 1.0),
        ("0::/host/path\n", {"cpu.max": "300000 100000\n"}, 3.0),
        ("2:cpu:/\n0::/\n", {"unified/cpu.max": "100000 50000\n"}, 2.0),
        (V1, V1_TOP, 2.5),
        (V1, V1_TOP | {"cpu,cpuacct/docker/a1/cpu.cfs_quota_us": "-1\n"}, 2.5),
        (V1, {"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1.0),
        (V1, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ("5:memory:/\n", {"memory/cpu.max": "100000 100000\n"}, None),
        ("nonsense\n", {"cpu.max": "torn"}, None),
        ("0::/\n", {"cpu.max": "100000 0\n"}, None),
    ],
)
def test_the_quota_of_control_groups_is_read(
    tmp_path: Path, listing: str, files: dict[str, str], expected: float | None
) -> None:
    assert cpu_quota(groups(tmp_path, listing, **files)) == expected


def test_other_systems_have_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None


@pytest.mark.parametrize(("quota", "expected"), [(None, 8), (0.5, 1), (1.0, 1), (1.5, 2), (2.0, 2), (64.0, 8)])
def test_cores_stay_within_the_quota(monkeypatch: pytest.MonkeyPatch, quota: float | None, expected: int) -> None:
    monkeypatch.setattr(parallel, "cpu_quota", lambda: quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert (cores(), usable_threads()) == (expected, expected)


@pytest.mark.parametrize(("value", "expected"), [("3", 3), ("4,2", 4), ("", 5), ("many", 5), ("0", 5)])
def test_the_limit_of_openmp_counts_where_it_is_a_number(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: int
) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 5)
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert usable_threads() == expected
