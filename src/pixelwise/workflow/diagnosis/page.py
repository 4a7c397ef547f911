"""The HTML page of a diagnosis: a table of kinds, and the evidence of each finding as pictures."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import groupby

import numpy as np

from pixelwise.datasets.checks.finding import KINDS, Finding
from pixelwise.datasets.checks.reduced import boundaries
from pixelwise.datasets.checks.steps import apply_steps
from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.folder_layout import Pair
from pixelwise.datasets.images.missing_pixels import filled
from pixelwise.errors import BadImage, PixelwiseError
from pixelwise.io.read import png_bytes, read_image
from pixelwise.progress import Progress
from pixelwise.text import command, pluralise
from pixelwise.workflow.annotation_errors.page import annotation_sections
from pixelwise.workflow.diagnosis.cases import (
    change_labels,
    mask_path,
    pair_case,
    read_fixable,
    read_view,
    relative,
    steps_for_labels,
    values_of_files,
)
from pixelwise.workflow.diagnosis.diagnosis import Diagnosis
from pixelwise.workflow.painting import stretch
from pixelwise.workflow.planes import choose_planes
from pixelwise.workflow.reporting import page as html
from pixelwise.workflow.reporting.pictures import shrink

PICTURES = 24  # findings of one kind that are shown as pictures
_BEFORE, _AFTER = (230, 75, 0), (0, 200, 120)


def diagnosis_page(found: Diagnosis, progress: Progress) -> str:
    """Return the page of a diagnosis, as HTML without anything from the network."""
    root = found.dataset.root
    by_file = {relative(root, path): pair for pair in found.pairs for path in (pair.image, mask_path(pair)) if path}
    title = f"Diagnosis of {root.resolve().name}"
    counts = Counter(finding.kind for finding in found.findings)
    soft = len(found.findings) - len(found.hard)
    lead = f"{pluralise(len(found.hard), 'hard fault')}, {pluralise(soft, 'warning')}"
    rows = [(kind, KINDS[kind][0], count, KINDS[kind][1]) for kind, count in counts.items()]
    parts = [f"<h1>{html.escape(title)}</h1>", f'<div class="lead"><p><b>{lead}</b></p></div>']
    if any(finding.fixable for finding in found.findings):
        parts.append(html.paragraphs([f"To write a corrected copy: {command('doctor', root, '--fix', 'OUT')}"]))
    parts.append(html.table(("kind", "severity", "number", "meaning"), rows) if rows else "")
    for kind, group in groupby(found.findings, key=lambda finding: finding.kind):
        parts.append(
            html.section(f"{kind}: {counts[kind]}", _kind_section(found.dataset, list(group), by_file, progress))
        )
    if found.annotation_errors is not None:
        parts += annotation_sections(found.annotation_errors)
    parts.append(html.section("How the folder was read", [html.paragraphs(found.messages)]))
    return html.page(title, parts)


def _kind_section(
    dataset: Dataset, findings: Sequence[Finding], pairs: dict[str, Pair], progress: Progress
) -> list[str]:
    parts: list[str] = []
    for finding in findings[:PICTURES]:
        name = html.escape(finding.files[0] if finding.files else "the whole set")
        fix = f" Fix: {finding.fix}." if finding.fix else ""
        parts.append(f"<h3><i>{name}</i> · {finding.confidence:.0%}</h3>")
        parts.append(html.paragraphs([f"{finding.text}.{fix}"]))
        parts += html.try_section("This picture", partial(_pictures, dataset, finding, pairs), progress)
    rest = findings[PICTURES:]
    if rest:
        rows = [(", ".join(one.files), one.text, one.fix) for one in rest]
        parts.append(html.fold(f"{len(rest)} more", [html.table(("files", "found", "fix"), rows)]))
    return parts


def _pictures(dataset: Dataset, finding: Finding, pairs: dict[str, Pair]) -> list[str]:
    """Return the image, the image with the outlines of its mask, and the same after the fix."""
    pair = next((pairs[file] for file in finding.files if file in pairs), None)
    image = pair.image if pair is not None else dataset.root / finding.files[0] if finding.files else None
    if pair is not None and dataset.spatial_dims == 3:
        return _volume_pictures(dataset, finding, pair, pairs)
    if image is None or not image.is_file():
        return []
    try:
        view = stretch(read_image(image).pixels if pair is None else read_view(dataset, pair))
        panels = {"image": view}
        if pair is not None:
            values = read_fixable(dataset, pair)
            panels["mask on the image"] = outlined(view, values, _BEFORE)
            if finding.steps and finding.steps[0].action != "leave out":
                other = next((pairs[step.other] for step in finding.steps if step.action == "use mask of"), None)
                values = read_fixable(dataset, other) if other is not None else values
                steps = finding.steps if values_of_files(dataset) else steps_for_labels(dataset, finding.steps)
                panels["after the fix"] = outlined(view, apply_steps(values, steps), _AFTER)
    except BadImage as error:
        return [html.paragraphs([str(error)])]
    return _figures(panels)


def _volume_pictures(dataset: Dataset, finding: Finding, pair: Pair, pairs: dict[str, Pair]) -> list[str]:
    """Return three planes and a maximum projection, the same with the outlines of the mask, and after the fix."""
    try:
        case = pair_case(pair)
        image, labels = dataset.read_image(case), dataset.read_labels(case)
        fixed = None
        if finding.steps and finding.steps[0].action not in ("leave out", "rename"):
            other = next((pairs[step.other] for step in finding.steps if step.action == "use mask of"), None)
            before = labels if other is None else dataset.read_labels(pair_case(other))
            fixed = change_labels(before, steps_for_labels(dataset, finding.steps))
    except PixelwiseError as error:
        return [html.paragraphs([str(error)])]
    pixels = filled(image.pixels)
    masks = {"mask on the image": (labels, _BEFORE)} | ({} if fixed is None else {"after the fix": (fixed, _AFTER)})
    fitting = {name: one for name, one in masks.items() if one[0].shape == pixels.shape[1:]}
    shown = next((mask for mask, _ in reversed(fitting.values())), np.zeros(pixels.shape[1:], np.int32))
    views = choose_planes(shown, image.grid)
    view = stretch(views.draw(pixels))
    panels = {name: outlined(view, views.draw(mask), tone) for name, (mask, tone) in fitting.items()}
    return _figures({"three planes, and the maximum along depth": view, **panels})


def _figures(panels: dict[str, np.ndarray]) -> list[str]:
    figures = [
        html.picture(png_bytes(np.moveaxis(shrink(panel), -1, 0)), "png", caption) for caption, panel in panels.items()
    ]
    return [f'<div class="case">{"".join(figures)}</div>']


def outlined(view: np.ndarray, values: np.ndarray, tone: tuple[int, int, int]) -> np.ndarray:
    """Return a picture (height, width, 3) with the outlines of a mask, or the mask alone if its size differs."""
    if view.shape[:2] != values.shape:
        shown = np.zeros((*values.shape, 3), np.uint8)
        shown[values != 0] = 200
        return shown
    edges = boundaries(values)
    edges[1:] |= edges[:-1]
    edges[:, 1:] |= edges[:, :-1]
    drawn = view.copy()
    drawn[edges] = tone
    return drawn
