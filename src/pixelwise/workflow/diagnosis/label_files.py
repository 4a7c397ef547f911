"""The corrected copy of a data set in a format: its labels become mask files."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pixelwise.datasets.annotations import Shapes
from pixelwise.datasets.cases import Case
from pixelwise.datasets.checks.finding import Step
from pixelwise.datasets.checks.steps import apply_steps
from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.masks.mapping import ignore_missing
from pixelwise.datasets.problem_report import files_of
from pixelwise.datasets.writers.image_files import is_plain, link_or_copy, save_image, with_suffix
from pixelwise.datasets.writers.labelled_set import (
    LabelledImage,
    LabelledSet,
    given_split,
    groups_lost,
    spacing_of,
    unique_names,
)
from pixelwise.datasets.writers.mask_folders import write_description, write_label_file
from pixelwise.io.read import SUFFIXES
from pixelwise.workflow.diagnosis.cases import labels_file, read_fixable, relative, steps_for_labels

_BEFORE = ".before"  # folder with the labels before a change; hidden folders are not read as data


class LabelFiles:
    """Writes images and mask files into a corrected copy.

    Parameters
    ----------
    dataset : Dataset
    cases : sequence of Case
        All that may be written.
    out : Path
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
        pixels, before = dataset.read_image(case).pixels, read_fixable(dataset, case)
        other = next((self._by_file[step.other] for step in steps if step.action == "use mask of"), None)
        labels = before if other is None else read_fixable(dataset, other)
        labels = apply_steps(labels, steps_for_labels(dataset, steps), fill=self._data.ignored).astype(before.dtype)
        name, flat_name = self._names[case.name]
        image = LabelledImage(
            name=name,
            flat_name=flat_name,
            source=case.image,
            pixels=pixels,
            labels=ignore_missing(labels, pixels, dataset.task),
            split=given_split(dataset, case.split),
            spacing=spacing_of(case.image),
        )
        return [self._write_image(image, steps, reason), self._write_labels(image, case, before, steps, reason)]

    def finish(self) -> Sequence[str]:
        """Write the classes; return what the copy does not hold."""
        write_description(self._data, self._out, self._ignored)
        return groups_lost(self._data.dataset)

    def _write_image(self, image: LabelledImage, steps: Sequence[Step], reason: str) -> dict[str, Any]:
        rename = next((step.other for step in steps if step.action == "rename"), "")
        suffix = Path(rename or image.source.name).suffix.lower()
        target, file = self._out / image.path("images"), relative(self._data.dataset.root, image.source)
        if suffix in SUFFIXES and is_plain(image):
            target = with_suffix(target, suffix)
            action = link_or_copy(image.source, target, link=self._link)
        else:
            target, action = save_image(image, target, SUFFIXES), "write"
        entry = {"action": action, "file": target.relative_to(self._out).as_posix(), "source": file}
        return entry | ({"action": "change", "reason": reason, "undo": file} if rename else {})

    def _write_labels(
        self, image: LabelledImage, case: Case, before: Any, steps: Sequence[Step], reason: str
    ) -> dict[str, Any]:
        root, out = self._data.dataset.root, self._out
        mask, ignored = write_label_file(self._data, image, out / image.path("masks"))
        self._ignored = max(self._ignored, ignored)
        annotation = case.annotation
        files = files_of(root, case.image, annotation)[1:]
        files = (relative(root, annotation.source),) if isinstance(annotation, Shapes) else files
        entry: dict[str, Any] = {"action": "write", "file": mask.relative_to(out).as_posix()}
        entry |= {"source": files[0]} if len(files) == 1 else {"sources": list(files)}
        made = [step for step in steps if step.action != "rename"]
        if not made:
            return entry
        original, _ = write_label_file(self._data, replace(image, labels=before), out / _BEFORE / image.path("masks"))
        undo = {"undo": original.relative_to(out).as_posix(), "undo_in_copy": True}
        return entry | {"action": "change", "steps": [step.to_json() for step in made], "reason": reason} | undo
