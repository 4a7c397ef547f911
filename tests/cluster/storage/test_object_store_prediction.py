"""Images are read from an S3 server and results written there: the bytes are those of one process with folders."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest

from pixelwise.cluster.predict import job_folder, predict_on
from pixelwise.errors import BadOption, OutputFailed
from pixelwise.io import object_store
from pixelwise.io.object_store import find_object, list_objects, put_new_object, read_object
from pixelwise.io.read import write_image
from pixelwise.progress import Progress
from pixelwise.workflow.predict import predict
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.results import Predictions
from s3_server import BUCKET, make_bucket, needs_server, serving
from tiny import make_photo_recipe, make_recipe, write_model

needs_server()
pytest.importorskip("zarr")
ROOT = Path(f"s3://{BUCKET}")


@pytest.fixture(scope="module")
def server() -> Generator[dict[str, str], None, None]:
    with serving() as environment:
        yield environment


@pytest.fixture(autouse=True)
def bucket(server: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in (server | {"PIXELWISE_CACHE": str(tmp_path / "cache")}).items():
        monkeypatch.setenv(name, value)
    object_store._bucket.cache_clear()
    make_bucket(server)
    write_model(tmp_path / "model.safetensors", make_recipe("instance"))


@pytest.fixture
def images(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Images in a folder, and the same ones in the bucket."""
    folder = tmp_path / "images"
    for number, shape in enumerate([(40, 60), (90, 130), (24, 24), (24, 24)]):
        write_image(folder / f"{number}.png", rng.integers(0, 256, (1, *shape)).astype(np.uint8))
    write_image(folder / "more" / "4.tif", rng.integers(0, 256, (1, 30, 30)).astype(np.uint8))
    (folder / "broken.png").write_text("hello", encoding="utf-8")
    upload(folder, ROOT / "images")
    return folder


def upload(folder: Path, place: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            assert put_new_object(place / path.relative_to(folder), path)


def stored(place: Path) -> dict[str, str]:
    """Return the SHA-256 of all objects."""
    entries = {entry.path.relative_to(place).as_posix(): entry.path for entry in list_objects(place)}
    return {n: hashlib.sha256(read_object(p)).hexdigest() for n, p in entries.items() if n != "_SUCCESS"}


def written(folder: Path) -> dict[str, str]:
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def start(tmp_path: Path, out: Path, on: str | None = None, **options: object) -> Predictions:
    chosen = PredictOptions(**options)  # type: ignore[arg-type]
    given = tmp_path / "model.safetensors", [ROOT / "images"], out, on, chosen
    result = predict_on(*given, unit_seconds=1e-6, progress=Progress())
    assert isinstance(result, Predictions)
    return result


@pytest.mark.parametrize("on", [None, "local:2"])
def test_results_are_those_of_folders(tmp_path: Path, images: Path, on: str | None) -> None:
    one = predict(tmp_path / "model.safetensors", [images], tmp_path / "one", progress=Progress())
    many = start(tmp_path, ROOT / "out", on)
    assert stored(ROOT / "out") == written(tmp_path / "one")
    assert [path.name for path in many.outputs] == [path.name for path in one.outputs]
    ((place, text),) = many.failed
    assert str(place).endswith("images/broken.png")
    assert f"s3://{BUCKET}/images/broken.png" in text
    lines = read_object(ROOT / "out" / "_SUCCESS").decode().splitlines()
    assert {line.split("  ")[1]: line.split("  ")[0] for line in lines} == stored(ROOT / "out")
    assert not list((job_folder(ROOT / "out") / ".job").rglob("*.png")), "no copy of an image is left"


def test_ome_zarr_is_read_where_it_is_and_written_there(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path / "model.safetensors", make_recipe("multiclass"))
    write_image(tmp_path / "flat" / "a.png", rng.integers(0, 256, (1, 150, 170)).astype(np.uint8))
    options = PredictOptions(format="zarr", tile=64)
    model = tmp_path / "model.safetensors"
    predict(model, [tmp_path / "flat"], tmp_path / "images", options, progress=Progress())  # its labels are an image
    (tmp_path / "images" / "classes.json").unlink()
    upload(tmp_path / "images", ROOT / "images")
    predict(model, [tmp_path / "images"], tmp_path / "one", options, progress=Progress())
    monkeypatch.setattr("pixelwise.cluster.storage.remote_images.fetch_object", None)
    start(tmp_path, ROOT / "out", None, format="zarr", tile=64)
    assert stored(ROOT / "out") == written(tmp_path / "one")
    assert any(name.endswith(".ome.zarr/zarr.json") for name in stored(ROOT / "out"))


def test_the_command_prints_addresses_and_continues(tmp_path: Path, images: Path) -> None:
    words = [sys.executable, "-m", "pixelwise", "predict", str(tmp_path / "model.safetensors")]
    words += [f"s3://{BUCKET}/images", "--out", f"s3://{BUCKET}/out", "--json"]
    for _ in range(2):  # the second one finds a complete job
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 3, done.stderr
        record = json.loads(done.stdout)
        assert record["outputs"][0].startswith(f"s3://{BUCKET}/out/")
        assert record["failed"][0]["file"] == f"s3://{BUCKET}/images/broken.png"


def test_results_of_others_are_not_replaced(tmp_path: Path, images: Path) -> None:
    put_new_object(ROOT / "out" / "0.png", b"of somebody else")
    with pytest.raises(OutputFailed, match="without existing results"):
        start(tmp_path, ROOT / "out")
    assert read_object(ROOT / "out" / "0.png") == b"of somebody else"


def test_a_job_whose_outputs_are_gone_is_made_again(tmp_path: Path, images: Path, server: dict[str, str]) -> None:
    start(tmp_path, ROOT / "out")
    make_bucket(server)
    upload(images, ROOT / "images")
    start(tmp_path, ROOT / "out")
    assert find_object(ROOT / "out" / "_SUCCESS") is not None


def test_what_is_not_possible_is_said_before_any_work(tmp_path: Path, images: Path) -> None:
    with pytest.raises(BadOption, match="local:N"):
        start(tmp_path, ROOT / "out", "none")
    write_model(tmp_path / "model.safetensors", make_photo_recipe())
    with pytest.raises(BadOption, match="a model that segments images"):
        start(tmp_path, ROOT / "out")


def test_control_a_careless_store_is_refused(tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(careless=True) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        object_store._bucket.cache_clear()
        make_bucket(environment)
        upload(images, ROOT / "images")
        with pytest.raises(OutputFailed, match="refuses a second object"):
            start(tmp_path, ROOT / "out")
    object_store._bucket.cache_clear()
