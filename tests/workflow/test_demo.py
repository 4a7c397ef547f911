"""The demo in small: draw, train, evaluate, predict, report."""

from pathlib import Path

from pixelwise.progress import Progress
from pixelwise.workflow.demo import demo


class Listener(Progress):
    """Records messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, *sentences: str) -> None:
        self.messages += sentences


def test_the_demo_ends_with_scores_and_where_to_look(tmp_path: Path) -> None:
    listener = Listener()
    run = demo(tmp_path / "demo", steps=20, progress=listener)
    text = "\n".join(listener.messages)
    assert "images, test split, 6 images: mean AP" in text
    assert f"Report: {run.report_path}" in text
    assert run.report_path.stat().st_size > 100_000
    assert (run.folder / "predictions" / "test" / "objects.csv").is_file()
    assert len(list((run.folder / "predictions" / "test").glob("*.overlay.png"))) == 6
