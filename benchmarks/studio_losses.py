"""What is wrong with the marks and the events of a studio, given what clients received.

Used by `studio_kills`.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pixelwise.server.jobs import read_metrics


def read_log(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Return the events of a log with their ids: the offsets of the ends of their lines."""
    found: list[tuple[int, dict[str, Any]]] = []
    with path.open("rb") as file:
        for line in iter(file.readline, b""):
            found.append((file.tell(), json.loads(line)))
    return found


def find_lost_marks(acknowledged: dict[str, tuple[str, int]], marks: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return what is wrong with the marks of all images, given what was acknowledged.

    Examples
    --------
    >>> kept = {"a": [{"id": 1, "key": "x"}]}
    >>> find_lost_marks({"x": ("a", 1)}, kept), find_lost_marks({"x": ("a", 1), "y": ("a", 2)}, kept)
    ([], ['the acknowledged mark y is not there'])
    """
    faults: list[str] = []
    places = {mark["key"]: (image, mark["id"]) for image, own in marks.items() for mark in own}
    for key, place in acknowledged.items():
        if key not in places:
            faults.append(f"the acknowledged mark {key} is not there")
        elif places[key] != place:
            faults.append(f"the mark {key} has another number than was acknowledged")
    for image, own in marks.items():
        if [mark["id"] for mark in own] != list(range(1, len(own) + 1)) or len({m["key"] for m in own}) < len(own):
            faults.append(f"the marks of {image} are not numbered once and in order")
    return faults


def find_wrong_events(
    received: Sequence[tuple[int, dict[str, Any]]],
    log: Sequence[tuple[int, dict[str, Any]]],
    marks: dict[str, list[dict[str, Any]]],
    runs: Path,
) -> list[str]:
    """Return what is wrong with the events that a client received, given the log, all marks and the runs.

    Examples
    --------
    >>> log = [(9, {"kind": "mark", "image": "a", "id": 1}), (20, {"kind": "mark", "image": "a", "id": 2})]
    >>> marks = {"a": [{"id": 1}, {"id": 2}]}
    >>> find_wrong_events(log, log, marks, Path("none")), find_wrong_events(log[1:], log, marks, Path("none"))
    ([], ['received events are not those of the log, once and in order'])
    """
    faults: list[str] = []
    if list(received) != list(log[: len(received)]):
        faults.append("received events are not those of the log, once and in order")
    announced = Counter((event["image"], event["id"]) for _, event in log if event["kind"] == "mark")
    if announced != Counter((image, mark["id"]) for image, own in marks.items() for mark in own):
        faults.append("marks were not announced once each")
    for folder in sorted(runs.glob("*")):
        steps = [e["row"]["step"] for _, e in log if e["kind"] == "metrics" and e["job"] == folder.name]
        if steps != [row["step"] for row in read_metrics(folder)]:
            faults.append(f"rows of run {folder.name} were not announced once and in order")
    return faults
