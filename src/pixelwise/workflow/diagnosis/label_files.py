"""The corrected copy of a data set in a format, or of volumes: its labels become mask files."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.datasets.annotations import Annotation, MaskFile, Shapes
from pixelwise.datasets.cases import Case
from pixelwise.datasets.checks.finding import Step
from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.masks.mapping import ignore_missing
from pixelwise.datasets.problem_report import files_of
from pixelwise.datasets.writers.image_files import is_plain, link_or_copy, save_image, with_suffix
from pixelwise.datasets.writers.labelled_set import (
    LabelledImage,
    LabelledSet,
    given_split,
    groups_lost,
    regions_lost,
    spacing_of,
    unique_names,
)
from pixelwise.datasets.writers.mask_folders import number_ignored, write_description, write_label_file
from pixelwise.datasets.writers.volumes import save_labels, save_volume
from pixelwise.io.read import SUFFIXES, probe, volume_format
from pixelwise.io.volumes.names import suffix_of
from pixelwise.io.volumes.write import result_suffix, write_labels_like
from pixelwise.workflow.diagnosis.cases import change_labels, labels_file, read_fixable, relative, steps_for_labels

_BEFORE = ".before"  # folder with the labels before a change; hidden folders are not read as data


class LabelFiles:
    """Writes images and mask files into a corrected copy.

    Parameters
    ----------
    cases : sequence of Case
        All that may be written.
    link : bool
        Unchanged images are linked instead of copied.
    """

    def __init__(self, dataset: Dataset, cases: Sequence[Case], out: Path, *, link: bool) -> None:
        self._data, self._out, self._link = LabelledSet(dataset=dataset), out, link
        self._names = dict(
            zip((case.name for case in cases), unique_names([(case.name, case.split) for case in cases]), strict=True)
        )
        self._by_file = {labels_file(dataset.root, case): case for case in cases}
        self._ignored = 0

    def write(self, case: Case, steps: Sequence[Step], reason: str) -> list[dict[str, Any]]:
        """Write the image and the labels of a case after some steps; return their entries of the log.

        Raises
        ------
        BadImage
            A file cannot be read.
        OutputFailed
            A file cannot be written.
        """
        dataset = self._data.dataset
        read, before = dataset.read_image(case), read_fixable(dataset, case)
        pixels, volumes = read.pixels, dataset.spatial_dims == 3
        other = next((self._by_file[step.other] for step in steps if step.action == "use mask of"), None)
        labels = before if other is None else read_fixable(dataset, other)
        labels = change_labels(labels, steps_for_labels(dataset, steps), self._data.ignored).astype(before.dtype)
        name, flat_name = self._names[case.name]
        image = LabelledImage(
            name=name,
            flat_name=flat_name,
            source=case.image,
            pixels=pixels,
            labels=ignore_missing(labels, pixels, dataset.task),
            split=given_split(dataset, case.split),
            spacing=None if volumes else spacing_of(case.image),
            channel_files=case.channel_files,
            grid=read.grid,
        )
        written = self._write_image(image, steps, reason)
        suffix = "" if image.grid is None else result_suffix(Path(written["file"]))
        return [written, self._write_labels(image, case, before, steps, reason, suffix)]

    def finish(self) -> Sequence[str]:
        """Write the classes; return what the copy does not hold."""
        write_description(self._data, self._out, self._ignored)
        return (*regions_lost(self._data.dataset), *groups_lost(self._data.dataset))

    def _write_image(self, image: LabelledImage, steps: Sequence[Step], reason: str) -> dict[str, Any]:
        rename = next((step.other for step in steps if step.action == "rename"), "")
        suffix = Path(rename or image.source.name).suffix.lower()
        target, file = self._out / image.path("images"), relative(self._data.dataset.root, image.source)
        if image.grid is not None:
            chosen = suffix_of(Path(rename)) if rename else ""
            target, _ = save_volume(image, target, chosen, link=self._link)
            action = "link" if self._link and _is_link(image.source, target) else "write"
        elif suffix in SUFFIXES and is_plain(image):
            target = with_suffix(target, suffix)
            action = link_or_copy(image.source, target, link=self._link)
        else:
            target, action = save_image(image, target, SUFFIXES), "write"
        entry = {"action": action, "file": target.relative_to(self._out).as_posix(), "source": file}
        return entry | ({"action": "change", "reason": reason, "undo": file} if rename else {})

    def _write_labels(
        self, image: LabelledImage, case: Case, before: Any, steps: Sequence[Step], reason: str, suffix: str
    ) -> dict[str, Any]:
        """Write the labels of a case; `suffix` is that of a label volume, as its volume has in the copy."""
        root, out = self._data.dataset.root, self._out
        annotation = case.annotation
        if image.grid is None:
            mask, ignored = write_label_file(self._data, image, out / image.path("masks"))
        else:
            mask = with_suffix(out / image.path("masks"), suffix)
            ignored = save_labels(self._data, image, mask)
        self._ignored = max(self._ignored, ignored)
        files = files_of(root, case.image, annotation)[1:]
        files = (relative(root, annotation.source),) if isinstance(annotation, Shapes) else files
        entry: dict[str, Any] = {"action": "write", "file": mask.relative_to(out).as_posix()}
        entry |= {"source": files[0]} if len(files) == 1 else {"sources": list(files)}
        made = [step for step in steps if step.action != "rename"]
        if not made:
            return entry
        original = self._write_before(image, before, annotation)
        undo = {"undo": original.relative_to(out).as_posix(), "undo_in_copy": True}
        return entry | {"action": "change", "steps": [step.to_json() for step in made], "reason": reason} | undo

    def _write_before(self, image: LabelledImage, labels: np.ndarray, annotation: Annotation | None) -> Path:
        """Write labels as they were before the steps, those of a volume on the grid of their file; return the path."""
        target = self._out / _BEFORE / image.path("masks")
        if image.grid is None:
            return write_label_file(self._data, replace(image, labels=labels), target)[0]
        source = annotation.path if isinstance(annotation, MaskFile) else image.source
        kind, grid = volume_format(source), probe(source, volumes=True).grid or image.grid
        numbers = number_ignored(labels, self._data.ignored)[0] if self._data.task == "instance" else labels
        target = with_suffix(target, result_suffix(source))
        target.parent.mkdir(parents=True, exist_ok=True)
        return write_labels_like(target, numbers, grid, None if kind is None else (source, kind))


def _is_link(source: Path, target: Path) -> bool:
    return source.is_file() and target.is_file() and source.samefile(target)
