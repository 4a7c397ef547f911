"""Validation looks at the same pixels each time, as many as the time allows."""

from pathlib import Path

import numpy as np
import pytest

from pixelwise.images.files import read_mask
from pixelwise.images.preprocess import Normalisation, intensity_scale
from pixelwise.networks.architectures import build
from pixelwise.workflow.training.material import Piece
from pixelwise.workflow.training.validation import Validation, make_palette
from tiny import make_recipe


def piece(name: str, side: int, rng: np.random.Generator) -> Piece:
    pixels = rng.integers(0, 256, (1, side, side)).astype(np.uint8)
    target = (pixels[0] > 127).astype(np.uint8)
    return Piece(name, pixels, target, intensity_scale(pixels, Normalisation()))


def look(pieces: list[Piece], film: Path, most: int) -> Validation:
    geometry = make_recipe().geometry
    return Validation(pieces, 2, geometry, "cpu", most, film, make_palette("classes", ((0, 0, 0), (9, 9, 9))))


def test_a_perfect_and_a_blind_network(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    validation = look([piece("a", 64, rng), piece("b", 80, rng)], tmp_path, 10**9)
    network = build(make_recipe().network)
    monkeypatch.setattr(validation, "_predict", lambda network, piece: piece.target)
    assert validation.score(network) == 1.0
    monkeypatch.setattr(validation, "_predict", lambda network, piece: np.zeros_like(piece.target))
    assert validation.score(network) == 0.0


def test_no_more_pixels_than_the_time_allows(tmp_path: Path, rng: np.random.Generator) -> None:
    pieces = [piece(str(i), 100, rng) for i in range(10)]
    assert [p.name for p in look(pieces, tmp_path, 30_000)._pieces] == ["0", "3", "6"]
    (cut,) = look([piece("large", 400, rng)], tmp_path, 10_000)._pieces
    assert cut.target.shape == (100, 100)
    assert cut.pixels.shape == (1, 100, 100)


def test_the_film_shows_one_patch(tmp_path: Path, rng: np.random.Generator) -> None:
    validation = look([piece("a", 300, rng)], tmp_path, 10**9)
    validation.start_film()
    validation.film(build(make_recipe().network), 7)
    assert {path.name for path in tmp_path.iterdir()} == {"image.png", "truth.png", "step-0000007.png"}
    assert read_mask(tmp_path / "step-0000007.png").values.shape == (256, 256)
