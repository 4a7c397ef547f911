"""Components from run lengths, compared with scikit-image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import label

from pixelwise.labels import run_components
from pixelwise.labels.run_components import find_components


def reference(labels: np.ndarray) -> list[tuple[int, int]]:
    shifted = labels.astype(np.int64) - labels.min() + 1
    found = np.asarray(label(np.where(labels == 0, 0, shifted), background=0, connectivity=2))
    return sorted((int(labels[found == one][0]), int((found == one).sum())) for one in range(1, int(found.max()) + 1))


def listed(labels: np.ndarray) -> list[tuple[int, int]]:
    found = find_components(labels)
    return sorted(zip(found.number.tolist(), found.area.tolist(), strict=True))


@pytest.mark.parametrize("pixels_per_run", [0, 1 << 30], ids=["runs", "pixels"])
def test_components_are_those_of_scikit_image(monkeypatch: pytest.MonkeyPatch, pixels_per_run: int) -> None:
    monkeypatch.setattr(run_components, "_PIXELS_PER_RUN", pixels_per_run)

    @given(hnp.arrays(np.int16, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(-1, 2)))
    def same(labels: np.ndarray) -> None:
        assert listed(labels) == reference(labels)

    same()


def test_background_alone_has_no_component() -> None:
    assert listed(np.zeros((4, 5), np.uint8)) == []


def test_large_masks_of_few_runs_and_of_many(rng: np.random.Generator) -> None:
    noise = rng.integers(0, 3, (60, 70))
    blocks = noise[::10, ::10].repeat(10, 0).repeat(10, 1)
    for labels in (noise, blocks):
        assert listed(labels) == reference(labels)
