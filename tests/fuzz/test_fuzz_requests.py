"""Mutated HTTP bodies: every answer is a result or a refusal with a status below 500."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from starlette.testclient import TestClient

from catalogue.commands import serving
from fuzz.mutations import ODD, edits, examples, limited, mutate, places, replaced
from fuzz.test_fuzz_images import FILES
from pixelwise.server.failures import Failure
from pixelwise.server.kserve_routes import parse_request
from pixelwise.server.marks.records import parse_mark

TENSOR = {
    "id": "1",
    "inputs": [{"name": "image", "shape": [1, 1, 2, 3], "datatype": "UINT8", "data": [1, 2, 3, 4, 5, 6]}],
    "outputs": [{"name": "labels", "parameters": {"binary_data": True}}],
    "parameters": {"binary_data_output": False},
}
OUTLINE = {"class_index": 1, "rings": [[[0, 0], [4, 0], [0, 4]]]}
MARKS: list[Any] = [
    {"kind": "stroke", "class_index": 1, "radius": 2.5, "points": [[1, 2], [3, 4]], "key": "a"},
    {"kind": "polygon", "class_index": 1, "points": [[1, 2], [3, 4], [5, 9]]},
    {"kind": "objects", "action": "frame", "objects": [OUTLINE], "frame": [0, 0, 9, 9]},
    {"kind": "undo", "of": 1},
]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(tmp_path_factory.mktemp("served")) as running:
        yield running


def refuses(parse: Callable[[], object]) -> bool:
    try:
        with limited():
            parse()
    except (Failure, ValidationError):
        return True
    return False


def bodies(content: Any) -> st.SearchStrategy[bytes]:
    """Return mutated JSON: bytes changed, or a value replaced."""
    text = json.dumps(content).encode()
    values = st.builds(
        lambda at, new: json.dumps(replaced(content, at, new)).encode(),
        st.sampled_from(places(content)),
        st.sampled_from([*ODD, "[" * 50_000, [[1, 2, 3], [4, 5, 6]], 2**70]),
    )
    cuts = st.none() | st.integers(0, len(text))
    return values | st.builds(lambda changed, cut: mutate(text, changed, cut), edits(len(text)), cuts)


@examples(200)
@given(body=bodies(TENSOR), length=st.none() | st.sampled_from(["0", "-1", "x", "10", "9" * 30, "\u00b2"]))
def test_tensors_are_parsed_or_refused(body: bytes, length: str | None) -> None:
    headers = {} if length is None else {"inference-header-content-length": length}
    refuses(lambda: parse_request(body, headers))


@pytest.mark.parametrize("value", ["Infinity", "NaN", "-1", "300", "1e400", "1.5", "[]", "null", '"1"'])
def test_values_that_a_datatype_does_not_hold_are_refused(value: str) -> None:
    text = json.dumps(TENSOR).replace("[1, 2, 3, 4, 5, 6]", f"[{value}, 2, 3, 4, 5, 6]")
    assert refuses(lambda: parse_request(text.encode(), {}))


def test_a_whole_tensor_is_parsed() -> None:
    assert not refuses(lambda: parse_request(json.dumps(TENSOR).encode(), {}))


@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: str(mark["kind"]))
def test_marks_are_parsed_or_refused(mark: Any) -> None:
    assert not refuses(lambda: parse_mark(json.dumps(mark)))

    @examples(60)
    @given(body=bodies(mark))
    def check(body: bytes) -> None:
        refuses(lambda: parse_mark(body))

    check()


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "tiled.tif"])
def test_images_are_predicted_or_refused(name: str, client: TestClient) -> None:
    content = FILES[name]
    headers = {"Content-Type": {"png": "image/png", "jpg": "image/jpeg"}.get(Path(name).suffix[1:], "image/tiff")}
    assert client.post("/predict", content=content, headers=headers).status_code == 200

    @examples(15)
    @given(changed=edits(len(content)), cut=st.none() | st.integers(0, len(content)))
    def check(changed: list[tuple[int, int]], cut: int | None) -> None:
        with limited(20):
            answer = client.post("/predict", content=mutate(content, changed, cut), headers=headers)
        assert answer.status_code < 500, answer.text

    check()


@examples(25)
@given(body=bodies(TENSOR))
def test_inference_answers_every_body(body: bytes, client: TestClient) -> None:
    with limited(20):
        answer = client.post("/v2/models/channels_1/infer", content=body)
    assert answer.status_code < 500, answer.text
