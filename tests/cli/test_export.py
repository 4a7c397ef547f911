"""`pixelwise export`, then `pixelwise verify` and `pixelwise predict` with the exported files."""

import json
from pathlib import Path

import numpy as np

from command_line import run_here
from drawn import pairs
from exports import draw_photos, graphs_made_once, write_photo_run, write_trained_run
from pixelwise.io.read import read_mask, write_image

__all__ = ["graphs_made_once"]


def test_a_segmentation_run_is_exported_verified_and_used(tmp_path: Path) -> None:
    run = write_trained_run(tmp_path / "run", pairs(tmp_path / "data", 6))
    done = run_here("export", run.folder, "--json")
    assert done.returncode == 0, done.stderr
    (file,) = json.loads(done.stdout)["files"]
    assert Path(file) == run.folder / "export" / "model.onnx"
    again = run_here("verify", file)
    assert again.returncode == 0, again.stderr
    assert "onnxruntime: logits within" in again.stdout
    write_image(tmp_path / "a.png", np.random.default_rng(9).integers(0, 256, (1, 45, 70)).astype(np.uint8))
    for model, runtime in ((run.folder, "torch"), (file, "auto"), (file, "openvino")):
        done = run_here("predict", model, tmp_path / "a.png", "--out", tmp_path / runtime, "--runtime", runtime)
        assert done.returncode == 0, done.stderr
    masks = [read_mask(tmp_path / out / "a.png").values for out in ("torch", "auto", "openvino")]
    assert np.array_equal(masks[0], masks[1])
    assert np.array_equal(masks[0], masks[2])


def test_a_classification_run_is_exported_verified_and_used(tmp_path: Path) -> None:
    photos = draw_photos(tmp_path / "photos", each=4)
    run = write_photo_run(tmp_path / "run", photos)
    done = run_here("export", run.folder, "--json")
    assert done.returncode == 0, done.stderr
    (file,) = json.loads(done.stdout)["files"]
    again = run_here("verify", file)
    assert again.returncode == 0, again.stderr
    assert "of the images change class, accuracy" in again.stdout
    for runtime in ("auto", "openvino"):
        done = run_here("predict", file, photos / "val", "--out", tmp_path / runtime, "--runtime", runtime)
        assert done.returncode == 0, done.stderr
        assert "12 images classified" in done.stdout
    assert run_here("predict", file, photos / "val", "--out", tmp_path / "x", "--overlays").returncode == 2


def test_a_bioimage_package_contains_name_authors_and_licence(tmp_path: Path) -> None:
    import zipfile

    import yaml

    run = write_trained_run(tmp_path / "run", pairs(tmp_path / "data", 6))
    words = ("--format", "bioimageio", "--name", "Nuclei of mice", "--author", "A. One", "--author", "B. Two")
    done = run_here("export", run.folder, *words, "--licence", "MIT")
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(run.folder / "export" / "model.bioimageio.zip") as package:
        description = yaml.safe_load(package.read("rdf.yaml"))
        files = set(package.namelist())
    assert (description["name"], description["license"]) == ("Nuclei of mice", "MIT")
    assert description["authors"] == [{"name": "A. One"}, {"name": "B. Two"}]
    assert files == {"rdf.yaml", "model.onnx", "test_input.npy", "test_output.npy", "README.md"}


def test_invalid_input_ends_with_2_and_one_line(tmp_path: Path) -> None:
    for words in (("export", tmp_path), ("verify", tmp_path / "a.onnx"), ("verify", tmp_path / "a.txt")):
        done = run_here(*words)
        assert done.returncode == 2
        assert done.stderr.startswith("Error: ")
        assert len(done.stderr.strip().splitlines()) == 1
