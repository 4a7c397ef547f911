"""The section on annotation errors of the page of a diagnosis."""

from pixelwise.workflow.annotation_errors.evidence import Evidence
from pixelwise.workflow.annotation_errors.records import WRONG_CLASS
from pixelwise.workflow.annotation_errors.regions import KINDS
from pixelwise.workflow.annotation_errors.result import LIKELY, AnnotationErrors
from pixelwise.workflow.reporting import page as html
from pixelwise.workflow.reporting.pictures import case_row

_KINDS: dict[str, str] = {**KINDS, WRONG_CLASS: "The prediction has another class than the folder of the image."}


def annotation_sections(found: AnnotationErrors) -> list[str]:
    """Return the HTML sections of a ranking: the numbers, then the first errors of each kind as pictures."""
    counts = found.to_json()["counts"]
    title = f"Likely annotation errors: {len(found.likely)}"
    parts = [html.paragraphs([*found.messages, *found.describe_gain()])]
    rows = [(kind, counts[kind], meaning) for kind, meaning in _KINDS.items() if kind in counts]
    if rows:
        parts.append(html.table(("kind", "number", "meaning"), rows))
    if found.gains:
        gains = [(gain.errors, gain.dice) for gain in found.gains]
        parts.append(html.table(("errors corrected", "mean Dice"), gains, "If the first of the ranking are errors"))
    sections = [html.section(title, parts)]
    for kind, _, _ in rows:
        shown = [one for one in found.evidence if one.error.kind == kind and one.error.score >= LIKELY]
        sections.append(html.section(f"{kind}: {counts[kind]}", [*map(_picture, shown), *_rest(found, kind, shown)]))
    return sections


def _picture(evidence: Evidence) -> str:
    error = evidence.error
    views = {"image": evidence.image, "annotation": evidence.annotation, "prediction": evidence.prediction}
    panels = {caption: view for caption, view in views.items() if view is not None}
    name = html.escape(error.files[0])
    return f"<h3><i>{name}</i> · {error.score:.2f}</h3>{html.paragraphs([error.change])}{case_row(panels)}"


def _rest(found: AnnotationErrors, kind: str, shown: list[Evidence]) -> list[str]:
    """Return a folded table of the errors of a kind that are not shown as pictures."""
    pictured = {id(one.error) for one in shown}
    rest = [error for error in found.likely if error.kind == kind and id(error) not in pictured]
    if not rest:
        return []
    rows = [(error.files[0], error.change, error.score) for error in rest]
    return [html.fold(f"{len(rest)} more", [html.table(("file", "where", "score"), rows)])]
