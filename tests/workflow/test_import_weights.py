"""Published CIFAR ResNets, imported and evaluated as users do it, have the accuracy that others counted."""

from pathlib import Path
from typing import Any

import pytest

from pixelwise.progress import Progress
from pixelwise.workflow.evaluate import evaluate
from pixelwise.workflow.import_weights import import_weights

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize(
    ("file", "padding", "right"),
    [
        ("resnet20-12fca82f", "both", 1610),
        ("resnet20-12fca82f", "end", 272),  # control: the convention that these weights do not have
        pytest.param("resnet56-4bfd9763", "both", 1653, marks=pytest.mark.slow),
        pytest.param("resnet56-4bfd9763", "end", 184, marks=pytest.mark.slow),
    ],
)
def test_published_weights_have_their_published_accuracy(
    shared_data: Path, tmp_path: Path, file: str, padding: str, right: int
) -> None:
    """`right` of 2,000 with "both": counted with the publisher's own network."""
    published = shared_data / "published_weights" / f"{file}.th"
    if not published.is_file():
        pytest.skip("the published weights are not on this machine")
    words = (f"network={file.partition('-')[0]}", f"network.shortcut_padding={padding}")
    made = import_weights(
        published, out=tmp_path / "run", mean=MEAN, std=STD, classes=CLASSES, overrides=words, progress=Progress()
    )
    scores: dict[str, Any] = evaluate(made.path, shared_data / "cifar10_small" / "test", progress=Progress())
    assert len(scores["cases"]) == 2000
    assert sum(case["predicted"] == case["truth"] for case in scores["cases"]) == right
