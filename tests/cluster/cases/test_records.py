"""Records come back from a file with their types and the layout of their arrays, and nothing else is read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.cluster.cases.records import read_records, write_records
from pixelwise.errors import BadRun


@dataclass(frozen=True, eq=False)
class Sample:
    name: str
    pixels: Any
    inner: "Sample | None" = None


@dataclass(frozen=True)
class Unknown:
    name: str


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.safetensors"


@pytest.mark.parametrize(
    "value",
    [
        (1, 2.5, "ä\ud800", None, True, b"\0\xff", b""),
        {(1, "a"): [frozenset({1, 2}), Path("a b/c.png")], "nested": {}},
        [float("inf"), -0.1, 10**30],
    ],
)
def test_plain_values(path: Path, value: Any) -> None:
    write_records(path, value)
    found = read_records(path, [])
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("scalar", [np.float64("nan"), np.float32(0.1), np.int64(-3), np.uint16(7), np.bool_(True)])
def test_scalars_keep_their_type(path: Path, scalar: np.generic) -> None:
    write_records(path, [scalar])
    (found,) = read_records(path, [])
    assert found.dtype == scalar.dtype
    np.testing.assert_array_equal(found, scalar)


def test_arrays_keep_type_shape_and_order_in_memory(path: Path) -> None:
    rng = np.random.default_rng(0)
    interleaved = np.moveaxis(rng.integers(0, 255, (5, 7, 3)).astype(np.uint8), -1, 0)
    arrays = [interleaved, rng.random((4, 6), np.float32), np.zeros((0, 3), np.int32), np.ones(3, bool)]
    write_records(path, arrays)
    for found, expected in zip(read_records(path, []), arrays, strict=True):
        np.testing.assert_array_equal(found, expected)
        assert (found.dtype, found.strides) == (expected.dtype, expected.strides)


def test_records_are_made_of_the_given_types_alone(path: Path) -> None:
    write_records(path, [Sample("a", np.arange(3), Sample("b", None))])
    (found,) = read_records(path, [Sample])
    assert (found.name, found.pixels.tolist(), found.inner.name) == ("a", [0, 1, 2], "b")
    write_records(path, Unknown("x"))
    with pytest.raises(BadRun):
        read_records(path, [Sample])
    with pytest.raises(TypeError):
        write_records(path, object())


def test_damaged_files_are_refused(path: Path) -> None:
    with pytest.raises(BadRun):
        read_records(path, [])
    write_records(path, {"a": np.arange(9)})
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(BadRun):
        read_records(path, [])
