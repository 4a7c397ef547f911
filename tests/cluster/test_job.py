"""A job is written once; another one at the same place is refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.cluster.job import Job, check_same, check_version, create_job, find_job, open_job
from pixelwise.errors import BadRun, OutputFailed
from sleepers import make_job


def test_a_job_is_read_as_it_was_written(tmp_path: Path) -> None:
    job = create_job(tmp_path / "out", "k", "i", [({"a": 1}, 3), ({"b": "é\udce9"}, 4)], {"x": [1]}, after={1: (0, 1)})
    read = open_job(tmp_path / "out")
    assert read == job
    assert [read.unit(0), read.unit(1)] == [{"a": 1}, {"b": "é\udce9"}]
    assert read.weights.tolist() == [3, 4]
    assert read.after == {1: (0, 1)}
    assert not read.sealed


@given(st.lists(st.tuples(st.dictionaries(st.text(), st.integers()), st.integers(0, 9)), max_size=8))
def test_every_unit_is_found(units: list[tuple[dict[str, int], int]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        create_job(Path(folder), "k", "i", units, {})
        job = open_job(Path(folder))
        assert [job.unit(number) for number in range(job.units)] == [unit for unit, _ in units]
        assert np.array_equal(job.weights, [weight for _, weight in units])


def test_the_second_of_two_drivers_gets_the_job_of_the_first(tmp_path: Path) -> None:
    first = create_job(tmp_path, "k", "same", [({"n": 1}, 1)], {})
    second = create_job(tmp_path, "k", "same", [({"n": 2}, 1), ({"n": 3}, 1)], {})
    assert second == first
    assert second.unit(0) == {"n": 1}
    assert len(list(first.folder.iterdir())) == 3, "the files of the second are gone"


def test_another_job_is_refused(tmp_path: Path) -> None:
    create_job(tmp_path, "k", "one", [], {})
    with pytest.raises(OutputFailed, match="expected a folder for this job"):
        create_job(tmp_path, "k", "two", [], {})
    with pytest.raises(OutputFailed):
        check_same(open_job(tmp_path), "two")


def test_a_folder_without_a_job(tmp_path: Path) -> None:
    assert find_job(tmp_path) is None
    with pytest.raises(BadRun, match="--on none"):
        open_job(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 1}', '{"format": 99}', '{"format": 1, "after": {"x": 1}}']
)
def test_a_damaged_record_is_one_line(text: str, tmp_path: Path) -> None:
    make_job(tmp_path, [{}]).folder.joinpath("job.json").write_text(text, encoding="utf-8")
    with pytest.raises(BadRun) as caught:
        open_job(tmp_path)
    assert "\n" not in str(caught.value)


def test_damaged_units_are_one_line(tmp_path: Path) -> None:
    job = make_job(tmp_path, [{}, {}])
    (job.folder / f"{job.listing}.jsonl").write_bytes(b"{")
    with pytest.raises(BadRun, match="the units of a job"):
        job.unit(0)
    (job.folder / f"{job.listing}.npy").write_bytes(b"x")
    with pytest.raises(BadRun, match="the index of the units"):
        open_job(tmp_path).unit(0)


def test_another_version_is_refused(tmp_path: Path) -> None:
    job = make_job(tmp_path, [{}])
    check_version(job)
    older = Job(**{**vars(job), "pixelwise": "0.0.1"})
    with pytest.raises(BadRun, match="version 0"):
        check_version(older)
