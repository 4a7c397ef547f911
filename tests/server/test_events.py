"""Events: once and in order for everybody, also after a crash."""

import asyncio
import json
from pathlib import Path
from typing import Any

from pixelwise.server.events import EventLog


def test_who_names_an_id_gets_what_is_after_it(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    ids = [log.add("count", number=number) for number in range(5)]
    log.close()
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(b'{"kind": "cut o')
    again = EventLog(tmp_path / "events.jsonl")
    assert again.end == ids[-1]
    ids.append(again.add("count", number=5))
    assert [event["number"] for _, event in again.after(0)] == [0, 1, 2, 3, 4, 5]
    for place, event_id in enumerate(ids):
        assert [event["number"] for _, event in again.after(event_id)] == list(range(place + 1, 6))
        assert [own for own, _ in again.after(event_id)] == ids[place + 1 :]
    again.close()


def test_a_stream_continues_where_it_broke_off(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    stop = False

    async def listen(after: int, count: int) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        async for chunk in log.follow(after, lambda: stop):
            for block in chunk.decode().split("\n\n"):
                lines = dict(line.split(": ", 1) for line in block.splitlines())
                if "data" in lines:
                    found.append((int(lines["id"]), json.loads(lines["data"])["number"]))
            if len(found) >= count:
                return found
        return found

    async def run() -> list[int]:
        listener = asyncio.create_task(listen(0, 2))
        for number in range(4):
            log.add("count", number=number)
            await asyncio.sleep(0.01)
        first = await listener
        return [number for _, number in first] + [number for _, number in await listen(first[-1][0], 4 - len(first))]

    assert asyncio.run(run()) == [0, 1, 2, 3]
    log.close()


def test_what_a_client_causes_twice_is_announced_once(tmp_path: Path) -> None:
    events = list[dict[str, Any]]()
    for number in range(2):
        log = EventLog(tmp_path / "events.jsonl")
        for _ in range(2):
            log.add_once("mark", image="a", id=1)
            log.add_once("mark", image="a", id=2 + number)
        events = [event for _, event in log.after(0)]
        log.close()
    assert [event["id"] for event in events] == [1, 2, 3]
