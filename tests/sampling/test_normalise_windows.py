"""The scale of an image that is read by windows equals that of the image in memory."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from pixelwise.io.windows import InMemoryReader, open_windows
from pixelwise.sampling import normalise
from pixelwise.sampling.normalise import Normalisation, intensity_scale
from pixelwise.sampling.normalise_windows import source_scale


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("tile", [None, (32, 64)])
def test_the_streamed_scale_is_the_same_to_the_last_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: type, tile: tuple[int, int] | None
) -> None:
    monkeypatch.setattr(normalise, "BLOCK", 3000)
    pixels = (np.random.default_rng(0).gamma(2.0, 20.0, (600, 301))).astype(dtype)
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, pixels, tile=tile)
    source = open_windows(path)
    rows: list[int] = []
    found = source_scale(source, Normalisation(), rows.append)
    source.close()
    expected = intensity_scale(pixels[None], Normalisation())
    assert np.array_equal(found.scale.factor, expected.factor)
    assert np.array_equal(found.scale.shift, expected.shift)
    assert (sum(rows), len(rows)) == (600, 67)
    assert np.array_equal(found.sample, pixels[None, ::2, ::1])


def test_sampled_windows_approximate_the_scale(rng: np.random.Generator) -> None:
    pixels = rng.normal(100, 20, (1, 3000, 2500)).astype(np.float32)
    exact = intensity_scale(pixels, Normalisation())
    found = source_scale(InMemoryReader(pixels), Normalisation(), lambda _: None, sampled=True).scale
    assert found.shift == pytest.approx(exact.shift, rel=1e-3)
    assert found.factor == pytest.approx(exact.factor, rel=1e-2)
    assert not np.array_equal(found.shift, exact.shift)


@pytest.mark.parametrize("kind", ["none", "dataset"])
def test_scales_that_are_known_read_samples_alone(kind: str, rng: np.random.Generator) -> None:
    class Counting(InMemoryReader):
        read_pixels = 0

        def read(self, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
            Counting.read_pixels += (rows[1] - rows[0]) * (columns[1] - columns[0])
            return super().read(rows, columns)

    options = {"mean": (10.0,), "std": (2.0,)} if kind == "dataset" else {}
    source = Counting(rng.integers(0, 200, (1, 4000, 4000)).astype(np.uint8))
    found = source_scale(source, Normalisation(kind=kind, **options), lambda _: None)
    assert (found.scale.factor[0], found.scale.shift[0]) == ((0.5, 10.0) if kind == "dataset" else (1.0, 0.0))
    assert Counting.read_pixels == 64 * 256 * 256
    assert 150 < np.percentile(found.sample, 99.5) < 200
