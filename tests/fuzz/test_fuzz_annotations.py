"""Mutated annotation files of every format, and configurations: read, or refused in one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.formats.test_cvat import SQUARE, folder
from datasets.formats.test_damaged import LABEL_STUDIO, VIA
from datasets.formats.test_segment_anything import write as masks
from datasets.formats.test_slide_outlines import region
from datasets.formats.test_slide_outlines import write as outlines
from datasets.formats.test_supervisely import polygon, project
from drawn import SIZE, image, objects, pairs, save, several
from fuzz.mutations import ODD, accept_or_refuse, edits, examples, mutate, places, replaced
from pixelwise.datasets.annotations import Shapes
from pixelwise.datasets.dataset import scan_dataset
from pixelwise.datasets.detect import detect_format
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.shapes.rasterise import rasterise
from pixelwise.exporters.package import check_package
from pixelwise.progress import Progress
from pixelwise.workflow.config import Config, save_config
from pixelwise.workflow.convert import convert
from pixelwise.workflow.settings import Settings, load_config

VALUES: list[Any] = [*ODD, False, 0.5, 2**70, "\udc00", [[1, 2]], {"a": 1}, "case_0.png", [None] * 3]


def _written(name: str, **drawn: Any) -> Callable[[Path], Path]:
    """Return a maker of a set that `convert` writes."""

    def make(root: Path) -> Path:
        source = pairs(root / "source", 2, **{"draw": objects, **drawn})
        return convert(source, to=name, out=root / "set", progress=Progress()).folder

    return make


def _one_file(name: str, content: Any) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        save(root / "set" / "a.png", image(0))
        (root / "set" / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return root / "set"

    return make


CORNERS = [[4, 4], [11, 4], [11, 9], [4, 9]]
# the first result of the sample is a whole one
_POLYGONS = [{**LABEL_STUDIO[0], "annotations": [{"result": LABEL_STUDIO[0]["annotations"][0]["result"][:1]}]}]
SETS: dict[str, Callable[[Path], Path]] = {
    **{name: _written(name) for name in ("coco", "yolo", "labelme", "voc", "qupath", "imagej", "nnunet")},
    "cvat": lambda root: folder(root / "set", SQUARE),
    "supervisely": lambda root: project(root / "set", polygon("leaf", CORNERS, [[6, 6], [8, 6], [8, 8]])),
    "segment anything": lambda root: masks(root / "set", [200, 30, SIZE[0] * SIZE[1] - 230]),
    "slide outlines": lambda root: outlines(
        root / "set", f"<Annotations><Annotation Name='a'>{region((2, 2, 9, 9))}</Annotation></Annotations>"
    ),
    "run lengths": _one_file("a.csv", "ImageId,EncodedPixels,ClassId\na.png,5 3 90 4,1\na.png,300 9,2\n"),
    "via": _one_file("a.json", VIA),
    "label studio": _one_file("a.json", _POLYGONS),
    "class table": _written("folders", draw=several(1, 2, 3)),
}
_ANNOTATIONS = (".json", ".geojson", ".txt", ".xml", ".yaml", ".csv", ".roi", ".zip")


def annotation_files(root: Path) -> list[Path]:
    """Return the files of a set that describe its masks; a plain folder gets a class table."""
    if not list(root.rglob("classes.txt")) and not _annotated(root):
        (root / "classes.txt").write_text(
            "0 background 0,0,0\n1 cell 255,0,0\n2 nucleus 0,0,255\n3 rest\n", encoding="utf-8"
        )
    return _annotated(root) or sorted(root.rglob("classes.txt"))


def _annotated(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.suffix in _ANNOTATIONS)


def read_set(root: Path) -> None:
    """Recognise and read a set, and draw its shapes; plain folders are scanned."""
    dataset = detect_format(root, DataOptions())
    if dataset is None:
        scan_dataset(root)
        return
    for member in dataset.images:
        if isinstance(member.annotation, Shapes):
            rasterise(member.annotation, SIZE, dataset.classes, "multiclass")


@pytest.mark.parametrize("name", SETS)
def test_mutated_annotations_are_read_or_refused(name: str, tmp_path: Path) -> None:
    root = SETS[name](tmp_path)
    files = annotation_files(root)
    assert accept_or_refuse(lambda: read_set(root)), "the set is accepted as it is"
    contents = {path: path.read_bytes() for path in files}

    @examples(25)
    @given(path=st.sampled_from(files), data=st.data())
    def check(path: Path, data: st.DataObject) -> None:
        content = contents[path]
        if path.suffix in (".json", ".geojson") and data.draw(st.booleans()):
            original = json.loads(content)
            at = data.draw(st.sampled_from(places(original)))
            changed = json.dumps(replaced(original, at, data.draw(st.sampled_from(VALUES)))).encode()
        else:
            changed = mutate(
                content, data.draw(edits(len(content))), data.draw(st.none() | st.integers(0, len(content)))
            )
        path.write_bytes(changed)
        accept_or_refuse(lambda: read_set(root))
        path.write_bytes(content)

    check()


TOKENS = [
    "network", "depth", ":", " ", "\n", "-", "[", "]", "{", "}", "&a", "*a", "!!python/object:os.system", "'", "1e400",
    ".nan", "0x", "~", "origins", "preset", "unet", "data", "|", ">", "#", "?", "%YAML", "\t", "\u2028",
]  # fmt: skip


@examples(150)
@given(words=st.lists(st.sampled_from(TOKENS), max_size=12))
def test_settings_of_any_text_are_parsed_or_refused(words: list[str]) -> None:
    accept_or_refuse(lambda: Settings.parse([f"network.depth={''.join(words)}"]))
    accept_or_refuse(lambda: Settings.parse(["".join(words)]))


def test_mutated_configurations_are_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    save_config(path, Config())
    content = path.read_bytes()
    assert accept_or_refuse(lambda: load_config(path))

    @examples(60)
    @given(
        changed=edits(len(content)),
        cut=st.none() | st.integers(0, len(content)),
        words=st.lists(st.sampled_from(TOKENS)),
    )
    def check(changed: list[tuple[int, int]], cut: int | None, words: list[str]) -> None:
        path.write_bytes(mutate(content, changed, cut) + "".join(words).encode())
        accept_or_refuse(lambda: load_config(path))

    check()


@pytest.mark.parametrize(
    "text", ["[" * 20_000, "&a [*a]", "a: !!python/object/apply:os.getcwd []", "{" * 5_000, "- " * 9_000]
)
def test_deep_and_active_yaml_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    assert not accept_or_refuse(lambda: load_config(path))
    archive = _package(tmp_path / "model.zip", text)
    assert not accept_or_refuse(lambda: check_package(archive))


def _package(path: Path, description: str) -> Path:
    folder = path.with_suffix("")
    folder.mkdir()
    (folder / "rdf.yaml").write_text(description, encoding="utf-8")
    return Path(shutil.make_archive(str(folder), "zip", folder))
