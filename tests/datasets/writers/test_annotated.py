"""The record that writers of annotation files take: the same labels, as mask files."""

from pathlib import Path

import numpy as np

import drawn
from pixelwise.datasets.annotations import AnnotatedSet, MaskFile
from pixelwise.datasets.dataset import load_dataset
from pixelwise.datasets.writers.annotated import annotate, write_annotations
from pixelwise.datasets.writers.labelled_set import LabelledSet
from pixelwise.io.read import read_mask


def test_classes_have_their_values_and_ignored_pixels_theirs(tmp_path: Path) -> None:
    folder = drawn.pairs(tmp_path / "in", draw=drawn.several(1, 2, 255))
    (folder / "classes.txt").write_text("0 sky 10,20,30\n1 road 1,2,3\n2 car 9,8,7\n255 void 0,0,0\n", "utf-8")
    dataset = load_dataset(folder)
    annotated = annotate(LabelledSet(dataset=dataset), tmp_path / "out")
    assert (annotated.classes, annotated.values) == (("sky", "road", "car"), (0, 1, 2)), "sky is no background"
    assert (annotated.ignore_value, annotated.instances) == (255, False)
    for case, image in zip(dataset.cases, annotated.images, strict=True):
        assert isinstance(image.annotation, MaskFile)
        assert np.array_equal(read_mask(image.annotation.path).values, dataset.read(case).labels)


def test_what_is_written_first_lies_beside_the_output(tmp_path: Path) -> None:
    dataset = load_dataset(drawn.pairs(tmp_path / "in", draw=drawn.objects))
    seen: list[AnnotatedSet] = []

    def write(annotated: AnnotatedSet, out: Path) -> tuple[str, ...]:
        seen.append(annotated)
        assert out == tmp_path / "staged/result"
        return ("boxes are lost.",)

    assert write_annotations(write)(LabelledSet(dataset=dataset), tmp_path / "staged/result") == ("boxes are lost.",)
    assert (seen[0].classes, seen[0].values, seen[0].ignore_value, seen[0].instances) == (("object",), (), None, True)
    assert not (tmp_path / "staged/result").exists()
