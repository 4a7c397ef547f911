"""Bad files, dropped on the page of a server with its workers: a sentence for each, and it stays alive."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from badfiles import ROWS, Row
from bright import drawn_image
from pixelwise.io.write import png_bytes
from pixelwise.server.service import Service

TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".tif": "image/tiff", ".bmp": "image/bmp", ".webp": "image/webp"}
MAX_BYTES = 8_000_000  # of the server of these tests
NOT_SENT = (9, 10)  # files that cannot be read have no content
SENTENCE = {"code", "message", "request_id"}


def files(folder: Path) -> Iterator[tuple[Row, Path]]:
    """Yield the rows whose image is one file, with the file."""
    for index, row in enumerate(ROWS):
        if row.kind == "image" and row.number not in NOT_SENT:
            place = folder / str(index)
            place.mkdir()
            path = row.make(place)
            if path.is_file() and not path.is_symlink():
                yield row, path


def faults_of(answer: Any) -> list[str]:
    """Return what is wrong with a refusal: another form, several lines, a path, or the text of the program."""
    if answer.status_code == 500 or set(answer.json()) != SENTENCE:
        return [f"{answer.status_code}: {answer.text[:200]}"]
    message = answer.json()["message"]
    return [f"{message!r} shows {bad!r}" for bad in ("\n", "Traceback", "/tmp", "site-packages") if bad in message]


@pytest.mark.slow
def test_every_bad_file_is_answered_by_a_sentence(client: TestClient, service: Service, tmp_path: Path) -> None:
    faults: dict[str, list[str]] = {}
    answered = 0
    for row, path in files(tmp_path):
        content = path.read_bytes()
        headers = {"Content-Type": TYPES.get(path.suffix, "application/octet-stream")}
        added = client.post(f"/api/images?name={path.name}", content=content, headers=headers)
        answers = [added]
        if added.status_code == 201:  # the header is fine; damage is found when the pixels are read
            own = added.json()["id"]
            answers = [client.get(f"/api/images/{own}"), client.get(f"/tiles/{own}/thumbnail.jpg"),
                       client.get(f"/tiles/{own}/0/0_0.jpg"), client.post(f"/api/images/{own}/result")]  # fmt: skip
        found = [fault for answer in answers if answer.status_code >= 400 for fault in faults_of(answer)]
        if row.outcome == "refuse" and len(content) <= MAX_BYTES and all(a.status_code < 400 for a in answers):
            found.append("it was accepted")
        answered += 1
        if found:
            faults[f"{row.number} {row.name}"] = found
    assert not faults, "\n".join(f"{row}: {found}" for row, found in faults.items())
    assert answered > 40
    good = png_bytes(drawn_image(3))
    assert client.post("/predict", content=good, headers={"Content-Type": "image/png"}).status_code == 200
    assert client.get("/v2/health/ready").status_code == 200
    assert service.admission.requests == service.admission.bytes == service.admission.pixels == 0


def test_control_what_the_test_looks_for_is_found() -> None:
    class Answer:
        status_code, text = 422, "..."

        def json(self) -> dict[str, str]:
            return {"code": "x", "message": "Traceback in /tmp/a", "request_id": "1"}

    assert len(faults_of(Answer())) == 2
