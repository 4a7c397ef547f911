"""Streamed volumes equal those predicted in memory, resume after an interruption, and keep their scale."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import zarr

from inference.streaming.test_images import InterruptedRuntime, MessageRecorder
from pixelwise.errors import BadImage
from pixelwise.geometry.grid import Grid
from pixelwise.inference.memory import tile_budget
from pixelwise.inference.predictor import Predictor
from pixelwise.inference.segmentation_model import SegmentationModel, load_model_for_prediction
from pixelwise.inference.streaming import volume_objects
from pixelwise.inference.streaming import volumes as volume_streaming
from pixelwise.inference.streaming.volumes import VolumeStreamResult, stream_volume
from pixelwise.io.volumes.windows import InMemoryVolume, VolumeReader, ZarrVolume, open_volume_windows
from pixelwise.labels.targets import TargetOptions
from pixelwise.labels.volume_properties import measure_volumes
from pixelwise.progress import Progress
from tiny import make_recipe, write_model

SIZE = (40, 70, 52)
Kind = Literal["classes", "components", "boundary"]


def drawn_volume() -> np.ndarray:
    """Return smooth spots with noise."""
    z, y, x = np.indices(SIZE)
    drawn = np.sin(z / 4) * np.sin(y / 6) * np.cos(x / 5) * 60 + 120
    return (drawn + np.random.default_rng(0).normal(0, 8, SIZE)).clip(0, 255).astype(np.uint8)


def save(path: Path, pixels: np.ndarray, scale: tuple[float, ...] = (2.0, 0.5, 0.5)) -> Path:
    """Write an OME-Zarr volume with the library of the format."""
    group = zarr.open_group(str(path), mode="w", zarr_format=3)
    group.create_array("0", shape=pixels.shape, dtype=pixels.dtype, chunks=(16, 32, 32))[...] = pixels
    axes = [{"name": name, "type": "space", "unit": "millimeter"} for name in "zyx"]
    transforms = [{"type": "scale", "scale": list(scale)}]
    datasets = [{"path": "0", "coordinateTransformations": transforms}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    return path


def model_of(
    tmp_path: Path, target: TargetOptions | None = None, tile: int | None = 32, **network: Any
) -> SegmentationModel:
    target = target or TargetOptions()
    task = "instance" if target.kind == "boundary" else "binary"
    card = replace(make_recipe(task, dimensions=3, depth=1, **network), target=target, spacing=(2.0, 0.5, 0.5))
    write_model(tmp_path / "model.safetensors", card)
    model = load_model_for_prediction(tmp_path / "model.safetensors", tile=tile)
    middle = float(np.median(model.probabilities(drawn_volume(), spacing=card.spacing)[0]))
    balanced = replace(target, foreground_threshold=round(1 - middle, 4), seed_threshold=0.3)
    model.model_card = replace(card, target=balanced)
    return model


def stream(
    model: SegmentationModel, source: VolumeReader, path: Path, progress: Progress | None = None, **options: Any
) -> VolumeStreamResult:
    return stream_volume(
        model.model_card, model.predictor, source, path, identity="test", progress=progress or Progress(), **options
    )


def labels_of(path: Path) -> np.ndarray:
    return np.asarray(zarr.open_group(str(path), mode="r")["0"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "areas"), [("classes", ()), ("classes", (0, 40)), ("components", ()), ("boundary", ())], ids=str
)
def test_streamed_equals_predicted_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind, areas: tuple[int, ...]
) -> None:
    monkeypatch.setattr(volume_objects, "SLAB", 12 * SIZE[1] * SIZE[2])
    monkeypatch.setattr(volume_objects, "BLOCK", 32)
    model = model_of(tmp_path, TargetOptions(kind=kind, class_areas=areas))
    pixels = drawn_volume()
    source = open_volume_windows(save(tmp_path / "volume.ome.zarr", pixels), channels=1)
    expected = model.predict_pixels(pixels[None], spacing=(2.0, 0.5, 0.5)).labels
    assert len(np.unique(expected)) > 1, "not empty"
    path = tmp_path / "out" / "labels.ome.zarr"
    result = stream(model, source, path)
    assert (result.computed, result.resumed) == (2 * 3 * 2, 0)
    assert [item.name for item in path.parent.iterdir()] == [path.name], "no temporary files"
    actual = labels_of(path)
    assert (actual != expected).mean() < 1e-3, "rounding at most"
    assert result.voxels == tuple(np.bincount((actual if kind == "classes" else actual > 0).ravel(), minlength=2))
    if kind == "classes":
        assert result.objects is None
        return
    assert result.objects is not None
    assert len(result.objects) == expected.max() == actual.max()
    measured = measure_volumes(actual.astype(np.int32), image=pixels[None])
    assert list(result.objects) == list(measured)


def test_the_result_is_an_ome_zarr_image_with_the_scale_of_the_volume(tmp_path: Path) -> None:
    model = model_of(tmp_path, tile=None)
    source = open_volume_windows(save(tmp_path / "volume.ome.zarr", drawn_volume()), channels=1)
    stream(model, source, tmp_path / "labels.ome.zarr")
    written = ZarrVolume(tmp_path / "labels.ome.zarr")
    assert written.grid == source.grid == Grid(axes=("z", "y", "x"), spacing=(2.0, 0.5, 0.5), unit="millimeter")
    assert written.shape == (1, *SIZE)
    group = zarr.open_group(str(tmp_path / "labels.ome.zarr"), mode="r")
    described: Any = group.attrs["ome"]
    levels = described["multiscales"][0]["datasets"]
    assert [level["coordinateTransformations"][0]["scale"] for level in levels] == [[2.0, 0.5, 0.5], [4.0, 1.0, 1.0]]
    assert np.array_equal(np.asarray(group["1"]), np.asarray(group["0"])[::2, ::2, ::2])  # type: ignore[arg-type]
    assert [row["rgba"] for row in described["image-label"]["colors"]][1] == [255, 255, 255, 255]


def test_resuming_computes_no_tile_twice_and_gives_equal_bytes(tmp_path: Path) -> None:
    model, source = model_of(tmp_path), InMemoryVolume(drawn_volume()[None])
    stream(model, source, tmp_path / "whole.ome.zarr")
    calls, messages, old = 0, MessageRecorder(), model.predictor
    for limit in (5, 4, 1000):
        runtime = InterruptedRuntime(old.runtime, limit)
        again = SegmentationModel(model.model_card, Predictor(runtime, old.geometry, old.classes, old.core))
        try:
            stream(again, source, tmp_path / "labels.ome.zarr", progress=messages)
        except KeyboardInterrupt:
            assert not (tmp_path / "labels.ome.zarr").exists()
        calls += runtime.calls
    assert calls == 12
    assert any(text.startswith("Resumed: ") for text in messages.sentences)
    whole, resumed = tmp_path / "whole.ome.zarr", tmp_path / "labels.ome.zarr"
    files = sorted(file.relative_to(whole) for file in whole.rglob("*") if file.is_file())
    assert files == sorted(file.relative_to(resumed) for file in resumed.rglob("*") if file.is_file())
    assert all((whole / file).read_bytes() == (resumed / file).read_bytes() for file in files)


def test_another_model_is_not_resumed(tmp_path: Path) -> None:
    model, source = model_of(tmp_path), InMemoryVolume(drawn_volume()[None])
    old = model.predictor
    stopped = Predictor(InterruptedRuntime(old.runtime, 4), old.geometry, old.classes, old.core)
    with pytest.raises(KeyboardInterrupt):
        stream(SegmentationModel(model.model_card, stopped), source, tmp_path / "labels.ome.zarr")
    other = SegmentationModel(replace(model.model_card, target=TargetOptions(foreground_threshold=0.4)), old)
    assert stream(other, source, tmp_path / "labels.ome.zarr").resumed == 0


@pytest.mark.parametrize(("options", "memory"), [({}, 2**22), ({"normalisation": "instance"}, 2**22)], ids=str)
def test_tiles_fit_into_the_memory(tmp_path: Path, options: dict[str, Any], memory: int) -> None:
    model, source, messages = (
        model_of(tmp_path, tile=None, **options),
        InMemoryVolume(drawn_volume()[None]),
        MessageRecorder(),
    )
    shapes: list[tuple[int, ...]] = []
    runtime = model.predictor.runtime

    class Watched:
        def __call__(self, tiles: np.ndarray) -> np.ndarray:
            shapes.append(tiles.shape)
            return runtime(tiles)

    model.predictor.runtime = Watched()
    stream(model, source, tmp_path / "labels.ome.zarr", progress=messages, memory=memory)
    largest = max(np.prod(shape) for shape in shapes)
    assert model.predictor.memory_budget is not None
    halo = model.predictor.geometry.halo
    smallest = (2 + 2 * halo) * (32 + 2 * halo) ** 2
    if not model.predictor.geometry.exact:
        smallest = (6 + 2 * halo) * (40 + 2 * halo) ** 2  # two strides, and the overlap
    assert largest <= max(memory // model.predictor.memory_budget.tile_pixel, smallest)
    assert len(shapes) > 1
    assert any("blended" in text for text in messages.sentences) == ("normalisation" in options)


def test_volumes_with_whole_image_normalisation_are_exact(tmp_path: Path) -> None:
    model, messages = model_of(tmp_path, normalisation="instance"), MessageRecorder()
    pixels = drawn_volume()
    source = open_volume_windows(save(tmp_path / "volume.ome.zarr", pixels), channels=1)
    result = stream(model, source, tmp_path / "labels.ome.zarr", progress=messages)
    assert result.computed == 2 * 3 * 2
    assert any(text.startswith("Exact") for text in messages.sentences)
    whole = SegmentationModel(model.model_card, model.predictor.with_core(1000))
    expected = whole.predict_pixels(pixels[None], spacing=(2.0, 0.5, 0.5)).labels
    assert 0.1 < expected.mean() < 0.9
    assert (labels_of(tmp_path / "labels.ome.zarr") != expected).mean() < 1e-3, "rounding at most"
    blended = SegmentationModel(model.model_card, model.predictor.without_statistics())
    other = blended.predict_pixels(pixels[None], spacing=(2.0, 0.5, 0.5)).labels
    assert (other != expected).mean() > 1e-3, "control: blended tiles"


SPACINGS = [(2.0, 1.0, 1.0), (1.0, 0.35, 0.6), (2.0, 0.5, 0.6)]  # finer, coarser and equal axes


@pytest.mark.parametrize("kind", ["classes", "boundary"])
@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
def test_a_volume_of_another_spacing_is_resampled_as_in_memory(
    tmp_path: Path, spacing: tuple[float, ...], kind: Kind
) -> None:
    model = model_of(tmp_path, TargetOptions(kind=kind), tile=None)
    pixels = drawn_volume()
    source = open_volume_windows(save(tmp_path / "volume.ome.zarr", pixels, spacing), channels=1)
    expected = model.predict_pixels(pixels[None], spacing=spacing).labels
    memory = (250_000 if spacing == SPACINGS[0] else 60_000) * tile_budget(4, 3).tile_pixel
    result = stream(model, source, tmp_path / "labels.ome.zarr", memory=memory)
    actual = labels_of(tmp_path / "labels.ome.zarr")
    assert actual.shape == SIZE, "on the grid of the volume"
    assert result.computed > 1
    assert ((actual > 0) != (expected > 0)).mean() < 1e-3, "rounding at most"
    assert 0.01 < (actual > 0).mean() < 0.99
    assert result.voxels[1] == (actual > 0).sum()
    assert ZarrVolume(tmp_path / "labels.ome.zarr").grid == source.grid


def test_a_resampled_volume_is_resumed_with_the_same_bytes(tmp_path: Path) -> None:
    model, spacing = model_of(tmp_path, tile=None), SPACINGS[2]
    source = open_volume_windows(save(tmp_path / "volume.ome.zarr", drawn_volume(), spacing), channels=1)
    memory = 60_000 * tile_budget(4, 3).tile_pixel
    whole = stream(model, source, tmp_path / "whole.ome.zarr", memory=memory)
    runtime = model.predictor.runtime
    model.predictor.runtime = InterruptedRuntime(runtime, 3)
    with pytest.raises(KeyboardInterrupt):
        stream(model, source, tmp_path / "killed.ome.zarr", memory=memory)
    model.predictor.runtime = runtime
    again = stream(model, source, tmp_path / "killed.ome.zarr", memory=memory)
    assert again.resumed > 0
    assert again.computed + again.resumed == whole.computed
    for file in sorted((tmp_path / "whole.ome.zarr").rglob("*")):
        if file.is_file():
            other = tmp_path / "killed.ome.zarr" / file.relative_to(tmp_path / "whole.ome.zarr")
            assert other.read_bytes() == file.read_bytes()


def test_a_network_whose_tiles_are_blended_refuses_another_spacing(tmp_path: Path) -> None:
    model = model_of(tmp_path, tile=None, normalisation="instance")
    blended = SegmentationModel(model.model_card, model.predictor.without_statistics())
    source = open_volume_windows(save(tmp_path / "volume.ome.zarr", drawn_volume(), (2.0, 1.0, 1.0)), channels=1)
    with pytest.raises(BadImage, match=r"spacing of the model, 2 x 0\.5 x 0\.5 mm"):
        stream(blended, source, tmp_path / "labels.ome.zarr", memory=1000)


def test_tiles_that_would_read_the_volume_many_times_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume_streaming, "MAX_WORK", 1.0)
    model = model_of(tmp_path, tile=None)
    source = open_volume_windows(save(tmp_path / "volume.ome.zarr", drawn_volume(), (2.0, 1.0, 1.0)), channels=1)
    with pytest.raises(BadImage, match=r"would read \d+ times the volume"):
        stream(model, source, tmp_path / "labels.ome.zarr", memory=60_000 * tile_budget(4, 3).tile_pixel)


def test_a_volume_with_other_channels_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "volume.ome.zarr", drawn_volume(), (2.0, 1.0, 1.0))
    with pytest.raises(BadImage, match="2 channels"):
        open_volume_windows(tmp_path / "volume.ome.zarr", channels=2)
